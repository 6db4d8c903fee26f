"""Conversion of option values from text to settings, or a usage error.

Functions of one argument are types of argparse; those of two take the flag and what argparse made
of the words after it.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from bidsapp.errors import UsageError
from bidsapp.io.reading import given_text, parse_json

_BYTES = {"B": 1e-9, "K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}
_MOST_PROCESSES = 4096  # more than the processors of any machine
_FILTERED = ("pet", "t1w")  # of a filter file
# What other programs filter by the same file (niworkflows and its users).
_FILTERED_ELSEWHERE = ("t2w", "flair", "bold", "sbref", "fmap", "roi", "dwi", "asl", "m0scan")


def finite(text: str) -> float:
    """A number: neither text, NaN nor infinite.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    float
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number")
    return value


def processes(text: str) -> int:
    """A number of processes.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    int
    """
    if not re.fullmatch(r"[+-]?\d{1,9}", text, flags=re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number of processes")
    if not 1 <= int(text) <= _MOST_PROCESSES:
        limit = "at least one process is needed" if int(text) < 1 else f"at most {_MOST_PROCESSES}"
        raise argparse.ArgumentTypeError(f"{int(text)}: {limit}")
    return int(text)


def absolute_path(text: str) -> Path:
    """Absolute path without ``..``; symbolic links stay, so that messages show what was typed.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    Path
    """
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() follows links


def voxel_mm(text: str) -> int:
    """A grid that the Centiloid volumes are drawn on.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    int
    """
    if text not in ("1", "2"):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is neither 1 nor 2 mm")
    return int(text)


def gigabytes(text: str) -> float:
    """``8G``, ``8000M`` or ``8000`` (MB, as other BIDS-Apps count) in GB.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    float
    """
    match = re.fullmatch(r"([\d.]+)\s*([BKMGT]?)B?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory, such as 8G or 8000")
    return finite(match[1]) * _BYTES[match[2] or "M"]


def column_and_value(text: str) -> tuple[str, str]:
    """``COLUMN=VALUE``.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    (str, str)
    """
    column, sign, value = (part.strip() for part in text.partition("="))
    if not (column and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE, such as group=control")
    return column, value


def region_and_number(text: str) -> tuple[str | None, float]:
    """``REGION=NUMBER`` or ``NUMBER``.

    Parameters
    ----------
    text : as typed

    Returns
    -------
    (str or None, float)
    """
    region, sign, number = text.rpartition("=")
    if sign and not region.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not REGION=NUMBER, such as universal=2")
    return region.strip() or None, finite(number)


def as_typed(_: str, value: Any) -> Any:
    """What was typed.

    Parameters
    ----------
    _ : flag
    value : any

    Returns
    -------
    Any
        The same.
    """
    return value


def not_given(_: str, given: bool) -> bool:
    """Whether a flag that leaves something out was not given.

    Parameters
    ----------
    _ : flag
    given : whether it was typed

    Returns
    -------
    bool
    """
    return not given


def work_dir(_: str, path: str | Path) -> Path:
    """Folder of intermediate results, the default one, too.

    Parameters
    ----------
    _ : flag
    path : as typed

    Returns
    -------
    Path
    """
    return absolute_path(str(path))


def text(_: str, value: Any) -> str | None:
    """Text of what was typed.

    Parameters
    ----------
    _ : flag
    value : None where nothing was typed

    Returns
    -------
    str or None
    """
    return None if value is None else str(value)


def labels(entity: str) -> Callable[[str, Iterable[str]], tuple[str, ...]]:
    """Labels of an entity, with or without its name, each once; commas and blanks part them.

    Parameters
    ----------
    entity : long name

    Returns
    -------
    Callable
        Check of flag and labels.
    """

    def check(flag: str, values: Iterable[str]) -> tuple[str, ...]:
        parts = [part for value in values for part in re.split(r"[,\s]+", value.strip())]
        named = re.compile(rf"{entity}-", re.IGNORECASE)
        found = [named.sub("", part.rstrip("/"), count=1) for part in parts]
        if not all(found):
            raise UsageError(f"{flag}: a label is empty; leave the option out to select all")
        return once(flag, found)

    return check


def once(_: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Values without repetition.

    Parameters
    ----------
    _ : flag
    values : as typed

    Returns
    -------
    tuple of Any
    """
    return tuple(dict.fromkeys(values))


def several(kind: type[StrEnum]) -> Callable[[str, Sequence[str]], tuple[StrEnum, ...]]:
    """Members of an enumeration without repetition; ``none`` stands alone.

    Parameters
    ----------
    kind : enumeration

    Returns
    -------
    Callable
        Check of flag and values.
    """

    def check(flag: str, values: Sequence[str]) -> tuple[StrEnum, ...]:
        if "none" in values and set(values) != {"none"}:
            raise UsageError(
                f"{flag} {' '.join(values)}: none cannot be combined with other values"
            )
        return tuple(kind(value) for value in dict.fromkeys(values) if value != "none")

    return check


def window(flag: str, value: Sequence[float] | None) -> tuple[float, float] | None:
    """Two rising minutes.

    Parameters
    ----------
    flag : of the option
    value : minutes after injection

    Returns
    -------
    (float, float) or None
    """
    if value is None:
        return None
    start, end = value
    if not 0 <= start < end:
        raise UsageError(
            f"{flag} {start:g} {end:g}: give START and a later END, in minutes after injection"
        )
    return start, end


def within(
    words: str, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> Callable[[str, float | None], float | None]:
    """Check that a number, if one is given, lies in a range.

    Parameters
    ----------
    words : what to give
    above, least, most : its limits, the first of which is not in it

    Returns
    -------
    Callable
        Check of flag and number.
    """

    def check(flag: str, value: float | None) -> float | None:
        if value is not None and not (value > above and least <= value <= most):
            raise UsageError(f"{flag} {value:g}: give {words}")
        return value

    return check


width = within("a width in mm, above 0, up to 30", above=0.0, most=30.0)  # FWHM: less than a brain


def widths(flag: str, values: Sequence[float] | None) -> tuple[float, float, float] | None:
    """One width, or three along the axes of an image, mm.

    Parameters
    ----------
    flag : of the option
    values : one FWHM in mm, or three

    Returns
    -------
    (float, float, float) or None
    """
    if values is None:
        return None
    if len(values) not in (1, 3):
        raise UsageError(f"{flag}: give one width, or three, one per image axis")
    x, y, z = (width(flag, value) or 0.0 for value in (*values, *values, *values)[:3])
    return x, y, z


def filter_file(flag: str, path: Path | None) -> dict[str, dict[str, Any]]:
    """Filters for PET and T1w; those of other programs for other images are of no concern here.

    Parameters
    ----------
    flag : of the option
    path : JSON; None for no filters

    Returns
    -------
    dict
        Entity -> value, by kind of image.
    """
    if path is None:
        return {}
    try:
        content = parse_json(given_text(path))
    except ValueError as error:
        raise UsageError(f"{flag} {path}: is not valid JSON ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise UsageError(f'{flag} {path}: must look like {{"pet": {{"session": "01"}}}}')
    named = {key: key.lower() for key in content}
    if unknown := [key for key in content if named[key] not in (*_FILTERED, *_FILTERED_ELSEWHERE)]:
        raise UsageError(
            f"{flag} {path}: unknown kind of image {unknown[0]!r}; use {' or '.join(_FILTERED)}"
        )
    if len(set(named.values())) < len(named):
        raise UsageError(f"{flag} {path}: pet or t1w is given twice")
    return {named[key]: value for key, value in content.items() if named[key] in _FILTERED}
