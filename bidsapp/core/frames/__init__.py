"""Frames of a PET: which count, their decay, their mean, and what is damaged in them."""
