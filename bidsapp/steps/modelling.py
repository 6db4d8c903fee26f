"""Reference-tissue models in all regions of all atlases, and in every voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.volume import Volume
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.core.kinetics.models import Fits, fit_models
from bidsapp.core.kinetics.study import KineticStudy, frames_until, lost_frames
from bidsapp.core.kinetics.voxelwise import srtm2_maps, srtm_maps
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.core.regions.regions import covered_means
from bidsapp.data import mni_grid, read_table
from bidsapp.data.atlases import chosen_atlases
from bidsapp.data.kinetics import (
    MAPS,
    VOXELWISE,
    KineticRow,
    dynamic_rule,
    kinpar_columns,
    model_name,
    parameters_of,
    t_star_min,
)
from bidsapp.data.reference_regions import chosen_references
from bidsapp.errors import BadDataError
from bidsapp.io.tsv import finite_number
from bidsapp.record import RecordPart
from bidsapp.record.parts import failed_fit, fitted, not_fitted
from bidsapp.settings import KineticModel, Processing
from bidsapp.steps.measuring import AtlasSpace, placed_reference

Curves = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Modelled:
    """Results of the models.

    Attributes
    ----------
    tables : columns of `kinpar_columns` by atlas; none when nothing was fitted
    images : parametric images on the 2 mm MNI grid by key of the table of outputs
    part : of the record
    """

    tables: dict[str, dict[str, list[Any]]]
    images: dict[str, Volume]
    part: RecordPart


def modelled(
    curves: Curves,
    frames: NDArray[np.float32],
    space: AtlasSpace,
    processing: Processing,
) -> Modelled:
    """Fit the models that a run asks for.

    Parameters
    ----------
    curves : (R, T) by atlas, and ``frame_start_s``, ``frame_end_s``, ``decay_factor``, (T,); in the
        order of time, without which a scan has no curves
    frames : ndarray, shape (T, X, Y, Z)
        Activity on the 2 mm MNI grid, NaN where not measured.
    space : that grid, with its tissues
    processing : models and their options, atlases, reference regions

    Returns
    -------
    Modelled
    """
    if (refusal := _refusal(curves, processing)) is not None:
        return Modelled({}, {}, not_fitted(refusal))
    try:
        study, used = _study(curves, frames, space, processing)
    except BadDataError as error:
        return Modelled({}, {}, failed_fit(str(error)))
    fits = fit_models(
        study,
        processing.kinetics,
        t_star_min=t_star_min(processing),
        k2_prime=processing.k2_prime_per_min,
    )
    rows = study_rows(processing)
    part = fitted(fits, study, rows, processing)
    return Modelled(kinpar_tables(fits, study, rows), _maps(study, used, fits), part)


def study_rows(processing: Processing) -> list[KineticRow]:
    """Regions of all atlases of a run, in the order of the rows of a `KineticStudy`.

    Parameters
    ----------
    processing : atlases

    Returns
    -------
    list of KineticRow
    """
    return [
        KineticRow(atlas.name, index, name)
        for atlas in chosen_atlases(processing)
        for index, name in zip(atlas.indices, atlas.names, strict=True)
    ]


def kinpar_tables(
    fits: Fits, study: KineticStudy, rows: Sequence[KineticRow]
) -> dict[str, dict[str, list[Any]]]:
    """Tables of kinetic parameters.

    Parameters
    ----------
    fits : of every model
    study : the curves that were fitted
    rows : region of every curve, `study_rows`

    Returns
    -------
    dict
        Atlas -> column of `kinpar_columns` -> values: all regions of the first model, then of the
        next.
    """
    tables: dict[str, dict[str, list[Any]]] = {
        row.atlas: {column: [] for column in kinpar_columns()} for row in rows
    }
    for model, estimates in fits.estimates.items():
        residual = _residual_percent(study, estimates.fitted)
        for position, row in enumerate(rows):
            line: dict[str, Any] = {"model": model_name(model), "index": row.index}
            line |= {"name": row.name, "residual_percent": finite_number(residual[position])}
            line |= parameters_of(fits, model, position)
            for column, values in tables[row.atlas].items():
                values.append(line[column])
    return tables


def _refusal(curves: Curves, processing: Processing) -> str | None:
    """Why the usable frames (a PET of the injection may be lost) are not enough, or None."""
    start, end = curves["frame_start_s"], curves["frame_end_s"]
    try:
        used = frames_until(end, processing.t_end_min)
    except BadDataError as error:
        return str(error)
    return dynamic_refusal(start[used], end[used], dynamic_rule())


def _study(
    stored: Curves,
    frames: NDArray[np.float32],
    space: AtlasSpace,
    processing: Processing,
) -> tuple[KineticStudy, NDArray[np.float32]]:
    """Curves of all regions beside that of the reference region, and the frames of the study."""
    start, end = stored["frame_start_s"], stored["frame_end_s"]
    curves = np.concatenate([stored[atlas.name] for atlas in chosen_atlases(processing)])
    used = frames_until(end, processing.t_end_min)
    named = {region.name: region for region in chosen_references(processing)}
    region = placed_reference(named[processing.kinetics_reference], space)
    least = read_table("limits")["voi_coverage"]["refuse"]
    reference = np.array([covered_means(frame, region, least)[0] for frame in frames])
    used[used] = ~lost_frames(reference[used])
    if not used.any():
        raise BadDataError(
            "the field of view does not cover the reference region of the kinetics; choose another "
            "one by --kinetics-reference"
        )
    if (refusal := dynamic_refusal(start[used], end[used], dynamic_rule())) is not None:
        raise BadDataError(f"without the frames that do not show the reference region, {refusal}")
    start, end, seen = start[used], end[used], frames[used]
    head = np.array([np.nanmean(frame, dtype=np.float64) for frame in seen])
    weights = frame_weights(start, end, head, stored["decay_factor"][used])
    return KineticStudy.of(start, end, curves[:, used], reference[used], weights), seen


def _maps(study: KineticStudy, frames: NDArray[np.float32], fits: Fits) -> dict[str, Volume]:
    """Parametric images by key, of the models that were fitted."""
    inside = np.isfinite(frames).all(axis=0)
    voxels = np.ascontiguousarray(frames[:, inside].T)
    images = {}
    for model in VOXELWISE:
        if model not in fits.estimates:
            continue
        if model is KineticModel.SRTM:
            maps = srtm_maps(study, voxels)
        else:
            maps = srtm2_maps(study, voxels, fits.k2_prime)
        for name in MAPS:
            image = np.full(inside.shape, np.nan, np.float32)
            image[inside] = getattr(maps, name)
            images[f"{model.value}_{name.lower()}"] = Volume(image, mni_grid(2).affine)
    return images


def _residual_percent(study: KineticStudy, model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted root mean square of the residuals by region, over its mean activity."""
    used = np.isfinite(model).any(axis=0)
    weights = study.weights[used] / study.weights[used].sum()
    apart = np.sqrt((study.target - model)[:, used] ** 2 @ weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * apart / (study.target[:, used] @ weights))
