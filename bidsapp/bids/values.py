"""Single values of sidecars."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeGuard, TypeVar

from bidsapp.data.series_texts import is_unknown

DAY_S = 86400
YEAR_DAYS = 365.25
UNDATED = datetime(1900, 1, 1)
"""Day of moments of which only the time of day is known."""

_Duration = TypeVar("_Duration", float, timedelta)


def clock_seconds(text: object) -> float | None:
    """``hh:mm:ss`` as seconds after midnight; None for anything else.

    Parameters
    ----------
    text : of a time of day, or anything else

    Returns
    -------
    float or None
        s.

    Examples
    --------
    >>> clock_seconds("10:02:00.5")
    36120.5
    """
    try:
        hours, minutes, seconds = str(text).split(":")
        parts = int(hours), int(minutes), float(seconds)
    except ValueError:
        return None
    if not all(0 <= part < most for part, most in zip(parts, (24, 60, 60), strict=True)):
        return None
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def is_number(value: object) -> TypeGuard[float]:
    """Distinguish a finite number from text, truth values and infinities.

    Parameters
    ----------
    value : of a key

    Returns
    -------
    bool
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def number_in(value: object) -> float | None:
    """A number, also where it is written as text or as a list of one; None for anything else.

    Parameters
    ----------
    value : of a key

    Returns
    -------
    float or None

    Examples
    --------
    >>> number_in(6586.2), number_in("6586.2"), number_in([6586]), number_in("110 min")
    (6586.2, 6586.2, 6586.0, None)
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if is_number(value) else None


def differ(value: Any, other: Any) -> bool:
    """Whether two values of a key say different things; NaN, which equals nothing, says nothing.

    Parameters
    ----------
    value, other : of a key

    Returns
    -------
    bool

    Examples
    --------
    >>> differ(float("nan"), float("nan")), differ(float("nan"), None), differ(0, None)
    (False, False, True)
    """
    return bool(value != other) and not (is_unknown(value) and is_unknown(other))


def as_list(value: Any) -> list[Any]:
    """Values of a key that may hold a single one, as of a single frame.

    Parameters
    ----------
    value : of a key

    Returns
    -------
    list
    """
    return value if isinstance(value, list) else [value]


def midnight(moment: datetime) -> datetime:
    """Beginning of the day of a moment.

    Parameters
    ----------
    moment : of any day

    Returns
    -------
    datetime
    """
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def since_midnight(moment: datetime) -> timedelta:
    """Time of day of a moment.

    Parameters
    ----------
    moment : of any day

    Returns
    -------
    timedelta
    """
    return moment - midnight(moment)


def map_text(value: Any, function: Callable[[str], str]) -> Any:
    """Apply a function to all text inside a JSON value, but not to keys.

    Parameters
    ----------
    value : text, object, list, or anything else
    function : text -> text

    Returns
    -------
    Any
        The same structure.

    Examples
    --------
    >>> map_text({"a": ["b", 1]}, str.upper)
    {'a': ['B', 1]}
    """
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {key: map_text(item, function) for key, item in value.items()}
    return [map_text(item, function) for item in value] if isinstance(value, list) else value


def finite(value: Any) -> Any:
    """A JSON value with None for the numbers that JSON does not have, NaN and infinities.

    Parameters
    ----------
    value : text, number, object, list, or anything else

    Returns
    -------
    Any
        The same structure.

    Examples
    --------
    >>> finite({"a": [1.5, float("nan")], "b": float("inf")})
    {'a': [1.5, None], 'b': None}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


def shorter_way(difference: _Duration) -> _Duration:
    """Difference of two times of day, s or timedelta, by the shorter way round midnight.

    Parameters
    ----------
    difference : of the clocks, less than two days

    Returns
    -------
    float or timedelta
        From minus half a day to half a day.

    Examples
    --------
    >>> shorter_way(86000.0)
    -400.0
    """
    day = timedelta(days=1) if isinstance(difference, timedelta) else float(DAY_S)
    return (difference + day / 2) % day - day / 2
