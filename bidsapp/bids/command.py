"""Command line equivalent to some options, to reproduce the numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from bidsapp.options.option_table import OPTIONS, PROCESSING
from bidsapp.settings import (
    TEMPLATE_SPACE,
    AtlasChoice,
    AtlasFile,
    Filters,
    ParcellationChoice,
    Processing,
    ReferenceChoice,
    StudyOptions,
)

# How options of the group level that are not a list of labels are named; a file by what it holds.
_GROUP_WORDS: dict[str, Callable[[Any], list[str]]] = {
    "bids_filters": lambda content: [json.dumps(content, sort_keys=True)],
    "controls": lambda pair: ["=".join(pair)],
    "leave_out_rejected": lambda asked: [],
    "amyloid_cutoff": lambda value: [str(value)],
    "tau_cutoff": lambda pair: ["=".join(str(part) for part in pair if part is not None)],
    "pair_days": lambda value: [str(value)],
}
# Always there, so that nobody types them.
_UNSAID = ("Centiloid", TEMPLATE_SPACE)


def options(processing: Processing) -> list[str]:
    """Options, as typed, that differ from those of a run without any.

    Files go by their names: where they lay is not part of a result, and what they held stands, as
    SHA-256, among the parameters.

    Parameters
    ----------
    processing : options of the run

    Returns
    -------
    list of str

    Examples
    --------
    >>> options(Processing(window_min=(90.0, 110.0), motion_correction=False))
    ['--window', '90.0', '110.0', '--no-motion-correction']
    """
    standard, typed = Processing(), []
    for field in fields(processing):
        value = getattr(processing, field.name)
        if value != getattr(standard, field.name):
            typed += [PROCESSING[field.name].flag, *_words(value)]
    return typed


def command(processing: Processing) -> str:
    """The command line of the participant level, for a shell.

    Labels, processes and memory are left out: they change no number.

    Parameters
    ----------
    processing : options of the run

    Returns
    -------
    str
    """
    return shlex.join(["centipet", "BIDS_DIR", "OUTPUT_DIR", "participant", *options(processing)])


def group_command(filters: Filters, study: StudyOptions) -> str:
    """The command line of the group level with its labels, for a shell.

    Parameters
    ----------
    filters : labels
    study : options of the group level

    Returns
    -------
    str
    """
    typed = ["centipet", "BIDS_DIR", "OUTPUT_DIR", "group"]
    parts: dict[str, Any] = {"filters": filters, "study": study}
    for option in OPTIONS:
        part = parts.get(option.keeps.rpartition(".")[0])
        value = None if part is None else getattr(part, option.field)
        if value is not None and value is not False and value not in ((), {}):
            typed += [option.flag, *_GROUP_WORDS.get(option.field, list)(value)]
    return shlex.join(typed)


def _words(value: Any) -> Iterable[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, tuple):
        words = [_word(part) for part in value]
        if any(isinstance(part, AtlasChoice) for part in value):  # a program makes several
            words = list(dict.fromkeys(words))
        return [word for word in words if word not in _UNSAID] or words or ["none"]
    return [_word(value)]


def _word(value: Any) -> str:
    if isinstance(value, ParcellationChoice) and value.program is not None:
        return f"{value.program}={','.join([value.own.name, *_erode(value)])}"
    if isinstance(value, AtlasFile | ParcellationChoice):
        image = value.image if isinstance(value, AtlasFile) else value.own
        files = [path.name for path in (image, value.table) if path is not None]
        space = [] if value.space is None else [f"space={value.space}"]
        return f"{value.name}={','.join([*files, *space, *_erode(value)])}"
    if isinstance(value, AtlasChoice):
        return value.name
    if isinstance(value, ReferenceChoice):
        made_of = _made_of(value)
        return value.name if made_of is None else f"{value.name}={made_of}"
    return value.name if isinstance(value, Path) else str(value)


def _erode(value: AtlasFile | ParcellationChoice | ReferenceChoice) -> list[str]:
    return [] if value.erode_mm is None else [f"erode={value.erode_mm:g}"]


def _made_of(value: ReferenceChoice) -> str | None:
    """What stands behind the name of a reference region; None for one of the table."""
    if value.atlas is not None:
        return f"{value.atlas}:{','.join([*value.labels, *_erode(value)])}"
    parts = [
        f"{'' if part.weight is None else f'{part.weight!r}*'}{_made_of(part) or part.name}"
        for part in value.parts
    ]
    return "+".join(parts) or None
