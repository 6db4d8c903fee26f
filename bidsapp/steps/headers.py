"""What the header of a raw image leaves in doubt about its place."""

from __future__ import annotations

from pathlib import Path

from bidsapp.core.quality import Flag, flagged
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.io.nifti import affine_disagreement


def header_findings(path: str | Path, image: str) -> tuple[Flag, ...]:
    """Check that the header of an image says where it lies, and says it once.

    Parameters
    ----------
    path : NIfTI
    image : ``T1w`` or ``PET``, as the flags call it

    Returns
    -------
    tuple of Flag
    """
    apart_mm = affine_disagreement(path)
    if apart_mm is None:
        return (worded_flag("orientation-unknown", image=image),)
    return flagged({"header_places_mm": apart_mm}, read_table("limits"), image=image)
