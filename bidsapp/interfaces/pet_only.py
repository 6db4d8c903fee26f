"""Node that normalises a PET to the template without a T1w."""

from __future__ import annotations

import numpy as np

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import prefixed_errors
from bidsapp.interfaces.transfer import Image, Rigid, WarpArrays
from bidsapp.record import RecordPart
from bidsapp.steps.positioning import normalised_without_t1w


@interface("field", "warp", "t1w_to_pet", "record")
def NormalisePet(pet: Image, source: str) -> tuple[Image, WarpArrays, Rigid, RecordPart]:
    """Map between a PET and the template (`bidsapp.core.pet_only.pet_normalisation`).

    Parameters
    ----------
    pet : on its native grid
    source : name of the raw image, for messages

    Returns
    -------
    field, warp, t1w_to_pet
        As of a T1w and its registration; the PET takes the place of the T1w, so the matrix is the
        identity.
    record
    """
    with prefixed_errors(source):
        normalised, record = normalised_without_t1w(pet)
    return Volume(normalised.field, mni_grid(2).affine), normalised.warp, np.eye(4), record
