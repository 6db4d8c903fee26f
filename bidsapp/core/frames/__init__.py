"""Frames of a PET: choice, decay, mean, damage."""
