"""From the headers of a PET series to its frames and to what they say about time."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import numpy as np

from bidsapp.dicom.header import MIDNIGHT, Header
from bidsapp.dicom.series import Series
from bidsapp.dicom.tables import tables
from bidsapp.dicom.timing import FrameClock, ScanClock
from bidsapp.errors import BadDataError

# Images at one position that agree in all of these are copies.
_COPY_TAGS = (
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ActualFrameDuration"),
    *("FrameReferenceTime", "DecayFactor", "RescaleSlope", "ImageIndex", "InstanceNumber"),
    "TemporalPositionIdentifier",
)
_HALF_DAY = timedelta(hours=12)
_HALF_LIVES_S = (60.0, 1e6)  # from O-15 to I-124

Frame = tuple[Header, ...]


def frames_of(series: Series) -> tuple[Frame, ...]:
    """Sort the images of a series into frames; within a frame by position.

    The k-th image in time at every slice position belongs to frame k, which needs no tag that
    counts and works for beds that are acquired one after the other.  An image that was exported
    twice under two instance UIDs counts once.

    Raises
    ------
    BadDataError
        Slice positions hold different numbers of images, so one is missing or doubled.
    """
    positions = series.positions().round(2)
    stacks: dict[float, list[Header]] = defaultdict(list)
    seen = set()
    for position, image in zip(positions, series.images, strict=True):
        description = (float(position), *(image.texts(tag) for tag in _COPY_TAGS))
        if description not in seen:
            seen.add(description)
            stacks[float(position)].append(image)
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) != 1:
        raise BadDataError(
            f"(0020,0032) ImagePositionPatient: slice positions hold {min(counts)} to "
            f"{max(counts)} images instead of one per frame; export the whole series again"
        )
    ordered = [
        sorted(stack, key=_in_time) if len(stack) > 1 else stack
        for _, stack in sorted(stacks.items())
    ]
    return tuple(zip(*ordered, strict=True))


def contents_of(series: Series) -> int | None:
    """Number that two exports of one series share; None for images without a time.

    Headers are compared, not voxels: the times, places and scalings of all slices agree in copies
    alone.
    """
    header = series.header
    if not (header.text("AcquisitionTime") or header.text("AcquisitionDateTime")):
        return None
    tags = (*_COPY_TAGS, "ImagePositionPatient", "ImageOrientationPatient", "ImageType", "Units",
            "Rows", "Columns", "EchoTime")  # fmt: skip
    images = frozenset(tuple(image.texts(tag) for tag in tags) for image in series.images)
    names = ("SeriesDescription", "SeriesNumber", "Modality", "CorrectedImage")
    return hash((images, tuple(header.texts(tag) for tag in names)))


def count_remarks(header: Header, frames: tuple[Frame, ...], n_images: int) -> tuple[str, ...]:
    """Compare the numbers of frames and slices with what the header announces.

    Parameters
    ----------
    header : of the series
    frames : its images in time
    n_images : images found, with copies
    """
    announced = {
        "(0054,0101) NumberOfTimeSlices": ("NumberOfTimeSlices", len(frames), "frames"),
        "(0054,0081) NumberOfSlices": ("NumberOfSlices", len(frames[0]), "slices"),
    }
    remarks = list(header.texts("Remark"))
    remarks += [
        f"{tag} says {expected:g}, but {found} {what} were found"
        for tag, (keyword, found, what) in announced.items()
        if (expected := header.number(keyword)) and expected != found
    ]
    if copies := n_images - sum(map(len, frames)):
        remarks.append(f"{copies} images were exported twice and count once")
    return tuple(remarks)


def _in_time(image: Header) -> tuple[datetime, float, float, float, float]:
    def number(keyword: str) -> float:
        value = image.number(keyword)
        return -1.0 if value is None else value

    return (
        acquired(image) or MIDNIGHT,
        number("FrameReferenceTime"),
        number("TemporalPositionIdentifier"),
        number("ImageIndex"),
        number("InstanceNumber"),
    )


def acquired(image: Header) -> datetime | None:
    """Start of acquisition of an image by its own tags, None when no tag gives the time.

    A missing date is that of the series or the study, or the next day when the time of day lies
    half a day or more before that of the series or study.  Without any date the day is
    1900-01-01, which is good enough for differences within a scan.
    """
    moment = image.date_time("AcquisitionDateTime")
    if moment is not None:
        return moment
    clock = image.time("AcquisitionTime")
    if clock is None:
        return None
    day = image.date("AcquisitionDate")
    if day is not None:
        return day + clock
    day, began = _beginning(image)
    return (
        day + clock if began is None or clock > began - _HALF_DAY else day + clock + 2 * _HALF_DAY
    )


def _beginning(image: Header) -> tuple[datetime, timedelta | None]:
    """Date and time of day of the series or, when it has no date, of the study."""
    for kind in ("Series", "Study"):
        day, clock = image.date(f"{kind}Date"), image.time(f"{kind}Time")
        if day is not None:
            return day, clock
    return MIDNIGHT, image.time("SeriesTime") or image.time("StudyTime")


def scan_clock(
    series: Series, frames: tuple[Frame, ...], stated: datetime | None = None
) -> ScanClock:
    """Collect what the headers of a series say about time.

    Parameters
    ----------
    series, frames : the series and its frames
    stated : time of injection stated by the user, see `ScanClock`

    Raises
    ------
    BadDataError
        A tag is broken, or images of one frame contradict each other.
    """
    header = series.header
    series_clock = header.time("SeriesTime")
    corrected = header.texts("CorrectedImage")
    return ScanClock(
        frames=tuple(_frame_clock(frame) for frame in frames),
        series_start=None if series_clock is None else _beginning(header)[0] + series_clock,
        injection=header.date_time("RadiopharmaceuticalStartDateTime"),
        injection_private=header.date_time("GEAdministrationDateTime"),
        decay_moment=header.date_time("DecayCorrectionDateTime")
        or header.date_time("SiemensDecayCorrectionDateTime"),
        injection_clock=header.time("RadiopharmaceuticalStartTime"),
        stated=stated,
        decay_correction=header.text("DecayCorrection"),
        decay_corrected=(
            tables()["corrected_image"]["decay"] in " ".join(corrected).upper()
            if corrected
            else None
        ),
        half_life_s=half_life(header),
    )


def half_life(header: Header) -> float | None:
    """Half-life in s as the header states it, None when it does not.

    Raises
    ------
    BadDataError
        It belongs to no PET tracer.
    """
    value = header.number("RadionuclideHalfLife")
    if value is not None and not _HALF_LIVES_S[0] <= value <= _HALF_LIVES_S[1]:
        raise header.error("RadionuclideHalfLife", f"is {value:g} s, no tracer's; correct it")
    return value


def _frame_clock(frame: Frame) -> FrameClock:
    starts = [start for start in map(acquired, frame) if start is not None]
    duration_ms = _one_value(frame, "ActualFrameDuration")
    if duration_ms is None:
        raise frame[0].error("ActualFrameDuration", "is missing; export the series again")
    reference_ms = _first_number(frame, "FrameReferenceTime")
    return FrameClock(
        start=min(starts) if len(starts) == len(frame) else None,
        duration_s=duration_ms / 1000,
        reference_s=None if reference_ms is None else reference_ms / 1000,
        decay_factor=_first_number(frame, "DecayFactor"),
    )


def _one_value(frame: Frame, keyword: str) -> float | None:
    """Return the number all images of a frame share."""
    values = {image.number(keyword) for image in frame}
    if len(values) > 1:
        raise frame[0].error(keyword, "differs between the slices of one frame; correct it")
    return values.pop()


def _first_number(frame: Frame, keyword: str) -> float | None:
    """Return the number of the first image; beds after the first have their own later values."""
    values = [image.number(keyword) for image in frame]
    return None if None in values else values[int(np.argmin([v or 0.0 for v in values]))]
