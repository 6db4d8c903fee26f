"""Tracers by the definitions that are stored in records."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, fields

from bidsapp.data.tracers import Tracer, all_tracers, own_tracers, using_tracers
from bidsapp.record.model import ScanRecord, TracerDefinition


def definition_of(code: str | None) -> TracerDefinition | None:
    """What a record keeps of a tracer that the user describes; None for one of the package.

    Parameters
    ----------
    code : of the tracer

    Returns
    -------
    TracerDefinition or None
    """
    tracer = next((tracer for tracer in own_tracers() if tracer.code == code), None)
    if tracer is None:
        return None
    return TracerDefinition(
        **{part.name: getattr(tracer, part.name) for part in fields(TracerDefinition)}
    )


def using_tracers_of(records: Iterable[ScanRecord]) -> AbstractContextManager[None]:
    """Context in which tracers defined by records are added to the built-in ones.

    Reading results needs no ``--tracer-file``. Where records define a code differently
    (`bidsapp.group.tables.cohort_flags` reports it), the first counts.

    Parameters
    ----------
    records : that are read

    Returns
    -------
    context manager
    """
    tracers: dict[str, Tracer] = {}
    for record in records:
        if record.tracer and (definition := record.tracer_definition):
            tracers.setdefault(record.tracer, Tracer(code=record.tracer, **asdict(definition)))
    return using_tracers(tracers.values())


def tracer_title(record: ScanRecord) -> str | None:
    """Name of the tracer for people: from its definition, else from the raw data.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    str or None
    """
    known = record.tracer_definition or all_tracers().get(record.tracer or "")
    return known.name if known else record.tracer_name or record.tracer
