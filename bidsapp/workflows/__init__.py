"""Nipype workflows, one small factory per step."""

from bidsapp.untouched import load

load("nipype")
