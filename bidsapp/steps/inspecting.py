"""Damage in the raw frames of a PET within the brain: lost voxels are masked and reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, gaussian_filter

from bidsapp.core.frames.damage import air_level, crosses, inspect, regional_deviation, voxels_at
from bidsapp.core.frames.position_means import PositionMean
from bidsapp.core.grid.alignment import Matrix, inverse, transform
from bidsapp.core.grid.resample import measured_voxels, resample, sample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Grid, Volume, blur_reach, mask_slices
from bidsapp.core.quality import flagged
from bidsapp.data import priors, read_table, template_mask, vois
from bidsapp.record import RecordPart
from bidsapp.steps.head import HeadTissues, PlacedHead
from bidsapp.steps.refusing import refuse_beyond, refuse_damaged

_SURELY_TISSUE = 0.8  # after a blur like that of a PET
_BLUR_MM = 6.0
_PRIOR = 0.95  # of grey and white matter, without a T1w
_TEMPLATE_MM = 2
_AGAIN = "look at the image, and convert or copy it again"

# Numbers of every frame, of which the largest is reported.
_BY_FRAME = ("pet_lost_share", "pet_clipped_share", "pet_plane_step", "pet_plane_step_sds")

Mask = NDArray[np.bool_]
# World of the reference position of the head -> mask on the grid of the PET
TissueAt = Callable[[Matrix], Mask]


def tissue_of_t1w(tissues: HeadTissues, grid: Grid) -> TissueAt:
    """Certain grey and white matter on the grid of the PET, by the position of the head.

    Parameters
    ----------
    tissues : HeadTissues
    grid : of the PET

    Returns
    -------
    function
        T1w world -> PET world, 4 x 4, RAS mm, to a mask on ``grid``.
    """
    grey, white, brain = tissues.gm, tissues.wm, tissues.mask.data
    sigma = _BLUR_MM / FWHM_PER_SIGMA / grey.grid.voxel_size
    box = mask_slices(brain, blur_reach(sigma) + 1)  # beyond is nothing
    within = (grey.data[box] + white.data[box]) * brain[box]
    blurred = Volume(np.zeros(brain.shape, np.float32), grey.affine)
    blurred.data[box] = gaussian_filter(np.asarray(within, np.float32), sigma)

    @cache
    def placed(to_pet: bytes) -> Mask:
        t1w = inverse(np.frombuffer(to_pet).reshape(4, 4))
        return np.asarray(resample(blurred, grid, t1w).data > _SURELY_TISSUE)

    return lambda to_pet: placed(np.ascontiguousarray(to_pet, np.float64).tobytes())


def tissue_of_template(field: NDArray[np.floating], grid: Grid) -> TissueAt:
    """Certain grey and white matter by the tissue priors of the template, without a T1w.

    Parameters
    ----------
    field : ndarray, shape (X, Y, Z, 3)
        World coordinate of every voxel of the 2 mm MNI grid, RAS mm.
    grid : of the PET

    Returns
    -------
    function
        World of ``field`` -> PET world, 4 x 4, RAS mm, to a mask on ``grid``.
    """
    points = field[priors().maps[:2].sum(axis=0) > _PRIOR].astype(np.float64)
    return lambda to_pet: binary_erosion(voxels_at(transform(to_pet, points), grid))


def inspected(
    frames: Iterable[tuple[Volume, float, ArrayLike]],
    position_means: Sequence[PositionMean],
    mean: Volume,
    head: PlacedHead,
    reference: str,
) -> tuple[list[PositionMean] | None, RecordPart]:
    """Mask the voxels of a window that have no measurement.

    Parameters
    ----------
    frames : of the raw PET: image, seconds that count, world of the reference -> its world
    position_means, mean : of the window, native grid
    head : where it lies
    reference : reference region of the Centiloid

    Returns
    -------
    list of PositionMean, or None
        The window without what is lost; None when nothing is.
    RecordPart

    Raises
    ------
    BadDataError
        The reference region is damaged, the brain holds one value, or the air is farther from zero.
    """
    limits, grid, to_pet = read_table("limits"), mean.grid, head.t1w_to_pet
    points = head.field.data.astype(np.float64)
    if head.tissues is None:
        tissue = tissue_of_template(head.field.data, grid)
    else:
        tissue = tissue_of_t1w(head.tissues, grid)
    in_reference = points[vois(2)[reference]]
    seen = measured_voxels(position_means[0].image.data)
    lost = {
        _key(position_mean.motion): np.zeros(grid.shape, bool) for position_mean in position_means
    }
    worst = dict.fromkeys(_BY_FRAME, 0.0)
    reference_lost = 0.0
    most_lost = limits["pet_lost_share"]["refuse"]
    for frame, weight, matrix in frames:
        if weight <= 0:
            continue
        moved = np.asarray(matrix, np.float64)
        where = tissue(moved @ to_pet) & seen
        region = voxels_at(transform(moved @ to_pet, in_reference), grid) & seen
        marks = inspect(frame, where)
        lost[_key(moved)] |= marks.lost
        each = (_share(marks.lost, where), marks.clipped_share, marks.plane_step, marks.step_sds)
        worst = dict(zip(worst, map(max, worst.values(), each), strict=True))
        reference_lost = max(reference_lost, _share(marks.lost, region & where))
        steep = marks.plane_step > limits["pet_plane_step"]["refuse"]
        crossed = steep and crosses(marks, region, most_lost)
        step = marks.plane_step if crossed else None
        refuse_damaged(reference, reference_lost, step, most_lost)
    at_rest = tissue(to_pet) & seen
    usual = float(np.nanmedian(mean.data[at_rest])) if at_rest.any() else 0.0
    brain = voxels_at(transform(to_pet, points[template_mask(2).data]), grid)
    quality = worst | {
        "pet_reference_apart": _reference_apart(mean, transform(to_pet, points), reference),
        "pet_air_level": air_level(mean, brain, usual),
    }
    refuse_beyond(quality, limits, region=reference)
    part = RecordPart(qc=quality, flags=flagged(quality, limits, again=_AGAIN))
    if not any(mask.any() for mask in lost.values()):
        return None, part
    kept = []
    for position_mean in position_means:
        image = position_mean.image
        data = np.where(lost[_key(position_mean.motion)], np.float32(np.nan), image.data)
        kept.append(replace(position_mean, image=Volume(data, image.affine)))
    return kept, part


def _reference_apart(mean: Volume, points: NDArray[np.float64], reference: str) -> float | None:
    """`regional_deviation` of the reference region, by the tissue of the template."""
    whole = vois(_TEMPLATE_MM)[reference]
    sigma = _BLUR_MM / FWHM_PER_SIGMA / _TEMPLATE_MM
    box = mask_slices(whole, blur_reach(sigma))
    tissue = np.stack([gaussian_filter(tissue[box], sigma) for tissue in priors().maps[:2]])
    return regional_deviation(sample(mean, points[box]), tissue, whole[box], _TEMPLATE_MM)


def _key(motion: Matrix) -> bytes:
    return np.asarray(motion, np.float64).tobytes()


def _share(part: Mask, whole: Mask) -> float:
    return float((part & whole).sum()) / max(int(whole.sum()), 1)
