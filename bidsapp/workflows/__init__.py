"""Nipype workflows, one small factory per step."""

from bidsapp.io.untouched import load

load("nipype")
