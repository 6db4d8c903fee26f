"""The mathematics: arrays, grids and plain dataclasses in and out; no files, no nipype, no BIDS."""
