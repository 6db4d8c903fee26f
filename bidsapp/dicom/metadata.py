"""``--dicom-metadata``: what a person knows and the headers do not say.

A JSON object whose keys select series and whose values are objects of sidecar keys::

    {"*":        {"AcquisitionMode": "list mode"},
     "sub-01":   {"InjectionTime": "10:04:30", "Tracer": "FBB"},
     "1.2.840.113619...": {"InjectedRadioactivity": 301.7, "InjectedRadioactivityUnits": "MBq"}}

A series takes the values of ``*``, then of its participant, then of its SeriesInstanceUID.  An
object of sidecar keys without selectors counts for all series.  ``InjectionTime`` is ``hh:mm:ss``
or ``YYYY-MM-DDThh:mm:ss``; ``TimeZero`` with ``InjectionStart`` (0 when absent) says the same.
All other times follow from it and from the headers, so they cannot be stated one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bidsapp.dicom.header import MIDNIGHT
from bidsapp.dicom.tables import tables
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.reading import parse_json, read_text

_DAY_S = 86400
_OWN_KEYS = ("InjectionTime", "TimeZero", "InjectionStart", "Tracer")


@dataclass(frozen=True)
class Stated:
    """What is stated for one series."""

    injection: datetime | None = None  # year 1900: only the time of day
    tracer: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """The whole file: selector -> values."""

    selectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, participant: str, series_uid: str) -> Stated:
        """Return what is stated for a series."""
        merged: dict[str, Any] = {}
        for selector in ("*", f"sub-{participant}", series_uid):
            merged.update(_with_injection_time(self.selectors.get(selector, {})))
        injection, tracer = merged.pop("InjectionTime", None), merged.pop("Tracer", None)
        return Stated(None if injection is None else parse_injection(injection), tracer, merged)


def _with_injection_time(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace TimeZero and InjectionStart by the InjectionTime they mean."""
    rest = {k: v for k, v in values.items() if k not in ("TimeZero", "InjectionStart")}
    if "TimeZero" in values and "InjectionTime" not in values:
        moment = parse_injection(values["TimeZero"])
        moment += timedelta(seconds=values.get("InjectionStart", 0))
        rest["InjectionTime"] = f"{moment:%H:%M:%S.%f}"
    return rest


def parse_injection(text: str) -> datetime:
    """Moment of an ``InjectionTime``; the year is 1900 when only the time of day is given."""
    if ":" not in text:
        raise ValueError("minutes are missing")
    moment = datetime.fromisoformat(text if "T" in text else f"{MIDNIGHT:%Y-%m-%d}T{text}")
    if moment.tzinfo is not None:
        raise ValueError("time zones are not used")
    return moment


def read_metadata(path: Path) -> Metadata:
    """Read and check the file.

    Raises
    ------
    NoInputError
        It is missing or no JSON.
    BadDataError
        A selector holds no object, a key is unknown, or InjectionTime is no time.
    """
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise NoInputError(f"{path}: cannot be read as JSON ({error}); correct it") from error
    allowed = {*tables()["metadata"]["keys"], *_OWN_KEYS}
    if isinstance(content, dict) and content.keys() <= allowed:
        content = {"*": content}
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise BadDataError(
            f'{path}: expected objects by selector, as {{"sub-01": {{...}}}}, or sidecar keys '
            f"among {', '.join(sorted(allowed))}"
        )
    for selector, values in content.items():
        for key, value in values.items():
            if key not in allowed:
                raise BadDataError(
                    f"{path}: {selector} states {key}, which is not among "
                    f"{', '.join(sorted(allowed))}; times follow from InjectionTime"
                )
            if key in ("InjectionTime", "TimeZero", "Tracer") and not isinstance(value, str):
                raise BadDataError(f"{path}: {selector} states a {key} that is no text")
        _check_time(path, selector, values)
    return Metadata(content)


def _check_time(path: Path, selector: str, values: Mapping[str, Any]) -> None:
    """Refuse an injection that cannot be understood."""
    for key in ("InjectionTime", "TimeZero"):
        try:
            if key in values:
                parse_injection(values[key])
        except ValueError as error:
            raise BadDataError(
                f"{path}: {key} of {selector} is '{values[key]}', expected hh:mm:ss or "
                "YYYY-MM-DDThh:mm:ss in local time"
            ) from error
    start = values.get("InjectionStart", 0)
    if isinstance(start, bool) or not isinstance(start, int | float) or not abs(start) < _DAY_S:
        raise BadDataError(f"{path}: InjectionStart of {selector} is no number of seconds")
    if "InjectionStart" in values and "TimeZero" not in values:
        raise BadDataError(f"{path}: {selector} states InjectionStart without its TimeZero; add it")
