"""Reference regions: those of the table ``reference_regions.toml`` and those that a user makes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from bidsapp.core.grid.volume import Grid
from bidsapp.core.regions.regions import Regions, eroded_regions
from bidsapp.data import REFERENCES, mni_grid, read_table, tupled
from bidsapp.data.atlases import atlas
from bidsapp.data.freesurfer import freesurfer_names
from bidsapp.data.sentences import worded
from bidsapp.errors import UsageError
from bidsapp.settings import AtlasChoice, ParcellationChoice, Processing, ReferenceChoice


@dataclass(frozen=True, eq=False)
class Reference:
    """A region that uptake is divided by.

    Attributes
    ----------
    name : as in the columns ``suvr_<name>``
    description : for people
    regions : its voxels, one region; none where the participant's parcellation is missing
    tissue : ``GM`` or ``WM`` when the participant's probability has a say, else None
    threshold : least probability of that tissue; None weighs by it
    parts : of a composite, with the weights of their means; its own ``regions`` are empty
    grid : of the voxels, in the space of a T1w; None for ``mni_grid(2)``
    """

    name: str
    description: str
    regions: Regions
    tissue: str | None = None
    threshold: float | None = None
    parts: tuple[tuple[Reference, float | None], ...] = ()
    grid: Grid | None = None


def references(
    choices: Sequence[ReferenceChoice] = (), atlases: Sequence[AtlasChoice] = ()
) -> tuple[Reference, ...]:
    """The four of the Centiloid Project, then the requested ones.

    Parameters
    ----------
    choices : reference regions besides the four
    atlases : the atlases of the run, among them those from files that a choice may name

    Returns
    -------
    tuple of Reference

    Raises
    ------
    UsageError
        There is no such reference region, atlas or label.
    """
    standard = [ReferenceChoice(name) for name in REFERENCES]
    every = tuple(dict.fromkeys([*standard, *choices]))
    named = {choice.name: choice for choice in atlases}
    return tuple(_chosen(choice, named) for choice in every)


def chosen_references(processing: Processing) -> tuple[Reference, ...]:
    """The reference regions of a run (`references`).

    Parameters
    ----------
    processing : ``reference_regions``, ``atlases``, ``derivatives``

    Returns
    -------
    tuple of Reference
    """
    return references(processing.reference_regions, (*processing.atlases, *processing.derivatives))


def _chosen(choice: ReferenceChoice, atlases: Mapping[str, AtlasChoice]) -> Reference:
    row = read_table("reference_regions").get(choice.name, {}) if choice.atlas is None else {}
    parts, description = choice.parts, ""
    if "parts" in row:
        parts = tuple(ReferenceChoice(**tupled(part)) for part in row["parts"])
        description = row["description"]
    if not parts:
        return _reference(choice, atlases.get(choice.atlas or ""))
    made = [_chosen(part, atlases) for part in parts]
    words = [
        f"{'' if part.weight is None else f'{part.weight:g} times '}{region.description}"
        for part, region in zip(parts, made, strict=True)
    ]
    return Reference(
        choice.name,
        description or f"Composite of {'; '.join(words)}",
        Regions.empty(mni_grid(2).shape),
        tissue=next((region.tissue for region in made if region.tissue is not None), None),
        parts=tuple(zip(made, (part.weight for part in parts), strict=True)),
    )


@lru_cache
def _reference(choice: ReferenceChoice, own: AtlasChoice | None) -> Reference:
    row = _row(choice)
    if isinstance(own, ParcellationChoice):
        _check_names(choice, own)
        return Reference(choice.name, row["description"], Regions.empty(mni_grid(2).shape))
    source = atlas(own or row["atlas"])
    try:
        positions = source.positions(row["labels"])
    except UsageError:
        if source.grid is None:
            raise
        positions = ()  # this head lacks the structure
    regions = source.regions.combined([positions])
    if margin := row.get("erode_mm"):
        regions = eroded_regions(regions, source.grid or mni_grid(2), margin)
    about = row["description"], regions, row.get("tissue"), row.get("threshold")
    return Reference(choice.name, *about, grid=source.grid)


def _row(choice: ReferenceChoice) -> Mapping[str, Any]:
    """What a region is made of: by the user, or by the table."""
    table = read_table("reference_regions")
    if choice.atlas is not None:
        margin = f", {choice.erode_mm:g} mm inside its border" if choice.erode_mm else ""
        description = f"{choice.atlas}: {', '.join(choice.labels)}{margin}"
        return {**asdict(choice), "description": description}
    if choice.name not in table:
        known = ", ".join(table)
        raise UsageError(worded("reference-region", "unknown", choice=choice, known=known))
    return table[choice.name]


def _check_names(choice: ReferenceChoice, own: ParcellationChoice) -> None:
    """Refuse names that no parcellation of the program has, before one is read."""
    names = freesurfer_names() if own.program else None
    for label in choice.labels:
        if names is not None and label not in names and not re.fullmatch(r"\d+(-\d+)?", label):
            close = ", ".join(difflib.get_close_matches(label, names) or names[:3])
            values = {"choice": choice, "own": own, "label": label, "close": close}
            raise UsageError(worded("reference-region", "label", **values))
