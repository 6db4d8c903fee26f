"""Which scans count: one of each visit, the first of each participant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bidsapp.data import read_table
from bidsapp.group.tables import Row
from bidsapp.grouping import grouped
from bidsapp.plain import natural


def one_per_visit(rows: Sequence[Row], indices: Iterable[int]) -> list[int]:
    """Scans that count where several show one thing: reconstructions and runs of a session.

    Of several scans of a session with a tracer the one counts whose reconstruction the participant
    has most often, the first of these.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    indices : of scans that may count, in order

    Returns
    -------
    list of int
    """
    indices = list(indices)
    usual = Counter(map(_reconstruction, (rows[index] for index in indices)))
    chosen: dict[tuple[str, ...], int] = {}
    for index in indices:
        other = chosen.setdefault(visit_of(rows[index]), index)
        if usual[_reconstruction(rows[index])] > usual[_reconstruction(rows[other])]:
            chosen[visit_of(rows[index])] = index
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
    known = [index for index, row in enumerate(rows) if row["centiloid"] is not None]
    people = grouped((rows[index]["participant_id"], index) for index in one_per_visit(rows, known))
    return [_earliest(rows, indices) for indices in people.values()]


def _earliest(rows: Sequence[Row], indices: Sequence[int]) -> int:
    order = time_order([rows[index] for index in indices])
    return min(indices, key=lambda index: order(rows[index]))


def label_order(session: str | None) -> tuple[int, tuple[Any, ...]]:
    """Sort key of sessions by label: screening and baseline first, then as numbers count.

    Parameters
    ----------
    session : ``ses-<label>``, None without

    Returns
    -------
    tuple of int, tuple

    Examples
    --------
    >>> sorted(["ses-post", "ses-m12", "ses-m6", "ses-pre", "ses-Screening"], key=label_order)
    ['ses-Screening', 'ses-pre', 'ses-m6', 'ses-m12', 'ses-post']
    """
    label = session or ""
    word = re.sub(r"[\d\W_]", "", label.removeprefix("ses-")).lower()
    words = read_table("cohort")["visits"]["first"]
    rank = next((index for index, alike in enumerate(words) if word in alike), len(words))
    return rank, natural(label)


def time_order(scans: Iterable[Row]) -> Callable[[Row], tuple[Any, ...]]:
    """Sort key of the scans of a person: by time if all are dated, else by labels.

    Parameters
    ----------
    scans : rows of ``group_centiloid.tsv``

    Returns
    -------
    function
        Row -> key.
    """
    dated = all(row["years"] is not None for row in scans)
    return lambda row: (row["years"] if dated else 0.0, label_order(row["session_id"]))
