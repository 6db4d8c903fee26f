"""Nodes that fit reference-tissue models to a dynamic PET, and write what they found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.core.grid.resample import sample
from bidsapp.data.kinetics import kinpar_columns
from bidsapp.interfaces.carried import Arrays, Image, Tables
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import written_tables
from bidsapp.record import RecordPart
from bidsapp.record.codec import plain
from bidsapp.settings import Processing
from bidsapp.steps.measuring import template_scene
from bidsapp.steps.modelling import modelled

_OWN = ("done", "reason", "tables")  # what the record alone says of the fit
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
    maps = {key: image for key, image in (("GM", gm), ("WM", wm)) if image is not None}
    tissues = {key: sample(image, field.data) for key, image in maps.items()}
    scene = template_scene(tissues, field.data)
    found = modelled(tacs, np.load(frames, mmap_mode="r"), scene, processing)
    return found.tables, found.part, *map(found.images.get, _IMAGES)


@interface("written", "record", always_run=True)
def SaveKinetics(
    output_dir: str,
    entities: dict[str, str],
    tables: Tables,
    record: RecordPart,
    sidecar: dict[str, Any],
) -> tuple[list[str], RecordPart]:
    """Write the kinetic parameters, one table per atlas; none when nothing was fitted.

    Parameters
    ----------
    output_dir, entities : where it belongs, see `SaveImages`
    tables, record : as `FitKinetics` gives them
    sidecar : JSON content besides columns and models

    Returns
    -------
    written
        Names of the files.
    record
        The record with the paths of the tables.
    """
    told = record.kinetics
    assert told is not None
    fit = {name: one for name, one in plain(told).items() if name not in _OWN}
    written, paths = written_tables(
        output_dir, "kinpar", entities, tables, kinpar_columns(), sidecar | {"Kinetics": fit}
    )
    return written, replace(record, kinetics=replace(told, tables=paths))
