"""Flags of visits of a participant that were processed with different within-subject templates."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.grouping import grouped
from bidsapp.record import ScanRecord


def template_flags(records: Iterable[ScanRecord]) -> dict[str, Flag]:
    """Flag the scans of participants whose visits have several templates, by path of the record.

    Parameters
    ----------
    records : scans with a result

    Returns
    -------
    dict
    """
    flags: dict[str, Flag] = {}
    people = grouped((record.entities["sub"], record) for record in records)
    for scans in people.values():
        if len({_template(record) for record in scans}) > 1:
            flags |= {record.path: worded_flag("mixed-pipelines", "templates") for record in scans}
    return flags


def _template(record: ScanRecord) -> tuple[tuple[str, str], ...]:
    """Names and hashes of the T1ws of a template; nothing for a scan placed by one T1w."""
    sources = record.longitudinal.t1w_sources if record.longitudinal else ()
    hashes = record.provenance.inputs
    names = sorted(Path(str(source)).name for source in sources)
    return tuple((name, str(hashes.get(name))) for name in names)
