"""Rigid positions: of the PET on the T1w, of the frames among each other."""
