"""All tables of one image: its atlases, reference regions and norms, in the space it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regional import Column, Scale, Uptake, measure_regions, uptake
from bidsapp.core.regions import Regions
from bidsapp.core.volume import Grid
from bidsapp.data import read_table
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.norms import read_norms
from bidsapp.data.reference_regions import Reference, chosen_references
from bidsapp.data.tracers import STANDARD_REFERENCE
from bidsapp.errors import UsageError
from bidsapp.settings import Processing

Map = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scene:
    """A space in which images are measured.

    Attributes
    ----------
    grid : of the images
    place : regions of ``mni_grid(2)`` -> regions of ``grid``
    tissues : probability on ``grid`` by ``GM`` and ``WM``; empty when there is no T1w
    """

    grid: Grid
    place: Callable[[Regions], Regions]
    tissues: Mapping[str, Map]


@dataclass(frozen=True)
class RegionalTables:
    """What an image holds, region by region.

    Attributes
    ----------
    columns : atlas -> column of ``region_columns.toml`` -> a value per row
    references : uptake of every reference region
    """

    columns: dict[str, dict[str, list[Any]]]
    references: dict[str, Uptake]


def check_options(processing: Processing) -> list[str]:
    """Read everything the options name, before anything is computed with it.

    Returns
    -------
    list of str
        What was assumed or mended, in sentences.

    Raises
    ------
    CentipetError
        An atlas, a reference region or the norm table cannot be used.
    """
    used = chosen_atlases(processing)
    names = [reference.name for reference in chosen_references(processing)]
    if processing.kinetics_reference not in names:
        raise UsageError(
            f"--kinetics-reference {processing.kinetics_reference}: this run has "
            f"{', '.join(names)}; add others by --reference-region"
        )
    if processing.norms is not None:
        read_norms(processing.norms, names)
    return [note for one in used for note in one.notes]


def measure_atlases(
    image: Map, scene: Scene, *, processing: Processing, lines: Mapping[str, tuple[float, float]]
) -> RegionalTables:
    """Measure an image in every atlas of a run.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z), on ``scene.grid``, NaN where nothing was measured
    scene : the space
    processing : atlases, reference regions, norms, threshold of probabilities
    lines : slope and intercept of the Centiloid by reference region
    """
    least = read_table("limits")["voi_coverage"]["refuse"]
    used = chosen_references(processing)
    found = {
        reference.name: uptake(
            image, placed_reference(reference, scene), scene.grid, least_coverage=least
        )[0]
        for reference in used
    }
    scale = Scale(found, lines, STANDARD_REFERENCE)
    norms = read_norms(processing.norms, list(found)) if processing.norms else {}
    columns: dict[str, dict[str, list[Any]]] = {}
    for one in chosen_atlases(processing):
        regions = scene.place(one.measured)
        if processing.voi_threshold is not None:
            regions = regions.at_least(processing.voi_threshold)
        table: dict[str, Column] = measure_regions(
            image,
            regions,
            scene.grid,
            grey=_grey(scene, processing.gm_threshold),
            scale=scale,
            norms=[norms.get((one.name, name)) for name in one.names],
            least_coverage=least,
        )
        index = [row.index for row in one.rows] + [None] * len(one.composites)
        columns[one.name] = {"index": index, "name": list(one.names), **table}
    return RegionalTables(columns, found)


def region_dictionary(processing: Processing, units: str) -> dict[str, dict[str, Any]]:
    """Descriptions of the columns of an atlas table, in their order; ``units`` of the image."""
    described: dict[str, dict[str, Any]] = {}
    used, threshold = chosen_references(processing), processing.gm_threshold
    grey = (
        "every voxel weighted by its probability of grey matter"
        if threshold is None
        else f"of the voxels that are grey matter with a probability of {threshold:g} or more"
    )
    noise = next(one.description for one in used if one.name == STANDARD_REFERENCE)
    for column, entry in read_table("region_columns").items():
        if column not in ("suvr", "centiloid"):
            described[column] = _described(entry, units, noise=noise.lower(), grey=grey)
        elif column == "suvr":
            for one in used:
                for kind in ("suvr", "centiloid"):
                    described[f"{kind}_{one.name}"] = _described(
                        read_table("region_columns")[kind], units, reference=one.description
                    )
    return described


def _grey(scene: Scene, threshold: float | None) -> Map | None:
    """Weights of the grey-matter columns."""
    grey = scene.tissues.get("GM")
    return grey if grey is None or threshold is None else (grey >= threshold).astype(np.float32)


def _described(entry: Mapping[str, Any], units: str, **words: str) -> dict[str, Any]:
    text = entry["Description"]
    for key, word in words.items():
        text = text.replace(f"{{{key}}}", word)
    return {"Description": text, **({"Units": units} if entry.get("unit") else {})} | {
        key: entry[key] for key in ("Units",) if key in entry
    }


def placed_reference(reference: Reference, scene: Scene) -> Regions:
    """Voxels of a reference region in a space, weighted by tissue where it asks for that.

    Without a T1w a region that needs a tissue is empty: it would be another region.
    """
    regions = scene.place(reference.regions)
    if reference.tissue is None:
        return regions
    if reference.tissue not in scene.tissues:
        return Regions(regions.shape, np.empty(0, np.intp), np.zeros(2, np.intp))
    regions = regions.weighted(scene.tissues[reference.tissue])
    return regions if reference.threshold is None else regions.at_least(reference.threshold)
