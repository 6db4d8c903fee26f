"""``--dicom-metadata``: values stated by the user that are not in the headers.

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

from collections.abc import Container, Mapping
from dataclasses import asdict, astuple, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bidsapp.bids.limits import LATE_INJECTION_S, YEARS
from bidsapp.bids.values import DAY_S, UNDATED, as_list, clock_seconds, is_number, since_midnight
from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.reading import parse_json, read_text
from bidsapp.plain import some

STATED_KEYS = tuple(read_table("sidecar_keys")["stated"])
"""Keys that may be stated besides the tracer and the times."""

_TIMES = ("ScanStart", "FrameTimesStart", "FrameDuration")
_OWN_KEYS = ("InjectionTime", "TimeZero", "InjectionStart", "Tracer", *_TIMES)
_ROUNDING_S = 1.0


@dataclass(frozen=True)
class StatedTimes:
    """Times stated by the user, in s after injection; None if left to the headers.

    Attributes
    ----------
    scan_start_s : start of the first frame
    frame_start_s, durations_s : one value per frame
    """

    scan_start_s: float | None = None
    frame_start_s: tuple[float, ...] | None = None
    durations_s: tuple[float, ...] | None = None

    @property
    def keys(self) -> list[str]:
        """Keys of the values that are stated."""
        return [key for key, value in zip(_TIMES, astuple(self), strict=True) if value is not None]


NOTHING_STATED = StatedTimes()


@dataclass(frozen=True)
class Stated:
    """What is stated for one series."""

    injection: datetime | None = None  # year 1900: only the time of day
    times: StatedTimes = NOTHING_STATED
    tracer: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """The whole file: selector -> values."""

    selectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, participant: str, series_uid: str) -> Stated:
        """Return the statements for a series.

        Parameters
        ----------
        participant : label without ``sub-``
        series_uid : SeriesInstanceUID

        Returns
        -------
        Stated
        """
        merged = self.merged("*", f"sub-{participant}", series_uid)
        injection, tracer = _injection(merged), merged.pop("Tracer", None)
        times = _times(merged)
        values = {k: v for k, v in merged.items() if k not in _OWN_KEYS}
        return Stated(injection, times, tracer, values)

    def unused(self, names: Container[str]) -> list[str]:
        """Sentence about selectors that nothing has; none without any.

        Parameters
        ----------
        names : of participants, series and images that there are

        Returns
        -------
        list of str
        """
        lost = [name for name in self.selectors if name != "*" and name not in names]
        if not lost:
            return []
        return [worded("stated", "unused", names=some(lost))]

    def merged(self, *selectors: str) -> dict[str, Any]:
        """Return the values of several selectors, of which the later win.

        Parameters
        ----------
        *selectors : names of the file, the weakest first

        Returns
        -------
        dict
        """
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
    return moment.replace(year=UNDATED.year) if "T" not in values["TimeZero"] else moment


def _times(values: Mapping[str, Any]) -> StatedTimes:
    """Times of the scan, which count from TimeZero, in s after the injection."""
    zero = values.get("InjectionStart", 0)
    start, starts, lengths = (values.get(key) for key in _TIMES)
    return StatedTimes(
        scan_start_s=None if start is None else start - zero,
        frame_start_s=None if starts is None else tuple(s - zero for s in as_list(starts)),
        durations_s=None if lengths is None else tuple(float(s) for s in as_list(lengths)),
    )


def in_sidecar(sidecar: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an image with the user's statements in place, and a flag about them.

    Parameters
    ----------
    sidecar : merged metadata of the image
    stated : values for it (`Metadata.merged`)

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        The stated time of injection cannot be put on the clock of the sidecar.
    """
    if not stated:
        return dict(sidecar)
    flag = worded_flag("stated", "dicom-metadata", keys=", ".join(sorted(stated)))
    return with_flag(with_values(sidecar, stated), flag)


def with_flag(sidecar: Mapping[str, Any], flag: Flag) -> dict[str, Any]:
    """Metadata of an image with something that a person shall see, as a conversion writes it.

    Parameters
    ----------
    sidecar : metadata of an image
    flag : added to those that are there

    Returns
    -------
    dict
    """
    own = own_notes(sidecar)
    flags = own.get("Flags")
    content = {**own, "Flags": [*(flags if isinstance(flags, list) else []), asdict(flag)]}
    return {**sidecar, "CentiPET": content}


def own_notes(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """CentiPET's notes in the metadata of an image, under its own key.

    Parameters
    ----------
    sidecar : metadata of an image

    Returns
    -------
    dict
        Empty when there is none.
    """
    own = sidecar.get("CentiPET")
    return own if isinstance(own, dict) else {}


def flags_of(sidecar: Mapping[str, Any]) -> tuple[Flag, ...]:
    """What `with_flag` or a conversion noted in the metadata of an image.

    Parameters
    ----------
    sidecar : metadata of the image

    Returns
    -------
    tuple of Flag
    """
    flags = own_notes(sidecar).get("Flags")
    return tuple(
        Flag(str(flag["code"]), str(flag["message"]))
        for flag in (flags if isinstance(flags, list) else [])
        if isinstance(flag, dict) and {"code", "message"} <= flag.keys()
    )


def with_values(sidecar: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an image with stated values in their place, times on one clock.

    Parameters
    ----------
    sidecar : merged metadata of the image
    stated : keys of `STATED_KEYS`, ``Tracer``, times of injection, scan and frames

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        The stated time of injection cannot be put on the clock of the sidecar.
    """
    changed = {key: value for key, value in stated.items() if key in (*STATED_KEYS, *_TIMES)}
    if "Tracer" in stated:
        changed["TracerName"] = stated["Tracer"]
    if "FrameDuration" in stated or "FrameTimesStart" in stated:
        changed["FrameDurationUnits"] = "s"
    if {"ScanStart", "FrameTimesStart"} & stated.keys():
        changed |= _stated_clock(sidecar, stated)
    elif {"InjectionTime", "TimeZero"} & stated.keys():
        changed |= _stated_injection(sidecar, stated)
    return {**sidecar, **changed}


def _stated_clock(sidecar: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Times of a sidecar whose scan or frames are stated, from the stated TimeZero on.

    The decay correction keeps its distance from the start of the scan.
    """
    zero = stated.get("TimeZero", stated.get("InjectionTime"))
    before = as_list(sidecar.get("FrameTimesStart", sidecar.get("ScanStart")))
    numbers = bool(before) and all(map(is_number, before))
    start = stated.get("ScanStart", as_list(stated.get("FrameTimesStart"))[0])
    changed = {"ScanStart": start, "InjectionStart": stated.get("InjectionStart", 0)}
    if zero is not None:
        changed["TimeZero"] = f"{parse_injection(zero):%H:%M:%S}"
    elif (clock := _injection_clock(sidecar)) is not None and changed["InjectionStart"] == 0:
        changed["TimeZero"] = f"{UNDATED + timedelta(seconds=clock):%H:%M:%S}"
    else:
        changed["TimeZero"] = None
    if "FrameTimesStart" not in stated and numbers:
        changed["FrameTimesStart"] = [start + moment - before[0] for moment in before]
    decay = sidecar.get("ImageDecayCorrectionTime")
    if numbers and is_number(decay):
        changed["ImageDecayCorrectionTime"] = decay + start - before[0]
    return changed


def _injection_clock(sidecar: Mapping[str, Any]) -> float | None:
    """Time of day of the injection by a sidecar, s after midnight."""
    zero, start = clock_seconds(sidecar.get("TimeZero")), sidecar.get("InjectionStart")
    return (zero + start) % DAY_S if zero is not None and is_number(start) else None


def _stated_injection(sidecar: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """InjectionStart of a sidecar whose scan is on a clock, by a stated time of day."""
    moment = _injection(stated)
    assert moment is not None
    starts = as_list(sidecar.get("ScanStart", sidecar.get("FrameTimesStart")))
    start = starts[0] if starts and is_number(starts[0]) else 0.0
    clock, changed = clock_seconds(sidecar.get("TimeZero")), {}
    if clock is None and (acquired := clock_seconds(sidecar.get("AcquisitionTime"))) is not None:
        clock = (acquired - start) % DAY_S
        changed["TimeZero"] = f"{UNDATED + timedelta(seconds=clock):%H:%M:%S}"
    if clock is None:
        raise refused("stated", "no-clock")
    seconds = since_midnight(moment).total_seconds()
    after = seconds - clock
    latest = start + LATE_INJECTION_S  # the latest time of day before the scan
    after = latest - (latest - after) % DAY_S
    return {**changed, "InjectionStart": after}


def parse_injection(text: str) -> datetime:
    """Moment of an ``InjectionTime``; the year is 1900 when only the time of day is given.

    Parameters
    ----------
    text : ``hh:mm:ss`` or ``YYYY-MM-DDThh:mm:ss``

    Returns
    -------
    datetime
    """
    if ":" not in text:
        raise ValueError("minutes are missing")
    moment = datetime.fromisoformat(text if "T" in text else f"{UNDATED:%Y-%m-%d}T{text}")
    if moment.tzinfo is not None:
        raise ValueError("time zones are not used")
    return moment


def read_metadata(path: Path) -> Metadata:
    """Read and check the file.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    Metadata

    Raises
    ------
    NoInputError
        It is missing or no JSON.
    BadDataError
        A selector does not hold an object, a key is unknown, or a time or dose is none.
    """
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise NoInputError(f"{path}: cannot be read as JSON ({error}); correct it") from error
    allowed = {*STATED_KEYS, *_OWN_KEYS}
    known = ", ".join(sorted(allowed))
    if isinstance(content, dict) and content.keys() <= allowed:
        content = {"*": content}
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise refused("stated", "no-objects", path=path, allowed=known)
    for selector, values in content.items():
        for key, value in values.items():
            if key not in allowed:
                raise refused(
                    "stated", "unknown-key", path=path, selector=selector, key=key, allowed=known
                )
            if key in ("InjectionTime", "TimeZero", "Tracer") and not isinstance(value, str):
                raise BadDataError(f"{path}: {selector} states a {key} that is not text")
        _check_values(path, selector, values)
    return Metadata(content)


def _check_values(path: Path, selector: str, values: Mapping[str, Any]) -> None:
    """Refuse an injection, a dose or frames that cannot be understood."""
    for key in ("InjectionTime", "TimeZero"):
        try:
            if key in values and parse_injection(values[key]).year not in YEARS:
                raise ValueError("a year without PET")
        except ValueError as error:
            raise refused(
                "stated", "time", path=path, key=key, selector=selector, value=values[key]
            ) from error
    for key in ("InjectionStart", *_TIMES):
        value = values.get(key, 0)
        numbers = as_list(value) if key in _TIMES[1:] else [value]
        if not numbers or not all(is_number(s) and abs(s) < DAY_S for s in numbers):
            what = "not a number of seconds" if key not in _TIMES[1:] else "not a list of seconds"
            raise BadDataError(f"{path}: {key} of {selector} is {what}")
    dose = values.get("InjectedRadioactivity", 1)
    if not is_number(dose) or dose <= 0:
        raise BadDataError(f"{path}: InjectedRadioactivity of {selector} is not a number above 0")
    if "InjectionStart" in values and not {"TimeZero", "ScanStart", "FrameTimesStart"} & set(
        values
    ):
        raise BadDataError(f"{path}: {selector} states InjectionStart without its TimeZero; add it")
    if "ScanStart" in values and "FrameTimesStart" in values:
        first = as_list(values["FrameTimesStart"])[0]
        if abs(first - values["ScanStart"]) > _ROUNDING_S:
            raise refused(
                "stated", "two-starts", path=path, selector=selector, first=first, values=values
            )
