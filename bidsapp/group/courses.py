"""Courses of participants with several scans, and scans that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import linear_regression

from bidsapp.bids.values import DAY_S, YEAR_DAYS
from bidsapp.data import read_table
from bidsapp.group.tables import Row
from bidsapp.group.visits import Visits
from bidsapp.io.tsv import finite_number
from bidsapp.plain import some
from bidsapp.record import ScanRecord
from bidsapp.record.about import known_of


@dataclass(frozen=True)
class Course:
    """Centiloids of one participant with one tracer, in order of time.

    Attributes
    ----------
    participant, tracer : of all scans
    indices : of the rows among all
    times : years since the first scan, or 0, 1, 2 ... when no times are known
    values : CL
    in_years : whether the times are years
    """

    participant: str
    tracer: str
    indices: tuple[int, ...]
    times: tuple[float, ...]
    values: tuple[float, ...]
    in_years: bool

    @property
    def slope(self) -> float | None:
        """Change by least squares, CL per year or per visit; None over less than half a year."""
        shortest = read_table("cohort")["change"]["shortest_years"]
        if self.in_years and max(self.times) - min(self.times) < shortest:
            return None
        return linear_regression(self.times, self.values).slope


_MOST_YEARS = 50  # 2021 is not a number of years, and dates further apart are not of one calendar


def course_groups(records: Sequence[ScanRecord]) -> dict[str, list[str | None]]:
    """Value of every scan for each column of participants.tsv that defines groups of people.

    Parameters
    ----------
    records : scans

    Returns
    -------
    dict of list
        Only columns with several values, and not too many, are there.
    """
    limits = read_table("cohort")["course"]
    columns = {}
    for name in limits["groups"]:
        values = [known_of(record, (name,)) for record in records]
        if 1 < len(set(values) - {None}) <= limits["most_groups"]:
            columns[name] = values
    return columns


def treated_years(record: ScanRecord, years: float | None) -> float | None:
    """Years from the start of treatment to a scan; negative before it, None where not known.

    Parameters
    ----------
    record : with the columns of participants.tsv; the begin is a date there, or years since the
        first scan
    years : since the participant's first scan

    Returns
    -------
    float or None
    """
    begin = _begin_of_treatment(_given_begin(record))
    if begin is None:
        return None
    if not isinstance(begin, datetime):
        return None if years is None else years - begin
    if record.acquired is None or not _of_one_calendar(begin, record.acquired):
        return None
    return _years_between(begin, record.acquired)


def treatment_warnings(records: Sequence[ScanRecord]) -> list[str]:
    """Sentences about participants whose start of treatment is given and cannot be used.

    Parameters
    ----------
    records : scans

    Returns
    -------
    list of str
    """
    unread, apart = {}, {}
    for record in records:
        if (text := _given_begin(record)) is None:
            continue
        begin, scanned = _begin_of_treatment(text), record.acquired
        if begin is None:
            unread[record.participant_id] = f"{record.participant_id} {text[:20]!r}"
        elif isinstance(begin, datetime) and scanned and not _of_one_calendar(begin, scanned):
            apart[record.participant_id] = record.participant_id
    whys = {
        "is neither a date such as 2021-03-31 nor years since the first scan": unread,
        "and acq_time of the scans cannot be of one calendar, so dates of one were shifted": apart,
    }
    return [
        f"the start of treatment of {some(people.values(), 3, 'others')} {why}: these people are "
        "not in the chart of time since treatment; correct participants.tsv and run the "
        "participant level again"
        for why, people in whys.items()
        if people
    ]


def _years_between(begin: datetime, scanned: datetime) -> float:
    return (scanned - begin).total_seconds() / DAY_S / YEAR_DAYS


def _of_one_calendar(begin: datetime, scanned: datetime) -> bool:
    """Whether two dates can be shown on one calendar; those of scans may be shifted by decades."""
    return abs(_years_between(begin, scanned)) < _MOST_YEARS


def _given_begin(record: ScanRecord) -> str | None:
    return known_of(record, read_table("cohort")["course"]["treatment_start"])


def _begin_of_treatment(text: str | None) -> float | datetime | None:
    """Years since the first scan, or a date; None for what is neither."""
    years = finite_number(text)
    if text is None or (years is not None and years < _MOST_YEARS):
        return years
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def courses(
    rows: Sequence[Row], visits: Sequence[Visits], treated: Sequence[float | None] | None = None
) -> list[Course]:
    """Courses of the participants with Centiloids of a tracer at two visits or more.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``, in order
    visits : the scans that are compared, of `bidsapp.group.visits.all_visits`
    treated : years since treatment began, of every row: times are these then, and only people
        whose scans all have one are there; None counts from the first scan

    Returns
    -------
    list of Course
    """
    drawn = []
    for scans in visits:
        indices = [index for index in scans.indices if rows[index]["centiloid"] is not None]
        if scans.tracer is None or len(indices) < 2:
            continue
        stated = [rows[index]["years"] if treated is None else treated[index] for index in indices]
        moments = {
            i: moment for i, moment in zip(indices, stated, strict=True) if moment is not None
        }
        in_years = len(moments) == len(indices)
        if in_years:
            indices.sort(key=moments.__getitem__)
            start = moments[indices[0]] if treated is None else 0.0
            times = [moments[index] - start for index in indices]
        elif treated is None:
            times = [float(visit) for visit in range(len(indices))]
        else:
            continue
        values = tuple(float(rows[index]["centiloid"]) for index in indices)
        course = Course(
            scans.participant, scans.tracer, tuple(indices), tuple(times), values, in_years
        )
        drawn.append(course)
    return drawn


@dataclass(frozen=True)
class Gap:
    """A scan that most participants of the study have and this one has not.

    Attributes
    ----------
    participant : label
    session : label
    tracer : code
    """

    participant: str
    session: str
    tracer: str


def gaps(rows: Sequence[Row]) -> list[Gap]:
    """Sessions with a tracer that at least half of its participants have, and others have not.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    list of Gap
    """
    seen: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        if row["tracer"] is None:
            continue
        sessions = seen.setdefault(row["tracer"], {})
        sessions.setdefault(str(row["session_id"] or ""), set()).add(row["participant_id"])
    missing = []
    for tracer, sessions in seen.items():
        people = set().union(*sessions.values())
        for session, present in sessions.items():
            if session and 2 * len(present) >= len(people):
                missing += [Gap(who, session, tracer) for who in sorted(people - present)]
    return missing
