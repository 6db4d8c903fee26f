"""Participant pages: one self-contained HTML file, from derivatives alone."""
