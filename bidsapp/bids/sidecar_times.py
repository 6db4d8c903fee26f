"""Times of PET sidecars in other units or on other clocks than BIDS wants.

They are read where one reading fits.  Everything here gives a `Flag` with what it does: a person
has to see that a time was read in another way than the standard says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from bidsapp.bids.limits import LATE_INJECTION_S, MAX_FRAME_S, MAX_UPTAKE_S
from bidsapp.bids.values import (
    DAY_S,
    as_list,
    clock_seconds,
    is_number,
    number_in,
    shorter_way,
)
from bidsapp.core.frames.decay import moments_within
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag

_ROUNDING_S = 1.0
_SAME_CLOCK_S = 60.0
_SOON_S = 3600.0  # activity may be corrected to a moment shortly after the scan
_UNITS = {r"ms|msecs?|milli-?seconds?": 1e-3, r"s|secs?|seconds?": 1.0, r"min|minutes?": 60.0}
_FRAMES = ("FrameDuration", "FrameTimesStart")
# What a sidecar that counts its frames in a unit may count in it, too.
_COUNTED = (
    (*_FRAMES, "ScanStart", "InjectionStart", "InjectionEnd", "ImageDecayCorrectionTime"),
    _FRAMES,
    _FRAMES[:1],
)

Sidecar = Mapping[str, Any]


def without_text(sidecar: Sidecar) -> tuple[Sidecar, list[Flag]]:
    """Numbers and truth values where a sidecar has text, as several converters write them.

    Parameters
    ----------
    sidecar : merged metadata

    Returns
    -------
    (Sidecar, list of Flag)
        The same sidecar where times and ``ImageDecayCorrected`` are not text, or another one.
    """
    changed: dict[str, Any] = {}
    for key in _COUNTED[0]:
        items = as_list(sidecar.get(key))
        numbers = list(map(number_in, items))
        if any(isinstance(item, str) for item in items) and None not in numbers:
            changed[key] = numbers if isinstance(sidecar[key], list) else numbers[0]
    truth = {"true": True, "false": False}.get(str(sidecar.get("ImageDecayCorrected")).lower())
    if truth is not None and isinstance(sidecar["ImageDecayCorrected"], str):
        changed["ImageDecayCorrected"] = truth
    changed |= _of_clocks(sidecar)
    if not changed:
        return sidecar, []
    return {**sidecar, **changed}, [worded_flag("sidecar-text", keys=", ".join(changed))]


def _of_clocks(sidecar: Sidecar) -> dict[str, float]:
    """Times of day of scan and injection in s after TimeZero, where one of them is that.

    Otherwise nothing tells them from hours, minutes and seconds that passed.
    """
    zero = clock_seconds(sidecar.get("TimeZero"))
    clocks = {key: clock_seconds(sidecar.get(key)) for key in ("ScanStart", "InjectionStart")}
    if zero is None or zero not in clocks.values():
        return {}
    return {key: shorter_way(clock - zero) for key, clock in clocks.items() if clock is not None}


def in_seconds(
    sidecar: Sidecar, window_s: tuple[float, float] | None
) -> tuple[Sidecar, list[Flag]]:
    """Turn the times of a sidecar that names another unit than s into s.

    ``FrameDurationUnits`` does not say what else counts in it: the times are read in the one way
    that puts frames one after the other into the uptake window, and in which the other moments
    are those of injection and scan best.

    Parameters
    ----------
    sidecar : merged metadata
    window_s : of the tracer, s after injection; None when the tracer is unknown

    Returns
    -------
    (Sidecar, list of Flag)
        The same sidecar where it counts in s.

    Raises
    ------
    BadDataError
        No reading fits, or several do; the message is completed with the image by the caller.
    """
    unit = sidecar.get("FrameDurationUnits")
    if unit in (None, "", "n/a"):
        return sidecar, []
    scale = next((s for p, s in _UNITS.items() if re.fullmatch(p, str(unit).strip().lower())), None)
    if scale == 1.0:
        return sidecar, []
    readings = [] if scale is None else [_scaled(sidecar, keys, scale) for keys in _COUNTED]
    fitting = [reading for reading in readings if _fits(reading, window_s)]
    best = max(map(_ties, fitting), default=0)
    fitting = [reading for reading in fitting if _ties(reading) == best]
    values = [[reading.get(key) for key in _COUNTED[0]] for reading in fitting]
    if not values or any(value != values[0] for value in values):
        number = "more than one" if values else "no"
        raise refused("sidecar", "unit", unit=unit, number=number)
    changed = [key for key in _COUNTED[0] if sidecar.get(key) != fitting[0].get(key)]
    return fitting[0], [worded_flag("frame-times", "unit", unit=unit, keys=", ".join(changed))]


def settled_frames(sidecar: Sidecar, n_frames: int) -> tuple[Sidecar, list[Flag]]:
    """Frames as the image has them, where a sidecar lists more, or ends for lengths.

    Frames of zero length, and the end of the last frame among the starts, are dropped where the
    image does not have them; ends of frames in ``FrameDuration`` become lengths; starts that jump
    by a day, as dcm2niix writes them for a frame a second before the others' zero, do not; one
    duration is that of all frames that it takes from one to the next.

    Parameters
    ----------
    sidecar : merged metadata, in s
    n_frames : of the image

    Returns
    -------
    (Sidecar, list of Flag)
    """
    durations, starts = (as_list(sidecar.get(key)) for key in _FRAMES)
    if lengths := _lengths_of_ends(starts, durations):
        flag = worded_flag("frame-times", "ends", n=len(lengths))
        return {**sidecar, "FrameDuration": lengths}, [flag]
    if turned := _within_a_day(starts, durations, sidecar.get("InjectionStart")):
        return {**sidecar, "FrameTimesStart": turned}, [worded_flag("frame-times", "day")]
    if len(durations) == n_frames and _are_edges(starts, durations):
        flag = worded_flag("frame-times", "edges", n=n_frames)
        return {**sidecar, "FrameTimesStart": starts[:-1]}, [flag]
    if not isinstance(sidecar.get("FrameDuration"), list):
        same = durations * n_frames
        if n_frames == 1 or len(starts) != n_frames or not _are_edges(starts, same[1:]):
            return sidecar, []
        flag = worded_flag("frame-times", "equal", n=n_frames, length_s=durations[0])
        return {**sidecar, "FrameDuration": same}, [flag]
    if len(durations) == n_frames:
        return sidecar, []
    kept = [i for i, duration in enumerate(durations) if duration != 0]
    if len(kept) != n_frames:
        return sidecar, []
    changed = {
        key: [value[i] for i in kept]
        for key, value in sidecar.items()
        if isinstance(value, list)
        and len(value) == len(durations)
        and (key.startswith(("Frame", "Decay")))
    }
    flag = worded_flag("frame-times", "empty", n=len(durations) - n_frames)
    return {**sidecar, **changed}, [flag]


def _lengths_of_ends(starts: Sequence[Any], durations: Sequence[Any]) -> list[float]:
    """Lengths of frames whose ends stand for them; empty where they do not, or need not.

    As lengths they must overlap, and as ends, on the clock of the starts or from the first frame
    on, touch the next frame.
    """
    if len(starts) != len(durations) or not all(map(is_number, (*starts, *durations))):
        return []
    if _steps_fit(starts, durations):
        return []
    for offset in (0.0, starts[0]):
        lengths = [end + offset - start for start, end in zip(starts, durations, strict=True)]
        edges = [*starts, starts[-1] + lengths[-1]]
        if min(lengths) > _ROUNDING_S and _are_edges(edges, lengths):
            return lengths
    return []


def _within_a_day(
    starts: Sequence[Any], durations: Sequence[Any], injection: object
) -> list[float]:
    """Starts without a jump by one day; empty where there is none, or they do not touch then."""
    if len(starts) != len(durations) or not all(map(is_number, (*starts, *durations))):
        return []
    if not is_number(injection) or max(starts) - min(starts) <= MAX_UPTAKE_S:
        return []
    turned = [
        start - DAY_S * round((start - injection) / DAY_S)
        if abs(start - injection) < 1.5 * DAY_S
        else start
        for start in starts
    ]
    return turned if _touch(turned, durations) else []


def _steps_fit(starts: Sequence[float], durations: Sequence[float]) -> bool:
    """Whether every frame ends before the next one begins."""
    steps = (after - before for before, after in pairwise(starts))
    return all(step >= d - _ROUNDING_S for step, d in zip(steps, durations, strict=False))


def _are_edges(starts: Sequence[Any], durations: Sequence[Any]) -> bool:
    """Whether frames that touch are given by where they begin and where the last one ends."""
    if len(starts) != len(durations) + 1 or not all(map(is_number, (*starts, *durations))):
        return False
    return _touch(starts, durations)


def _touch(starts: Sequence[float], durations: Sequence[float]) -> bool:
    """Whether every frame, or edge, follows upon the one before."""
    steps = zip(pairwise(starts), durations, strict=False)
    return all(abs(end - start - length) <= _ROUNDING_S for (start, end), length in steps)


def starts_by_moments(
    starts: Sequence[float],
    durations: Sequence[float],
    scan_start_s: float | None,
    half_life_s: float | None,
) -> tuple[float, ...] | None:
    """Starts of frames from a time within each, as FrameReferenceTime of DICOM.

    They are recognised by frames that touch by that moment and not as they stand, or of which the
    first then begins with the scan.  Of a single frame only the mean of decay shows it: its middle
    may well be where an image from the end of a scan begins.

    Parameters
    ----------
    starts, durations : as listed, s
    scan_start_s : ScanStart on the clock of ``starts``, None when unknown
    half_life_s : of the radionuclide, None when unknown

    Returns
    -------
    tuple of float or None
        None where the listed ones may be starts.
    """
    late = scan_start_s is not None and starts[0] - scan_start_s > _SAME_CLOCK_S
    with_scan = scan_start_s is not None and abs(starts[0] - scan_start_s) <= _ROUNDING_S
    if with_scan and durations[0] > 2 * _ROUNDING_S:  # the first is a start
        return None
    apart = len(starts) > 2 and not _touch(starts, durations)
    means, middles, _ = zip(*(moments_within(d, half_life_s) for d in durations), strict=True)
    if len(starts) == 1 and abs(means[0] - middles[0]) <= 2 * _ROUNDING_S:
        return None
    fitting: dict[float, tuple[float, ...]] = {}
    for within in (means,) if len(starts) == 1 else (means, middles):
        begins = tuple(start - moment for start, moment in zip(starts, within, strict=True))
        missed = abs(begins[0] - scan_start_s) if scan_start_s is not None and late else math.inf
        if _touch(begins, durations) and (missed <= _ROUNDING_S or apart):
            fitting.setdefault(min(missed, _ROUNDING_S), begins)
    return fitting[min(fitting)] if fitting else None


def decay_reference(
    seconds: float, time_zero_s: float | None, injection_s: float, scan: tuple[float, float]
) -> tuple[float, list[Flag]]:
    """``ImageDecayCorrectionTime`` in s after TimeZero, also where it is a time of day.

    Parameters
    ----------
    seconds : the value
    time_zero_s : TimeZero in s after midnight, None when unknown
    injection_s, scan : the injection, start and end of the scan, s after TimeZero

    Returns
    -------
    (float, list of Flag)
        s after TimeZero, and what to report.

    Raises
    ------
    BadDataError
        It lies half a day from the injection, and is not a time of day of scan or injection.
    """
    start, end = scan
    if injection_s - MAX_UPTAKE_S <= seconds <= end + _SOON_S:
        return seconds, []
    meant = {"start of the scan": start, "injection": injection_s}
    for name, moment in meant.items():
        apart = math.inf if time_zero_s is None else shorter_way(seconds - time_zero_s - moment)
        if abs(apart) <= _SAME_CLOCK_S:
            return moment, [worded_flag("decay-correction", "time-of-day", event=name)]
    if abs(seconds - injection_s) <= MAX_UPTAKE_S:
        return seconds, [worded_flag("decay-correction", "late")]
    raise refused("sidecar", "decay-time", seconds=seconds)


def clock_doubt(sidecar: Sidecar, first_frame_s: float) -> list[Flag]:
    """Report that the time of day of the scan is another than TimeZero and the frames say.

    Parameters
    ----------
    sidecar : merged metadata
    first_frame_s : start of the first frame, s after TimeZero

    Returns
    -------
    list of Flag
        One, or none.
    """
    zero, acquired = (clock_seconds(sidecar.get(key)) for key in ("TimeZero", "AcquisitionTime"))
    if zero is None or not acquired:  # 00:00:00 stands for a time that was removed
        return []
    apart = shorter_way(acquired - zero - first_frame_s)
    if abs(apart) <= _SAME_CLOCK_S:
        return []
    side = "after" if apart > 0 else "before"
    return [worded_flag("clocks", apart_s=abs(apart), side=side)]


def _scaled(sidecar: Sidecar, keys: Sequence[str], scale: float) -> dict[str, Any]:
    """The sidecar with the numbers under some keys times a factor."""

    def times(value: Any) -> Any:
        if isinstance(value, list):
            return [times(item) for item in value]
        return value * scale if is_number(value) else value

    changed = {key: times(sidecar[key]) for key in keys if key in sidecar}
    return {k: v for k, v in {**sidecar, **changed}.items() if k != "FrameDurationUnits"}


def _after_injection(sidecar: Sidecar) -> tuple[list[float], list[float]] | None:
    """Starts of the frames in s after the injection and their durations; None without them."""
    starts, durations = (
        as_list(sidecar.get(key, "")) for key in ("FrameTimesStart", "FrameDuration")
    )
    if "FrameTimesStart" not in sidecar and len(durations) == 1:
        starts = as_list(sidecar.get("ScanStart", ""))
    injection = sidecar.get("InjectionStart")
    numbers = all(map(is_number, (*starts, *durations, injection)))
    if not numbers or not starts or len(starts) != len(durations) or injection is None:
        return None
    used = [(s - injection, d) for s, d in zip(starts, durations, strict=True) if d != 0]
    return [s for s, _ in used], [d for _, d in used]


def _fits(sidecar: Sidecar, window_s: tuple[float, float] | None) -> bool:
    """Whether frames follow each other, after the injection and into the window."""
    frames = _after_injection(sidecar)
    if frames is None or not frames[0]:
        return False
    starts, durations = frames
    if not all(0.5 <= d <= MAX_FRAME_S for d in durations):
        return False
    if not _steps_fit(starts, durations):
        return False
    end = starts[-1] + durations[-1]
    if not -LATE_INJECTION_S <= starts[0] <= end <= MAX_UPTAKE_S:
        return False
    if window_s is None:
        return True
    inside = min(end, window_s[1]) - max(starts[0], window_s[0])
    return inside >= 0.5 * min(window_s[1] - window_s[0], end - starts[0])


def _ties(sidecar: Sidecar) -> int:
    """How many other moments of a sidecar that fits are that of its injection or first frame."""
    starts, _ = _after_injection(sidecar) or ([math.nan], [])
    injection = sidecar["InjectionStart"]
    known = {"ScanStart": (starts[0],), "ImageDecayCorrectionTime": (starts[0], 0.0)}
    return sum(
        any(abs(value - injection - moment) <= _ROUNDING_S for moment in moments)
        for key, moments in known.items()
        if is_number(value := sidecar.get(key))
    )
