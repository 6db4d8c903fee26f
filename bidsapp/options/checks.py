"""What is typed for an option -> what the settings hold, or a usage error.

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
from bidsapp.options.atlas_options import (
    atlas_choices,
    parcellation_choices,
    reference_choices,
    voi_spaces,
)
from bidsapp.settings import AtlasChoice, ReferenceChoice

_WIDEST_MM = 30.0  # FWHM; more leaves nothing of a brain
_NARROWEST_BIN = 0.001  # SUVR; narrower would be a row per voxel
_BYTES = {"B": 1e-9, "K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}
_MOST_PROCESSES = 4096  # more than the processors of any machine
_FILTERED = ("pet", "t1w")  # of a filter file
# What other programs filter by the same file (niworkflows and its users).
_FILTERED_ELSEWHERE = ("t2w", "flair", "bold", "sbref", "fmap", "roi", "dwi", "asl", "m0scan")


def finite(text: str) -> float:
    """A number: neither text, NaN nor infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number")
    return value


def processes(text: str) -> int:
    """A number of processes."""
    if not re.fullmatch(r"[+-]?\d{1,9}", text, flags=re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number of processes")
    if not 1 <= int(text) <= _MOST_PROCESSES:
        limit = "at least one process is needed" if int(text) < 1 else f"at most {_MOST_PROCESSES}"
        raise argparse.ArgumentTypeError(f"{int(text)}: {limit}")
    return int(text)


def absolute_path(text: str) -> Path:
    """Absolute path without ``..``; symbolic links stay, so that messages show what was typed."""
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() follows links


def voxel_mm(text: str) -> int:
    """A grid that the Centiloid volumes are drawn on."""
    if text not in ("1", "2"):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is neither 1 nor 2 mm")
    return int(text)


def gigabytes(text: str) -> float:
    """``8G``, ``8000M`` or ``8000`` (MB, as other BIDS-Apps count) in GB."""
    match = re.fullmatch(r"([\d.]+)\s*([BKMGT]?)B?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory, such as 8G or 8000")
    return finite(match[1]) * _BYTES[match[2] or "M"]


def column_and_value(text: str) -> tuple[str, str]:
    """``COLUMN=VALUE``."""
    column, sign, value = (part.strip() for part in text.partition("="))
    if not (column and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE, such as group=control")
    return column, value


def region_and_number(text: str) -> tuple[str | None, float]:
    """``REGION=NUMBER`` or ``NUMBER``."""
    region, sign, number = text.rpartition("=")
    if sign and not region.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not REGION=NUMBER, such as universal=2")
    return region.strip() or None, finite(number)


def as_typed(_: str, value: Any) -> Any:
    """What was typed."""
    return value


def not_given(_: str, given: bool) -> bool:
    """Whether a flag that leaves something out was not given."""
    return not given


def work_dir(_: str, path: str | Path) -> Path:
    """Folder of intermediate results, the default one, too."""
    return absolute_path(str(path))


def text(_: str, value: Any) -> str | None:
    """Text of what was typed."""
    return None if value is None else str(value)


def atlases(_: str, names: Iterable[str]) -> tuple[AtlasChoice, ...]:
    """Atlases, the volumes of the Centiloid project among them."""
    return atlas_choices(("Centiloid", *names), absolute_path)


def derivatives(_: str, values: Iterable[str]) -> tuple[AtlasChoice, ...]:
    """Parcellations of other programs."""
    return parcellation_choices(values, absolute_path)


def reference_regions(_: str, names: Iterable[str]) -> tuple[ReferenceChoice, ...]:
    """Reference regions besides those of the Centiloid project."""
    return reference_choices(names)


def output_spaces(_: str, names: Iterable[str]) -> tuple[str, ...]:
    """Spaces of tables and ratio images."""
    return voi_spaces(names)


def labels(entity: str) -> Callable[[str, Iterable[str]], tuple[str, ...]]:
    """Labels of an entity, with or without its name, each once."""
    return lambda _, values: once(_, [value.removeprefix(f"{entity}-") for value in values])


def once(_: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Values without repetition."""
    return tuple(dict.fromkeys(values))


def several(kind: type[StrEnum]) -> Callable[[str, Sequence[str]], tuple[StrEnum, ...]]:
    """Members of an enumeration without repetition; ``none`` stands alone."""

    def check(flag: str, values: Sequence[str]) -> tuple[StrEnum, ...]:
        if "none" in values and set(values) != {"none"}:
            raise UsageError(f"{flag} {' '.join(values)}: none and something contradict each other")
        return tuple(kind(value) for value in dict.fromkeys(values) if value != "none")

    return check


def window(flag: str, value: Sequence[float] | None) -> tuple[float, float] | None:
    """Two rising minutes."""
    if value is None:
        return None
    start, end = value
    if not 0 <= start < end:
        raise UsageError(f"{flag} {start:g} {end:g}: give two rising minutes after injection")
    return start, end


def positive(flag: str, value: float | None) -> float | None:
    """A number above 0."""
    if value is not None and not value > 0:
        raise UsageError(f"{flag} {value:g}: give a positive number")
    return value


def not_negative(flag: str, value: float | None) -> float | None:
    """A number from 0 on."""
    return value if value == 0 else positive(flag, value)


def probability(flag: str, value: float | None) -> float | None:
    """A probability that something reaches."""
    if value is not None and not 0 < value <= 1:
        raise UsageError(f"{flag} {value:g}: give a probability above 0, up to 1")
    return value


def histogram_width(flag: str, value: float | None) -> float | None:
    """Width of the bins of a histogram, in SUVR."""
    if value is not None and not _NARROWEST_BIN <= value <= 1:
        raise UsageError(f"{flag} {value:g}: give a width in SUVR from {_NARROWEST_BIN:g} to 1")
    return value


def width(flag: str, fwhm_mm: float | None) -> float | None:
    """A full width at half maximum, mm."""
    if fwhm_mm is not None and not 0 < fwhm_mm <= _WIDEST_MM:
        raise UsageError(f"{flag} {fwhm_mm:g}: give a width in mm, above 0, up to {_WIDEST_MM:g}")
    return fwhm_mm


def widths(flag: str, values: Sequence[float] | None) -> tuple[float, float, float] | None:
    """One width, or three along the axes of an image, mm."""
    if values is None:
        return None
    if len(values) not in (1, 3):
        raise UsageError(f"{flag}: give one width, or three along the axes of the image")
    x, y, z = (width(flag, value) or 0.0 for value in (*values, *values, *values)[:3])
    return x, y, z


def minutes(flag: str, value: float) -> float:
    """A duration."""
    if value <= 0:
        raise UsageError(f"{flag} {value:g}: must be minutes above 0")
    return value


def filter_file(flag: str, path: Path | None) -> dict[str, dict[str, Any]]:
    """Filters for PET and T1w; those of other programs for other images are of no concern here."""
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
            f"{flag} {path}: {unknown[0]!r} is not a kind of image; there are "
            f"{' and '.join(_FILTERED)}"
        )
    if len(set(named.values())) < len(named):
        raise UsageError(f"{flag} {path}: pet or t1w stands there twice")
    return {named[key]: value for key, value in content.items() if named[key] in _FILTERED}
