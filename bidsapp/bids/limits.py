"""Limits that no PET scan exceeds, and properties of a T1w of a head."""

from __future__ import annotations

from datetime import timedelta

YEARS = range(1900, 2200)
MAX_UPTAKE_S = 12 * 3600.0  # longer is a wrong clock: 6.5 half-lives of F-18
LATE_INJECTION_S = 300.0  # a dynamic scan may start this long before the injection
DOSE_BQ = 1e6, 2e9  # of an amyloid scan; other numbers are most likely in another unit
MAX_FRAME_S = 6 * 3600.0  # longer frames are in milliseconds

# Fewer slices are a scout, a shorter extent a slab, thicker slices a 2D series.
LEAST_SLICES, LEAST_EXTENT_MM, THICKEST_SLICE_MM = 30, 100.0, 3.0
FAR_T1W = timedelta(days=365)  # from its PET: the head may have changed
