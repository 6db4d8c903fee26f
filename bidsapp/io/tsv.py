"""Tables on disk: TSV with a JSON dictionary, ``n/a`` for unknown values.

Of the standard library and not of pandas, which takes 0.6 s to import and twenty times as long for
a table of some hundred rows, of which the group level reads two for every scan.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from bidsapp.io.atomic import write_json, write_lines
from bidsapp.plain import plain

# What a spreadsheet would take for the beginning of a formula, in full width as well, and what
# pandas and R take for that of a quoted cell.
_FORMULA = tuple('=+-@＝＋－＠"')


def write_table(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    described: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> Path:
    """Write a table and its dictionary, each whole.

    Parameters
    ----------
    path : ends in ``.tsv``
    columns : values by column; numbers are written as the shortest text with the same bits
    described : entry of the dictionary by column: these columns are written, in this order
    about : entries of the dictionary about the table as a whole

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    return _write(path, zip(*(columns[name] for name in described), strict=True), described, about)


def write_rows(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    described: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> Path:
    """Write a table row by row while the rows come, and its dictionary: see `write_table`.

    Parameters
    ----------
    path : ends in ``.tsv``
    rows : values by column
    described, about : as in `write_table`

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    return _write(path, ([row[name] for name in described] for row in rows), described, about)


def _write(
    path: Path,
    rows: Iterable[Iterable[Any]],
    described: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> Path:
    write_lines(path, map(line, chain([described], rows)))
    write_json(path.with_suffix(".json"), {**about, **described})
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a table as `write_table` wrote it, every value as its text.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    list of dict
        Text by column; None in columns that a row does not reach, and under None a list of what a
        row has beyond the last column.

    Raises
    ------
    OSError, ValueError
        It cannot be read; it is not text in UTF-8 or not a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def known_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a table that may be missing or torn: none then.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    list of dict
        As `read_rows`.
    """
    try:
        return read_rows(path)
    except (OSError, ValueError):
        return []


def finite_number(value: Any) -> float | int | None:
    """A finite number, or the one that a text says; None for all else.

    Parameters
    ----------
    value : number, text, or anything else

    Returns
    -------
    float or int or None
        int where a text is of digits alone.

    Examples
    --------
    >>> finite_number("0.1"), finite_number("12"), finite_number("n/a"), finite_number(None)
    (0.1, 12, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return int(value) if isinstance(value, str) and value.isdigit() else number


def line(values: Iterable[Any]) -> str:
    """One line of a table, with its end.

    Parameters
    ----------
    values : of the columns, in order

    Returns
    -------
    str
    """
    return "\t".join(map(cell, values)) + "\n"


def cell(value: Any) -> str:
    """Write one value.

    Text that a spreadsheet would run as a formula, or that begins with a quotation mark, gets an
    apostrophe in front; line breaks, tabs and control characters become blanks.

    Parameters
    ----------
    value : None, number, or what `str` makes text of

    Returns
    -------
    str

    Examples
    --------
    >>> cell(None), cell(0.1 + 0.2), cell(7), cell("=1+1")
    ('n/a', '0.30000000000000004', '7', "'=1+1")
    """
    if value is None:
        return "n/a"
    if isinstance(value, int | float):
        return repr(value)
    return _safe(str(value))


@lru_cache(maxsize=4096)  # long tables have the same names in every scan
def _safe(text: str) -> str:
    text = plain(text).strip()
    if not text:
        return "n/a"
    return f"'{text}" if text.startswith(_FORMULA) else text
