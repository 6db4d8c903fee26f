"""Calibration of a pipeline and comparison of two: from images or from tables of SUVRs."""
