"""Single values of sidecars."""

from __future__ import annotations

import math
from typing import TypeGuard

_DAY_S = 86400


def clock_seconds(text: object) -> float | None:
    """``hh:mm:ss`` as seconds after midnight; None for anything else.

    >>> clock_seconds("10:02:00.5")
    36120.5
    """
    try:
        hours, minutes, seconds = str(text).split(":")
        value = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
    return value if 0 <= value < _DAY_S else None


def is_number(value: object) -> TypeGuard[float]:
    """Tell a finite number from text, truth values and infinities."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
