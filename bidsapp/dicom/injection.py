"""When the tracer of a PET was injected: as a person states it, or by the headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bidsapp.bids.values import UNDATED, midnight, shorter_way, since_midnight
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.scan_times import (
    CLOCKS_DISAGREE,
    LATE_INJECTION,
    MAX_UPTAKE,
    NOTED_S,
    STATED,
    ScanClock,
    Sourced,
)
from bidsapp.errors import BadDataError

_DAY = timedelta(days=1)
_INJECTION = "(0018,1078) RadiopharmaceuticalStartDateTime"
_INJECTION_CLOCK = "(0018,1072) RadiopharmaceuticalStartTime"


@dataclass(frozen=True)
class _Scan:
    """When a scan took place, as far as an injection must fit it."""

    start: datetime
    late: timedelta  # how long after the start the injection may be

    def fits(self, injection: datetime) -> bool:
        return self.start - MAX_UPTAKE <= injection <= self.start + self.late

    def on_latest_date(self, time_of_day: timedelta) -> datetime:
        """Put a time of day on the latest date that is not after the scan has begun."""
        day = midnight(self.start)
        candidates = [day + shift * _DAY + time_of_day for shift in (1, 0, -1)]
        return next(moment for moment in candidates if moment <= self.start + self.late)


def injection_of(clock: ScanClock, starts: tuple[datetime, ...]) -> Sourced:
    """Moment of injection, its source, and remarks.

    Parameters
    ----------
    clock : what the headers say
    starts : of the frames

    Returns
    -------
    (datetime, str, tuple of Flag)
    """
    end = starts[-1] + timedelta(seconds=clock.frames[-1].duration_s)
    scan = _Scan(starts[0], min(LATE_INJECTION, end - starts[0]))
    if clock.stated is not None:
        return _stated_injection(clock.stated, clock, scan)
    injection, source, remarks = _header_injection(clock, scan)
    if len(starts) == 1 and injection == scan.start:
        remarks += (worded_flag("times", "injection-at-start", source=source),)
    private = clock.injection_private
    if private is not None and since_midnight(private):
        apart = shorter_way(since_midnight(private) - since_midnight(injection))
        if abs(apart) > CLOCKS_DISAGREE:
            remark = worded_flag("times", "injection-private", source=source, private=private)
            remarks += (remark,)
    return injection, source, remarks


def _stated_injection(stated: datetime, clock: ScanClock, scan: _Scan) -> Sourced:
    if UNDATED.year in (stated.year, scan.start.year):
        stated = scan.on_latest_date(since_midnight(stated))
    if not scan.fits(stated):
        raise refused("injection", "stated-time", stated=stated, scan=scan)
    try:
        by_tag, tag, _ = _header_injection(clock, scan)
    except BadDataError:
        return stated, STATED, ()  # the very reason to state it
    if abs((by_tag - stated).total_seconds()) < NOTED_S:
        return stated, STATED, ()
    remark = worded_flag("times", "injection-stated", stated=stated, tag=tag, by_tag=by_tag)
    return stated, STATED, (remark,)


def _header_injection(clock: ScanClock, scan: _Scan) -> Sourced:
    """Moment of injection by the headers; a time of day of zero stands for a removed one."""
    full, time_of_day, private = clock.injection, clock.injection_clock, clock.injection_private
    if full is not None and clock.zeros_removed and not since_midnight(full):
        full = None
    if private is not None and not since_midnight(private):
        private = None
    remarks: tuple[Flag, ...] = ()
    zeroed = time_of_day == timedelta(0) or (clock.injection is not None and full is None)
    if clock.zeros_removed and time_of_day == timedelta(0):
        time_of_day = None
        remarks = (worded_flag("times", "injection-zeroed"),)
    if full is None and time_of_day is None and private is not None and scan.fits(private):
        return private, "(0009,103B) GE administration date and time", remarks
    if full is None and time_of_day is None:
        what = "000000, which stands for a removed time" if zeroed else "missing or no time"
        raise refused("injection", "unknown", what=what)
    if full is not None and scan.start.year == UNDATED.year:  # the scan has lost its date
        full = scan.on_latest_date(since_midnight(full))
    if full is not None and scan.fits(full):
        injection, source, more = _checked_full(full, time_of_day)
        return injection, source, (*remarks, *more)
    by_time = None if time_of_day is None else scan.on_latest_date(time_of_day)
    if by_time is None or not scan.fits(by_time):  # by how much would give dates away
        raise refused("injection", "impossible")
    source = f"{_INJECTION_CLOCK}, on the latest date that puts it before the scan"
    if full is None:
        return by_time, source, remarks
    return by_time, source, (*remarks, worded_flag("times", "injection-by-time-of-day"))


def _checked_full(full: datetime, clock_time: timedelta | None) -> Sourced:
    """Compare both injection tags; the date-time stands unless they contradict each other."""
    if clock_time is None:
        return full, _INJECTION, ()
    difference = shorter_way(clock_time - since_midnight(full))
    if abs(difference) > CLOCKS_DISAGREE:
        raise refused("injection", "contradicting", full=full, clock=_clock(clock_time))
    if abs(difference.total_seconds()) < NOTED_S:
        return full, _INJECTION, ()
    remark = worded_flag("times", "injection-two-clocks", full=full, clock=_clock(clock_time))
    return full, _INJECTION, (remark,)


def _clock(time_of_day: timedelta) -> str:
    return f"{UNDATED + time_of_day:%H:%M:%S}"
