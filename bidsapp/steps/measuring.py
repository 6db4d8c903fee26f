"""Measures of an image in atlases and reference regions, with norms, in any of its spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.resample import resample, sample
from bidsapp.core.grid.sampling import nearest_voxels
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero, mask_slices
from bidsapp.core.pet_only.pet_model import Patterns
from bidsapp.core.pet_only.pet_normalisation import template_misfit
from bidsapp.core.quality import Flag, is_beyond
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.regions.regional import (
    Column,
    RegionalScale,
    Uptake,
    asymmetry,
    histogram_table,
    measure_regions,
    uptake,
)
from bidsapp.core.regions.regions import Regions
from bidsapp.core.regions.voi import template_voxels
from bidsapp.data import TARGET, mni_grid, read_table, vois
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.calibrations import read_calibration, read_tau_calibration
from bidsapp.data.label_table import pairs_of_sides, side_of
from bidsapp.data.norms import read_norms
from bidsapp.data.reference_regions import Reference, chosen_references
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tau import tau_voi_files
from bidsapp.data.tracers import STANDARD_REFERENCE
from bidsapp.errors import BadDataError, UsageError
from bidsapp.plain import some
from bidsapp.settings import Processing
from bidsapp.steps.head import PlacedHead

Map = NDArray[np.floating]
Moving = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_MARGIN_MM = 15.0


@dataclass(frozen=True, eq=False)
class AtlasSpace:
    """A space in which images are measured in the regions of atlases.

    Attributes
    ----------
    grid : of the images
    place : regions on ``mni_grid(2)`` -> regions on ``grid``
    tissues : probability on ``grid`` by ``GM`` and ``WM``; empty without a T1w
    on_t1w : grid in T1w space -> index of its voxel nearest to every voxel of ``grid``
    """

    grid: Grid
    place: Callable[[Regions], Regions]
    tissues: Mapping[str, Map]
    on_t1w: Callable[[Grid], NDArray[np.intp]] | None = None

    def placed(self, regions: Regions, grid: Grid | None) -> Regions:
        """Resample the regions of an atlas, or a reference region, to ``self.grid``.

        Parameters
        ----------
        regions : on the 2 mm MNI grid, or on ``grid``
        grid : in T1w space; None for the 2 mm MNI grid

        Returns
        -------
        Regions
        """
        if grid is None:
            return self.place(regions)
        assert self.on_t1w is not None  # without a T1w no plan has parcellations
        return regions.on(self.grid.shape, self.on_t1w(grid))


@dataclass(frozen=True)
class AtlasMeasures:
    """Measures of an image in all regions.

    Attributes
    ----------
    columns : atlas -> column of ``region_columns.toml`` -> a value per row
    references : uptake of every reference region
    histograms : atlas -> column of ``histogram_columns.toml``; empty when none are asked for
    """

    columns: dict[str, dict[str, list[Any]]]
    references: dict[str, Uptake]
    histograms: dict[str, dict[str, list[Any]]]


def template_space(tissues: Mapping[str, Map], field: Map | None = None) -> AtlasSpace:
    """Space of the template, on the 2 mm MNI grid.

    Parameters
    ----------
    tissues : probability on that grid by ``GM`` and ``WM``
    field : ndarray, shape (X, Y, Z, 3), optional
        T1w world coordinate of every voxel, RAS mm; needed for parcellations in T1w space.

    Returns
    -------
    AtlasSpace
    """
    on_t1w = None if field is None else _remembering(lambda own: nearest_voxels(own, field))
    return AtlasSpace(mni_grid(2), lambda regions: regions, tissues, on_t1w)


def tissues_at(points: NDArray[np.floating], grey: Volume, white: Volume) -> dict[str, Map]:
    """Interpolate tissue probabilities at points.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        T1w world coordinates, RAS mm.
    grey, white : probability on the T1w grid

    Returns
    -------
    dict
        ``GM`` and ``WM`` -> ndarray, shape (...), NaN outside the T1w.
    """
    return {"GM": sample(grey, points), "WM": sample(white, points)}


def space_of(head: PlacedHead, space: str, grid: Grid) -> AtlasSpace:
    """Space that a scan is measured in.

    Parameters
    ----------
    head : PlacedHead
    space : ``MNI152NLin6Asym``, ``T1w`` or ``pet``
    grid : of the image in this space

    Returns
    -------
    AtlasSpace
    """
    if space == "pet":
        return pet_space(grid, head)
    if space == "T1w":
        return _t1w_space(grid, head)
    field, tissues = head.field.data, head.tissues
    maps = {} if tissues is None else tissues_at(field, tissues.gm, tissues.wm)
    return template_space(maps, field)


def _t1w_space(grid: Grid, head: PlacedHead) -> AtlasSpace:
    """Space of a T1w, on its grid."""
    tissues = head.tissues
    assert tissues is not None
    near = _near(tissues.mask.data, grid)
    source = template_voxels(grid, mni_grid(2), head.warp.to_template, near)
    maps = {"GM": tissues.gm.data, "WM": tissues.wm.data}
    return _space_of_voxels(grid, maps, source, lambda points: points)


def pet_space(grid: Grid, head: PlacedHead) -> AtlasSpace:
    """Space of a PET, on its grid.

    Parameters
    ----------
    grid : of the PET
    head : PlacedHead

    Returns
    -------
    AtlasSpace
    """
    to_t1w, tissues = inverse(head.t1w_to_pet), head.tissues

    def to_template(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return head.warp.to_template(transform(to_t1w, points))

    maps = {} if tissues is None else {"GM": tissues.gm, "WM": tissues.wm}
    moved = {key: resample(tissue, grid, to_t1w).data for key, tissue in maps.items()}
    source = template_voxels(grid, mni_grid(2), to_template)
    return _space_of_voxels(grid, moved, source, lambda points: transform(to_t1w, points))


def _space_of_voxels(
    grid: Grid, tissues: Mapping[str, Map], source: NDArray[np.intp], to_t1w: Moving
) -> AtlasSpace:
    on_t1w = _remembering(lambda own: template_voxels(grid, own, to_t1w))
    return AtlasSpace(grid, lambda regions: regions.on(grid.shape, source), tissues, on_t1w)


def _remembering(find: Callable[[Grid], NDArray[np.intp]]) -> Callable[[Grid], NDArray[np.intp]]:
    """Cache a function by grid, for grids that several atlases share."""
    cache: dict[tuple[object, ...], NDArray[np.intp]] = {}

    def voxels(own: Grid) -> NDArray[np.intp]:
        key = (own.shape, own.affine.tobytes())
        if key not in cache:
            cache[key] = find(own)
        return cache[key]

    return voxels


def _near(brain: Map, grid: Grid) -> NDArray[np.bool_]:
    """Box around a brain: the warp is evaluated only there."""
    near = np.zeros(brain.shape, bool)
    near[mask_slices(brain != 0, np.ceil(_MARGIN_MM / grid.voxel_size).astype(int))] = True
    return near


def check_options(processing: Processing) -> list[str]:
    """Read every file that the options name, before anything is computed.

    Parameters
    ----------
    processing : options of the run

    Returns
    -------
    list of str
        What was assumed or corrected, one sentence each.

    Raises
    ------
    CentipetError
        An atlas, a region, the norm table, an own equation or a tau volume cannot be used.
    """
    if processing.calibration is not None:
        read_calibration(processing.calibration)
    if processing.tau_calibration is not None:
        read_tau_calibration(processing.tau_calibration)
    if processing.tau_vois is not None:
        tau_voi_files(processing.tau_vois)
    used = chosen_atlases(processing)
    named = [choice.name for choice in (*processing.atlases, *processing.derivatives)]
    if twice := {name for name in named if named.count(name) > 1}:
        raise UsageError(f"--derivatives, --atlas: {', '.join(sorted(twice))} is given twice")
    names = [reference.name for reference in chosen_references(processing)]
    for flag, name in (
        ("--kinetics-reference", processing.kinetics_reference),
        ("--background", processing.background),
    ):
        if name not in names:
            raise UsageError(
                f"{flag} {name}: this run has {', '.join(names)}; add others by --reference-region"
            )
    notes = [note for atlas in used for note in atlas.notes]
    if processing.norms is not None:
        regions = {(atlas.name, name) for atlas in used for name in atlas.names}
        of_people = set(named) - {atlas.name for atlas in used}  # read later, per participant
        unmatched = [
            " ".join(region)
            for region in read_norms(processing.norms, names)
            if region not in regions and region[0] not in of_people
        ]
        if unmatched:
            notes.append(
                f"--norms {processing.norms}: no atlas of this run has the region "
                f"{some(unmatched)}, so these norms were not used"
            )
    return notes


def measure_atlases(
    image: Map,
    space: AtlasSpace,
    *,
    processing: Processing,
    equations: Mapping[str, Equation],
    is_uptake: bool = True,
) -> AtlasMeasures:
    """Measure an image in every atlas of a run.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z), on ``space.grid``, NaN where nothing was measured
    space : the space
    processing : atlases, reference regions, norms, threshold of probabilities
    equations : of the Centiloid, by reference region
    is_uptake : whether SUVRs are computed; otherwise regional means only

    Returns
    -------
    AtlasMeasures
    """
    least = read_table("limits")["voi_coverage"]["refuse"]
    used = chosen_references(processing)
    measured = {
        reference.name: uptake(
            image, placed_reference(reference, space), space.grid, least_coverage=least
        )[0]
        for reference in used
    }
    if not is_uptake:
        measured = dict.fromkeys(measured, Uptake(None, None))
    lines = {name: (line.slope, line.intercept) for name, line in equations.items()}
    scale = RegionalScale(measured, lines, processing.background)
    norms = read_norms(processing.norms, list(measured)) if processing.norms else {}
    columns: dict[str, dict[str, list[Any]]] = {}
    histograms: dict[str, dict[str, list[Any]]] = {}
    for atlas in chosen_atlases(processing):
        regions = space.placed(atlas.measured, atlas.grid)
        if processing.voi_threshold is not None:
            regions = regions.at_least(processing.voi_threshold)
        table: dict[str, Column] = measure_regions(
            image,
            regions,
            space.grid,
            grey=_grey(space, processing.gm_threshold),
            scale=scale,
            norms=[norms.get((atlas.name, name)) for name in atlas.names],
            least_coverage=least,
        )
        sides = [row.hemisphere for row in atlas.rows] + [
            side_of(name) for name in atlas.composites
        ]
        table["asymmetry_percent"] = asymmetry(table["mean"], pairs_of_sides(atlas.names, sides))
        index = list(atlas.indices)
        columns[atlas.name] = {"index": index, "name": list(atlas.names), **table}
        if (width := processing.histogram_width) is not None:
            rows = list(zip(index, atlas.names, strict=True))
            histograms[atlas.name] = histogram_table(
                image, regions, rows, measured[STANDARD_REFERENCE], width
            )
    return AtlasMeasures(columns, measured, histograms)


@cache
def _patterns() -> Patterns:
    return Patterns(amyloid_template())


def mni_image_findings(image: Map, stated: str, *, ignore_place: bool = False) -> tuple[Flag, ...]:
    """Check an image that is said to be in MNI space: its position and its values.

    Parameters
    ----------
    image : ndarray, shape (91, 109, 91) or (91, 109, 91, T), on ``mni_grid(2)``
        NaN where nothing was measured.
    stated : what its name or sidecar says of its units, if that is not uptake
    ignore_place : flag a misplaced image instead of refusing it

    Returns
    -------
    tuple of Flag

    Raises
    ------
    BadDataError
        The image is not aligned with the template.
    """
    limits, regions = read_table("limits"), vois(2)
    mean = image if image.ndim == 3 else image.mean(axis=-1)
    try:
        moves = template_misfit(Volume(known_or_zero(mean), mni_grid(2).affine), _patterns())
    except BadDataError as error:
        place: tuple[Flag, ...] = (Flag("mni-place", str(error)),)
    else:
        place = _misplaced(moves, limits["mni_place_mm"]["refuse"])
    if place and not ignore_place:
        raise BadDataError(f"{place[0].message}; --ignore-place measures it anyway, with a flag")
    target, cerebellum = (mean[regions[name]] for name in (TARGET, STANDARD_REFERENCE))
    known = cerebellum[np.isfinite(cerebellum)]
    ratio = float(np.nanmean(target) / known.mean()) if known.size and known.mean() else np.nan
    return (*place, *_not_uptake(stated, known, ratio))


def _misplaced(moves: NDArray[np.floating], limit: float) -> tuple[Flag, ...]:
    """An image that fits the template better when its points are moved by so much, (N, 3), mm."""
    apart = float(np.linalg.norm(moves, axis=1).mean())
    if apart <= limit:
        return ()
    x, y, z = moves.mean(axis=0)
    return (worded_flag("mni-place", apart=apart, limit=limit, x=x, y=y, z=z),)


def _not_uptake(stated: str, cerebellum: NDArray[np.floating], ratio: float) -> tuple[Flag, ...]:
    """An image whose values are not uptake, by what is stated, its cerebellum and its cortex."""
    limits = read_table("limits")
    share = float((cerebellum <= 0).mean()) if cerebellum.size else 0.0
    reason = f"its {stated}" if stated else ""
    if not reason and is_beyond(share, limits["cerebellum_not_positive"]):
        reason = f"{share:.0%} of its cerebellum is zero or less"
    if not reason and is_beyond(ratio, limits["target_ratio"]):
        reason = f"its cortex has {ratio:.2g} times the value of its cerebellum"
    return (worded_flag("not-uptake", reason=reason),) if reason else ()


def region_dictionary(processing: Processing, units: str) -> dict[str, dict[str, Any]]:
    """Column descriptions of an atlas table.

    Parameters
    ----------
    processing : reference regions, threshold of grey matter, background region
    units : of the image

    Returns
    -------
    dict
        Column -> ``Description`` and, where there is one, ``Units``, in the order of the columns.
    """
    described: dict[str, dict[str, Any]] = {}
    used, threshold = chosen_references(processing), processing.gm_threshold
    grey = (
        "every voxel weighted by its probability of grey matter"
        if threshold is None
        else f"of the voxels that are grey matter with a probability of {threshold:g} or more"
    )
    noise = next(region.description for region in used if region.name == processing.background)
    if noise[1:2].islower():  # a word, no name of an atlas
        noise = noise[0].lower() + noise[1:]
    for column, entry in read_table("region_columns").items():
        if column not in ("suvr", "centiloid"):
            described[column] = _described(entry, units, noise=noise, grey=grey)
        elif column == "suvr":
            for region in used:
                for kind in ("suvr", "centiloid"):
                    described[f"{kind}_{region.name}"] = _described(
                        read_table("region_columns")[kind], units, reference=region.description
                    )
    return described


def _grey(space: AtlasSpace, threshold: float | None) -> Map | None:
    """Weights of the grey-matter columns."""
    grey = space.tissues.get("GM")
    return grey if grey is None or threshold is None else (grey >= threshold).astype(np.float32)


def _described(entry: Mapping[str, Any], units: str, **words: str) -> dict[str, Any]:
    text = entry["Description"]
    for key, word in words.items():
        text = text.replace(f"{{{key}}}", word)
    return {"Description": text, **({"Units": units} if entry.get("unit") else {})} | {
        key: entry[key] for key in ("Units",) if key in entry
    }


def placed_reference(reference: Reference, space: AtlasSpace) -> Regions:
    """Voxels of a reference region in a space, weighted by tissue where it is defined so.

    Without a T1w a region that needs a tissue is empty: it would be another region.

    Parameters
    ----------
    reference : its definition
    space : the space

    Returns
    -------
    Regions
        One region on ``space.grid``.
    """
    if reference.parts:
        parts = [placed_reference(part, space) for part, _ in reference.parts]
        return Regions.composite(parts, [weight for _, weight in reference.parts])
    regions = space.placed(reference.regions, reference.grid)
    if reference.tissue is None:
        return regions
    if reference.tissue not in space.tissues:
        return Regions.empty(regions.shape)
    regions = regions.weighted(space.tissues[reference.tissue])
    return regions if reference.threshold is None else regions.at_least(reference.threshold)
