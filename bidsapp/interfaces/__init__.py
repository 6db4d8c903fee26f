"""Thin nipype interfaces: load, call a pure function of the core, save."""

from bidsapp.untouched import load

load("nipype")
