"""From the headers of a PET series to its frames and their times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.stated import NOTHING_STATED, StatedTimes
from bidsapp.bids.values import UNDATED
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.data.tracers import half_lives_s
from bidsapp.dicom.clocks import IMAGE_CLOCK, WallClock, clock_of, zone_of_series
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, shared_number, tag_name
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.dicom.remarks import NOTE, TIMES
from bidsapp.dicom.scan_times import (
    CLOCKS_DISAGREE,
    LONGEST_BREAK_S,
    NOTED_S,
    SECOND,
    FrameClock,
    ScanClock,
    TimeModel,
)
from bidsapp.dicom.series import Series, snapped
from bidsapp.grouping import grouped

MOMENT_TAGS = (
    *("RadiopharmaceuticalStartDateTime", "GEAdministrationDateTime"),
    *("DecayCorrectionDateTime", "SiemensDecayCorrectionDateTime"),
)
_SAME_DECAY = 2e-5  # factors of one frame; those of two frames of a second differ by 1e-4
_UNITS_S = {"min": 60.0, "h": 3600.0, "ms": 1e-3}
_SAME_HALF_LIFE, _OTHER_HALF_LIFE = 0.02, 0.05  # of that of a nuclide, rounded or not in s
_SHORTEST_STATIC_S = 5.0  # an hour written in s instead of ms is less
_HALF_LIVES_S = (60.0, 1e6)  # from O-15 to I-124

Frame = tuple[Header, ...]
_Description = tuple[float, tuple[tuple[str, ...], ...]]


def frames_of(series: Series) -> tuple[Frame, ...]:
    """Sort the images of a series into frames; within a frame by position.

    The k-th image in time at every slice position belongs to frame k, which needs no tag that
    counts and works for beds that are acquired one after the other.  An image that was exported
    twice under two instance UIDs counts once.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    tuple of Frame
        In time.

    Raises
    ------
    BadDataError
        Slice positions hold different numbers of images, so one is missing or doubled; or so many
        are missing that a frame would hold slices of two.
    """
    described = _by_description(series).items()
    stacks = grouped((position, image) for (position, _), (image, *_) in described)
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) != 1:
        raise refused("slices", "uneven-frames", least=min(counts), most=max(counts))
    ordered = [_ordered(stack) if len(stack) > 1 else stack for _, stack in sorted(stacks.items())]
    frames = tuple(zip(*ordered, strict=True))
    if series.header.text("Modality") != "MR":
        _refuse_woven(series, frames)
    return frames


def copies_in(series: Series) -> list[tuple[Header, Header]]:
    """Images of a series that count once by their headers: the one that is kept, and a copy.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    list of (Header, Header)
    """
    groups = _by_description(series).values()
    return [(kept, copy) for kept, *copies in groups for copy in copies]


def _by_description(series: Series) -> dict[_Description, list[Header]]:
    """Images of a series by position and by what tells frames apart."""
    tags = tables()["compared"]["copies"]
    places = zip(series.positions().tolist(), series.images, strict=True)
    return grouped(((place, tuple(map(image.plain, tags))), image) for place, image in places)


def _refuse_woven(series: Series, frames: tuple[Frame, ...]) -> None:
    """Refuse frames that hold slices of several, because images between them are lost.

    Slices of one frame may differ in time when beds were acquired one after the other.  Then
    positions that have one moment in common have all, and no image is missing.
    """
    header = series.header
    for keyword, moments in _moments(frames).items():
        by_position = np.unique(moments, axis=1)
        if by_position.shape[1] == 1:
            continue
        n_moments = sum(len(np.unique(column)) for column in by_position.T)
        shared = n_moments > len(np.unique(moments))
        single = header.text("SeriesType").startswith("DYNAMIC") and len(frames) == 1
        lost = (header.number("NumberOfTimeSlices") or 0) > len(frames)
        if shared or single or lost or _numbered_with_gaps(series):
            raise header.error(keyword, worded("slices", "woven"))


def _moments(frames: tuple[Frame, ...]) -> dict[str, NDArray[np.float64]]:
    """Keyword -> what it says of the time of all images, shape (frames, slices), if all say it.

    Times that lie less than half a frame apart are the same.
    """
    images = [image for frame in frames for image in frame]
    durations = [image.number("ActualFrameDuration") or 0.0 for image in images]
    half_ms = min(durations) / 2
    starts = [_seconds(moment) for moment in map(clock_of(images[0]).acquired, images)]
    values_of: dict[str, tuple[list[float | None], float]] = {
        "AcquisitionTime": (starts, half_ms / 1000),
        "FrameReferenceTime": (_reference_times(images), half_ms),
        "DecayFactor": ([image.number("DecayFactor") for image in images], _SAME_DECAY),
    }
    return {
        keyword: snapped(np.array(values, float), tolerance).reshape(len(frames), -1)
        for keyword, (values, tolerance) in values_of.items()
        if None not in values
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - UNDATED).total_seconds()


def _numbered_with_gaps(series: Series) -> bool:
    numbers = [image.readable_number("InstanceNumber") for image in series.images]
    known = {number for number in numbers if number is not None}
    return len(known) == len(numbers) and max(known) - min(known) >= len(known)


def contents_of(series: Series) -> int | None:
    """Number that two exports of one series share; None for images without a time.

    Headers are compared, not voxels: the times, places and scalings of all slices agree in copies
    alone.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    int or None
    """
    header = series.header
    if not (header.text("AcquisitionTime") or header.text("AcquisitionDateTime")):
        return None
    compared = tables()["compared"]
    tags = (*compared["copies"], *compared["contents"])
    images = frozenset(tuple(image.plain(tag) for tag in tags) for image in series.images)
    names = ("SeriesDescription", "SeriesNumber", "Modality", "CorrectedImage")
    return hash((images, tuple(header.plain(tag) for tag in names)))


def about_images(
    series: Series, frames: tuple[Frame, ...], times: TimeModel, n_whole: int
) -> list[Flag]:
    """Report beds, of images exported twice, and of what is missing by counts or times.

    Parameters
    ----------
    series, frames, times : a PET series, its images in time, and its times
    n_whole : frames of the scan that the series is, or is a part of

    Returns
    -------
    list of Flag
    """
    counts = _counted(series.header, frames, n_whole)
    remarks = [remark for remark in series.header.remarks if remark.code == NOTE]
    remarks += [Flag(NOTE, str(count)) for count in counts if not count.missing]
    if any(np.ptp(moments, axis=1).max() for moments in _moments(frames).values()):
        remarks.append(worded_flag("note", "beds"))
    if copies := len(series.images) - sum(map(len, frames)):
        remarks.append(worded_flag("note", "exported-twice", copies=copies))
    lost = [count for count in counts if count.missing]
    remarks += [worded_flag(f"{count.what}-missing", "count", count=count) for count in lost]
    steps = zip(times.frame_end_s, times.frame_start_s[1:], strict=False)
    shorter = map(min, itertools.pairwise(times.frame_duration_s))
    holes = [
        f"{end:g} to {start:g} s"
        for (end, start), duration in zip(steps, shorter, strict=True)
        if duration <= start - end <= LONGEST_BREAK_S
    ]
    if holes and not any(count.what == "frames" for count in lost):
        remarks.append(worded_flag("frames-missing", "holes", holes=", ".join(holes)))
    return remarks


@dataclass(frozen=True)
class _Count:
    """A number the header states, and what was found."""

    tag: str
    what: str
    stated: float
    counted: int
    of_all: bool = False  # images of all frames, which some scanners write for those of one

    def __str__(self) -> str:
        return f"{self.tag} says {self.stated:g}, but {self.counted} {self.what} were found"

    @property
    def missing(self) -> bool:
        return self.stated > self.counted and not self.of_all


def _counted(header: Header, frames: tuple[Frame, ...], n_whole: int) -> list[_Count]:
    """Counts of slices and frames that differ from what the header states.

    Series that are parts of one scan state the frames of the part or of the whole.
    """
    n_frames, n_slices = len(frames), len(frames[0])
    counts = []
    if stated := header.number("NumberOfSlices"):
        of_all = n_frames > 1 and stated == n_frames * n_slices
        counts.append(_Count("(0054,0081) NumberOfSlices", "slices", stated, n_slices, of_all))
    if stated := header.number("NumberOfTimeSlices"):
        counted = n_whole if stated >= n_whole else n_frames
        counts.append(_Count("(0054,0101) NumberOfTimeSlices", "frames", stated, counted))
    return [count for count in counts if count.stated != count.counted]


def _ordered(stack: list[Header]) -> list[Header]:
    """Images of one position in time; by what counts them where one has no time of its own."""
    clock = clock_of(stack[0])
    timed = all(clock.acquired(image) is not None for image in stack)
    return sorted(stack, key=lambda image: _in_time(image, clock)[0 if timed else 1 :])


def _in_time(image: Header, clock: WallClock) -> tuple[datetime, float, float, float, float]:
    def number(keyword: str) -> float:
        value = image.readable_number(keyword)
        return -1.0 if value is None else value

    return (
        clock.acquired(image) or UNDATED,
        number("FrameReferenceTime"),
        number("TemporalPositionIdentifier"),
        number("ImageIndex"),
        number("InstanceNumber"),
    )


def scan_clock(
    series: Series,
    frames: tuple[Frame, ...],
    stated: datetime | None = None,
    stated_times: StatedTimes = NOTHING_STATED,
) -> ScanClock:
    """Collect the time information in the headers of a series.

    Parameters
    ----------
    series, frames : the series and its frames
    stated : time of injection stated by the user, see `ScanClock`
    stated_times : other times the user states

    Returns
    -------
    ScanClock

    Raises
    ------
    BadDataError
        A tag is broken that nothing can stand in for, or images of one frame contradict each other.
    """
    header = series.header
    corrected = " ".join(header.texts("CorrectedImage")).upper()
    zone, about_zone = zone_of_series(series.images, MOMENT_TAGS)
    on_times = [remark for remark in header.remarks if remark.code == TIMES]
    remarks = dict.fromkeys([*on_times, *filter(None, [about_zone, _half_life(header)[1]])])
    if stated is None and not stated_times.keys:
        remarks |= dict.fromkeys(_about_injections(series.images))
    clock = WallClock(zone, remarks)
    moments = {key: clock.date_time(header, key) for key in MOMENT_TAGS}
    durations = stated_times.durations_s
    if durations and len(durations) != len(frames):
        raise refused("frame-times", "stated-durations", given=len(durations), n=len(frames))
    clocks = tuple(
        _frame_clock(frame, durations[i] if durations else None, clock)
        for i, frame in enumerate(frames)
    )
    longest = max(frame_clock.duration_s for frame_clock in clocks)
    if header.text("SeriesType").startswith(("STATIC", "WHOLE")) and longest < _SHORTEST_STATIC_S:
        raise refused("frame-times", "not-of-static", duration=longest)
    return ScanClock(
        frames=clocks,
        series_start=clock.series_start(header),
        injection=moments["RadiopharmaceuticalStartDateTime"],
        injection_private=moments["GEAdministrationDateTime"],
        decay_moment=moments["DecayCorrectionDateTime"]
        or moments["SiemensDecayCorrectionDateTime"],
        injection_clock=clock.time_of_day(header, "RadiopharmaceuticalStartTime"),
        stated=stated,
        stated_times=stated_times,
        decay_correction=header.shown("DecayCorrection"),
        decay_corrected=tables()["corrected_image"]["decay"] in corrected if corrected else None,
        half_life_s=half_life(header),
        in_suv=header.text("Units").upper() in tables()["suv_units"]["names"],
        remarks=tuple(remarks),
        zeros_removed=not is_nifti_or_ecat(header.path),  # TimeZero of a sidecar may be midnight
    )


def _about_injections(images: Sequence[Header]) -> Iterator[Flag]:
    """Report injections that differ between the images of a series.

    Raises
    ------
    BadDataError
        They are those of several scans.
    """
    for keyword in ("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"):
        unlike = {image.texts(keyword): image for image in images}.values()
        known = [since for image in unlike if (since := _injected(image, keyword)) is not None]
        apart = max(known, default=timedelta(0)) - min(known, default=timedelta(0))
        if apart > CLOCKS_DISAGREE:
            raise refused("injection", "contradictory", tag=tag_name(keyword))
        if apart > NOTED_S * SECOND:
            yield worded_flag("times", "injection-differs", tag=tag_name(keyword))


def _injected(image: Header, keyword: str) -> timedelta | None:
    if not keyword.endswith("DateTime"):
        return IMAGE_CLOCK.time_of_day(image, keyword)
    moment = IMAGE_CLOCK.date_time(image, keyword)
    return None if moment is None else moment - UNDATED


def half_life(header: Header) -> float | None:
    """Half-life in s as the header states it, None when it does not.

    Parameters
    ----------
    header : of the series

    Returns
    -------
    float or None

    Raises
    ------
    BadDataError
        It belongs to no PET tracer.
    """
    return _half_life(header)[0]


def _half_life(header: Header) -> tuple[float | None, Flag | None]:
    """Half-life in s, and what to report of a number that stands for none or is in another unit."""
    value = header.number("RadionuclideHalfLife")
    if value == 0:
        return None, worded_flag("times", "half-life-zero")
    if value is not None and not _is_a_half_life(value, _OTHER_HALF_LIFE):
        for unit, seconds in _UNITS_S.items():
            if _is_a_half_life(value * seconds, _SAME_HALF_LIFE):
                remark = worded_flag("times", "half-life-unit", value=value, unit=unit)
                return value * seconds, remark
    if value is not None and not _HALF_LIVES_S[0] <= value <= _HALF_LIVES_S[1]:
        raise header.error(
            "RadionuclideHalfLife", f"is {value:g} s, which no tracer has; correct it"
        )
    return value, None


def _is_a_half_life(seconds: float, tolerance: float) -> bool:
    return any(abs(seconds / known - 1) <= tolerance for known in half_lives_s().values())


def _frame_clock(frame: Frame, duration_s: float | None, clock: WallClock) -> FrameClock:
    """What the headers of a frame say; the duration is theirs unless a user states it."""
    starts = [start for start in map(clock.acquired, frame) if start is not None]
    if duration_s is None:
        remedy = "the slices of one frame; correct it"
        duration_ms = shared_number(frame, "ActualFrameDuration", remedy)
        if duration_ms is None:
            raise refused("frame-times", "no-duration", header=frame[0])
        duration_s = duration_ms / 1000
    reference_ms = _first(_reference_times(frame))
    return FrameClock(
        start=min(starts) if len(starts) == len(frame) else None,
        duration_s=duration_s,
        reference_s=None if reference_ms is None else reference_ms / 1000,
        decay_factor=_first([image.number("DecayFactor") for image in frame]),
    )


def _reference_times(images: Sequence[Header]) -> list[float | None]:
    """FrameReferenceTime in ms; what cannot be read is as good as missing."""
    return [image.readable_number("FrameReferenceTime") for image in images]


def _first(values: Sequence[float | None]) -> float | None:
    """Return the number of the first image; beds after the first have their own later values."""
    return None if None in values else values[int(np.argmin([v or 0.0 for v in values]))]
