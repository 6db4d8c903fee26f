"""Start of every frame of a PET series, from acquisition times or, without them, other tags.

A frame starts at its (0008,002A)/(0008,0032) acquisition time.  When all frames carry the same
one, or some have none, (0054,1300) FrameReferenceTime places them, or the durations of frames that
follow each other, if (0054,1321) DecayFactor or the known times agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from bidsapp.bids.limits import MAX_FRAME_S
from bidsapp.bids.stated import StatedTimes
from bidsapp.bids.values import DAY_S, since_midnight
from bidsapp.core.frames.decay import moments_by_convention, moments_within, spread
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.scan_times import (
    CLOCKS_DISAGREE,
    DECAY_TOLERANCE_S,
    MAX_UPTAKE,
    NOTED_S,
    SECOND,
    FrameClock,
    ScanClock,
    seconds_after,
)
from bidsapp.errors import BadDataError

_DURATIONS_S = (0.9, MAX_FRAME_S)  # shorter frames are seconds written where DICOM wants ms
_OVERLAP_S = 1.0
_ACQUISITION = "(0008,0032) AcquisitionTime"
_REFERENCE = "(0054,1300) FrameReferenceTime"
_NEIGHBOURS = timedelta(hours=2)  # frames of one scan begin closer together
_WHOLE_S = 2e-3  # moments on whole seconds, ms being the resolution of most clocks
_SAME_SPREAD_S = 0.2  # decay factors of six digits tell moments apart down to this


@dataclass(frozen=True)
class _Placing:
    """A way to place frames without a time of their own each.

    Attributes
    ----------
    starts_s : s after the start of the first frame
    first_s : s from the reference of the series to the first frame, None when unknown
    source : the tag
    spread_s : how much the decay factors disagree, None when they cannot show it
    """

    starts_s: tuple[float, ...]
    first_s: float | None
    source: str
    spread_s: float | None = None

    @property
    def proven(self) -> bool:
        return self.spread_s is not None and self.spread_s <= 2 * DECAY_TOLERANCE_S

    @property
    def begins_the_series(self) -> bool:
        return self.first_s is not None and abs(self.first_s) <= NOTED_S

    def touches(self, durations: Sequence[float]) -> bool:
        """Whether every frame begins where the one before ends."""
        steps = (after - before for before, after in pairwise(self.starts_s))
        return all(abs(step - d) <= _OVERLAP_S for step, d in zip(steps, durations, strict=False))

    def rank(self, durations: Sequence[float]) -> tuple[float, ...]:
        """Sort key, the likeliest first: by the factors, else frames that touch."""
        starts = [start + (self.first_s or 0.0) for start in self.starts_s]
        whole = all(abs(start - round(start)) <= _WHOLE_S for start in starts)
        if self.proven:
            spread = round((self.spread_s or 0.0) / _SAME_SPREAD_S)
            return 0, spread, not self.begins_the_series, not whole
        return 1, not self.touches(durations), not self.begins_the_series, not whole


def frame_starts(clock: ScanClock) -> tuple[tuple[datetime, ...], str, tuple[Flag, ...]]:
    """Start of every frame, the source, and remarks.

    Parameters
    ----------
    clock : what the headers say

    Returns
    -------
    (tuple of datetime, str, tuple of Flag)
    """
    frames = clock.frames
    believed = [frame.start for frame in frames]
    if clock.zeros_removed:
        believed = _without_zeros(believed)
        believed = _without_disproved_zeros(clock, believed)
    known = [start for start in believed if start is not None]
    zeroed = sum(frame.start is not None for frame in frames) - len(known)
    remarks = (worded_flag("times", "zeroed", frames=_frames(zeroed)),) * bool(zeroed)
    if len(known) == len(frames) == len(set(known)):
        if better := _outvoted(clock, known):
            remarks = (worded_flag("times", "outvoted"),)
            starts = tuple(known[0] + timedelta(seconds=after) for after in better.starts_s)
            return starts, f"{_REFERENCE}, confirmed by (0054,1321) DecayFactor", remarks
        return tuple(known), _ACQUISITION, _off_series(clock, tuple(known))
    (series,) = _without_zeros([clock.series_start], known)
    if not known and series is None:
        raise refused("frame-times", "no-start")
    shared = len(known) > 1 and len(set(known)) == 1  # the time of the scan in every frame
    placing = placed(clock, [None] * len(frames) if shared else believed)
    after = [timedelta(seconds=start) for start in placing.starts_s]
    if not known:
        assert series is not None
        origin = series + timedelta(seconds=placing.first_s or 0.0)
        how = "(0008,0031) SeriesTime" + (f" and {_REFERENCE}" if placing.first_s else "")
        remarks += (worded_flag("times", "by-series", how=how),)
        source = how if len(frames) == 1 else f"{how}; {placing.source}"
        return tuple(origin + step for step in after), source, (*remarks, *_doubt(clock, placing))
    if shared:
        if len(known) < len(frames):
            lost = _frames(len(frames) - len(known))
            remarks += (worded_flag("times", "missing-in", frames=lost),)
        starts = tuple(known[0] + step for step in after)
        source = f"{placing.source}; AcquisitionTime does not tell frames apart"
        off = _off_series(replace(clock, series_start=series), starts)
        return starts, source, (*remarks, *_doubt(clock, placing), *off)
    at, origin = next((i, start) for i, start in enumerate(believed) if start is not None)
    starts = tuple(
        origin + step - after[at] if start is None else start
        for start, step in zip(believed, after, strict=True)
    )
    missing = ", ".join(str(i + 1) for i, start in enumerate(believed) if start is None)
    remarks += (worded_flag("times", "some-missing", missing=missing, placing=placing),)
    return starts, f"{_ACQUISITION}; {placing.source}", (*remarks, *_doubt(clock, placing))


def _without_disproved_zeros(
    clock: ScanClock, starts: list[datetime | None]
) -> list[datetime | None]:
    """Times without those at midnight sharp where decay factors place the frames without them."""
    without = [None if start and not since_midnight(start) else start for start in starts]
    if without == starts or not any(without) or not _is_disproved(clock, starts):
        return starts
    try:
        placed(clock, without)
    except BadDataError:
        return starts
    return without


def _is_disproved(clock: ScanClock, starts: Sequence[datetime | None]) -> bool:
    """Whether decay factors say that frames do not begin when they are said to."""
    known = [start for start in starts if start is not None]
    if len(set(known)) < len(starts):
        return False
    by_clock = _Placing(seconds_after(known[0], known), None, _ACQUISITION)
    by_clock = _with_spread(by_clock, clock)
    return by_clock.spread_s is not None and not by_clock.proven


def _outvoted(clock: ScanClock, starts: Sequence[datetime]) -> _Placing | None:
    """Frames by FrameReferenceTime where DecayFactor proves it and disproves AcquisitionTime."""
    durations = clock.durations_s
    after = seconds_after(starts[0], starts)
    if not _is_disproved(clock, starts) or not _in_order(after, durations):
        return None
    ways = [_with_spread(way, clock) for way in _by_reference(clock)]
    ways = [way for way in ways if way.proven and _in_order(way.starts_s, durations)]
    return min(ways, key=lambda way: way.rank(durations), default=None)


def _frames(number: int) -> str:
    return "one frame" if number == 1 else f"{number} frames"


def _without_zeros(
    starts: Sequence[datetime | None], others: Sequence[datetime] = ()
) -> list[datetime | None]:
    """Times without those at midnight sharp, which stand for removed ones.

    A scan that really is at midnight has other frames within hours of it.
    """
    real = [s for s in (*starts, *others) if s is not None and since_midnight(s)]
    return [
        None
        if start is not None
        and not since_midnight(start)
        and not any(abs(start - other) < _NEIGHBOURS for other in real)
        else start
        for start in starts
    ]


def placed(clock: ScanClock, known: Sequence[datetime | None]) -> _Placing:
    """Place the frames of a scan that acquisition times do not distinguish.

    Parameters
    ----------
    clock : what the headers say
    known : start of each frame where it is its own, None elsewhere

    Returns
    -------
    _Placing

    Raises
    ------
    BadDataError
        Nothing tells the frames apart, or what does contradicts the known times.
    """
    durations = clock.durations_s
    if len(durations) == 1:
        return _single(_by_reference(clock))
    several = sum(start is not None for start in known) > 1
    ways = [_with_spread(way, clock) for way in (*_by_reference(clock), _back_to_back(clock))]
    ways = [
        way
        for way in ways
        if (way.source == _REFERENCE or way.proven or several)
        and _in_order(way.starts_s, durations)
        and _fits(way.starts_s, known)
    ]
    if ways:
        best = min(ways, key=lambda way: way.rank(durations))
        if best.proven:
            return replace(best, source=f"{best.source}, confirmed by (0054,1321) DecayFactor")
        return best
    raise refused("frame-times", "not-told-apart")


def _by_reference(clock: ScanClock) -> list[_Placing]:
    """Frames placed by FrameReferenceTime, for every moment of a frame that it may stand for."""
    references = [
        frame.reference_s
        for frame in clock.frames
        if frame.reference_s is not None and abs(frame.reference_s) <= DAY_S
    ]
    if len(references) < len(clock.frames) or len(set(references)) < len(references):
        return []
    moments = zip(
        *((*moments_within(f.duration_s, clock.half_life_s), f.duration_s) for f in clock.frames),
        strict=True,
    )
    placings = []
    for within in moments:
        starts = [reference - moment for reference, moment in zip(references, within, strict=True)]
        after = tuple(start - starts[0] for start in starts)
        placings.append(_Placing(after, starts[0], _REFERENCE))
    return placings


def _single(ways: list[_Placing]) -> _Placing:
    """Place a single frame: with the series, or where its mean or middle says."""
    if not ways:
        return _Placing((0.0,), 0.0, "")
    with_series = [way for way in ways if way.begins_the_series]
    if with_series:
        return min(with_series, key=lambda way: abs(way.first_s or 0.0))
    return min(ways[:2], key=lambda way: way.rank([]))


def _back_to_back(clock: ScanClock) -> _Placing:
    """Frames without pauses."""
    durations = clock.durations_s
    starts = tuple(sum(durations[:i]) for i in range(len(durations)))
    return _Placing(starts, None, "(0018,1242) ActualFrameDuration, back to back")


def _with_spread(placing: _Placing, clock: ScanClock) -> _Placing:
    """Add how much the decay factors disagree when frames are placed like that."""
    factors = [frame.decay_factor or 0.0 for frame in clock.frames]
    if clock.half_life_s is None or min(factors) <= 0 or len(set(factors)) < len(factors):
        return placing
    starts, durations = placing.starts_s, clock.durations_s
    moments = moments_by_convention(starts, durations, factors, clock.half_life_s)
    return replace(placing, spread_s=min(map(spread, moments)))


def _in_order(starts: Sequence[float], durations: Sequence[float]) -> bool:
    """Whether no frame begins before the one before it ends."""
    steps = (after - before for before, after in pairwise(starts))
    return all(d - step <= _overlap_allowed(d) for step, d in zip(steps, durations, strict=False))


def _fits(starts: Sequence[float], known: Sequence[datetime | None]) -> bool:
    """Whether the known starts of frames lie where a placing has them."""
    origins = [
        start - timedelta(seconds=after)
        for start, after in zip(known, starts, strict=True)
        if start is not None
    ]
    return not origins or (max(origins) - min(origins)) / SECOND <= _OVERLAP_S


def _doubt(clock: ScanClock, placing: _Placing) -> tuple[Flag, ...]:
    """Report that the reference times could be read in another way, which nothing decides."""
    if "confirmed" in placing.source or not placing.source.startswith(_REFERENCE):
        return ()
    others = [way for way in _by_reference(clock) if _in_order(way.starts_s, clock.durations_s)]
    apart = max(
        (abs(a - b) for way in others for a, b in zip(way.starts_s, placing.starts_s, strict=True)),
        default=0.0,
    )
    if apart <= NOTED_S:
        return ()
    return (worded_flag("times", "ambiguous", apart=apart),)


def _off_series(clock: ScanClock, starts: tuple[datetime, ...]) -> tuple[Flag, ...]:
    """Report that the first frame does not begin where the reference times of the series put it."""
    ways = [way.first_s for way in _by_reference(clock) if way.first_s is not None]
    zero = clock.frames[0].reference_s in (None, 0.0)  # GE fills it with zeros
    if zero or not ways or clock.series_start is None:
        return ()
    off = min(((starts[0] - clock.series_start) / SECOND - first for first in ways), key=abs)
    if abs(off) <= CLOCKS_DISAGREE / SECOND or abs(off) > MAX_UPTAKE / SECOND:
        return ()  # series are stored and exported later, but not before they were acquired
    side = "after" if off > 0 else "before"
    return (worded_flag("times", "off-series", apart=abs(off), side=side),)


def first_frame_after(reference_s: float, duration_s: float, half_life_s: float | None) -> float:
    """Start of a first frame by its FrameReferenceTime, s after what that counts from.

    Parameters
    ----------
    reference_s : FrameReferenceTime, s
    duration_s : of the frame, s
    half_life_s : of the radionuclide, s; None when unknown

    Returns
    -------
    float
        s.
    """
    frame = FrameClock(None, duration_s, reference_s)
    return _single(_by_reference(ScanClock((frame,), half_life_s=half_life_s))).first_s or 0.0


def check_durations(durations: tuple[float, ...], stated: StatedTimes) -> None:
    """Refuse frames of a length no scan has.

    Parameters
    ----------
    durations : of the frames, s
    stated : what a user states of the times
    """
    ends = min(durations), max(durations)
    if ends[0] < _DURATIONS_S[0] or ends[1] > _DURATIONS_S[1]:
        who = "stated FrameDuration" if stated.durations_s else "(0018,1242) ActualFrameDuration"
        raise refused("frame-times", "durations", who=who, ends=ends)


def _overlap_allowed(duration_s: float) -> float:
    """Overlap of a frame with the next that is rounding, s."""
    return max(_OVERLAP_S, 0.01 * duration_s)


def check_overlap(
    starts: Sequence[float], durations: tuple[float, ...], who: str | None = None
) -> None:
    """Refuse frames that are out of order, overlap, or lie half a day apart.

    Parameters
    ----------
    starts : s after the first frame
    durations : s
    who : what gives the starts; None: AcquisitionTime
    """
    who = who or _ACQUISITION
    if max(map(abs, starts)) > MAX_UPTAKE / SECOND:  # by how much would give dates away
        raise refused("frame-times", "half-day", who=who)
    for i, (start, after) in enumerate(pairwise(starts)):
        overlap = durations[i] - (after - start)
        if overlap > _overlap_allowed(durations[i]):
            frames = i + 1, i + 2
            raise refused("frame-times", "overlap", who=who, frames=frames, overlap=overlap)


def reference_remarks(clock: ScanClock, starts: tuple[datetime, ...]) -> tuple[Flag, ...]:
    """Compare FrameReferenceTime with the frame starts; the starts stand.

    Parameters
    ----------
    clock : what the headers say
    starts : of the frames

    Returns
    -------
    tuple of Flag
    """
    if len(starts) < 2:
        return ()  # a single value has nothing to agree with
    by_clock = seconds_after(starts[0], starts)
    ways = [
        [start_s - clock_s for start_s, clock_s in zip(way.starts_s, by_clock, strict=True)]
        for way in _by_reference(clock)
    ]
    if not ways:
        return ()  # GE writes 0 for every frame
    off = min(ways, key=lambda differences: max(map(abs, differences)))
    worst = max(off, key=abs)
    if abs(worst) <= NOTED_S:
        return ()
    at = off.index(worst)
    return (worded_flag("times", "off-reference", n=at + 1, start=by_clock[at], worst=worst),)
