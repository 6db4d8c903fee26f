"""Conversion of options about atlases and reference regions from text to settings.

Only the words are understood here; the files are read when the run begins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp.errors import UsageError
from bidsapp.options.checks import absolute_path
from bidsapp.settings import (
    TEMPLATE_SPACE,
    AtlasChoice,
    AtlasFile,
    ParcellationChoice,
    ReferenceChoice,
)

_TABLES = Path(__file__).parents[1] / "data"  # not imported: that would cost the time of --help
_ATLAS_FORM = "NAME=FILE[,TABLE][,space=SPACE][,erode=MM]"
_REFERENCE_FORM = "NAME=ATLAS:LABEL[,LABEL...][,erode=MM]"
_COMPOSITE_FORM = "NAME=[WEIGHT*]PART+[WEIGHT*]PART..., a part a name or ATLAS:LABEL[,LABEL...]"
_SPACE_WORDS = {
    TEMPLATE_SPACE: TEMPLATE_SPACE,
    f"{TEMPLATE_SPACE}:res-2": TEMPLATE_SPACE,
    "T1w": "T1w",
    "anat": "T1w",
    "pet": "pet",
    "petref": "pet",
}


@cache
def known(table: str) -> tuple[str, ...]:
    """Names in a table of the package: ``atlases`` or ``reference_regions``."""
    return tuple(_table(table))


@cache
def _table(table: str) -> dict[str, Any]:
    return tomllib.loads((_TABLES / f"{table}.toml").read_text("utf-8"))


def atlas_choices(_: str, values: Iterable[str]) -> tuple[AtlasChoice, ...]:
    """The volumes of the Centiloid project, and ``NAME`` or ``NAME=FILE[,TABLE][,space=SPACE]``.

    A file whose name holds ``{participant}``, or one in the space of the T1w, is one of every
    participant.

    Parameters
    ----------
    _ : flag, which the messages say themselves
    values : as typed

    Returns
    -------
    tuple of AtlasChoice

    Raises
    ------
    UsageError
        There is no such atlas, or the words make no sense.
    """
    choices = tuple(dict.fromkeys(map(_atlas_choice, ("Centiloid", *values))))
    names = [choice.name for choice in choices]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--atlas: {', '.join(sorted(twice))} is given twice")
    return choices


def parcellation_choices(_: str, values: Iterable[str]) -> tuple[ParcellationChoice, ...]:
    """``PROGRAM=DIR`` -> the parcellations of every participant that the program writes.

    Parameters
    ----------
    _ : flag, which the messages say themselves
    values : as typed

    Returns
    -------
    tuple of ParcellationChoice

    Raises
    ------
    UsageError
        There is no such program or folder.
    """
    choices: list[ParcellationChoice] = []
    for value in dict.fromkeys(values):
        plain, depth = _without_erode("--derivatives", value)
        typed, _equals, folder = plain.partition("=")
        programs = {name.lower(): name for name in known("parcellations")}
        if typed.lower() not in programs or not folder:
            raise UsageError(
                f"--derivatives {value}: give PROGRAM=DIR[,erode=MM], PROGRAM one of "
                f"{', '.join(programs.values())}"
            )
        program, own = programs[typed.lower()], absolute_path(folder)
        if not own.is_dir():
            raise UsageError(f"--derivatives {value}: {own} is not a folder")
        if program in {choice.program for choice in choices}:
            raise UsageError(f"--derivatives: {program} is given twice")
        choices += [
            ParcellationChoice(name, own=own, program=program, erode_mm=depth)
            for name in _table("parcellations")[program]
        ]
    return tuple(choices)


def reference_choices(_: str, values: Iterable[str]) -> tuple[ReferenceChoice, ...]:
    """``NAME`` of the table, or ``NAME=ATLAS:LABEL[,LABEL...]``.

    Parameters
    ----------
    _ : flag, which the messages say themselves
    values : as typed

    Returns
    -------
    tuple of ReferenceChoice

    Raises
    ------
    UsageError
        There is no such region, or the words make no sense.
    """
    return tuple(_reference_choice(value) for value in dict.fromkeys(values))


def voi_spaces(_: str, values: Iterable[str]) -> tuple[str, ...]:
    """Spaces of tables and ratio images besides the template, for ``--output-spaces``.

    Parameters
    ----------
    _ : flag, which the messages say themselves
    values : as typed

    Returns
    -------
    tuple of str

    Raises
    ------
    UsageError
        There is no such space.
    """
    if other := [value for value in values if value not in _SPACE_WORDS]:
        raise UsageError(
            f"--output-spaces {' '.join(other)}: not available; use {TEMPLATE_SPACE}:res-2, "
            "T1w or pet"
        )
    return tuple(dict.fromkeys((TEMPLATE_SPACE, *(_SPACE_WORDS[value] for value in values))))


def _atlas_choice(value: str) -> AtlasChoice:
    name, equals, rest = value.partition("=")
    if not equals:
        return AtlasChoice(_packaged("--atlas", name, "atlases", _ATLAS_FORM))
    _check_name("--atlas", name, "atlases")
    rest, depth = _without_erode("--atlas", rest)
    parts = [part for part in rest.split(",") if part]
    spaces = [part.removeprefix("space=") for part in parts if part.startswith("space=")]
    files = [absolute_path(part) for part in parts if not part.startswith("space=")]
    if not 1 <= len(files) <= 2 or len(spaces) > 1:
        raise UsageError(f"--atlas {value}: give {_ATLAS_FORM}")
    table = files[1] if len(files) > 1 else None
    space = _SPACE_WORDS.get(spaces[0], spaces[0]) if spaces else None
    if "{participant}" in str(files[0]):
        if space not in (None, "T1w"):
            raise UsageError(f"--atlas {value}: participants' own files must be in T1w space")
        space = "T1w"
    for file in files if space != "T1w" else files[1:]:
        if not file.is_file():
            raise UsageError(f"--atlas {name}: {file}: no such file")
    if space == "T1w":
        return ParcellationChoice(name, table=table, own=files[0], erode_mm=depth)
    return AtlasFile(name, files[0], table, space, erode_mm=depth)


def _without_erode(option: str, text: str) -> tuple[str, float | None]:
    """Words between commas but ``erode=MM``, and that distance."""
    words = text.split(",")
    given = [word.strip().removeprefix("erode=") for word in words if _is_erode(word)]
    if any(not re.fullmatch(r"\d{1,2}(\.\d+)?", text) or not float(text) for text in given[:1]):
        raise UsageError(f"{option} {text}: erode={given[0]} is not a distance in mm below 100")
    if len(given) > 1:
        raise UsageError(f"{option} {text}: erode= is given twice")
    kept = ",".join(word for word in words if not _is_erode(word))
    return kept, float(given[0]) if given else None


def _is_erode(word: str) -> bool:
    return word.strip().startswith("erode=")


def _reference_choice(value: str) -> ReferenceChoice:
    name, equals, rest = value.partition("=")
    option, table = "--reference-region", "reference_regions"
    if not equals:
        return ReferenceChoice(_packaged(option, name, table, _REFERENCE_FORM))
    _check_name(option, name, table)
    if "+" in rest or "*" in rest:
        return _composite_choice(value, name, rest)
    atlas, colon, labels = rest.partition(":")
    labels, depth = _without_erode(option, labels)
    wanted = tuple(label.strip() for label in labels.split(",") if label.strip())
    if not colon or not atlas or not wanted:
        raise UsageError(f"{option} {value}: give {_REFERENCE_FORM}")
    known_as = _by_lower("atlases").get(atlas.lower(), atlas)
    return ReferenceChoice(name, known_as, wanted, erode_mm=depth)


def _composite_choice(value: str, name: str, rest: str) -> ReferenceChoice:
    """A weighted union: the weight of a part is that of its mean, whatever its size."""
    parts = []
    for text in rest.split("+"):
        before, star, words = text.strip().rpartition("*")
        weight = None
        if star:
            weight = float(before) if re.fullmatch(r"\d+(\.\d+)?", before.strip()) else 0.0
        if weight == 0 or not words:
            raise UsageError(f"--reference-region {value}: give {_COMPOSITE_FORM}")
        typed = f"{name}={words}" if ":" in words else words
        parts.append(replace(_reference_choice(typed), weight=weight))
    if len(parts) < 2 or len({part.weight is None for part in parts}) > 1:
        raise UsageError(
            f"--reference-region {value}: give {_COMPOSITE_FORM}; at least two parts, with a "
            "weight for all of them or for none"
        )
    return ReferenceChoice(name, parts=tuple(parts))


def _by_lower(table: str) -> dict[str, str]:
    return {name.lower(): name for name in known(table)}


def _packaged(option: str, name: str, table: str, form: str) -> str:
    """Name in a table of the package, typed in any case."""
    names = _by_lower(table)
    if name.lower() not in names:
        raise UsageError(
            f"{option} {name}: unknown; built in are {', '.join(names.values())}; give your own as "
            f"{form}"
        )
    return names[name.lower()]


def _check_name(option: str, name: str, table: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        raise UsageError(f"{option} {name}=: the name may only contain letters and digits (BIDS)")
    if name.lower() in _by_lower(table):
        raise UsageError(f"{option} {name}=: CentiPET has its own {name}; choose another name")
