"""The time model of a PET series: one clock, zero at the injection, every value with its source.

Pure arithmetic on datetimes.  The written rules, in the order they are applied:

Injection
    The time a person states wins.  Otherwise (0018,1078) RadiopharmaceuticalStartDateTime;
    when it is missing or impossible, (0018,1072) RadiopharmaceuticalStartTime on the latest date
    that puts it before the scan (or up to `_LATE_INJECTION` after the start of a dynamic scan,
    which may be started first).  Both present and more than `_CLOCKS_DISAGREE` apart: refused.
    A date-time at midnight sharp is a date without a time, and a time of day of 000000 stands for
    one that was removed.
    Where both are missing, the administration time in GE's private (0009,103B).
    No time of injection at all: refused, never invented.
Frames
    A frame starts at its (0008,002A)/(0008,0032) acquisition time, the earliest over its slices,
    because beds are acquired one after the other.  When all frames carry the same acquisition
    time, or some have none, (0054,1300) FrameReferenceTime places them, or the durations of frames
    that follow each other, if (0054,1321) DecayFactor or the known times agree.  The reference
    time may be that of the mean decay, the middle, the start or the end of a frame: the factors
    decide. Where they disprove acquisition times and prove the reference times, these count. Where
    no frame has a time, it counts from (0008,0031) SeriesTime. Times stated by the user win.
    Overlapping frames are refused.
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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from bidsapp.bids.stated import StatedTimes
from bidsapp.bids.values import midnight, shorter_way
from bidsapp.core.frames.decay import moments_by_convention, moments_within, spread
from bidsapp.data.sentences import refused, worded
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
_ACQUISITION = "(0008,0032) AcquisitionTime"
_REFERENCE = "(0054,1300) FrameReferenceTime"
_INJECTION = "(0018,1078) RadiopharmaceuticalStartDateTime"
_INJECTION_CLOCK = "(0018,1072) RadiopharmaceuticalStartTime"
_STATED_MOMENT = "(0018,9701) DecayCorrectionDateTime"
LONGEST_BREAK_S = 600.0  # a pause that makes a dynamic series a dual-window one
_NEIGHBOURS = timedelta(hours=2)  # frames of one scan begin closer together
_WHOLE_S = 2e-3  # moments on whole seconds, ms being the resolution of most clocks
_SAME_SPREAD_S = 0.2  # decay factors of six digits tell moments apart down to this
STATED = "stated by the user (--dicom-metadata)"
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
    stated_times : other times stated by the user
    decay_correction : (0054,1102): START, ADMIN or NONE; empty when absent
    decay_corrected : (0028,0051) lists DECY; None when the tag is absent
    half_life_s : s
    notes : what was doubtful in the tags themselves
    zeros_removed : a time at midnight sharp stands for one that was removed
    """

    frames: tuple[FrameClock, ...]
    series_start: datetime | None = None
    injection: datetime | None = None
    injection_clock: timedelta | None = None
    injection_private: datetime | None = None
    decay_moment: datetime | None = None
    stated: datetime | None = None
    stated_times: StatedTimes | None = None
    decay_correction: str = ""
    decay_corrected: bool | None = None
    half_life_s: float | None = None
    notes: tuple[str, ...] = ()
    zeros_removed: bool = True


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
        return "dual-window" if pauses and max(pauses) > LONGEST_BREAK_S else "dynamic"


def time_model(clock: ScanClock) -> TimeModel:
    """Work out the times of a scan.

    Raises
    ------
    BadDataError
        A time is missing, impossible, or contradicts another beyond tolerance; the message
        starts with the tag and is completed with the series by the caller.
    """
    stated = clock.stated_times or StatedTimes()
    durations = tuple(frame.duration_s for frame in clock.frames)
    _check_durations(durations, stated)
    if stated.scan_start_s is not None or stated.frame_start_s is not None:
        return _with_decay(_stated_model(clock, stated, durations), clock)
    starts, start_source, remarks = _frame_starts(clock)
    _check_overlap([(start - starts[0]) / _SECOND for start in starts], durations)
    injection, source, more = _injection(clock, starts)
    model = TimeModel(
        injection=injection,
        frame_start_s=tuple((start - injection) / _SECOND for start in starts),
        frame_duration_s=durations,
        decay_reference_s=None,
        sources=_sources(source, start_source, stated),
        remarks=(*clock.notes, *remarks, *more, *_reference_remarks(clock, starts)),
    )
    return _with_decay(model, clock)


def _sources(injection: str, starts: str, stated: StatedTimes) -> dict[str, str]:
    return {
        "InjectionStart": injection,
        "FrameTimesStart": starts,
        "ScanStart": f"start of the first frame: {starts}",
        "FrameDuration": STATED if stated.durations_s else "(0018,1242) ActualFrameDuration",
    }


# ------------------------------------------------------------------------------------ stated


def _stated_model(clock: ScanClock, stated: StatedTimes, durations: tuple[float, ...]) -> TimeModel:
    """Times of a scan that a user states; what the headers say besides is told."""
    try:
        by_header: tuple[datetime, ...] = _frame_starts(clock)[0]
    except BadDataError:
        by_header = ()
    starts = stated.frame_start_s or _stated_from(stated.scan_start_s or 0.0, by_header, clock)
    if len(starts) != len(clock.frames):
        raise refused("frame-times", "stated-count", given=len(starts), n=len(clock.frames))
    if not -_LATE_INJECTION / _SECOND <= starts[0] <= _MAX_UPTAKE / _SECOND:
        raise refused("injection", "stated-times")
    _check_overlap([start - starts[0] for start in starts], durations, "stated FrameTimesStart")
    injection, remark = _stated_zero(clock, by_header, starts[0])
    keys = [
        name
        for name, value in (
            ("ScanStart", stated.scan_start_s),
            ("FrameTimesStart", stated.frame_start_s),
            ("FrameDuration", stated.durations_s),
        )
        if value is not None
    ]
    return TimeModel(
        injection=injection,
        frame_start_s=starts,
        frame_duration_s=durations,
        decay_reference_s=None,
        sources=_sources(STATED, STATED, stated),
        remarks=(
            *clock.notes,
            f"{', '.join(keys)}: {STATED}, not by the headers",
            *((remark,) if remark else ()),
        ),
    )


def _stated_from(
    scan_start_s: float, by_header: tuple[datetime, ...], clock: ScanClock
) -> tuple[float, ...]:
    """Starts of all frames, of which the user states the first."""
    if len(clock.frames) == 1:
        return (scan_start_s,)
    if by_header:
        return tuple(scan_start_s + (start - by_header[0]) / _SECOND for start in by_header)
    try:
        placing = _placing(clock, [None] * len(clock.frames))
    except BadDataError as error:
        raise refused("frame-times", "start-alone") from error
    return tuple(scan_start_s + after for after in placing.starts_s)


def _stated_zero(
    clock: ScanClock, by_header: tuple[datetime, ...], first_s: float
) -> tuple[datetime, str | None]:
    """Clock time of the injection of a scan with stated times, and what the headers say instead.

    Sessions are ordered by it; without any clock it is a day of the year 1900.
    """
    if not by_header:
        return clock.stated or datetime(_NO_DATE, 1, 2), None
    injection = by_header[0] - timedelta(seconds=first_s)
    try:
        by_tag, tag, _ = _injection(clock, by_header)
    except BadDataError:
        return injection, None
    said = (by_header[0] - by_tag) / _SECOND
    if abs(said - first_s) < _NOTED_S:
        return injection, None
    return injection, f"by {tag} the scan would start {said:g} s after the injection"


# ------------------------------------------------------------------------------------ frames


@dataclass(frozen=True)
class _Placing:
    """A way to place frames without a time of their own each.

    Attributes
    ----------
    starts_s : s after the start of the first frame
    first_s : s from the reference of the series to the first frame, None when unknown
    source : the tag
    spread_s : how much the decay factors disagree, None when they cannot tell
    """

    starts_s: tuple[float, ...]
    first_s: float | None
    source: str
    spread_s: float | None = None

    @property
    def proven(self) -> bool:
        return self.spread_s is not None and self.spread_s <= 2 * _DECAY_TOLERANCE_S

    @property
    def begins_the_series(self) -> bool:
        return self.first_s is not None and abs(self.first_s) <= _NOTED_S

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


def _frame_starts(clock: ScanClock) -> tuple[tuple[datetime, ...], str, tuple[str, ...]]:
    """Start of every frame, the source, and remarks."""
    frames = clock.frames
    believed = [frame.start for frame in frames]
    if clock.zeros_removed:
        believed = _without_zeros(believed)
        believed = _without_disproved_zeros(clock, believed)
    known = [start for start in believed if start is not None]
    zeroed = sum(frame.start is not None for frame in frames) - len(known)
    remarks = (f"{_ACQUISITION} of {_frames(zeroed)} is 000000 and counts as removed",) * bool(
        zeroed
    )
    if len(known) == len(frames) == len(set(known)):
        if better := _outvoted(clock, known):
            remarks = (worded("frame-times", "outvoted"),)
            placed = tuple(known[0] + timedelta(seconds=after) for after in better.starts_s)
            return placed, f"{_REFERENCE}, confirmed by (0054,1321) DecayFactor", remarks
        return tuple(known), _ACQUISITION, _off_series(clock, tuple(known))
    (series,) = _without_zeros([clock.series_start], known)
    if not known and series is None:
        raise refused("frame-times", "no-start")
    shared = len(known) > 1 and len(set(known)) == 1  # the time of the scan in every frame
    placing = _placing(clock, [None] * len(frames) if shared else believed)
    after = [timedelta(seconds=start) for start in placing.starts_s]
    if not known:
        assert series is not None
        origin = series + timedelta(seconds=placing.first_s or 0.0)
        how = "(0008,0031) SeriesTime" + (f" and {_REFERENCE}" if placing.first_s else "")
        remarks += (
            f"{_ACQUISITION} is missing; the start of the scan was taken from {how}: check it",
        )
        source = how if len(frames) == 1 else f"{how}; {placing.source}"
        return tuple(origin + step for step in after), source, (*remarks, *_doubt(clock, placing))
    if shared:
        if len(known) < len(frames):
            remarks += (f"{_ACQUISITION} is missing in {_frames(len(frames) - len(known))}",)
        starts = tuple(known[0] + step for step in after)
        source = f"{placing.source}; AcquisitionTime does not tell frames apart"
        off = _off_series(replace(clock, series_start=series), starts)
        return starts, source, (*remarks, *_doubt(clock, placing), *off)
    at, origin = next((i, start) for i, start in enumerate(believed) if start is not None)
    starts = tuple(
        origin + step - after[at] if start is None else start
        for start, step in zip(believed, after, strict=True)
    )
    missing = [str(i + 1) for i, start in enumerate(believed) if start is None]
    remarks += (worded("frame-times", "some-missing", missing=", ".join(missing), placing=placing),)
    return starts, f"{_ACQUISITION}; {placing.source}", (*remarks, *_doubt(clock, placing))


def _without_disproved_zeros(
    clock: ScanClock, starts: list[datetime | None]
) -> list[datetime | None]:
    """Times without those at midnight sharp where decay factors place the frames without them."""
    without = [None if start and start == midnight(start) else start for start in starts]
    if without == starts or not any(without) or not _is_disproved(clock, starts):
        return starts
    try:
        _placing(clock, without)
    except BadDataError:
        return starts
    return without


def _is_disproved(clock: ScanClock, starts: Sequence[datetime | None]) -> bool:
    """Whether decay factors say that frames do not begin when they are said to."""
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or len(set(known)) < len(starts):
        return False
    after = tuple((start - known[0]) / _SECOND for start in known)
    by_clock = _with_spread(_Placing(after, None, _ACQUISITION), clock)
    return by_clock.spread_s is not None and not by_clock.proven


def _outvoted(clock: ScanClock, starts: Sequence[datetime]) -> _Placing | None:
    """Frames by FrameReferenceTime where DecayFactor proves it and disproves AcquisitionTime."""
    durations = [frame.duration_s for frame in clock.frames]
    after = [(start - starts[0]) / _SECOND for start in starts]
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
    real = [s for s in (*starts, *others) if s is not None and s != midnight(s)]
    return [
        None
        if start is not None
        and start == midnight(start)
        and not any(abs(start - other) < _NEIGHBOURS for other in real)
        else start
        for start in starts
    ]


def _placing(clock: ScanClock, known: Sequence[datetime | None]) -> _Placing:
    """Place the frames of a scan that are not told apart by acquisition times.

    Parameters
    ----------
    clock : what the headers say
    known : start of each frame where it is its own, None elsewhere

    Raises
    ------
    BadDataError
        Nothing tells the frames apart, or what does contradicts the known times.
    """
    durations = [frame.duration_s for frame in clock.frames]
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
        if frame.reference_s is not None and abs(frame.reference_s) <= _DAY / _SECOND
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
    durations = [frame.duration_s for frame in clock.frames]
    starts = tuple(sum(durations[:i]) for i in range(len(durations)))
    return _Placing(starts, None, "(0018,1242) ActualFrameDuration, back to back")


def _with_spread(placing: _Placing, clock: ScanClock) -> _Placing:
    """Add how much the decay factors disagree when frames are placed like that."""
    factors = [frame.decay_factor or 0.0 for frame in clock.frames]
    if clock.half_life_s is None or min(factors) <= 0 or len(set(factors)) < len(factors):
        return placing
    durations = [frame.duration_s for frame in clock.frames]
    moments = moments_by_convention(placing.starts_s, durations, factors, clock.half_life_s)
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
    return not origins or (max(origins) - min(origins)) / _SECOND <= _OVERLAP_S


def _doubt(clock: ScanClock, placing: _Placing) -> tuple[str, ...]:
    """Tell that the reference times could be read in another way, which nothing decides."""
    durations = [frame.duration_s for frame in clock.frames]
    if "confirmed" in placing.source or not placing.source.startswith(_REFERENCE):
        return ()
    others = [way for way in _by_reference(clock) if _in_order(way.starts_s, durations)]
    apart = max(
        (abs(a - b) for way in others for a, b in zip(way.starts_s, placing.starts_s, strict=True)),
        default=0.0,
    )
    if apart <= _NOTED_S:
        return ()
    return (worded("frame-times", "ambiguous", apart=apart),)


def _off_series(clock: ScanClock, starts: tuple[datetime, ...]) -> tuple[str, ...]:
    """Tell that the first frame does not begin where the reference times of the series put it."""
    ways = [way.first_s for way in _by_reference(clock) if way.first_s is not None]
    zero = clock.frames[0].reference_s in (None, 0.0)  # GE fills it with zeros
    if zero or not ways or clock.series_start is None:
        return ()
    off = min(((starts[0] - clock.series_start) / _SECOND - first for first in ways), key=abs)
    if abs(off) <= _CLOCKS_DISAGREE / _SECOND or abs(off) > _MAX_UPTAKE / _SECOND:
        return ()  # series are stored and exported later, but not before they were acquired
    return (
        worded("frame-times", "off-series", apart=abs(off), side="after" if off > 0 else "before"),
    )


def first_frame_after(reference_s: float, duration_s: float, half_life_s: float | None) -> float:
    """Start of a first frame by its FrameReferenceTime, s after what that counts from.

    Parameters
    ----------
    reference_s : FrameReferenceTime, s
    duration_s : of the frame, s
    half_life_s : of the radionuclide, s; None when unknown
    """
    frame = FrameClock(None, duration_s, reference_s)
    return _single(_by_reference(ScanClock((frame,), half_life_s=half_life_s))).first_s or 0.0


def _check_durations(durations: tuple[float, ...], stated: StatedTimes) -> None:
    """Refuse frames of a length no scan has."""
    shortest, longest = _DURATIONS_S
    if any(not shortest <= duration <= longest for duration in durations):
        who = "stated FrameDuration" if stated.durations_s else "(0018,1242) ActualFrameDuration"
        raise refused(
            "frame-times", "durations", who=who, shortest=min(durations), longest=max(durations)
        )


def _overlap_allowed(duration_s: float) -> float:
    """Overlap of a frame with the next that is rounding, s."""
    return max(_OVERLAP_S, 0.01 * duration_s)


def _check_overlap(
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
    if max(map(abs, starts)) > _MAX_UPTAKE / _SECOND:  # by how much would give dates away
        raise refused("frame-times", "half-day", who=who)
    for i, (start, after) in enumerate(pairwise(starts)):
        overlap = durations[i] - (after - start)
        if overlap > _overlap_allowed(durations[i]):
            raise refused(
                "frame-times", "overlap", who=who, after=i + 2, overlap=overlap, before=i + 1
            )


def _reference_remarks(clock: ScanClock, starts: tuple[datetime, ...]) -> tuple[str, ...]:
    """Compare FrameReferenceTime with the frame starts; the starts stand."""
    if len(starts) < 2:
        return ()  # a single value has nothing to agree with
    by_clock = [(start - starts[0]) / _SECOND for start in starts]
    ways = [
        [mine - its for mine, its in zip(way.starts_s, by_clock, strict=True)]
        for way in _by_reference(clock)
    ]
    if not ways:
        return ()  # GE writes 0 for every frame
    off = min(ways, key=lambda each: max(map(abs, each)))
    worst = max(off, key=abs)
    if abs(worst) <= _NOTED_S:
        return ()
    where = off.index(worst)
    return (
        worded(
            "frame-times", "off-reference", number=where + 1, start=by_clock[where], worst=worst
        ),
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
        day = midnight(self.start)
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
    injection, source, remarks = _header_injection(clock, scan)
    if len(starts) == 1 and injection == scan.start:
        remarks += (f"{source} puts the injection at the very start of the scan: check both",)
    return injection, source, remarks


def _stated_injection(
    stated: datetime, clock: ScanClock, scan: _Scan
) -> tuple[datetime, str, tuple[str, ...]]:
    if stated.year == _NO_DATE or scan.start.year == _NO_DATE:
        stated = scan.on_latest_date(stated - midnight(stated))
    if not scan.fits(stated):
        raise refused("injection", "stated-time", stated=stated, scan=scan)
    try:
        in_header, tag, _ = _header_injection(clock, scan)
    except BadDataError:
        return stated, STATED, ()  # the very reason to state it
    if abs((in_header - stated).total_seconds()) < _NOTED_S:
        return stated, STATED, ()
    remark = f"the stated injection at {stated:%H:%M:%S} was used; {tag} says {in_header:%H:%M:%S}"
    return stated, STATED, (remark,)


def _header_injection(clock: ScanClock, scan: _Scan) -> tuple[datetime, str, tuple[str, ...]]:
    """Moment of injection by the headers; a time of day of zero stands for a removed one."""
    full, time_of_day, private = clock.injection, clock.injection_clock, clock.injection_private
    if full is not None and clock.zeros_removed and full == midnight(full):
        full = None
    if private is not None and private == midnight(private):
        private = None
    remarks: tuple[str, ...] = ()
    zeroed = time_of_day == timedelta(0) or (clock.injection is not None and full is None)
    if clock.zeros_removed and time_of_day == timedelta(0):
        time_of_day = None
        remarks = (f"{_INJECTION_CLOCK} is 000000 and counts as removed",)
    if full is None and time_of_day is None and private is not None and scan.fits(private):
        return private, "(0009,103B) GE administration date and time", remarks
    if full is None and time_of_day is None:
        what = "000000, which stands for a removed time" if zeroed else "missing or no time"
        raise refused("injection", "unknown", what=what)
    if full is not None and scan.start.year == _NO_DATE:  # the scan has lost its date
        full = scan.on_latest_date(full - midnight(full))
    if full is not None and scan.fits(full):
        injection, source, more = _checked_full(full, time_of_day)
        return injection, source, (*remarks, *more)
    by_time = None if time_of_day is None else scan.on_latest_date(time_of_day)
    if by_time is None or not scan.fits(by_time):  # by how much would give dates away
        raise refused("injection", "impossible")
    source = f"{_INJECTION_CLOCK}, on the latest date that puts it before the scan"
    if full is None:
        return by_time, source, remarks
    remark = worded("injection", "by-time-of-day")
    return by_time, source, (*remarks, remark)


def _checked_full(
    full: datetime, clock_time: timedelta | None
) -> tuple[datetime, str, tuple[str, ...]]:
    """Compare both injection tags; the date-time stands unless they contradict each other."""
    if clock_time is None:
        return full, _INJECTION, ()
    difference = shorter_way(clock_time - (full - midnight(full)), _DAY)
    if abs(difference) > _CLOCKS_DISAGREE:
        raise refused("injection", "contradicting", full=full, clock=_clock(clock_time))
    if abs(difference.total_seconds()) < _NOTED_S:
        return full, _INJECTION, ()
    remark = worded("injection", "two-clocks", full=full, clock=_clock(clock_time))
    return full, _INJECTION, (remark,)


def _clock(time_of_day: timedelta) -> str:
    return f"{datetime(1900, 1, 1) + time_of_day:%H:%M:%S}"


# ------------------------------------------------------------------------------------- decay


def _with_decay(model: TimeModel, clock: ScanClock) -> TimeModel:
    """Add the decay reference, checked against the decay factors."""
    named = clock.decay_correction.upper()
    if named not in ("START", "ADMIN", "NONE", ""):
        raise refused("decay", "unknown-word", named=named)
    if not named:
        if clock.decay_corrected or (clock.decay_corrected is None and clock.decay_moment):
            named = "START"  # the DICOM default is the start; the factors below prove it or not
        elif clock.decay_corrected is None:
            raise refused("decay", "unknown")
        else:
            named = "NONE"
    elif clock.decay_corrected is not None and clock.decay_corrected != (named != "NONE"):
        verb = "lists" if clock.decay_corrected else "lacks"
        raise refused("decay", "contradicting", named=named, verb=verb)
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
    elif (moment := next(agreeing, None)) is not None:
        reference, source = moment[0], f"{moment[1]}, confirmed by (0054,1321) DecayFactor"
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
        remarks = model.remarks
        if moment is None and clock.decay_moment is not None:
            remarks += (f"{_STATED_MOMENT} is not a moment of this scan and was ignored",)
        source = f"{source}; no usable (0054,1321) DecayFactor to check it with"
        return expected, source, remarks
    remark = worded("decay", "other-moment", source=source, expected=expected, moment=moment)
    return moment, _STATED_MOMENT, (*model.remarks, remark)


def _since_injection(model: TimeModel, moment: datetime | None) -> float | None:
    """Seconds after the injection; None for what is absent or not of this scan."""
    if moment is None:
        return None
    seconds = (moment - model.injection).total_seconds()
    # Nobody corrects to a moment after the scan.
    return seconds if -_MAX_UPTAKE / _SECOND <= seconds <= model.end_s else None


def _agreeing(moments: tuple[float, ...], expected: float) -> float | None:
    """Find the moment that agrees with the expected one, None when none does."""
    best = min(moments, key=lambda moment: abs(moment - expected))
    return best if abs(best - expected) <= _DECAY_TOLERANCE_S else None


def _admin_remark(moment_s: float) -> str:
    """Tell how far the decay factors are off the injection, or refuse both clocks."""
    if abs(moment_s) > _ADMIN_TOLERANCE_S:
        raise refused("decay", "not-injection", moment_s=moment_s)
    return worded("decay", "near-injection", moment_s=moment_s)


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
    return tuple(
        median(moments)
        for moments in moments_by_convention(starts, durations, factors, half_life_s)
        if spread(moments) <= 2 * _DECAY_TOLERANCE_S
    )
