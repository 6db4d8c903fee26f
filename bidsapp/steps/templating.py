"""The within-subject template of several T1w, and what to report of its visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from bidsapp.io.nifti import load_volume
from bidsapp.record import RecordPart
from bidsapp.record.model import Longitudinal, TemplateVisit
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.headers import header_findings

# Flags of a visit that the template keeps; how it was normalised is judged of the template instead.
_OF_IMAGE = ("t1w-missing", "t1w-negative", "t1w-orientation")
_EVERY = 40  # voxel of the template brain is a landmark: 5,000 of them


def segmented_visit(t1w: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Segment one of several T1w; one that fails is reported and left out of the template.

    Parameters
    ----------
    t1w : raw T1w, NIfTI

    Returns
    -------
    dict of ndarray
        ``data``, ``affine``, ``brain``, ``landmarks`` for `template_of`; empty without a head.
    dict
        Volumes in ml and flags about the image, or the ``reason`` why it cannot be used.
    """
    try:
        image = load_volume(t1w, ndim=3)
        checked = segment_head(image)
    except CentipetError as error:
        return {}, {"reason": str(error).replace(f"{t1w}: ", "")}
    head = checked.segmentation
    about_image = [flag for flag in checked.findings if flag.code in _OF_IMAGE]
    visit = {
        "data": head.corrected,
        "affine": image.affine,
        "brain": head.brain_mask,
        "landmarks": head.field[template_mask(2).data][::_EVERY].astype(np.float64),
    }
    size = image.grid.voxel_size
    return visit, {
        "tissue_ml": head.quality["gm_ml"] + head.quality["wm_ml"],
        "ventricles_ml": ventricles_ml(head.probabilities[2], head.brain_mask, size),
        "flags": list(map(asdict, (*about_image, *header_findings(t1w, "T1w")))),
    }


def template_of(
    visits: Sequence[Mapping[str, NDArray[Any]]],
    reports: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
) -> tuple[Volume, list[list[list[float]]], RecordPart]:
    """Template of the visits that can be used (`bidsapp.core.anatomy.within_subject`).

    Parameters
    ----------
    visits, reports : as `segmented_visit` gives them
    sources : BIDS URIs of the T1ws

    Returns
    -------
    Volume
    list
        4 x 4 as nested lists, world of the template -> of each visit; [] if left out.
    RecordPart

    Raises
    ------
    BadDataError
        Fewer than two T1ws can be used.
    """
    described = [dict(report) for report in reports]
    usable = [k for k, report in enumerate(described) if "reason" not in report]
    if len(usable) < 2:
        pairs = zip(sources, described, strict=True)
        lost = [f"{Path(s).name} {r['reason']}" for s, r in pairs if "reason" in r]
        raise refused("plan", "no-template", lost="; ".join(lost))
    made = within_subject_template(
        [
            Visit(Volume(visit["data"], visit["affine"]), visit["brain"], visit["landmarks"])
            for visit in (visits[k] for k in usable)
        ]
    )
    to_visits: list[list[list[float]]] = [[] for _ in described]
    for k, matrix, agreement in zip(usable, made.to_visits, made.agreement, strict=True):
        to_visits[k] = matrix.tolist()
        described[k]["agreement"] = agreement
    names = [Path(source).name for source in sources]
    about_images = [
        Flag(flag["code"], f"{name}: {flag['message']}")
        for name, report in zip(names, described, strict=True)
        for flag in report.pop("flags", ())
    ]
    findings = template_findings(dict(zip(names, described, strict=True)))
    record = RecordPart(
        longitudinal=Longitudinal(
            True, None, tuple(sources), tuple(TemplateVisit(**report) for report in described)
        ),
        qc=template_quality(described),
        flags=(*findings, *about_images),
    )
    return made.image, to_visits, record


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
