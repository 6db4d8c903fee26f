"""The work on a scan, step by step: plain functions, images and options in, typed results out.

Workflows, `centipet-verify`, `centipet-segment`, `centipet voi` and scripts call the same ones.
"""
