"""PET sidecars: the times, units and names that quantification rests on, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidsapp.errors import BadDataError

_DAY_S = 86400
# Sidecars round to seconds; frames that begin this much before ScanStart contradict nothing.
_ROUNDING_S = 1.0


@dataclass(frozen=True)
class PetTiming:
    """When the frames were measured, and in what.

    Attributes
    ----------
    frame_start_s, frame_duration_s : tuple of float, one per frame
        Seconds; starts count from the injection.
    injection_clock_s : float or None
        Time of day of the injection, seconds after midnight (``TimeZero + InjectionStart``).
    units : str
        As the sidecar names them, for example ``Bq/mL``.
    decay_corrected : bool
    decay_reference_s : float or None
        Time to which activity is decay-corrected, seconds after injection.
    radionuclide : str or None
        As the sidecar names it, for example ``F18``.
    tracer_name : str or None
        ``TracerName`` of the sidecar.
    """

    frame_start_s: tuple[float, ...]
    frame_duration_s: tuple[float, ...]
    injection_clock_s: float | None
    units: str
    decay_corrected: bool
    decay_reference_s: float | None
    radionuclide: str | None
    tracer_name: str | None


def read_timing(sidecar: Mapping[str, Any], pet: Path, n_frames: int) -> PetTiming:
    """Check the metadata of a PET image and turn its times into seconds after injection.

    BIDS counts ``FrameTimesStart``, ``ScanStart``, ``InjectionStart`` and
    ``ImageDecayCorrectionTime`` from ``TimeZero``, which need not be the injection.

    Parameters
    ----------
    sidecar : merged metadata of ``pet`` (inheritance applied)
    pet : the image, for the messages
    n_frames : length of the image's fourth axis, 1 for a volume

    Raises
    ------
    BadDataError
        A field is missing, of the wrong type or length, or contradicts another. Whether the
        frames agree with each other is checked where they are chosen (`bidsapp.core.frames`).
    """
    field = _Reader(sidecar, pet)
    start = field.numbers("FrameTimesStart", n_frames)
    duration = field.numbers("FrameDuration", n_frames)
    injection = field.number("InjectionStart")
    scan_start = field.number("ScanStart") if "ScanStart" in sidecar else start[0]
    if start[0] < scan_start - _ROUNDING_S:
        raise BadDataError(
            f"{pet}: FrameTimesStart begins at {start[0]:g} s, before ScanStart at "
            f"{scan_start:g} s, though both count from TimeZero; correct the wrong one"
        )
    corrected = field.boolean("ImageDecayCorrected")
    reference = field.number("ImageDecayCorrectionTime") - injection if corrected else None
    time_zero = clock_seconds(sidecar.get("TimeZero"))
    return PetTiming(
        frame_start_s=tuple(s - injection for s in start),
        frame_duration_s=duration,
        injection_clock_s=None if time_zero is None else (time_zero + injection) % _DAY_S,
        units=field.text("Units"),
        decay_corrected=corrected,
        decay_reference_s=reference,
        radionuclide=field.optional_text("TracerRadionuclide"),
        tracer_name=field.optional_text("TracerName"),
    )


def clock_seconds(text: object) -> float | None:
    """``hh:mm:ss`` as seconds after midnight; None for anything else.

    >>> clock_seconds("10:02:00.5")
    36120.5
    """
    try:
        hours, minutes, seconds = str(text).split(":")
        value = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
    return value if 0 <= value < _DAY_S else None


@dataclass(frozen=True)
class _Reader:
    """Reads typed fields; every complaint names the image, the field and what it must hold."""

    sidecar: Mapping[str, Any]
    pet: Path

    def number(self, key: str) -> float:
        value = self._required(key)
        if not _is_number(value):
            raise self._wrong(key, "a number of seconds")
        return float(value)

    def numbers(self, key: str, length: int) -> tuple[float, ...]:
        value = self._required(key)
        if not isinstance(value, list) or not all(map(_is_number, value)):
            raise self._wrong(key, "a list of numbers, seconds, one per frame")
        if len(value) != length:
            raise BadDataError(
                f"{self.pet}: {key} has {len(value)} values but the image has {length} frames; "
                "correct the sidecar or convert the image again"
            )
        return tuple(float(item) for item in value)

    def boolean(self, key: str) -> bool:
        value = self._required(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str) -> str:
        value = self._required(key)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(key, "a text")
        return value

    def optional_text(self, key: str) -> str | None:
        value = self.sidecar.get(key)
        return value if isinstance(value, str) and value.strip() else None

    def _required(self, key: str) -> Any:
        if key not in self.sidecar:
            raise BadDataError(
                f"{self.pet}: {key} is missing; add it to the JSON sidecar (BIDS requires it)"
            )
        return self.sidecar[key]

    def _wrong(self, key: str, wanted: str) -> BadDataError:
        shown = repr(self.sidecar[key])[:60]
        return BadDataError(f"{self.pet}: {key} must be {wanted}, not {shown}; correct the sidecar")


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
