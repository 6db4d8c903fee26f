"""Selection of the scans of a derivative dataset, by the rules of the participant level."""

from __future__ import annotations

from typing import Any

from bidsapp.bids.entities import ENTITY_ORDER, LONG_NAMES, has_label, has_labels
from bidsapp.data.tracers import known_tracer
from bidsapp.record import ScanRecord
from bidsapp.settings import Filters

# Names of the filter file (pybids) -> short keys; those that a PET cannot have leave none. Suffix,
# data type and extension choose raw files, not scans.
_SHORT_KEYS = {name: key for key, name in LONG_NAMES.items() if key in ENTITY_ORDER}


def is_wanted(record: ScanRecord, filters: Filters) -> bool:
    """Whether a scan is selected by labels and filter file.

    Parameters
    ----------
    record : of a scan
    filters : options of the group level

    Returns
    -------
    bool
    """
    of_file = {
        _SHORT_KEYS[name]: wanted
        for name, wanted in filters.bids_filters.get("pet", {}).items()
        if name in _SHORT_KEYS
    }
    return (
        has_labels(record.entities, filters)
        and all(_matches(key, record.entities.get(key), want) for key, want in of_file.items())
        and (not filters.tracer or _has_tracer(record, filters.tracer))
    )


def _matches(key: str, label: str | None, wanted: Any) -> bool:
    """Compare a label with a label, a list of them, null (absent) or ``*`` (present)."""
    if wanted == "Query.OPTIONAL":
        return True
    if wanted is None or wanted == "Query.NONE":
        return label is None
    if wanted in ("*", "Query.REQUIRED", "Query.ANY"):
        return label is not None
    several = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    return has_label(key, label, several)


def _has_tracer(record: ScanRecord, wanted: tuple[str, ...]) -> bool:
    names = {record.tracer, record.entities.get("trc"), record.tracer_name} - {None}
    if not names:
        return True  # its sidecar cannot be read: the row says so
    codes = {tracer.code for name in wanted if (tracer := known_tracer(name))}
    return bool(names & ({*wanted} | codes))
