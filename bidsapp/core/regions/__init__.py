"""Many regions at once: atlases, their checks, partial volume correction."""
