"""Thin nipype interfaces: load, call a pure function of the core, save."""

from bidsapp.io.untouched import load

load("nipype")
