"""Node that fits reference-tissue models to a dynamic PET."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Arrays, Image, Tables
from bidsapp.record import RecordPart
from bidsapp.settings import Processing
from bidsapp.steps.measuring import template_space, tissues_at
from bidsapp.steps.modelling import modelled

_IMAGES = ("srtm_r1", "srtm_bpnd", "srtm_dvr", "srtm2_r1", "srtm2_bpnd", "srtm2_dvr")


@interface("tables", "record", *_IMAGES)
def FitKinetics(
    tacs: Arrays,
    frames: Path,
    field: Image,
    processing: Processing,
    gm: Image | None = None,
    wm: Image | None = None,
) -> tuple[Tables, RecordPart, *tuple[Image | None, ...]]:
    """Reference-tissue models in all regions of all atlases, and SRTM in every voxel.

    Parameters
    ----------
    tacs, frames : as `SampleFrames` gives them
    field : T1w world coordinate of every MNI voxel
    processing : models and their options
    gm, wm : probabilities on the T1w grid, none without a T1w

    Returns
    -------
    tables
        Columns by atlas.
    record
    srtm_r1, srtm_bpnd, srtm_dvr, srtm2_r1, srtm2_bpnd, srtm2_dvr
        Delivery, binding potential and distribution volume ratio by SRTM and SRTM2.
    """
    space = template_space(tissues_at(field.data, gm, wm), field.data)
    fitted = modelled(tacs, np.load(frames, mmap_mode="r"), space, processing)
    return fitted.tables, fitted.part, *map(fitted.images.get, _IMAGES)
