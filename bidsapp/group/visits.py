"""Visits of a participant: the scans that are compared, and mismatches between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tracers import tau_tracers
from bidsapp.group.tables import Row
from bidsapp.plain import natural
from bidsapp.report.render import number

CONSECUTIVE, FIRST_LAST = "consecutive", "first-last"


@dataclass(frozen=True)
class Visits:
    """Scans of one participant with one tracer, one per session, in order of time.

    Attributes
    ----------
    participant, tracer : of all scans; no tracer when it changes between sessions
    places : of the rows among all
    kinds : of pairs that are compared
    """

    participant: str
    tracer: str | None
    places: tuple[int, ...]
    kinds: tuple[str, ...] = (CONSECUTIVE, FIRST_LAST)

    def pairs(self) -> list[tuple[str, int, int]]:
        """Pairs of consecutive visits, then the first and the last.

        Of two visits both are the same pair.

        Returns
        -------
        list
            (kind, index, index).
        """
        last = len(self.places) - 1
        pairs = [(CONSECUTIVE, i, i + 1) for i in range(last)] + [(FIRST_LAST, 0, last)]
        return [pair for pair in pairs if pair[0] in self.kinds]


def all_visits(rows: Sequence[Row]) -> list[Visits]:
    """Courses of everybody with a result in two sessions or more.

    Scans of tau are left out: the uptake ratio of the Centiloid volumes is none of theirs.
    Sessions that follow each other, or are first and last, without a tracer in common are compared
    as a course of two without a tracer.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``, in order

    Returns
    -------
    list of Visits
    """
    done = [
        place
        for place, row in enumerate(rows)
        if row["status"] == "ok"
        and row["tracer"] not in tau_tracers()
        and row["suvr_wc"] is not None
    ]
    people: dict[str, dict[str, dict[str, int]]] = {}
    for place in one_per_visit(rows, done):
        participant, session, tracer = _visit(rows[place])
        people.setdefault(participant, {}).setdefault(session, {})[tracer] = place
    courses = []
    for participant, sessions in people.items():
        if len(sessions) > 1:
            courses += _of_person(participant, _in_time(rows, sessions))
    return courses


def one_per_visit(rows: Sequence[Row], places: Iterable[int]) -> list[int]:
    """Scans that count where several show one thing: reconstructions and runs of a session.

    Of several scans of a session with a tracer the one counts whose reconstruction the participant
    has most often, the first of these.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    places : of scans that may count, in order

    Returns
    -------
    list of int
    """
    places = list(places)
    usual = Counter(map(_reconstruction, (rows[place] for place in places)))
    chosen: dict[tuple[str, ...], int] = {}
    for place in places:
        other = chosen.setdefault(_visit(rows[place]), place)
        if usual[_reconstruction(rows[place])] > usual[_reconstruction(rows[other])]:
            chosen[_visit(rows[place])] = place
    return sorted(chosen.values())


def _visit(row: Row) -> tuple[str, str, str]:
    return row["participant_id"], str(row["session_id"] or ""), str(row["tracer"])


def _reconstruction(row: Row) -> tuple[str, str, str | None]:
    return row["participant_id"], str(row["tracer"]), row["rec"]


def _of_person(participant: str, sessions: Sequence[Mapping[str, int]]) -> list[Visits]:
    def course(tracer: str | None, places: Sequence[int], *kinds: str) -> Visits:
        return Visits(participant, tracer, tuple(places), kinds or (CONSECUTIVE, FIRST_LAST))

    courses = []
    for tracer in dict.fromkeys(name for seen in sessions for name in seen):
        places = [seen[tracer] for seen in sessions if tracer in seen]
        if len(places) > 1:
            courses.append(course(tracer, places))
    ends = [(FIRST_LAST, sessions[0], sessions[-1])]
    for kind, before, after in [*((CONSECUTIVE, *two) for two in pairwise(sessions)), *ends]:
        if not before.keys() & after.keys():
            places = [next(iter(before.values())), next(iter(after.values()))]
            courses.append(course(None, places, kind))
    return courses


def _in_time(
    rows: Sequence[Row], sessions: Mapping[str, Mapping[str, int]]
) -> list[Mapping[str, int]]:
    """Sessions by time when all times are known, else by the order of their labels."""
    times: dict[str, float] = {}
    for name, tracers in sessions.items():
        known = [rows[place]["years"] for place in tracers.values()]
        if None not in known:
            times[name] = min(known)
    if len(times) < len(sessions):
        return [sessions[name] for name in sorted(sessions, key=natural)]
    return [sessions[name] for name in sorted(sessions, key=lambda session: times[session])]


def first_scans(rows: Sequence[Row]) -> list[int]:
    """Indices of the first scan of every participant with a Centiloid, by time, else by session.

    Of several scans of that session with a tracer the one of `one_per_visit`.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    list of int
    """
    first: dict[str, int] = {}
    known = [place for place, row in enumerate(rows) if row["centiloid"] is not None]
    for place in one_per_visit(rows, known):
        before = first.setdefault(rows[place]["participant_id"], place)
        if moment(rows[place]) < moment(rows[before]):
            first[rows[place]["participant_id"]] = place
    return list(first.values())


def moment(row: Row) -> tuple[float, tuple[Any, ...]]:
    """Sort key of scans by time: those without a date come last, by their labels.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    tuple[float, tuple[Any, ...]]
    """
    years = row["years"]
    return (math.inf if years is None else years, natural(str(row["session_id"] or "")))


@dataclass(frozen=True)
class Match:
    """How two scans compare.

    Attributes
    ----------
    flags : what differs
    unknown : what could not be compared because a scan does not tell it
    """

    flags: tuple[Flag, ...]
    unknown: tuple[str, ...]

    def has(self, code: str) -> bool:
        """Whether there is a flag of this code.

        Parameters
        ----------
        code : of a flag

        Returns
        -------
        bool
        """
        return any(flag.code == code for flag in self.flags)


def match(first: Row, last: Row) -> Match:
    """Compare what should be the same in two scans of a person.

    Parameters
    ----------
    first, last : rows of ``group_centiloid.tsv``

    Returns
    -------
    Match
    """
    flags: dict[str, Flag] = {}
    unknown = []
    for row in read_table("cohort")["same"]:
        column, code = row["column"], row["code"]
        before, after = first.get(column), last.get(column)
        if (before is None or after is None) and not row.get("may_lack"):
            unknown.append(column)
        elif before != after:
            sentence = (
                f"{row['words']} {after or 'none'}, previously {before or 'none'}: {row['advice']}"
            )
            flags.setdefault(code, Flag(code, sentence))
    limits = read_table("cohort")["change"]
    for what, columns, limit, digits in (
        ("window", ("window_start_min", "window_end_min"), limits["window_min"], 0),
        ("resolution", ("pet_fwhm_mm",), limits["resolution_mm"], 1),
    ):
        numbers = [[scan.get(column) for column in columns] for scan in (first, last)]
        if what == "window" and first["tracer"] != last["tracer"]:
            continue
        if any(None in of_scan for of_scan in numbers):
            unknown.append(what)
        elif max(abs(b - a) for a, b in zip(*numbers, strict=True)) > limit:
            before, after = ("-".join(number(x, digits) for x in of_scan) for of_scan in numbers)
            code = f"other-{what}"
            flags[code] = worded_flag(code, before=before, after=after)
    return Match(tuple(flags.values()), tuple(unknown))
