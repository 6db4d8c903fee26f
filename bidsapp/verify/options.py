"""The options of a record as settings again, without the files of the user that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bidsapp.data import read_table
from bidsapp.data.reference_regions import chosen_references
from bidsapp.data.sentences import worded
from bidsapp.errors import UsageError
from bidsapp.options.option_table import PROCESSING, Option
from bidsapp.record.codec import structured
from bidsapp.settings import TEMPLATE_SPACE, AtlasChoice, Processing, ReferenceChoice


def known_options(parameters: Any, source: str) -> tuple[Processing, list[str]]:
    """Options that decide how an image is measured.

    Parameters
    ----------
    parameters : ``provenance.parameters`` of a record
    source : the record, for the notes

    Returns
    -------
    Processing
        Atlases, reference regions and thresholds that the package has.
    list of str
        What cannot be derived again because it needs a file of the user.
    """
    given = parameters if isinstance(parameters, Mapping) else {}
    notes = [
        worded("results", "needs-file", source=source, what=option.needed_for, flag=option.flag)
        for name, option in PROCESSING.items()
        if option.needed_for and given.get(name) not in (None, [], ())
    ]
    packaged, atlases = set(read_table("atlases")), []
    for choice in given.get("atlases") or ():
        name = str(choice.get("name"))
        if name in packaged and not {"image", "own"} & choice.keys():
            atlases.append(AtlasChoice(name))
        else:
            what = f"the tables of the atlas {name}"
            notes.append(worded("results", "needs-file", source=source, what=what, flag="--atlas"))
    options = {}
    for name, option in PROCESSING.items():
        if option.measures and given.get(name) is not None:
            try:
                options[name] = _as_set(option, given[name])
            except ValueError:
                notes.append(
                    f"{source}: {option.flag} cannot be {given[name]}; the default was used"
                )
    processing = Processing(**options, atlases=tuple(atlases), voi_spaces=(TEMPLATE_SPACE,))
    references = []
    for row in given.get("reference_regions") or ():
        misfits: list[str] = []
        choice = structured(ReferenceChoice, row, misfits)
        if choice is None or misfits:
            raise ValueError(f"reference_regions cannot be read: {', '.join(misfits)}")
        try:
            chosen_references(Processing(atlases=tuple(atlases), reference_regions=(choice,)))
        except UsageError:
            what = f"ratios to {choice.name}"
            notes.append(worded("results", "needs-file", source=source, what=what, flag="--atlas"))
        else:
            references.append(choice)
    return replace(processing, reference_regions=tuple(references)), notes


def _as_set(option: Option, value: Any) -> Any:
    """A value of JSON as the settings have it: a list of numbers is a tuple, a word a choice."""
    if isinstance(value, list):
        return tuple(map(float, value))
    return option.check(option.flag, value) if isinstance(value, str) else value
