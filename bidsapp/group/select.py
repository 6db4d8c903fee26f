"""Which scans of a derivative dataset the filters leave, by the rules of the participant level."""

from __future__ import annotations

from typing import Any

from bidsapp.data.tracers import tracer_from_name
from bidsapp.report.records import ScanRecord
from bidsapp.settings import Filters

# Names of the filter file (pybids) -> short keys. Its other names choose raw files, not scans.
_SHORT_KEYS = {
    "subject": "sub",
    "session": "ses",
    "task": "task",
    "tracer": "trc",
    "reconstruction": "rec",
    "run": "run",
}


def is_wanted(record: ScanRecord, filters: Filters) -> bool:
    """Whether a scan is among those that labels and filter file ask for."""
    entities = record.entities
    labels = (
        ("sub", filters.participant),
        ("ses", filters.session),
        ("rec", filters.rec),
        ("run", filters.run),
    )
    return (
        all(not wanted or _matches(entities.get(key), list(wanted)) for key, wanted in labels)
        and (not filters.tracer or _has_tracer(record, filters.tracer))
        and all(
            _matches(entities.get(_SHORT_KEYS[name]), value)
            for name, value in filters.bids_filters.get("pet", {}).items()
            if name in _SHORT_KEYS
        )
    )


def _matches(label: str | None, wanted: Any) -> bool:
    """Compare a label with a label, a list of them, null (absent) or ``*`` (present)."""
    if wanted is None or wanted == "Query.NONE":
        return label is None
    if wanted in ("*", "Query.REQUIRED", "Query.ANY"):
        return label is not None
    if label is None:
        return False
    several = wanted if isinstance(wanted, list) else [wanted]
    return (
        label.lstrip("0") in {str(one).lstrip("0") for one in several}
        if label.isdigit()
        else (label in map(str, several))
    )


def _has_tracer(record: ScanRecord, wanted: tuple[str, ...]) -> bool:
    names = {record.tracer, record.entities.get("trc")} - {None}
    codes = {tracer.code for name in wanted if (tracer := tracer_from_name(name))}
    return bool(names & ({*wanted} | codes))
