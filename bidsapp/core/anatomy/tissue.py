"""Tissue probabilities and brain mask on the full T1w grid, from the fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy import mixture as gmm
from bidsapp.core.anatomy.mixture import Mixture
from bidsapp.core.anatomy.priors import PriorSampler
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.sampling import block_mean
from bidsapp.core.grid.volume import Volume, known_or_zero, mask_box, mask_slices
from bidsapp.core.parallel import chunks, each

Float = NDArray[np.float64]

Float32 = NDArray[np.float32]

_CLOSING_MM = 5.0  # over sulci
_FINE_MM = 1.5  # coarser voxels are divided: bridges of 4 mm cannot be broken by voxels of 3
_SLAB = 8  # slices of the first axis that are worked on at a time
_LATTICE = 4  # voxels
_REACH_SD = 12.0  # exp(-72) is less than the least density of the mixture
_CERTAIN = 0.999  # background is not asked for its intensity


@dataclass(frozen=True)
class TissueMaps:
    """Maps on the T1w grid.

    Attributes
    ----------
    probabilities : ndarray, shape (3, X, Y, Z), float32
        Grey matter, white matter, CSF. CSF reaches to the inner skull, where dark bone may pass
        for it; the registration of the PET needs that rim (cut to the mask, it drifts by 0.1 mm).
    corrected : ndarray, shape (X, Y, Z), float32
        Bias-corrected T1w in the units of the T1w.
    brain_mask : ndarray, shape (X, Y, Z), bool
    """

    probabilities: Float32
    corrected: Float32
    brain_mask: NDArray[np.bool_]


def classify(
    t1w: Volume,
    sampler: PriorSampler,
    warp: Warp,
    mixture: Mixture,
    log_bias: Float,
    intensity_unit: float,
) -> TissueMaps:
    """Posterior of the tissue classes in every voxel.

    Parameters
    ----------
    t1w : Volume, 3D
    sampler : PriorSampler
    warp : Warp
    mixture : Mixture
    log_bias : ndarray, shape (nx, ny, nz)
        Cosine coefficients over the box of the warp.
    intensity_unit : float

    Returns
    -------
    TissueMaps
    """
    shape = t1w.data.shape
    probabilities = np.zeros((3, *shape), np.float32)
    corrected = np.zeros(shape, np.float32)
    bias_basis = replace(warp, coefficients=np.zeros((3, *log_bias.shape))).basis
    axes = [np.arange(n) for n in shape]
    maybe, brain_box = _may_be_brain(sampler, warp, shape)
    y, z = axes[1][brain_box[1]], axes[2][brain_box[2]]

    def correct(slab: slice) -> None:
        raw = known_or_zero(t1w.data[slab].astype(np.float32))
        log_rho = bias_basis(axes[0][slab], axes[1], axes[2]).evaluate(log_bias)
        corrected[slab] = raw * np.exp(log_rho.astype(np.float32))

    def classify_slab(slab: slice) -> None:
        intensity = corrected[slab, brain_box[1], brain_box[2]] / intensity_unit
        inside = (intensity != 0) & maybe[np.ix_(*(a // _LATTICE for a in (axes[0][slab], y, z)))]
        prior = _prior(sampler, warp, axes[0][slab], y, z, where=inside)
        certain = prior[:, 3] >= _CERTAIN
        inside[inside] = ~certain
        joint = _by_class(mixture, intensity[inside]) * prior[~certain]
        joint /= joint.sum(axis=1, keepdims=True)
        for tissue in range(3):
            probabilities[tissue, slab, brain_box[1], brain_box[2]][inside] = joint[:, tissue]

    each(correct, chunks(0, shape[0], _SLAB))
    each(classify_slab, chunks(brain_box[0].start, brain_box[0].stop, _SLAB))
    brain = _brain(probabilities, t1w.grid.voxel_size, brain_box)
    return TissueMaps(probabilities, corrected, brain)


def _prior(
    sampler: PriorSampler,
    warp: Warp,
    *positions: NDArray[np.int64],
    where: NDArray[np.bool_] | None = None,
) -> Float32:
    """Class priors at voxel positions of the three axes, all (X * Y * Z, 4) or those ``where``."""
    at = warp.lattice_to_template(*positions)
    return sampler.values((at.reshape(3, -1) if where is None else at[:, where]).T)


def _may_be_brain(
    sampler: PriorSampler, warp: Warp, shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], tuple[slice, slice, slice]]:
    """Cells of a coarse lattice that may hold brain, and the box of voxels around them.

    Those at whose corners there may be some, and all their neighbours.
    """
    axes = [np.arange(0, n, _LATTICE) for n in shape]
    maybe = (_prior(sampler, warp, *axes)[:, 3] < _CERTAIN).reshape([len(a) for a in axes])
    maybe = ndimage.binary_dilation(maybe, np.ones((3, 3, 3)))
    first, last = mask_box(maybe)
    x, y, z = map(slice, first * _LATTICE, np.minimum(shape, (last + 1) * _LATTICE))
    return maybe, (x, y, z)


def _by_class(mixture: Mixture, intensity: Float32) -> Float32:
    """Likelihood of each class by table look-up: the densities are smooth in one variable."""
    # beyond the reach of every Gaussian nothing changes: an odd bright voxel needs no knots
    reach = _REACH_SD * np.sqrt(mixture.variance)
    low = max(float(intensity.min(initial=0)), float((mixture.mean - reach).min()))
    high = min(float(intensity.max(initial=1)), float((mixture.mean + reach).max()))
    knots = np.linspace(low, high + 1e-6, 20001)
    intensity = np.clip(intensity, low, high)
    table = gmm.by_class(knots, mixture)
    at = (intensity - low) * ((len(knots) - 1) / (high + 1e-6 - low))
    left = np.minimum(at.astype(np.int64), len(knots) - 2)
    part = (at - left)[:, None]
    result: Float32 = table.take(left, axis=0) * (1 - part) + table.take(left + 1, axis=0) * part
    return result


def _brain(
    probabilities: Float32, voxel_size: Float, within: tuple[slice, ...] = (slice(None),) * 3
) -> NDArray[np.bool_]:
    """Brain from tissue: solid grey and white matter, then the CSF within and close around it.

    Opened so that thin bridges to dura and eyes break, the largest piece kept, closed over sulci
    and ventricles, filled. There is no tissue outside the box ``within``.
    """
    out = np.zeros(probabilities.shape[1:], bool)
    out[within] = probabilities[(slice(2), *within)].sum(axis=0) > 0.5
    box = mask_slices(out, np.ceil(_CLOSING_MM / voxel_size).astype(int) + 1)
    parts = np.ceil(voxel_size / _FINE_MM - 1e-3).astype(int)
    fine = voxel_size / parts
    solid, tissue = (
        _divided(probabilities[(slice(n), *box)].sum(axis=0), parts) > 0.5 for n in (2, 3)
    )
    core = _largest(_eroded(solid, fine, 2.0))
    brain = _dilated(core, fine, 3.0) & tissue
    brain = _eroded(_dilated(brain, fine, _CLOSING_MM), fine, _CLOSING_MM)
    a, b, c = parts.tolist()
    out[:] = False
    out[box] = block_mean(_filled(brain), (a, b, c)) > 0.5
    return out


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and what it encloses, in a third of the time of `ndimage.binary_fill_holes`."""
    outside, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return np.asarray(outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0])


def _divided(values: Float32, parts: NDArray[np.int64]) -> Float32:
    """Every voxel in ``parts`` along each axis, trilinear."""
    if (parts == 1).all():
        return values
    result: Float32 = ndimage.zoom(values, parts, order=1, mode="nearest", grid_mode=True)
    return result


def _dilated(mask: NDArray[np.bool_], voxel_size: Float, by_mm: float) -> NDArray[np.bool_]:
    """Voxels at most ``by_mm`` away from the mask.

    A ball is decomposed into rods along the last axis: the mask, dilated along it by the length of
    a rod, is shifted to the position of every rod and combined.
    """
    reach = by_mm**2 * (1 + 1e-5)  # voxel sizes are known to six digits
    steps = [
        min(int(np.sqrt(reach) / s), n - 1) for s, n in zip(voxel_size, mask.shape, strict=True)
    ]
    rods: dict[int, list[tuple[int, int]]] = {}
    for i, j in product(range(-steps[0], steps[0] + 1), range(-steps[1], steps[1] + 1)):
        left = reach - (i * voxel_size[0]) ** 2 - (j * voxel_size[1]) ** 2
        if left >= 0:
            rods.setdefault(min(int(np.sqrt(left) / voxel_size[2]), steps[2]), []).append((i, j))
    grown, wide = np.zeros_like(mask), mask
    for half in range(steps[2] + 1):
        if half:
            narrow, wide = wide, wide.copy()
            wide[..., 1:] |= narrow[..., :-1]
            wide[..., :-1] |= narrow[..., 1:]
        for i, j in rods.get(half, ()):
            to, source = zip(*map(_overlap, (i, j)), strict=True)
            grown[to] |= wide[source]
    return grown


def _overlap(shift: int) -> tuple[slice, slice]:
    """Slices of target and source along an axis for a shift."""
    if shift >= 0:
        return slice(shift, None), slice(None, -shift or None)
    return slice(None, shift), slice(-shift, None)


def _eroded(mask: NDArray[np.bool_], voxel_size: Float, by_mm: float) -> NDArray[np.bool_]:
    """Voxels more than ``by_mm`` away from everything outside the mask."""
    return ~_dilated(~mask, voxel_size, by_mm)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(labels[mask])
    return np.asarray(labels == sizes.argmax())
