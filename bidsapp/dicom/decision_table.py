"""The decision table: one row per series with kind, decision and reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

KEPT, JOINED, SKIPPED, FAILED = "kept", "joined", "skipped", "error"


@dataclass(frozen=True)
class DecisionRow:
    """One series; text without names, identifiers and dates of people."""

    participant_id: str
    series: str  # number and, when it was split, part
    description: str
    kind: str
    files: int
    decision: str  # kept, joined (a part of another), skipped or error
    target: str  # path below the dataset without extension; empty unless kept or joined
    reason: str


COLUMNS = tuple(field.name for field in fields(DecisionRow))


def cells(row: DecisionRow) -> tuple[str, ...]:
    """Return the row as text in the order of ``COLUMNS``.

    Parameters
    ----------
    row : of the table

    Returns
    -------
    tuple of str
    """
    return tuple(str(value) for value in astuple(row))


def in_order(rows: Sequence[DecisionRow]) -> tuple[DecisionRow, ...]:
    """Sort rows by participant and series number.

    Parameters
    ----------
    rows : in any order

    Returns
    -------
    tuple of DecisionRow
    """

    def key(row: DecisionRow) -> tuple[object, ...]:
        numbers = tuple(int(digits) for digits in re.findall(r"\d+", row.series))
        return row.participant_id, numbers, row.series, row.target, row.description, row.kind

    return tuple(sorted(rows, key=key))


def format_table(rows: Sequence[DecisionRow]) -> str:
    """Decision table as aligned text, one line per series.

    Parameters
    ----------
    rows : in the order they are shown in

    Returns
    -------
    str
    """
    table = [COLUMNS, *map(cells, rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]])
        for line in table
    )
