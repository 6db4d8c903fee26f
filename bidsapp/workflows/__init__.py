"""Nipype workflows, one small factory per step."""
