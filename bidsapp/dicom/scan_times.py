"""What the headers of a PET series say about time, and the times that are made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bidsapp.bids.limits import LATE_INJECTION_S, MAX_UPTAKE_S
from bidsapp.bids.stated import NOTHING_STATED, StatedTimes
from bidsapp.core.quality import Flag

LATE_INJECTION = timedelta(seconds=LATE_INJECTION_S)
MAX_UPTAKE = timedelta(seconds=MAX_UPTAKE_S)
CLOCKS_DISAGREE = timedelta(minutes=15)
SECOND = timedelta(seconds=1)
NOTED_S = 1.0  # smaller differences are rounding of clocks to whole seconds
DECAY_TOLERANCE_S = 5.0  # the factor agrees with the named moment
LONGEST_BREAK_S = 600.0  # a pause that makes a dynamic series a dual-window one
_DYNAMIC_BEFORE_S = 600.0  # a scan that starts this soon after the injection is dynamic
STATED = "stated by the user (--dicom-metadata)"

Sourced = tuple[datetime, str, tuple[Flag, ...]]
"""A moment, what says it, and remarks."""


def seconds_after(origin: datetime, moments: Iterable[datetime]) -> tuple[float, ...]:
    """Seconds from a moment to each of others.

    Parameters
    ----------
    origin : from which is counted
    moments : in any order

    Returns
    -------
    tuple of float
        s.
    """
    return tuple((moment - origin) / SECOND for moment in moments)


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
    in_suv : voxels are SUV, which refer to the injection whatever the decay factors do
    remarks : what was doubtful in the tags themselves
    zeros_removed : a time at midnight sharp stands for one that was removed
    """

    frames: tuple[FrameClock, ...]
    series_start: datetime | None = None
    injection: datetime | None = None
    injection_clock: timedelta | None = None
    injection_private: datetime | None = None
    decay_moment: datetime | None = None
    stated: datetime | None = None
    stated_times: StatedTimes = NOTHING_STATED
    decay_correction: str = ""
    decay_corrected: bool | None = None
    half_life_s: float | None = None
    in_suv: bool = False
    remarks: tuple[Flag, ...] = ()
    zeros_removed: bool = True

    @property
    def durations_s(self) -> tuple[float, ...]:
        """Duration of every frame, s."""
        return tuple(frame.duration_s for frame in self.frames)


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
    """

    injection: datetime
    frame_start_s: tuple[float, ...]
    frame_duration_s: tuple[float, ...]
    decay_reference_s: float | None
    sources: dict[str, str] = field(default_factory=dict)
    remarks: tuple[Flag, ...] = ()

    @property
    def scan_start_s(self) -> float:
        """Start of the first frame, s after the injection."""
        return self.frame_start_s[0]

    @property
    def end_s(self) -> float:
        """End of the last frame, s after the injection."""
        return self.frame_end_s[-1]

    @property
    def frame_end_s(self) -> tuple[float, ...]:
        """End of every frame, s after the injection."""
        frames = zip(self.frame_start_s, self.frame_duration_s, strict=True)
        return tuple(start + duration for start, duration in frames)

    @property
    def kind(self) -> str:
        """``static``, ``dynamic`` or ``dual-window`` (dynamic with a break)."""
        steps = zip(self.frame_start_s[1:], self.frame_end_s, strict=False)
        pauses = [start - end for start, end in steps]
        if self.scan_start_s > _DYNAMIC_BEFORE_S or len(self.frame_start_s) == 1:
            return "static"
        return "dual-window" if pauses and max(pauses) > LONGEST_BREAK_S else "dynamic"
