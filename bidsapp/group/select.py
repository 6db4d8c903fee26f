"""Which scans of a derivative dataset the filters leave, by the rules of the participant level."""

from __future__ import annotations

from typing import Any

from bidsapp.bids.entities import ENTITY_ORDER, LONG_NAMES
from bidsapp.data.tau import known_tracer
from bidsapp.record import ScanRecord
from bidsapp.settings import Filters

# Names of the filter file (pybids) -> short keys; those that a PET cannot have leave none. Suffix,
# data type and extension choose raw files, not scans.
_SHORT_KEYS = {name: key for key, name in LONG_NAMES.items() if key in ENTITY_ORDER}


def is_wanted(record: ScanRecord, filters: Filters) -> bool:
    """Whether a scan is among those that labels and filter file ask for."""
    labels = {
        "sub": filters.participant,
        "ses": filters.session,
        "rec": filters.rec,
        "run": filters.run,
    }
    asked = [(key, list(wanted)) for key, wanted in labels.items() if wanted]
    asked += [
        (_SHORT_KEYS[name], wanted)
        for name, wanted in filters.bids_filters.get("pet", {}).items()
        if name in _SHORT_KEYS
    ]
    return all(_matches(key, record.entities.get(key), wanted) for key, wanted in asked) and (
        not filters.tracer or _has_tracer(record, filters.tracer)
    )


def _matches(key: str, label: str | None, wanted: Any) -> bool:
    """Compare a label with a label, a list of them, null (absent) or ``*`` (present).

    A run is a number (``run-01`` is run 1), every other label is a text.
    """
    if wanted == "Query.OPTIONAL":
        return True
    if wanted is None or wanted == "Query.NONE":
        return label is None
    if wanted in ("*", "Query.REQUIRED", "Query.ANY"):
        return label is not None
    if label is None:
        return False
    several = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    if key == "run":
        return label.lstrip("0") in [value.lstrip("0") for value in several]
    return label in several


def _has_tracer(record: ScanRecord, wanted: tuple[str, ...]) -> bool:
    names = {record.tracer, record.entities.get("trc"), record.tracer_name} - {None}
    if not names:
        return True  # its sidecar cannot be read: the row tells so
    codes = {tracer.code for name in wanted if (tracer := known_tracer(name))}
    return bool(names & ({*wanted} | codes))
