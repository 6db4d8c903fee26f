"""From PET to template without a T1w."""
