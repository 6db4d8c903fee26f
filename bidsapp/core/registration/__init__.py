"""Rigid registration of the PET to the T1w and of the frames to each other."""
