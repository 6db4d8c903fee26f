"""``--dicom-metadata``: what a person knows and the headers do not say.

A JSON object whose keys select series and whose values are objects of sidecar keys::

    {"*":        {"AcquisitionMode": "list mode"},
     "sub-01":   {"InjectionTime": "10:04:30", "Tracer": "FBB"},
     "1.2.840.113619...": {"InjectedRadioactivity": 301.7, "InjectedRadioactivityUnits": "MBq"}}

A series takes the values of ``*``, then of its participant, then of its SeriesInstanceUID; an image
of a BIDS dataset has its name without extension instead.  An object of sidecar keys without
selectors counts for all.  ``InjectionTime`` is ``hh:mm:ss`` or ``YYYY-MM-DDThh:mm:ss``;
``TimeZero`` with ``InjectionStart`` (0 when absent) says the same.  ``ScanStart``,
``FrameTimesStart`` and ``FrameDuration`` (s, the first two after ``TimeZero``) take the place of
clocks that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bidsapp.bids.pet_metadata import is_number
from bidsapp.dicom.header import MIDNIGHT
from bidsapp.dicom.tables import tables
from bidsapp.dicom.timing import StatedTimes
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.reading import parse_json, read_text

_DAY_S = 86400
_TIMES = ("ScanStart", "FrameTimesStart", "FrameDuration")
_OWN_KEYS = ("InjectionTime", "TimeZero", "InjectionStart", "Tracer", *_TIMES)
_ROUNDING_S = 1.0


@dataclass(frozen=True)
class Stated:
    """What is stated for one series."""

    injection: datetime | None = None  # year 1900: only the time of day
    times: StatedTimes | None = None
    tracer: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """The whole file: selector -> values."""

    selectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, participant: str, series_uid: str) -> Stated:
        """Return what is stated for a series."""
        merged = self.merged("*", f"sub-{participant}", series_uid)
        injection, tracer = _injection(merged), merged.pop("Tracer", None)
        times = _times(merged)
        rest = {k: v for k, v in merged.items() if k not in _OWN_KEYS}
        return Stated(injection, times, tracer, rest)

    def merged(self, *selectors: str) -> dict[str, Any]:
        """Return the values of several selectors, of which the later win."""
        merged: dict[str, Any] = {}
        for selector in selectors:
            values = self.selectors.get(selector, {})
            if "TimeZero" in values or "InjectionTime" in values:  # one clock replaces the other
                for key in ("InjectionTime", "TimeZero", "InjectionStart"):
                    merged.pop(key, None)
            merged.update(values)
        return merged


def _injection(values: Mapping[str, Any]) -> datetime | None:
    """Moment of the injection by InjectionTime, or TimeZero with InjectionStart."""
    if "InjectionTime" in values:
        return parse_injection(values["InjectionTime"])
    if "TimeZero" not in values:
        return None
    moment = parse_injection(values["TimeZero"])
    moment += timedelta(seconds=values.get("InjectionStart", 0))
    return moment.replace(year=MIDNIGHT.year) if "T" not in values["TimeZero"] else moment


def _times(values: Mapping[str, Any]) -> StatedTimes | None:
    """Times of the scan, which count from TimeZero, in s after the injection."""
    if not any(key in values for key in _TIMES):
        return None
    zero = values.get("InjectionStart", 0)
    start, starts, lengths = (values.get(key) for key in _TIMES)
    return StatedTimes(
        scan_start_s=None if start is None else start - zero,
        frame_start_s=None if starts is None else tuple(s - zero for s in _listed(starts)),
        durations_s=None if lengths is None else tuple(float(s) for s in _listed(lengths)),
    )


def _listed(value: Any) -> list[Any]:
    """One value per frame; a single number is that of a single frame."""
    return value if isinstance(value, list) else [value]


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
                    f"{', '.join(sorted(allowed))}"
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
    for key in ("InjectionStart", *_TIMES):
        value = values.get(key, 0)
        numbers = _listed(value) if key in _TIMES[1:] else [value]
        if not numbers or not all(is_number(s) and abs(s) < _DAY_S for s in numbers):
            what = "no number of seconds" if key not in _TIMES[1:] else "no list of seconds"
            raise BadDataError(f"{path}: {key} of {selector} is {what}")
    if "InjectionStart" in values and not {"TimeZero", "ScanStart", "FrameTimesStart"} & set(
        values
    ):
        raise BadDataError(f"{path}: {selector} states InjectionStart without its TimeZero; add it")
    if "ScanStart" in values and "FrameTimesStart" in values:
        first = _listed(values["FrameTimesStart"])[0]
        if abs(first - values["ScanStart"]) > _ROUNDING_S:
            raise BadDataError(
                f"{path}: FrameTimesStart of {selector} begins at {first:g} s and ScanStart is "
                f"{values['ScanStart']:g} s, though both count from TimeZero; correct one of both"
            )
