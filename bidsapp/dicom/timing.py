"""The time model of a PET series: one clock, zero at the injection, every value with its source.

Pure arithmetic on datetimes.  The written rules, in the order they are applied:

Injection
    The time a person states wins.  Otherwise (0018,1078) RadiopharmaceuticalStartDateTime;
    when it is missing or impossible, (0018,1072) RadiopharmaceuticalStartTime on the latest date
    that puts it before the scan (or up to `LATE_INJECTION` after the start of a dynamic scan,
    which may be started first).  Both present and more than `CLOCKS_DISAGREE` apart: refused.
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
    another moment than the injection means that one of the two clocks was changed and is refused,
    unless a person states the injection, or voxels are SUV, of which converters write ADMIN beside
    the factors of the activity: then the factor still says what was corrected to.

Decay factors follow DICOM PS3.3 C.8.9.4: decay from the reference to the frame times the mean
decay within the frame, lambda d / (1 - exp(-lambda d)); some reconstructions use the start or
the middle of the frame instead, and are recognised by it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bidsapp.bids.values import UNDATED
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.decay_reference import with_decay
from bidsapp.dicom.frame_starts import (
    check_durations,
    check_overlap,
    frame_starts,
    placed,
    reference_remarks,
)
from bidsapp.dicom.injection import injection_of
from bidsapp.dicom.scan_times import (
    LATE_INJECTION,
    MAX_UPTAKE,
    NOTED_S,
    SECOND,
    STATED,
    ScanClock,
    TimeModel,
    seconds_after,
)
from bidsapp.errors import BadDataError


def time_model(clock: ScanClock) -> TimeModel:
    """Work out the times of a scan.

    Parameters
    ----------
    clock : what the headers say

    Returns
    -------
    TimeModel

    Raises
    ------
    BadDataError
        A time is missing, impossible, or contradicts another beyond tolerance; the message
        starts with the tag and is completed with the series by the caller.
    """
    stated, durations = clock.stated_times, clock.durations_s
    check_durations(durations, stated)
    if stated.scan_start_s is None and stated.frame_start_s is None:
        moments, start_source, about_starts = frame_starts(clock)
        check_overlap(seconds_after(moments[0], moments), durations)
        injection, source, remarks = injection_of(clock, moments)
        starts = seconds_after(injection, moments)
        remarks = (*about_starts, *remarks, *reference_remarks(clock, moments))
    else:
        source = start_source = STATED
        injection, starts, remarks = _stated_start(clock)
    sources = {
        "InjectionStart": source,
        "FrameTimesStart": start_source,
        "ScanStart": f"start of the first frame: {start_source}",
        "FrameDuration": STATED if stated.durations_s else "(0018,1242) ActualFrameDuration",
    }
    remarks = (*clock.remarks, *remarks)
    return with_decay(TimeModel(injection, starts, durations, None, sources, remarks), clock)


def _stated_start(clock: ScanClock) -> tuple[datetime, tuple[float, ...], tuple[Flag, ...]]:
    """Injection and starts of the frames that a user states, and what the headers say besides."""
    stated = clock.stated_times
    try:
        by_header: tuple[datetime, ...] = frame_starts(clock)[0]
    except BadDataError:
        by_header = ()
    starts = stated.frame_start_s or _stated_from(stated.scan_start_s or 0.0, by_header, clock)
    if len(starts) != len(clock.frames):
        raise refused("frame-times", "stated-count", given=len(starts), n=len(clock.frames))
    if not -LATE_INJECTION / SECOND <= starts[0] <= MAX_UPTAKE / SECOND:
        raise refused("injection", "stated-times")
    after_first = [start - starts[0] for start in starts]
    check_overlap(after_first, clock.durations_s, "stated FrameTimesStart")
    injection, remarks = _stated_zero(clock, by_header, starts[0])
    remark = worded_flag("times", "stated", keys=", ".join(stated.keys), source=STATED)
    return injection, starts, (remark, *remarks)


def _stated_from(
    scan_start_s: float, by_header: tuple[datetime, ...], clock: ScanClock
) -> tuple[float, ...]:
    """Starts of all frames, of which the user states the first."""
    if len(clock.frames) == 1:
        return (scan_start_s,)
    if by_header:
        return tuple(scan_start_s + s for s in seconds_after(by_header[0], by_header))
    try:
        placing = placed(clock, [None] * len(clock.frames))
    except BadDataError as error:
        raise refused("frame-times", "start-alone") from error
    return tuple(scan_start_s + after for after in placing.starts_s)


def _stated_zero(
    clock: ScanClock, by_header: tuple[datetime, ...], first_s: float
) -> tuple[datetime, tuple[Flag, ...]]:
    """Clock time of the injection of a scan with stated times, and what the headers say instead.

    Sessions are ordered by it; without any clock it is a day of the year 1900.
    """
    if not by_header:
        return clock.stated or UNDATED + timedelta(days=1), ()
    injection = by_header[0] - timedelta(seconds=first_s)
    try:
        by_tag, tag, _ = injection_of(clock, by_header)
    except BadDataError:
        return injection, ()
    by_tag_s = (by_header[0] - by_tag) / SECOND
    if abs(by_tag_s - first_s) < NOTED_S:
        return injection, ()
    return injection, (worded_flag("times", "stated-start", tag=tag, seconds=by_tag_s),)
