"""Which of two times counts, where (0008,002A) and (0008,0032) of a PET contradict each other.

An anonymiser, a gateway or a console may change one of them, or write the time of the series into
one and those of the frames into the other.  What tells frames apart counts, else what begins with
the series; where neither is clear the scan is refused, for each would give another uptake time.
A series that has one time of day in all its tags may have been given it by an anonymiser: it counts
only where the other time lies a difference of time zones off.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bidsapp.bids.stated import StatedTimes
from bidsapp.bids.values import midnight, shorter_way, since_midnight
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.clocks import IMAGE_CLOCK, WallClock, zone_of_series, zones_apart
from bidsapp.dicom.header import Header
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.dicom.pet_frames import MOMENT_TAGS
from bidsapp.dicom.scan_times import CLOCKS_DISAGREE, NOTED_S, SECOND
from bidsapp.dicom.series import Series

_DAY, _MIDNIGHT = timedelta(days=1), timedelta(0)
_NEIGHBOURS = timedelta(hours=2)
_LONGEST_SCAN = timedelta(hours=6)
_DATE_TIME, _TIME = "AcquisitionDateTime", "AcquisitionTime"


def with_one_clock(series: Series, stated: StatedTimes) -> Series:
    """Leave (0008,002A) out of a PET where (0008,0032) counts, and remark what was contradictory.

    Parameters
    ----------
    series : a PET; those of many images a file say when each was acquired in one way only
    stated : times that the user states; with them nothing is refused

    Returns
    -------
    Series
        The same with one time of acquisition.

    Raises
    ------
    BadDataError
        Both tell frames apart, lie further apart than clocks do, and the series begins with
        neither or with both.
    """
    if is_nifti_or_ecat(series.header.path) or series.header.frame is not None:
        return series
    series = _over_midnight(series)
    images = series.images
    wall = WallClock(zone_of_series(images, MOMENT_TAGS)[0])
    without = [_changed(image, **{_DATE_TIME: ()}) for image in images]
    both = [
        (moment, clock)
        for image, other in zip(images, without, strict=True)
        if image.text(_DATE_TIME) and image.text(_TIME)
        if (moment := wall.acquired(image)) and (clock := wall.acquired(other))
        if since_midnight(clock)
    ]
    apart = [_apart(moment, clock) for moment, clock in both]
    if _is_made_up(images):
        return _remarked(series, worded_flag("times", "dummy"))
    if not apart or max(apart) <= NOTED_S * SECOND:
        return series
    by_moment, by_clock = ([pair[which] for pair in both] for which in (0, 1))
    starts = min(by_moment), min(by_clock)
    near = _apart(*starts) <= CLOCKS_DISAGREE
    of_series = [len(set(moments)) == 1 for moments in (by_moment, by_clock)]
    if near and of_series == [False, True]:
        return series
    if near and of_series == [True, False]:
        return replace(series, images=tuple(without))
    if max(apart) <= CLOCKS_DISAGREE:
        return _used(series, _DATE_TIME)
    begins = [_begins(images, start) for start in starts]
    in_zones = zones_apart(shorter_way(since_midnight(starts[0]) - since_midnight(starts[1])))
    by_series = begins == [False, True] and (in_zones is not None or not _may_be_dummies(images))
    if not since_midnight(by_moment[0]) or by_series:
        return _used(replace(series, images=tuple(without)), _TIME)
    by_moment_alone = begins[0] and (not begins[1] or of_series == [False, True])
    if by_moment_alone or stated.scan_start_s is not None or stated.frame_start_s:
        return _used(series, _DATE_TIME)
    raise refused("frame-times", "two-clocks")


def _over_midnight(series: Series) -> Series:
    """Put frames after midnight on the next day, where one date or none was written into all."""
    images, header = series.images, series.header
    clocks = [IMAGE_CLOCK.time_of_day(image, _TIME) for image in images]
    dates = {IMAGE_CLOCK.date(image, "AcquisitionDate") for image in images} - {None}
    day, begins = IMAGE_CLOCK.beginning(header)
    known = {clock for clock in (*clocks, None if dates else begins) if clock is not None}
    if not any(_NEIGHBOURS > abs(shorter_way(clock)) > _MIDNIGHT for clock in known):
        known.discard(_MIDNIGHT)  # 000000 stands for a removed time
    if len(dates) > 1 or not known or any(image.text(_DATE_TIME) for image in images):
        return series
    after = {clock for clock in known if clock < max(known) - _DAY / 2}
    if not after or _DAY + max(after) - min(known - after) > _LONGEST_SCAN:
        return series
    day = next(filter(None, dates), day)
    dated = (
        _changed(image, AcquisitionDate=(f"{day + _DAY * (clock in after):%Y%m%d}",))
        for image, clock in zip(images, clocks, strict=True)
    )
    series = replace(series, images=tuple(dated))
    return _remarked(series, worded_flag("times", "over-midnight")) if dates else series


def _may_be_dummies(images: Sequence[Header]) -> bool:
    """Whether all times of day are one, which says less than a time that each event has itself."""
    tags = (_TIME, "SeriesTime", "StudyTime")
    return len({IMAGE_CLOCK.time_of_day(image, tag) for image in images for tag in tags}) == 1


def _is_made_up(images: Sequence[Header]) -> bool:
    """Whether all times are one full hour, or one number again and again (111111)."""
    clock = IMAGE_CLOCK.time_of_day(images[0], _TIME)
    if not clock or any(image.text(_DATE_TIME) for image in images) or not _may_be_dummies(images):
        return False
    minutes, seconds = divmod(int(clock / SECOND), 60)
    hours, minutes = divmod(minutes, 60)
    return minutes == seconds and minutes in (0, hours)


def _begins(images: Sequence[Header], start: datetime) -> bool:
    """Whether a scan that starts then begins with its series, or where FrameReferenceTime says."""
    series = IMAGE_CLOCK.time_of_day(images[0], "SeriesTime")
    if series is None:
        return False
    references = [image.readable_number("FrameReferenceTime") for image in images]
    after = [0.0, min((ms / 1000 for ms in references if ms is not None), default=0.0)]
    begin = midnight(start) + series
    return any(_apart(start, begin + timedelta(seconds=s)) <= CLOCKS_DISAGREE for s in after)


def _apart(moment: datetime, other: datetime) -> timedelta:
    """Time between two times of day; dates may have been shifted in one tag alone."""
    return abs(shorter_way(since_midnight(moment) - since_midnight(other)))


def _used(series: Series, used: str) -> Series:
    return _remarked(series, worded_flag("times", "clock-used", used=used))


def _remarked(series: Series, remark: Flag) -> Series:
    first, *others = series.images
    first = replace(first, remarks=(*first.remarks, remark))
    return replace(series, images=(first, *others))


def _changed(image: Header, **values: tuple[str, ...]) -> Header:
    return replace(image, values=ChainMap(values, image.values))  # type: ignore[arg-type]
