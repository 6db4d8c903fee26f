"""The within-subject template of several T1w, and what to tell of its visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bidsapp.core.anatomy.within_subject import Visit, template_quality, within_subject_template
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import Flag, flagged, is_beyond
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.record import RecordPart
from bidsapp.record.model import Longitudinal, TemplateVisit


def template_of(
    visits: Sequence[Mapping[str, NDArray[Any]]],
    reports: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
) -> tuple[Volume, list[list[list[float]]], RecordPart]:
    """Template of the visits that can be used (`bidsapp.core.anatomy.within_subject`).

    Parameters
    ----------
    visits : ``data``, ``affine``, ``brain``, ``landmarks`` of each T1w; empty where there is none
    reports : volumes in ml and flags about each image, or the ``reason`` why it cannot be used
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
