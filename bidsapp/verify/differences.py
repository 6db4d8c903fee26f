"""Two versions of the same numbers, stored and derived anew: where do they differ?

Text must agree exactly, numbers to within the rounding of another machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bidsapp.plain import shortened

Row = Mapping[str, Any]


class How(StrEnum):
    """How a file was checked."""

    NUMBERS = "hash and numbers"
    HASH = "hash"
    CONTENT = "content made again"
    UNKNOWN = "not checked"


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was computed.

    Attributes
    ----------
    path : file, relative to the dataset
    field : column, field or voxels; ``n/a`` for the file as a whole
    stated, found : what the file says, and what it should say
    sentence : all of it for a person
    """

    path: str
    field: str
    stated: str
    found: str
    sentence: str


@dataclass(frozen=True)
class Tolerance:
    """Largest difference of two numbers that count as equal.

    Attributes
    ----------
    relative : of the larger one
    absolute : in the unit of the number
    """

    relative: float = 1e-6
    absolute: float = 1e-9


SAME_ARRAY = Tolerance()  # the same sums over the same voxels, by another version of NumPy
CENTILOIDS = Tolerance(1e-6, 1e-4)  # CL; a difference of two large numbers
THROUGH_WARP = Tolerance(1e-4, 0.02)  # the warp on disk has the precision of float32


def agree(stored: Any, expected: Any, tolerance: Tolerance = SAME_ARRAY) -> bool:
    """Whether two values are the same; None, ``n/a`` and NaN are all "not known".

    Parameters
    ----------
    stored, expected : numbers or text
    tolerance : of numbers

    Returns
    -------
    bool

    >>> agree("1.0000000001", 1.0), agree("n/a", None), agree("ok", "OK"), agree(True, 1.0)
    (True, True, False, False)
    """
    if isinstance(stored, bool) or isinstance(expected, bool):
        return stored is expected
    first, second = _number(stored), _number(expected)
    if first is None or second is None:
        return _text(stored) == _text(expected)
    if not (math.isfinite(first) and math.isfinite(second)):
        return repr(first) == repr(second)
    largest = max(abs(first), abs(second))
    return abs(first - second) <= tolerance.relative * largest + tolerance.absolute


def unlike(
    stored: Any, expected: Any, tolerance: Tolerance = SAME_ARRAY, where: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Fields in which two contents of JSON differ: (field, stored, expected).

    Parameters
    ----------
    stored, expected : values, lists or objects; fields that only ``stored`` has are its own affair
    tolerance : of numbers
    where : name of the field that holds them

    Yields
    ------
    (str, Any, Any)
        Name of the field, what is stored, what is expected.
    """
    if isinstance(expected, Mapping) and isinstance(stored, Mapping):
        for name, value in expected.items():
            inner = f"{where}.{name}" if where else str(name)
            yield from unlike(stored.get(name), value, tolerance, inner)
    elif _is_list(expected) and _is_list(stored) and len(expected) == len(stored):
        for place, (own, other) in enumerate(zip(stored, expected, strict=True)):
            yield from unlike(own, other, tolerance, f"{where}[{place}]")
    elif (
        _is_list(expected)
        or isinstance(expected, Mapping)
        or not agree(stored, expected, tolerance)
    ):
        yield where, stored, expected


def unlike_cells(
    stored: Sequence[Row],
    expected: Sequence[Row],
    names: Sequence[str],
    tolerances: Mapping[str, Tolerance],
) -> Iterator[tuple[str, Any, Any]]:
    """Cells in which two tables differ: (column and row, stored, expected).

    Parameters
    ----------
    stored, expected : rows by column; columns that only ``stored`` has are not looked at
    names : what a row is called, one per row of ``expected``
    tolerances : by column; others must agree as sums over the same voxels do

    Yields
    ------
    (str, Any, Any)
        Column and row, what is stored, what is expected.
    """
    if len(stored) != len(expected):
        yield "number of rows", len(stored), len(expected)
        return
    for own, other, name in zip(stored, expected, names, strict=True):
        for column, value in other.items():
            if not agree(own.get(column), value, tolerances.get(column, SAME_ARRAY)):
                yield f"{column} of {name}", own.get(column), value


def shown(value: Any) -> str:
    """A value in a sentence.

    Parameters
    ----------
    value : any

    Returns
    -------
    str
        At most 60 letters.
    """
    return shortened("n/a" if value is None else str(value), 60)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _number(value: Any) -> float | None:
    """A number, or text that is one; a label such as ``0x1`` or ``infinity`` is text."""
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or not any(sign.isdigit() for sign in value):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _text(value: Any) -> str:
    return "n/a" if value is None or value == "" or value != value else str(value)
