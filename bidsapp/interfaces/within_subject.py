"""Nodes of the within-subject template: each visit, the template, its transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import named, save_rigid
from bidsapp.interfaces.transfer import Arrays
from bidsapp.io.nifti import save_volume
from bidsapp.record import RecordPart
from bidsapp.steps.templating import segmented_visit, template_of


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
    return segmented_visit(t1w)


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
