"""The time model of a PET series: one clock, zero at the injection, every value with its source.

Pure arithmetic on datetimes.  The written rules, in the order they are applied:

Injection
    The time a person states wins.  Otherwise (0018,1078) RadiopharmaceuticalStartDateTime;
    when it is missing or impossible, (0018,1072) RadiopharmaceuticalStartTime on the latest date
    that puts it before the scan (or up to `_LATE_INJECTION` after the start of a dynamic scan,
    which may be started first).  Both present and more than `_CLOCKS_DISAGREE` apart: refused.
    A date-time at midnight sharp beside another time of day is a date without a time.
    Where both are missing, the administration time in GE's private (0009,103B).
    No time of injection at all: refused, never invented.
Frames
    A frame starts at its (0008,002A)/(0008,0032) acquisition time, the earliest over its slices,
    because beds are acquired one after the other.  When all frames carry the same acquisition
    time, (0054,1300) FrameReferenceTime places them, or the durations of frames that follow each
    other, if (0054,1321) DecayFactor agrees.  Overlapping frames are refused.
Decay reference
    (0054,1102) DecayCorrection names it, or (0018,9701) DecayCorrectionDateTime in enhanced images
    and a private tag of Siemens; (0054,1321) DecayFactor proves it.  A factor says by how
    much counts were multiplied, so, with the half-life, to what moment they were corrected.  When
    that moment is not the one named, START gives way to the moment the factor says; ADMIN with
    another moment than the injection means that one of both clocks was changed and is refused,
    unless a person states the injection: then the factor still says what was corrected to.

Decay factors follow DICOM PS3.3 C.8.9.4: decay from the reference to the frame times the mean
decay within the frame, lambda d / (1 - exp(-lambda d)); some reconstructions use the start or
the middle of the frame instead, and are recognised by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from bidsapp.errors import BadDataError

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_NO_DATE = 1900  # year of moments of which only the time of day is known
_LATE_INJECTION = timedelta(minutes=5)  # a dynamic scan may start this long before the injection
_MAX_UPTAKE = timedelta(hours=12)  # longer is a wrong clock: 6.5 half-lives of F-18
_CLOCKS_DISAGREE = timedelta(minutes=15)
_NOTED_S = 1.0  # smaller differences are rounding of clocks to whole seconds
_DECAY_TOLERANCE_S = 5.0  # START: the factor agrees with the named moment
_ADMIN_TOLERANCE_S = 60.0
_OVERLAP_S = 1.0
_DURATIONS_S = (0.9, 6 * 3600.0)  # shorter frames are seconds written where DICOM wants ms
_STATED_MOMENT = "(0018,9701) DecayCorrectionDateTime"
_BREAK_S = 600.0  # a pause that makes a dynamic series a dual-window one
_DYNAMIC_BEFORE_S = 600.0  # a scan that starts this soon after the injection is dynamic


@dataclass(frozen=True)
class FrameClock:
    """What the headers of one frame say.

    Attributes
    ----------
    start : start of acquisition, None when no tag says it
    duration_s : (0018,1242), s
    reference_s : (0054,1300), s after the series reference, None when absent
    decay_factor : (0054,1321), None when absent
    """

    start: datetime | None
    duration_s: float
    reference_s: float | None = None
    decay_factor: float | None = None


@dataclass(frozen=True)
class ScanClock:
    """What the headers of one PET series say about time.

    Attributes
    ----------
    frames : in acquisition order
    series_start : (0008,0021) + (0008,0031)
    injection : (0018,1078)
    injection_clock : (0018,1072), time since midnight
    injection_private : (0009,103B) of GE
    decay_moment : (0018,9701) or the private (0071,1022) of Siemens: what activity is corrected to
    stated : time of injection stated by the user; a date of 1900 means only the time was stated
    decay_correction : (0054,1102): START, ADMIN or NONE; empty when absent
    decay_corrected : (0028,0051) lists DECY; None when the tag is absent
    half_life_s : s
    """

    frames: tuple[FrameClock, ...]
    series_start: datetime | None = None
    injection: datetime | None = None
    injection_clock: timedelta | None = None
    injection_private: datetime | None = None
    decay_moment: datetime | None = None
    stated: datetime | None = None
    decay_correction: str = ""
    decay_corrected: bool | None = None
    half_life_s: float | None = None


@dataclass(frozen=True)
class TimeModel:
    """Times of a PET scan in s after the injection.

    Attributes
    ----------
    injection : wall-clock time of the injection
    frame_start_s, frame_duration_s : one value per frame
    decay_reference_s : moment the activity is corrected to; None when it is not decay-corrected
    sources : quantity -> where its value comes from
    remarks : contradictions that a rule resolved, each with both values
    notes : what else is worth a word
    """

    injection: datetime
    frame_start_s: tuple[float, ...]
    frame_duration_s: tuple[float, ...]
    decay_reference_s: float | None
    sources: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def scan_start_s(self) -> float:
        """Start of the first frame, s after the injection."""
        return self.frame_start_s[0]

    @property
    def end_s(self) -> float:
        """End of the last frame, s after the injection."""
        return self.frame_start_s[-1] + self.frame_duration_s[-1]

    @property
    def kind(self) -> str:
        """``static``, ``dynamic`` or ``dual-window`` (dynamic with a break)."""
        ends = [s + d for s, d in zip(self.frame_start_s, self.frame_duration_s, strict=True)]
        pauses = [s - e for s, e in zip(self.frame_start_s[1:], ends, strict=False)]
        if self.scan_start_s > _DYNAMIC_BEFORE_S or len(self.frame_start_s) == 1:
            return "static"
        return "dual-window" if pauses and max(pauses) > _BREAK_S else "dynamic"


def time_model(clock: ScanClock) -> TimeModel:
    """Work out the times of a scan.

    Raises
    ------
    BadDataError
        A time is missing, impossible, or contradicts another beyond tolerance; the message
        starts with the tag and is completed with the series by the caller.
    """
    durations = tuple(frame.duration_s for frame in clock.frames)
    _check_durations(durations)
    starts, start_source, remarks = _frame_starts(clock)
    _check_overlap(starts, durations)
    injection, source, more = _injection(clock, starts)
    relative = tuple((start - injection).total_seconds() for start in starts)
    model = TimeModel(
        injection=injection,
        frame_start_s=relative,
        frame_duration_s=durations,
        decay_reference_s=None,
        sources={
            "InjectionStart": source,
            "FrameTimesStart": start_source,
            "ScanStart": f"start of the first frame: {start_source}",
            "FrameDuration": "(0018,1242) ActualFrameDuration",
        },
        remarks=(*remarks, *more, *_reference_remarks(clock, starts)),
    )
    return _with_decay(model, clock)


# ------------------------------------------------------------------------------------ frames


def _frame_starts(clock: ScanClock) -> tuple[tuple[datetime, ...], str, tuple[str, ...]]:
    """Start of every frame, the source, and remarks."""
    known = [frame.start for frame in clock.frames if frame.start is not None]
    complete = len(known) == len(clock.frames)
    if complete and len(set(known)) == len(known):
        return tuple(known), "(0008,0032) AcquisitionTime", ()
    references = [
        frame.reference_s
        for frame in clock.frames
        if frame.reference_s is not None and abs(frame.reference_s) <= _DAY / _SECOND
    ]
    origin = known[0] if known else clock.series_start
    if origin is None:
        raise BadDataError(
            "(0008,0032) AcquisitionTime and (0008,0031) SeriesTime are missing, so the scan has "
            "no start; export it again with its times"
        )
    if len(clock.frames) == 1:
        return (origin,), "(0008,0031) SeriesTime; AcquisitionTime is missing", ()
    if len(references) == len(clock.frames) and len(set(references)) == len(references):
        # The first frame starts at the origin; the others follow by their reference times.
        first = _start_from_reference(clock, 0)
        starts = tuple(
            origin + timedelta(seconds=_start_from_reference(clock, i) - first)
            for i in range(len(clock.frames))
        )
        source = "(0054,1300) FrameReferenceTime; AcquisitionTime does not tell frames apart"
        return starts, source, ()
    if (following := _back_to_back(clock, origin)) is not None:
        source = (
            "(0018,1242) ActualFrameDuration, back to back, confirmed by (0054,1321) DecayFactor"
        )
        return following, source, ()
    raise BadDataError(
        "(0008,0032) AcquisitionTime is missing or the same for several frames and neither "
        "(0054,1300) FrameReferenceTime nor (0054,1321) DecayFactor tells them apart; export the "
        "frames with their times"
    )


def _back_to_back(clock: ScanClock, origin: datetime) -> tuple[datetime, ...] | None:
    """Starts of frames without pauses, if the decay factors of the frames agree with them."""
    after = [sum(frame.duration_s for frame in clock.frames[:i]) for i in range(len(clock.frames))]
    factors = [frame.decay_factor or 0.0 for frame in clock.frames]
    if clock.half_life_s is None or min(factors) <= 0 or len(set(factors)) < len(factors):
        return None
    durations = [frame.duration_s for frame in clock.frames]
    if not _corrected_to(after, durations, factors, clock.half_life_s):
        return None
    return tuple(origin + timedelta(seconds=start) for start in after)


def _start_from_reference(clock: ScanClock, index: int) -> float:
    """Start of a frame in s after the series reference, from its FrameReferenceTime."""
    frame = clock.frames[index]
    assert frame.reference_s is not None
    return frame.reference_s - mean_decay_moment(frame.duration_s, clock.half_life_s)


def mean_decay_moment(duration_s: float, half_life_s: float | None) -> float:
    """Moment within a frame at which the activity equals its mean over the frame, s.

    Without a half-life this is the middle of the frame.
    """
    if half_life_s is None:
        return duration_s / 2
    rate = math.log(2) / half_life_s
    return -math.log(-math.expm1(-rate * duration_s) / (rate * duration_s)) / rate


def _moments_within(duration_s: float, half_life_s: float | None) -> tuple[float, float, float]:
    """Moments of a frame that reconstructions use as its time: mean decay, middle, start."""
    return mean_decay_moment(duration_s, half_life_s), duration_s / 2, 0.0


def _check_durations(durations: tuple[float, ...]) -> None:
    """Refuse frames of a length no scan has."""
    shortest, longest = _DURATIONS_S
    if any(not shortest <= duration <= longest for duration in durations):
        raise BadDataError(
            f"(0018,1242) ActualFrameDuration gives frames of {min(durations):g} to "
            f"{max(durations):g} s, which no scan has (the tag counts in ms); correct it"
        )


def _check_overlap(starts: tuple[datetime, ...], durations: tuple[float, ...]) -> None:
    """Refuse frames that are out of order, overlap, or lie half a day apart."""
    if starts[-1] - starts[0] > _MAX_UPTAKE:
        raise BadDataError(
            "(0008,0032) AcquisitionTime with its date puts the last frame "
            f"{_hours(starts[-1] - starts[0])} after the first; correct the date of the frames "
            "after midnight"
        )
    for i, (start, after) in enumerate(pairwise(starts)):
        overlap = durations[i] - (after - start).total_seconds()
        if overlap > max(_OVERLAP_S, 0.01 * durations[i]):
            raise BadDataError(
                f"(0008,0032) AcquisitionTime of frame {i + 2} lies {overlap:.3g} s before the end "
                f"of frame {i + 1} by (0018,1242) ActualFrameDuration; correct one of both"
            )


def _reference_remarks(clock: ScanClock, starts: tuple[datetime, ...]) -> tuple[str, ...]:
    """Compare FrameReferenceTime with the frame starts; the starts stand."""
    known = [frame.reference_s for frame in clock.frames if frame.reference_s is not None]
    if len(starts) < 2 or len(known) < len(starts) or len(set(known)) < len(known):
        return ()  # GE writes 0 for every frame, and a single value has nothing to agree with
    first = _moments_within(clock.frames[0].duration_s, clock.half_life_s)
    worst, where = 0.0, 0
    for i, (start, reference) in enumerate(zip(starts, known, strict=True)):
        by_clock = (start - starts[0]).total_seconds()
        here = _moments_within(clock.frames[i].duration_s, clock.half_life_s)
        options = [
            reference - known[0] - (moment - of_first) - by_clock
            for moment, of_first in zip(here, first, strict=True)
        ]
        difference = min(options, key=abs)
        if abs(difference) > abs(worst):
            worst, where = difference, i
    if abs(worst) <= _NOTED_S:
        return ()
    return (
        f"frame {where + 1} starts {(starts[where] - starts[0]).total_seconds():g} s after the "
        f"first by (0008,0032) AcquisitionTime, {worst:+.3g} s off by (0054,1300) "
        "FrameReferenceTime; AcquisitionTime was used",
    )


# --------------------------------------------------------------------------------- injection


@dataclass(frozen=True)
class _Scan:
    """When a scan took place, as far as an injection must fit it."""

    start: datetime
    late: timedelta  # how long after the start the injection may be

    def fits(self, injection: datetime) -> bool:
        return self.start - _MAX_UPTAKE <= injection <= self.start + self.late

    def on_latest_date(self, time_of_day: timedelta) -> datetime:
        """Put a time of day on the latest date that is not after the scan has begun."""
        day = _midnight(self.start)
        candidates = [day + shift * _DAY + time_of_day for shift in (1, 0, -1)]
        return next(moment for moment in candidates if moment <= self.start + self.late)


def _injection(
    clock: ScanClock, starts: tuple[datetime, ...]
) -> tuple[datetime, str, tuple[str, ...]]:
    """Moment of injection, its source, and remarks."""
    end = starts[-1] + timedelta(seconds=clock.frames[-1].duration_s)
    scan = _Scan(starts[0], min(_LATE_INJECTION, end - starts[0]))
    if clock.stated is not None:
        return _stated_injection(clock.stated, clock, scan)
    return _header_injection(clock, scan)


def _stated_injection(
    stated: datetime, clock: ScanClock, scan: _Scan
) -> tuple[datetime, str, tuple[str, ...]]:
    if stated.year == _NO_DATE:
        stated = scan.on_latest_date(stated - _midnight(stated))
    if not scan.fits(stated):
        raise BadDataError(
            f"the stated injection at {stated:%H:%M:%S} does not fit a scan that starts at "
            f"{scan.start:%H:%M:%S}, {_hours(scan.start - stated)} later; correct InjectionTime "
            "in the --dicom-metadata file"
        )
    source = "stated by the user (--dicom-metadata)"
    try:
        in_header, tag, _ = _header_injection(clock, scan)
    except BadDataError:
        return stated, source, ()  # the very reason to state it
    if abs((in_header - stated).total_seconds()) < _NOTED_S:
        return stated, source, ()
    remark = f"the stated injection at {stated:%H:%M:%S} was used; {tag} says {in_header:%H:%M:%S}"
    return stated, source, (remark,)


def _header_injection(clock: ScanClock, scan: _Scan) -> tuple[datetime, str, tuple[str, ...]]:
    full, time_of_day = clock.injection, clock.injection_clock
    if full is not None and time_of_day and full == _midnight(full):
        full = None
    private = clock.injection_private
    if full is None and time_of_day is None and private is not None and scan.fits(private):
        return private, "(0009,103B) GE administration date and time", ()
    if full is None and time_of_day is None:
        raise BadDataError(
            "(0018,1078) RadiopharmaceuticalStartDateTime and (0018,1072) "
            "RadiopharmaceuticalStartTime are missing, so the time of injection is unknown; "
            "state InjectionTime in a --dicom-metadata file"
        )
    if full is not None and scan.start.year == _NO_DATE:  # the scan has lost its date
        full = scan.on_latest_date(full - _midnight(full))
    if full is not None and scan.fits(full):
        return _checked_full(full, time_of_day)
    by_time = None if time_of_day is None else scan.on_latest_date(time_of_day)
    if by_time is None or not scan.fits(by_time):
        shown = full or by_time or scan.start
        raise BadDataError(
            "(0018,1078) RadiopharmaceuticalStartDateTime and (0018,1072) "
            f"RadiopharmaceuticalStartTime put the injection {_apart(scan.start - shown)} "
            "the scan, which is impossible; state InjectionTime in a --dicom-metadata file"
        )
    source = (
        "(0018,1072) RadiopharmaceuticalStartTime, on the latest date that puts it before the scan"
    )
    if full is None:
        return by_time, source, ()
    remark = (
        f"(0018,1078) RadiopharmaceuticalStartDateTime lies {_apart(scan.start - full)} "
        f"the scan; (0018,1072) RadiopharmaceuticalStartTime, {_hours(scan.start - by_time)} "
        "before it, was used"
    )
    return by_time, source, (remark,)


def _checked_full(
    full: datetime, clock_time: timedelta | None
) -> tuple[datetime, str, tuple[str, ...]]:
    """Compare both injection tags; the date-time stands unless they contradict each other."""
    source = "(0018,1078) RadiopharmaceuticalStartDateTime"
    if clock_time is None:
        return full, source, ()
    difference = (clock_time - (full - _midnight(full)) + _DAY / 2) % _DAY - _DAY / 2
    if abs(difference) > _CLOCKS_DISAGREE:
        raise BadDataError(
            f"(0018,1078) RadiopharmaceuticalStartDateTime says {full:%H:%M:%S} and (0018,1072) "
            f"RadiopharmaceuticalStartTime {_clock(clock_time)}; state InjectionTime in a "
            "--dicom-metadata file"
        )
    if abs(difference.total_seconds()) < _NOTED_S:
        return full, source, ()
    return (
        full,
        source,
        (
            f"(0018,1078) RadiopharmaceuticalStartDateTime says {full:%H:%M:%S}, (0018,1072) "
            f"RadiopharmaceuticalStartTime {_clock(clock_time)}; the former was used",
        ),
    )


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _hours(delta: timedelta) -> str:
    return f"{delta.total_seconds() / 3600:.2f} h"


def _apart(before: timedelta) -> str:
    """Distance to something, as ``1.50 h before``."""
    return f"{_hours(abs(before))} {'before' if before >= timedelta(0) else 'after'}"


def _clock(time_of_day: timedelta) -> str:
    return f"{datetime(1900, 1, 1) + time_of_day:%H:%M:%S}"


# ------------------------------------------------------------------------------------- decay


def _with_decay(model: TimeModel, clock: ScanClock) -> TimeModel:
    """Add the decay reference, checked against the decay factors."""
    named = clock.decay_correction.upper()
    if named not in ("START", "ADMIN", "NONE", ""):
        raise BadDataError(
            f"(0054,1102) DecayCorrection is '{named[:20]}', not START, ADMIN or NONE; correct it"
        )
    if not named:
        if clock.decay_corrected or (clock.decay_corrected is None and clock.decay_moment):
            named = "START"  # the DICOM default is the start; the factors below prove it or not
        elif clock.decay_corrected is None:
            raise BadDataError(
                "(0054,1102) DecayCorrection and (0028,0051) CorrectedImage are missing, so "
                "nobody can tell if activity is decay-corrected; export it again"
            )
        else:
            named = "NONE"
    elif clock.decay_corrected is not None and clock.decay_corrected != (named != "NONE"):
        raise BadDataError(
            f"(0054,1102) DecayCorrection is {named} but (0028,0051) CorrectedImage "
            f"{'lists' if clock.decay_corrected else 'lacks'} DECY; correct one of both"
        )
    if named == "NONE":
        sources = {**model.sources, "ImageDecayCorrectionTime": "(0054,1102) DecayCorrection NONE"}
        return replace(model, sources=sources)
    return _proven_reference(model, clock, named)


def _proven_reference(model: TimeModel, clock: ScanClock, named: str) -> TimeModel:
    """Decay reference by name, confirmed or replaced by the decay factors."""
    meant = _meant_references(model, clock, named)
    implied = _implied_references(model, clock)
    (expected, source), remarks = meant[0], model.remarks
    agreeing = (m for m in meant if implied and _agreeing(implied, m[0]) is not None)
    if implied is None:
        reference, source, remarks = _unproven_reference(model, clock, expected, source)
    elif (found := next(agreeing, None)) is not None:
        reference, source = found[0], f"{found[1]}, confirmed by (0054,1321) DecayFactor"
    elif named == "ADMIN" and clock.stated is None:
        reference = expected
        remarks = (*remarks, _admin_remark(implied[0]))
    else:
        # Factors are rounded: the moment they mean is the start or the injection when it is near.
        near = (m for m in (model.scan_start_s, 0.0) if _agreeing(implied, m) is not None)
        reference = next(near, round(implied[0], 3))
        text = f"{source} would be {expected:g} s after injection, (0054,1321) DecayFactor corrects"
        source = "(0054,1321) DecayFactor"
        remarks = (*remarks, f"{text} to {reference:g} s; the latter was used")
    sources = {**model.sources, "ImageDecayCorrectionTime": source}
    return replace(model, decay_reference_s=reference, sources=sources, remarks=remarks)


def _meant_references(
    model: TimeModel, clock: ScanClock, named: str
) -> tuple[tuple[float, str], ...]:
    """Moments the name may mean, in s after the injection, with their sources; likeliest first.

    START is the start of the series: its first frame, or its time where frames before were put
    into another series.
    """
    source = f"(0054,1102) DecayCorrection {named}"
    stated = _since_injection(model, clock.decay_moment), _STATED_MOMENT
    if not clock.decay_correction and stated[0] is not None:
        return ((stated[0], stated[1]),)
    if named == "ADMIN":
        return ((0.0, source),)
    series = _since_injection(model, clock.series_start), f"{source} at (0008,0031) SeriesTime"
    others = tuple((moment, text) for moment, text in (stated, series) if moment is not None)
    return ((model.scan_start_s, source), *others)


def _unproven_reference(
    model: TimeModel, clock: ScanClock, expected: float, source: str
) -> tuple[float, str, tuple[str, ...]]:
    """Reference, source and remarks where no factor can tell: by the name, or a moment stated."""
    moment = _since_injection(model, clock.decay_moment)
    if moment is None or abs(moment - expected) <= _DECAY_TOLERANCE_S:
        return (
            expected,
            f"{source}; no usable (0054,1321) DecayFactor to check it with",
            model.remarks,
        )
    remark = (
        f"{source} would be {expected:g} s after injection, {_STATED_MOMENT} says {moment:g} s; "
        "the latter was used"
    )
    return moment, _STATED_MOMENT, (*model.remarks, remark)


def _since_injection(model: TimeModel, moment: datetime | None) -> float | None:
    """Seconds after the injection; None for what is absent or not of this scan."""
    if moment is None:
        return None
    seconds = (moment - model.injection).total_seconds()
    return seconds if abs(seconds) <= _MAX_UPTAKE / _SECOND else None


def _agreeing(moments: tuple[float, ...], expected: float) -> float | None:
    """Find the moment that agrees with the expected one, None when none does."""
    best = min(moments, key=lambda moment: abs(moment - expected))
    return best if abs(best - expected) <= _DECAY_TOLERANCE_S else None


def _admin_remark(moment_s: float) -> str:
    """Tell how far the decay factors are off the injection, or refuse both clocks."""
    if abs(moment_s) > _ADMIN_TOLERANCE_S:
        raise BadDataError(
            f"(0054,1321) DecayFactor corrects to {moment_s:+.0f} s from the injection that "
            "(0018,1078) RadiopharmaceuticalStartDateTime or (0018,1072) "
            "RadiopharmaceuticalStartTime states, though (0054,1102) DecayCorrection is ADMIN; "
            "state InjectionTime in a --dicom-metadata file"
        )
    return (
        f"(0054,1321) DecayFactor corrects to {moment_s:+.1f} s from the injection; "
        "the injection was used"
    )


def _implied_references(model: TimeModel, clock: ScanClock) -> tuple[float, ...] | None:
    """Moments the decay factors correct to, s after injection, one per convention in use.

    None when there are no factors, when they were not filled in (all 1), or when frames disagree
    so much that no single moment is meant.
    """
    factors = [frame.decay_factor for frame in clock.frames if frame.decay_factor]
    if clock.half_life_s is None or len(factors) < len(clock.frames) or min(factors) <= 0:
        return None
    if set(factors) == {1.0}:
        return None
    durations = model.frame_duration_s
    return _corrected_to(model.frame_start_s, durations, factors, clock.half_life_s) or None


def _corrected_to(
    starts: Sequence[float],
    durations: Sequence[float],
    factors: Sequence[float],
    half_life_s: float,
) -> tuple[float, ...]:
    """Moments the decay factors correct to, one per convention in which the frames agree."""
    rate = math.log(2) / half_life_s
    by_convention: list[list[float]] = [[], [], []]
    for start, duration, factor in zip(starts, durations, factors, strict=True):
        within = _moments_within(duration, half_life_s)
        for moments, moment in zip(by_convention, within, strict=True):
            moments.append(start + moment - math.log(factor) / rate)
    return tuple(
        median(moments)
        for moments in by_convention
        if max(moments) - min(moments) <= 2 * _DECAY_TOLERANCE_S
    )
