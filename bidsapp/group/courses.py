"""Participants scanned more than once: how their Centiloid changes; and scans that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Course:
    """Centiloids of one participant with one tracer, in order of time.

    Attributes
    ----------
    participant, tracer : of all scans
    places : of the rows among all
    times : years since the first scan, or 0, 1, 2 ... when no times are known
    values : CL
    in_years : whether the times are years
    """

    participant: str
    tracer: str
    places: tuple[int, ...]
    times: tuple[float, ...]
    values: tuple[float, ...]
    in_years: bool

    @property
    def slope(self) -> float | None:
        """Change by the line of least squares, CL per year or per visit; None at one time."""
        n = len(self.times)
        at, mean = sum(self.times) / n, sum(self.values) / n
        spread = sum((t - at) ** 2 for t in self.times)
        if spread < 1e-9:
            return None
        pairs = zip(self.times, self.values, strict=True)
        return sum((t - at) * (v - mean) for t, v in pairs) / spread


def courses(rows: Sequence[Row]) -> list[Course]:
    """Courses of everybody with two sessions or more; one scan per session, the first of them.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``, in order
    """
    grouped: dict[tuple[str, str], dict[str, int]] = {}
    for place, row in enumerate(rows):
        if row["centiloid"] is not None:
            sessions = grouped.setdefault((row["participant_id"], str(row["tracer"])), {})
            sessions.setdefault(str(row["session_id"]), place)
    found = []
    for (participant, tracer), sessions in grouped.items():
        if len(sessions) < 2:
            continue
        places = list(sessions.values())
        in_years = all(rows[place]["years"] is not None for place in places)
        if in_years:
            places.sort(key=lambda place: rows[place]["years"])
            start = rows[places[0]]["years"]
            times = [rows[place]["years"] - start for place in places]
        else:
            times = [float(visit) for visit in range(len(places))]
        values = tuple(float(rows[place]["centiloid"]) for place in places)
        found.append(Course(participant, tracer, tuple(places), tuple(times), values, in_years))
    return found


@dataclass(frozen=True)
class Gap:
    """A scan that others of the study have and a participant has not."""

    participant: str
    session: str
    tracer: str


def gaps(rows: Sequence[Row]) -> list[Gap]:
    """Sessions with a tracer that at least half of its participants have, and others have not."""
    seen: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        sessions = seen.setdefault(str(row["tracer"]), {})
        sessions.setdefault(str(row["session_id"] or ""), set()).add(row["participant_id"])
    found = []
    for tracer, sessions in seen.items():
        people = set().union(*sessions.values())
        for session, present in sessions.items():
            if session and 2 * len(present) >= len(people):
                found += [Gap(who, session, tracer) for who in sorted(people - present)]
    return found
