"""Which scans count: one of each visit, the first of each participant."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bidsapp.group.tables import Row
from bidsapp.plain import natural


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
        other = chosen.setdefault(visit_of(rows[place]), place)
        if usual[_reconstruction(rows[place])] > usual[_reconstruction(rows[other])]:
            chosen[visit_of(rows[place])] = place
    return sorted(chosen.values())


def visit_of(row: Row) -> tuple[str, str, str]:
    """Participant, session and tracer of a scan.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    (str, str, str)
        No session is an empty text.
    """
    return row["participant_id"], str(row["session_id"] or ""), str(row["tracer"])


def _reconstruction(row: Row) -> tuple[str, str, str | None]:
    return row["participant_id"], str(row["tracer"]), row["rec"]


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
