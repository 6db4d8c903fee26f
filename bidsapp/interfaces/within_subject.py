"""Nodes of the within-subject template: each visit, the template, its transforms."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.core.anatomy.within_subject import (
    ventricles_ml,
)
from bidsapp.data import template_mask
from bidsapp.errors import CentipetError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import named, save_rigid
from bidsapp.interfaces.transfer import Arrays
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.record import RecordPart
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.headers import header_findings
from bidsapp.steps.templating import template_of

# Flags of a visit that the template keeps; how it was normalised is judged of the template instead.
_OF_IMAGE = ("t1w-missing", "t1w-negative", "t1w-orientation")
_EVERY = 40  # voxel of the template brain is a landmark: 5,000 of them


@interface("visit", "report")
def SegmentVisit(t1w: Path) -> tuple[Arrays, dict[str, Any]]:
    """Segment one of several T1w; one that fails is reported and left out of the template.

    Parameters
    ----------
    t1w : raw T1w, NIfTI

    Returns
    -------
    visit
        What the template needs of it; empty when there is no head.
    report
        Volumes in ml and flags about the image, or the reason why it cannot be used.
    """
    try:
        image = load_volume(t1w, ndim=3)
        checked = segment_head(image)
    except CentipetError as error:
        return {}, {"reason": str(error).replace(f"{t1w}: ", "")}
    segmentation = checked.segmentation
    about_image = [flag for flag in checked.findings if flag.code in _OF_IMAGE]
    visit = {
        "data": segmentation.corrected,
        "affine": image.affine,
        "brain": segmentation.brain_mask,
        "landmarks": segmentation.field[template_mask(2).data][::_EVERY].astype(np.float64),
    }
    size = image.grid.voxel_size
    return visit, {
        "tissue_ml": segmentation.quality["gm_ml"] + segmentation.quality["wm_ml"],
        "ventricles_ml": ventricles_ml(
            segmentation.probabilities[2], segmentation.brain_mask, size
        ),
        "flags": list(map(asdict, (*about_image, *header_findings(t1w, "T1w")))),
    }


@interface("t1w", "to_visits", "record")
def MakeTemplate(
    visits: list[Arrays], reports: list[dict[str, Any]], sources: list[str]
) -> tuple[Path, list[Any], RecordPart]:
    """Within-subject template of several T1w (`bidsapp.core.anatomy.within_subject`).

    Parameters
    ----------
    visits, reports : as `SegmentVisit` gives them
    sources : BIDS URIs of the T1ws

    Returns
    -------
    t1w
        Within-subject template, NIfTI.
    to_visits
        4 x 4 as nested lists, world of the template -> of each visit; [] if left out.
    record

    Raises
    ------
    BadDataError
        Fewer than two T1ws can be used.
    """
    made, to_visits, record = template_of(visits, reports, sources)
    return save_volume(Path.cwd() / "template.nii.gz", made), to_visits, record


@interface("written", always_run=True)
def SaveVisits(
    places: list[OutputPlace], sidecars: list[dict[str, Any]], to_visits: list[Any]
) -> list[str]:
    """Write the rigid transform from each T1w to the template, and back, as ITK text.

    Parameters
    ----------
    places, sidecars : of each raw T1w; JSON content by key, besides the matrix
    to_visits : as `MakeTemplate` gives them

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    files: list[Path] = []
    for place, sidecar, matrix in zip(places, sidecars, to_visits, strict=True):
        if not matrix:
            continue
        # Moving a T1w to the template takes points of the template to points of the T1w.
        moving = {"visit_xfm": np.array(matrix), "visit_xfm_inverse": np.linalg.inv(matrix)}
        content = {key: row | {"TemplateToT1w": matrix} for key, row in sidecar.items()}
        files += save_rigid(place, moving, content)
    return named(places[0], *files)
