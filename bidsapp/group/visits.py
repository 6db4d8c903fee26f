"""Visits of a participant: the scans that are compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bidsapp.data.tracers import tau_tracers
from bidsapp.group.scan_choice import label_order, one_per_visit, visit_of
from bidsapp.group.tables import Row

CONSECUTIVE, FIRST_LAST = "consecutive", "first-last"


@dataclass(frozen=True)
class Visits:
    """Scans of one participant with one tracer, one per session, in order of time.

    Attributes
    ----------
    participant, tracer : of all scans; no tracer when it changes between sessions
    indices : of the rows among all
    kinds : of pairs that are compared
    """

    participant: str
    tracer: str | None
    indices: tuple[int, ...]
    kinds: tuple[str, ...] = (CONSECUTIVE, FIRST_LAST)

    def pairs(self) -> list[tuple[str, int, int]]:
        """Pairs of consecutive visits, then the first and the last.

        Of two visits both are the same pair.

        Returns
        -------
        list
            (kind, index, index).
        """
        last = len(self.indices) - 1
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
        index
        for index, row in enumerate(rows)
        if row["status"] == "ok"
        and row["tracer"] not in tau_tracers()
        and row["suvr_wc"] is not None
    ]
    people: dict[str, dict[str, dict[str, int]]] = {}
    for index in one_per_visit(rows, done):
        participant, session, tracer = visit_of(rows[index])
        people.setdefault(participant, {}).setdefault(session, {})[tracer] = index
    courses = []
    for participant, sessions in people.items():
        if len(sessions) > 1:
            courses += _of_person(participant, _in_time(rows, sessions))
    return courses


def _of_person(participant: str, sessions: Sequence[Mapping[str, int]]) -> list[Visits]:
    def course(tracer: str | None, indices: Sequence[int], *kinds: str) -> Visits:
        return Visits(participant, tracer, tuple(indices), kinds or (CONSECUTIVE, FIRST_LAST))

    courses = []
    for tracer in dict.fromkeys(name for seen in sessions for name in seen):
        indices = [seen[tracer] for seen in sessions if tracer in seen]
        if len(indices) > 1:
            courses.append(course(tracer, indices))
    ends = [(FIRST_LAST, sessions[0], sessions[-1])]
    for kind, before, after in [*((CONSECUTIVE, *two) for two in pairwise(sessions)), *ends]:
        if not before.keys() & after.keys():
            indices = [next(iter(before.values())), next(iter(after.values()))]
            courses.append(course(None, indices, kind))
    return courses


def _in_time(
    rows: Sequence[Row], sessions: Mapping[str, Mapping[str, int]]
) -> list[Mapping[str, int]]:
    """Sessions by time when all times are known, else by the order of their labels."""
    times: dict[str, float] = {}
    for name, tracers in sessions.items():
        known = [rows[index]["years"] for index in tracers.values()]
        if None not in known:
            times[name] = min(known)
    if len(times) < len(sessions):
        return [sessions[name] for name in sorted(sessions, key=label_order)]
    return [sessions[name] for name in sorted(sessions, key=lambda session: times[session])]
