"""Detection of damage to images by transfer, conversion or processing, and of lost voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt, gaussian_filter

from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, SD_PER_MAD, block_mean, nearest_voxels
from bidsapp.core.grid.volume import Grid, Volume, blur_reach, known_or_zero, mask_slices

Mask = NDArray[np.bool_]

_BRIGHT_PERCENTILE = 99.5
_VOID = 0.15  # of the usual uptake of tissue; the middle of large ventricles has 0.2
_VOID_FWHM_MM = 5.0
_MANY_TIMES = 5.0  # the voxels of the other levels: the peak of a histogram has 2 times as many
_STEEP_MM = 3.5  # planes farther apart may differ by anatomy
_LEAST_COMMON = 150  # pixels of tissue in both of two planes, to measure the step between them
_NEIGHBOURS = 3  # steps on either side that show what is usual there
_WIDE_MM2 = 2000.0  # planes with as much common tissue distinguish anatomy from scaling
# Standard deviations of steps between good planes, at least: wide ones, narrow ones. An image whose
# planes are all uneven must not pass for a noisy one, so the second is the largest, too.
_USUAL_STEP = (0.006, 0.04)
_LEAST_STEP = 1e-9  # where most pixels change alike there is no noise to divide by
_LEAST_UPTAKE = 0.01  # of the tissue; what has less has no logarithm worth taking
_LEAST_STEPS = 12  # with fewer the usual size is unknown
_SURELY_TISSUE = 0.8  # after a blur like that of a PET
_PART_FWHM_MM = 15.0
_LEAST_WEIGHT = 0.35  # of a part inside a region; at a smooth border half of it is
_AIR_MM = 40.0  # from the brain: beyond skull and scalp
_AIR_BLOCK_MM = 8.0
_LEAST_AIR = 200  # blocks; fewer are not background
_BELOW = 0.05  # of the bright part; interpolation and filters go less below zero
_DARKEST_PERCENT = 0.1  # of the voxels: below their level is noise
_ABOVE_AIR = 0.01  # of the range, so that the darkest fluid of a brain without skull is positive
_MASKED = 0.2  # of the voxels; fewer that are zero are a level among others
_PADDED = 0.01  # of the voxels; fewer that have the lowest number are the darkest air
_NEAR_AIR = 0.1  # of the range; the darkest voxels of heads have 0.001-0.04 of the brightest
_THINNED = 3  # voxels, for percentiles
_SPIKE = 10.0  # times the bright part of a T1w; vessels and fat beside a coil have up to 3


def without_spikes(t1w: Volume) -> Volume:
    """Set voxels brighter than any tissue in a head to NaN.

    A voxel of a million times the intensity of white matter would be fitted as a separate tissue.

    Parameters
    ----------
    t1w : Volume, 3D

    Returns
    -------
    Volume
        float32, NaN where a voxel is not finite or has more than ten times the intensity that
        99.5 % of the others have at most.
    """
    data = np.asarray(t1w.data, np.float32)
    size = np.abs(data)
    top = size.max(initial=0)
    if top == 0 or (
        np.isfinite(top)
        and np.count_nonzero(size >= top / _SPIKE) >= _bright(int(np.count_nonzero(size)))
    ):
        return t1w  # without the percentile, which takes ten times as long
    known = np.isfinite(data)
    size = size[known & (data != 0)]
    if not size.size:
        return t1w
    credible: NDArray[np.bool_] = known.copy()
    credible[known] = np.abs(data[known]) <= _SPIKE * np.percentile(size, _BRIGHT_PERCENTILE)
    return t1w if credible.all() else Volume(np.where(credible, data, np.nan), t1w.affine)


def without_padding(t1w: Volume) -> Volume:
    """Mark a constant surrounding of the head that is as bright as tissue as missing.

    A brain without skull whose intensities were scaled afterwards has such a background.

    Parameters
    ----------
    t1w : Volume, 3D

    Returns
    -------
    Volume
        float32, NaN in the padding: the number of a corner that more than a fifth of all voxels
        have, if it is neither zero nor dark.
    """
    data = t1w.data
    some = data[(slice(None, None, _THINNED),) * data.ndim]
    corners = data[tuple(slice(None, None, max(size - 1, 1)) for size in data.shape)]
    for number in np.unique(corners[np.isfinite(corners) & (corners != 0)]):
        if np.count_nonzero(some == number) <= _MASKED * some.size:
            continue
        others = some[np.isfinite(some) & (some != number)]
        dark, bright = np.percentile(others, [2, 98]) if others.size else (number, number)
        if number > dark + _NEAR_AIR * (bright - dark):
            return Volume(np.where(data == number, np.nan, data).astype(np.float32), t1w.affine)
    return t1w


def above_zero(t1w: Volume) -> tuple[Volume, float | None]:
    """Move the intensities of a T1w that go below zero (MP2RAGE, z-scores) up to where air is zero.

    A bias field multiplies intensities, and what is not above zero is not tissue.

    Parameters
    ----------
    t1w : Volume, 3D

    Returns
    -------
    Volume
        What is zero stays zero where that means that nothing is there (brain without skull), and
        padding with a number below all others, negative or not, becomes zero.
    level : float or None
        The intensity that became zero; None when nothing had to be moved.
    """
    data = t1w.data
    lowest = np.fmin.reduce(data, axis=None) if data.size else 0.0
    if lowest == 0 or not np.isfinite(lowest):
        return t1w, None
    some = data[(slice(None, None, _THINNED),) * data.ndim]
    some = some[np.isfinite(some)]
    masked = np.count_nonzero(some == 0) > _MASKED * some.size
    some = some[some != 0] if masked else some
    share = _PADDED if lowest < 0 else _MASKED
    padded = np.count_nonzero(some == lowest) > share * some.size
    some = some[some != lowest] if padded else some
    if not some.size:
        return t1w, None
    darkest, dark, bright = np.percentile(some, [_DARKEST_PERCENT, 2, 98])
    least = -_BELOW * abs(bright)
    if least <= lowest < 0 or (not padded and dark >= least):
        return t1w, None
    nothing = (data == 0) & masked | (data == lowest) & padded
    if dark >= least:
        return Volume(np.where(nothing, 0, data), t1w.affine), None
    # else the lowest number is padding: the darkest of a head is near air, with or without skull
    is_air = padded and darkest - lowest <= _NEAR_AIR * (bright - darkest)
    level = float(lowest if is_air else darkest - _ABOVE_AIR * (bright - darkest))
    moved = np.maximum(data.astype(np.float32) - np.float32(level), 0)
    return Volume(np.where(nothing, 0, moved), t1w.affine), level


def _bright(count: int) -> int:
    """How many of the brightest voxels reach down to the percentile of the bright part."""
    return count - int(_BRIGHT_PERCENTILE / 100 * (count - 1))


@dataclass(frozen=True)
class Damage:
    """Signs of damage in one image of a PET.

    Attributes
    ----------
    lost : ndarray of bool, shape (X, Y, Z)
        Tissue whose voxels hold one and the same number, or next to nothing: no measurement.
    clipped_share : float
        Part of the tissue that has exactly the largest value of all tissue.
    plane_step : float
        Largest step of the uptake from one plane to the next beyond what is usual beside it, over
        their mean; 0 to 2.
    step_axis, step_plane : int
        Where it is: voxel axis, and the plane before it.
    step_sds : float
        Largest step that all pixels of two planes share, in standard deviations of such steps by
        the noise of these planes; that of narrow planes counts little.
    """

    lost: Mask
    clipped_share: float
    plane_step: float
    step_axis: int
    step_plane: int
    step_sds: float


def inspect(image: Volume, tissue: Mask) -> Damage:
    """Detect parts of a PET that were filled, emptied, clipped or scaled.

    Parameters
    ----------
    image : Volume, 3D
        As it was stored: nothing of it is left after an interpolation.
    tissue : ndarray of bool, shape (X, Y, Z)
        Voxels that are grey or white matter for sure.

    Returns
    -------
    Damage
        Without any when there is no tissue in the field of view.
    """
    damaged = np.zeros(tissue.shape, bool)
    sigma = _VOID_FWHM_MM / FWHM_PER_SIGMA / image.grid.voxel_size
    box = mask_slices(tissue, blur_reach(sigma) + 1)  # beyond changes nothing
    data, within = known_or_zero(np.asarray(image.data[box], np.float32)), tissue[box]
    values = data[within]
    usual = float(np.median(values)) if values.size else 0.0
    if usual <= 0:
        return Damage(tissue if values.size else damaged, 0.0, 0.0, 0, 0, 0.0)
    top = data == values.max()
    void = gaussian_filter(data, sigma, mode="nearest") < _VOID * usual
    step, axis, plane = _largest_step(data, within, image.grid.voxel_size)
    damaged[box] = within & (_filled(data, within) & ~top | void)
    return Damage(
        lost=damaged,
        clipped_share=float(top[within].mean()) if top[within].sum() > 1 else 0.0,
        plane_step=step,
        step_axis=axis,
        step_plane=box[axis].start + plane,
        step_sds=_step_in_sds(data, within, image.grid.voxel_size, usual),
    )


def flat_voxels(data: NDArray[np.generic]) -> Mask:
    """Voxels of areas that hold one number.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
        Those that equal their neighbours on both sides along two axes at least, and those beside
        them that equal them: noise and slopes leave no such place in what was measured.
    """
    equal, on_both_sides = [], []
    for axis in range(3):
        planes = np.moveaxis(data, axis, 0)
        same = planes[1:] == planes[:-1]
        end = np.ones_like(same, shape=(1, *same.shape[1:]))
        both = np.concatenate([end, same]) & np.concatenate([same, end])
        equal.append(same)
        on_both_sides.append(np.moveaxis(both, 0, axis))
    x, y, z = on_both_sides
    middle: Mask = (x & y) | (x & z) | (y & z)
    flat = middle.copy()
    for axis, same in enumerate(equal):
        to, source = np.moveaxis(flat, axis, 0), np.moveaxis(middle, axis, 0)
        to[1:] |= source[:-1] & same
        to[:-1] |= source[1:] & same
    return flat


def _filled(data: NDArray[np.float32], tissue: Mask) -> Mask:
    """Tissue in areas of one number, of far more voxels than such areas of the other numbers have.

    An image of few levels has small areas of each, an enlarged one equal neighbours everywhere.
    """
    filled = np.zeros(tissue.shape, bool)
    flat = flat_voxels(data)[tissue]
    if not flat.any():
        return filled
    _, place = np.unique(data[tissue], return_inverse=True)
    area = np.bincount(place, weights=flat)
    others = area[place[place != np.argmax(area)]]
    usual = float(np.median(others)) if others.size else 0.0
    filled[tissue] = flat & (area > _MANY_TIMES * usual)[place]
    return filled


def _largest_step(
    data: NDArray[np.float32], tissue: Mask, voxel_mm: NDArray[np.float64]
) -> tuple[float, int, int]:
    """Largest step between two planes, its axis and its first plane."""
    largest, where = 0.0, (0, 0)
    inside = np.where(tissue, data, 0).astype(np.float64)
    for axis in np.flatnonzero(voxel_mm <= _STEEP_MM).tolist():
        planes, there = np.moveaxis(inside, axis, 0), np.moveaxis(tissue, axis, 0)
        both = there[1:] & there[:-1]
        first, second = ((part * both).sum(axis=(1, 2)) for part in (planes[:-1], planes[1:]))
        common = both.sum(axis=(1, 2))
        known = (common >= _LEAST_COMMON) & (first + second > 0)
        step = np.where(known, 2 * (second - first) / np.where(known, first + second, 1.0), np.nan)
        size = np.zeros(len(step))
        for k in np.flatnonzero(known).tolist():
            around = np.r_[step[max(k - _NEIGHBOURS, 0) : k], step[k + 1 : k + 1 + _NEIGHBOURS]]
            around = around[np.isfinite(around)]
            size[k] = abs(step[k] - (float(np.median(around)) if around.size else 0.0))
        if known.any() and size.max() > largest:
            largest, where = float(size.max()), (axis, int(size.argmax()))
    return largest, *where


def _step_in_sds(
    data: NDArray[np.float32], tissue: Mask, voxel_mm: NDArray[np.float64], usual: float
) -> float:
    """Largest step that all pixels of two planes share, in standard deviations of such steps.

    Scaling changes the logarithm of every pixel alike; anatomy changes some, and goes on in the
    planes beyond, so that the median of second differences leaves little of it. How far noise moves
    the median follows from the pixels of the same planes: those near the ends of the field of view
    are noisier than the others.
    """
    most = 0.0
    log = np.log(np.maximum(data, _LEAST_UPTAKE * usual))
    for axis in np.flatnonzero(voxel_mm <= _STEEP_MM).tolist():
        planes, there = np.moveaxis(log, axis, 0), np.moveaxis(tissue, axis, 0)
        all_four = there[:-3] & there[1:-2] & there[2:-1] & there[3:]
        common = all_four.sum(axis=(1, 2))
        places = np.flatnonzero(common >= _LEAST_COMMON)
        pixels = common[places]
        changes = [
            1.5 * (second - first) - 0.5 * (after - before)
            for before, first, second, after in (planes[k : k + 4, all_four[k]] for k in places)
        ]
        middles = np.array([float(np.median(change)) for change in changes])
        own_sd = SD_PER_MAD * np.array([
            float(np.median(np.abs(change - middle)))
            for change, middle in zip(changes, middles, strict=True)
        ])  # fmt: skip
        # Pixels are not independent, so how far steps of noise exceed this shows in the others.
        independent = np.maximum(own_sd / np.sqrt(pixels), _LEAST_STEP)
        size = np.abs(middles)
        excess = size / independent
        wide = pixels * np.prod(np.delete(voxel_mm, axis)) >= _WIDE_MM2
        for at, step, alone, is_wide in zip(places, size, independent, wide, strict=True):
            elsewhere = np.abs(places - at) > _NEIGHBOURS
            spread = _USUAL_STEP[1]
            if is_wide and elsewhere.sum() >= _LEAST_STEPS:
                deviation = SD_PER_MAD * float(np.median(excess[elsewhere])) * alone
                spread = float(np.clip(deviation, *_USUAL_STEP))
            most = max(most, float(step) / spread)
    return most


def air_level(image: Volume, brain: Mask, usual: float) -> float | None:
    """Level of the air around the head.

    Parameters
    ----------
    image : Volume, 3D
    brain : ndarray of bool, shape (X, Y, Z)
    usual : uptake of the tissue

    Returns
    -------
    float or None
        Size of the median over blocks of 8 mm far from the brain, over ``usual``; None when the
        field of view holds too little air, or air that was set to zero.
    """
    size = image.grid.voxel_size
    a, b, c = (max(1, round(_AIR_BLOCK_MM / edge)) for edge in size)
    distance = distance_transform_edt(~brain, sampling=size).astype(np.float32)
    data = np.asarray(image.data, np.float32)
    values = block_mean(data, (a, b, c))[block_mean(distance, (a, b, c)) > _AIR_MM]
    values = values[np.isfinite(values) & (values != 0)]
    if len(values) < _LEAST_AIR or usual <= 0 or not brain.any():
        return None
    return abs(float(np.median(values))) / usual


def regional_deviation(
    uptake: NDArray[np.floating], tissue: NDArray[np.floating], region: Mask, voxel_mm: float
) -> float | None:
    """Largest local deviation of a region from the uptake of its grey and white matter.

    Local means are over a Gaussian of 15 mm: large enough to average out the noise, small enough to
    detect what changes the mean of a cerebellum by some percent.

    Parameters
    ----------
    uptake : ndarray, shape (X, Y, Z)
        Voxels without a number do not count.
    tissue : ndarray, shape (2, X, Y, Z)
        Grey and white matter, 0 to 1, as blurred as the uptake.
    region : ndarray of bool, shape (X, Y, Z)
    voxel_mm : edge of a voxel

    Returns
    -------
    float or None
        Largest size of such a difference, over the mean of the region; None when it holds nothing.
    """
    known = region & np.isfinite(uptake) & (tissue.sum(axis=0) > _SURELY_TISSUE)
    values, share = uptake[known].astype(np.float64), tissue[:, known].T.astype(np.float64)
    if not values.size or (middle := float(values.mean())) <= 0:
        return None
    expected = share @ np.linalg.lstsq(share, values, rcond=None)[0]
    rest, weight = np.zeros(region.shape), known.astype(np.float64)
    rest[known] = values / middle - expected / middle
    sigma = _PART_FWHM_MM / FWHM_PER_SIGMA / voxel_mm
    rest, weight = gaussian_filter(rest, sigma), gaussian_filter(weight, sigma)
    inside = known & (weight > _LEAST_WEIGHT)
    return float(np.abs(rest[inside] / weight[inside]).max()) if inside.any() else None


def voxels_at(points: NDArray[np.float64], grid: Grid) -> Mask:
    """Voxels of a grid that scattered points fall into, small gaps between them closed.

    Parameters
    ----------
    points : ndarray, shape (N, 3), world mm
    grid : Grid

    Returns
    -------
    ndarray of bool, shape of the grid
    """
    nearest = nearest_voxels(grid, points)
    mask = np.zeros(grid.shape, bool)
    mask.reshape(-1)[nearest[nearest >= 0]] = True
    closed: Mask = binary_closing(mask)
    return closed | mask


def crosses(damage: Damage, region: Mask, least: float) -> bool:
    """Whether the step of an image has at least this part of a region on either side.

    Parameters
    ----------
    damage : Damage
    region : ndarray of bool, shape (X, Y, Z)
    least : part of the region, 0 to 1

    Returns
    -------
    bool
    """
    planes = np.moveaxis(region, damage.step_axis, 0)
    below = planes[: damage.step_plane + 1].sum() / max(int(region.sum()), 1)
    return bool(least <= below <= 1 - least)
