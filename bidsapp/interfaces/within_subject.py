"""Nodes of the within-subject template: each visit, the template, its transforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.core.anatomy.within_subject import (
    Visit,
    template_quality,
    ventricles_ml,
    within_subject_template,
)
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import Flag, flagged, is_beyond
from bidsapp.data import read_table, template_mask
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.errors import CentipetError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import named, save_rigid
from bidsapp.interfaces.transfer import Arrays
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.record import RecordPart
from bidsapp.record.model import Longitudinal, TemplateVisit
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.headers import header_findings

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
    usable = [k for k, report in enumerate(reports) if "reason" not in report]
    if len(usable) < 2:
        pairs = zip(sources, reports, strict=True)
        lost = [f"{Path(s).name} {r['reason']}" for s, r in pairs if "reason" in r]
        raise refused("plan", "no-template", lost="; ".join(lost))
    made = within_subject_template(
        [
            Visit(Volume(visit["data"], visit["affine"]), visit["brain"], visit["landmarks"])
            for visit in (visits[k] for k in usable)
        ]
    )
    to_visits: list[list[list[float]]] = [[] for _ in reports]
    for k, matrix, agreement in zip(usable, made.to_visits, made.agreement, strict=True):
        to_visits[k] = matrix.tolist()
        reports[k]["agreement"] = agreement
    names = [Path(source).name for source in sources]
    about_images = [
        Flag(flag["code"], f"{name}: {flag['message']}")
        for name, report in zip(names, reports, strict=True)
        for flag in report.pop("flags", ())
    ]
    findings = template_findings(dict(zip(names, reports, strict=True)))
    record = RecordPart(
        longitudinal=Longitudinal(
            True, None, tuple(sources), tuple(TemplateVisit(**report) for report in reports)
        ),
        qc=template_quality(reports),
        flags=(*findings, *about_images),
    )
    return save_volume(Path.cwd() / "template.nii.gz", made.image), to_visits, record


def template_findings(visits: Mapping[str, Mapping[str, Any]]) -> tuple[Flag, ...]:
    """Visits that do not belong into one template, or could not be used.

    Parameters
    ----------
    visits : by name; as in `template_quality`, and ``reason`` of those that were left out

    Returns
    -------
    tuple of Flag
    """
    limits, quality = read_table("limits"), template_quality(list(visits.values()))
    flags = [
        worded_flag("visit-left-out", "template", name=name, reason=visit["reason"])
        for name, visit in visits.items()
        if "reason" in visit
    ]
    least = limits["visits_agreement"]["least"]
    odd = ", ".join(n for n, visit in visits.items() if visit.get("agreement", 1.0) < least)
    flags.extend(flagged(quality, limits, odd=odd))
    sizes = ("visits_tissue_percent", "visits_ventricles_ml")
    if any(is_beyond(quality[name], limits[name]) for name in sizes):
        flags.append(worded_flag("visits-change", **quality))
    return tuple(flags)


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
