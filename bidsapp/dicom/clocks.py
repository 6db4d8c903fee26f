"""When an image was measured, by its own tags: moments on the wall clock of the scanner.

A date-time may count in a zone of its own (PS3.5, VR DT); dates and times count in that of
(0008,0201), as date-times without a zone do.  A tag that cannot be read counts as missing where
another one says the same, and is reported: a dummy or a text in one tag must not cost the scan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bidsapp.bids.values import UNDATED, shorter_way, since_midnight
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.dicom.header import Header, tag_name
from bidsapp.errors import BadDataError

_ZONE = re.compile(r"([+\-])(\d\d)([0-5]\d)")
_ZONES = timedelta(hours=-12), timedelta(hours=14)
_ZONE_STEP = timedelta(minutes=15)  # zones differ by multiples of it
_SAME_EVENT = timedelta(minutes=1)  # two tags of one event, clocks rounded
_SAME_HOUR = timedelta(minutes=15)
_ACQUIRED, _INJECTED = "AcquisitionDateTime", "RadiopharmaceuticalStartDateTime"

_Read = TypeVar("_Read")

Beginning = tuple[datetime, timedelta | None]
"""Date and time of day."""


@dataclass(frozen=True)
class WallClock:
    """The clock that the times of images are read on.

    Attributes
    ----------
    zone : offset from UTC; None: that of each image, and without one, that of the tag itself
    remarks : receives one for every tag that could not be read, each once
    """

    zone: timedelta | None = None
    remarks: dict[Flag, None] | None = None

    def acquired(self, image: Header) -> datetime | None:
        """Start of acquisition of an image by its own tags, None when no tag gives the time.

        A missing date is that of the series or the study; for frames after midnight see
        `bidsapp.dicom.two_clocks`.  Without any date the day is 1900-01-01, which is good enough
        for differences within a scan.

        Parameters
        ----------
        image : its tags

        Returns
        -------
        datetime or None
        """
        moment = self.date_time(image, _ACQUIRED)
        if moment is not None:
            return moment
        clock = self.time_of_day(image, "AcquisitionTime")
        if clock is None:
            return None
        day = self.date(image, "AcquisitionDate") or self.beginning(image)[0]
        return day + clock + self._shift(image)

    def beginning(self, image: Header) -> Beginning:
        """Date and time of day of the series or, when it has no date, of the study.

        Parameters
        ----------
        image : its tags

        Returns
        -------
        (datetime, timedelta or None)
        """
        for kind in ("Series", "Study"):
            day = self.date(image, f"{kind}Date")
            if day is not None:
                return day, self.time_of_day(image, f"{kind}Time")
        clock = self.time_of_day(image, "SeriesTime") or self.time_of_day(image, "StudyTime")
        return UNDATED, clock

    def series_start(self, image: Header) -> datetime | None:
        """Moment that (0054,1300) FrameReferenceTime counts from, None when it has no time of day.

        Parameters
        ----------
        image : its tags

        Returns
        -------
        datetime or None
        """
        clock = self.time_of_day(image, "SeriesTime")
        return None if clock is None else self.beginning(image)[0] + clock + self._shift(image)

    def date_time(self, image: Header, keyword: str) -> datetime | None:
        """Moment of a DICOM date-time; None when it is absent or unreadable.

        Parameters
        ----------
        image, keyword : the tag

        Returns
        -------
        datetime or None
        """
        moment = self._tolerant(image.date_time, keyword)
        of_image = zone_of(image)
        wanted = of_image if self.zone is None else self.zone
        own = zone_of_tag(image, keyword)
        own = of_image if own is None else own
        return moment if moment is None or wanted is None or own is None else moment - own + wanted

    def time_of_day(self, image: Header, keyword: str) -> timedelta | None:
        """Time since midnight; None when it is absent or unreadable.

        Parameters
        ----------
        image, keyword : the tag

        Returns
        -------
        timedelta or None
        """
        return self._tolerant(image.time, keyword)

    def date(self, image: Header, keyword: str) -> datetime | None:
        """Midnight of a date; None when it is absent or unreadable.

        Parameters
        ----------
        image, keyword : the tag

        Returns
        -------
        datetime or None
        """
        return self._tolerant(image.date, keyword)

    def _tolerant(self, read: Callable[[str], _Read | None], keyword: str) -> _Read | None:
        try:
            return read(keyword)
        except BadDataError:
            if self.remarks is not None:
                # Its value is not shown: half of it may be the true date.
                self.remarks[worded_flag("times", "unreadable", tag=tag_name(keyword))] = None
            return None

    def _shift(self, image: Header) -> timedelta:
        """What takes dates and times of an image to the zone of the clock."""
        own = zone_of(image)
        return timedelta(0) if self.zone is None or own is None else self.zone - own


IMAGE_CLOCK = WallClock()
"""Clock of whatever image is read."""


def clock_of(image: Header) -> WallClock:
    """Clock of the images of a series.

    Parameters
    ----------
    image : one of them

    Returns
    -------
    WallClock
    """
    return WallClock(zone_of(image))


# -------------------------------------------------------------------------------------- zones


def zone_of(image: Header) -> timedelta | None:
    """Offset from UTC that (0008,0201) states, None when it states none or several.

    Parameters
    ----------
    image : its tags

    Returns
    -------
    timedelta or None
    """
    texts = set(image.texts("TimezoneOffsetFromUTC"))
    return _offset(texts.pop()) if len(texts) == 1 else None


def zone_of_tag(image: Header, keyword: str) -> timedelta | None:
    """Offset from UTC at the end of a date-time, None when there is none.

    Parameters
    ----------
    image, keyword : the tag

    Returns
    -------
    timedelta or None
    """
    return _offset(image.text(keyword)[-5:]) if len(image.text(keyword)) > 5 else None


def _offset(text: str) -> timedelta | None:
    match = _ZONE.fullmatch(text)
    if match is None:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    offset = -size if match[1] == "-" else size
    return offset if _ZONES[0] <= offset <= _ZONES[1] else None


def zone_of_series(
    images: Sequence[Header], keywords: Iterable[str]
) -> tuple[timedelta | None, Flag | None]:
    """Time zone of the dates and times of a series, and a remark about it.

    Without (0008,0201), a date-time with a zone and a time without one that stand for the same
    event give it.

    Parameters
    ----------
    images : of the series
    keywords : date-times of the injection and of the decay correction

    Returns
    -------
    zone : offset from UTC; None when all times are on one clock whatever its zone
    remark : when the zone was worked out or remains in doubt
    """
    header = images[0]
    if (stated := zone_of(header)) is not None:
        return stated, None
    zoned = [k for k in (_ACQUIRED, *keywords) if zone_of_tag(header, k) is not None]
    if not zoned:
        return None, None
    for keyword, clock in (
        (_ACQUIRED, "AcquisitionTime"),
        (_INJECTED, "RadiopharmaceuticalStartTime"),
    ):
        if keyword in zoned and (zone := _zone_between(header, keyword, clock)) is not None:
            own = zone_of_tag(header, keyword)
            if zone == own:
                return zone, None
            tags = {"moment": tag_name(keyword), "clock": tag_name(clock)}
            return zone, worded_flag("times", "zone-by-two-tags", **tags, zone=_name(zone))
    own = zone_of_tag(header, zoned[0])
    if _ACQUIRED in zoned and _written_like_the_series(images):
        return own, None
    plain = [k for k in (_ACQUIRED, *keywords) if k not in zoned and header.text(k)]
    if _ACQUIRED in zoned and not plain and not header.text("RadiopharmaceuticalStartTime"):
        return own, None  # every moment has its zone
    return own, worded_flag("times", "zone-assumed", moment=tag_name(zoned[0]), zone=_name(own))


def _zone_between(header: Header, keyword: str, clock: str) -> timedelta | None:
    """Zone of a time of day that stands for the same event as a date-time with a zone."""
    own = zone_of_tag(header, keyword)
    moment = IMAGE_CLOCK._tolerant(header.date_time, keyword)
    local = IMAGE_CLOCK.time_of_day(header, clock)
    if own is None or moment is None or not local:
        return None
    between = zones_apart(shorter_way(local - since_midnight(moment)))
    return None if between is None or not _ZONES[0] <= own + between <= _ZONES[1] else own + between


def zones_apart(difference: timedelta) -> timedelta | None:
    """Difference of two zones that makes two clocks differ at one event; None when none does.

    Parameters
    ----------
    difference : between the clocks

    Returns
    -------
    timedelta or None
    """
    between = round(difference / _ZONE_STEP) * _ZONE_STEP
    return between if abs(difference - between) <= _SAME_EVENT else None


def _written_like_the_series(images: Sequence[Header]) -> bool:
    """Whether the first acquisition, as written, begins with the series or the study."""
    moments = [IMAGE_CLOCK._tolerant(image.date_time, _ACQUIRED) for image in images]
    known = [moment for moment in moments if moment is not None]
    if not known:
        return False
    first = since_midnight(min(known))
    clocks = (IMAGE_CLOCK.time_of_day(images[0], f"{kind}Time") for kind in ("Series", "Study"))
    apart = (shorter_way(first - clock) for clock in clocks if clock is not None)
    return any(abs(difference) <= _SAME_HOUR for difference in apart)


def _name(zone: timedelta | None) -> str:
    minutes = 0 if zone is None else round(zone / timedelta(minutes=1))
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
