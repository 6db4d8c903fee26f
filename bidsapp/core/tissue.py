"""Tissue probabilities and brain mask on the full T1w grid, from the fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core import mixture as gmm
from bidsapp.core.alignment import transform
from bidsapp.core.mixture import Mixture
from bidsapp.core.priors import PriorSampler
from bidsapp.core.warp import Warp
from bidsapp.volume import Volume

Float = NDArray[np.float64]

Float32 = NDArray[np.float32]

_CLOSING_MM = 5.0  # over sulci
_SLAB = 8  # slices of the first axis that are worked on at a time


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
    brain_box = _brain_box(warp, shape)
    axes = [np.arange(n) for n in shape]
    y, z = axes[1][brain_box[1]], axes[2][brain_box[2]]
    for first in range(0, shape[0], _SLAB):
        here = slice(first, first + _SLAB)
        raw = np.nan_to_num(t1w.data[here].astype(np.float32))
        log_rho = bias_basis(axes[0][here], axes[1], axes[2]).evaluate(log_bias)
        corrected[here] = raw * np.exp(log_rho.astype(np.float32))
    for first in range(brain_box[0].start, brain_box[0].stop, _SLAB):
        here = slice(first, min(first + _SLAB, brain_box[0].stop))
        x = axes[0][here]
        index = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).astype(np.float64)
        world = transform(warp.t1w_affine, index) + warp.displacement(x, y, z)
        template = transform(warp.affine, world)
        intensity = corrected[here, brain_box[1], brain_box[2]].ravel() / intensity_unit
        prior = sampler.values(template.reshape(-1, 3))
        inside = (prior[:, 3] < 0.999) & (intensity != 0)
        joint = _by_class(mixture, intensity[inside]) * prior[inside]
        joint /= joint.sum(axis=1, keepdims=True)
        within = inside.reshape(index.shape[:3])
        for tissue in range(3):
            probabilities[tissue, here, brain_box[1], brain_box[2]][within] = joint[:, tissue]
    return TissueMaps(probabilities, corrected, _brain(probabilities, t1w.grid.voxel_size))


def _brain_box(warp: Warp, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Voxels that may be brain: the box of the cosines, which was drawn around them."""
    low = np.clip(np.floor(warp.origin), 0, shape).astype(int)
    high = np.clip(np.ceil(warp.origin + warp.length), 0, shape).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


def _by_class(mixture: Mixture, intensity: Float32) -> Float32:
    """Likelihood of each class by table look-up: the densities are smooth in one variable."""
    low, high = float(intensity.min(initial=0)), float(intensity.max(initial=1))
    knots = np.linspace(low, high + 1e-6, 20001)
    table = gmm.by_class(knots, mixture)
    at = (intensity - low) * ((len(knots) - 1) / (high + 1e-6 - low))
    left = np.minimum(at.astype(np.int64), len(knots) - 2)
    part = (at - left)[:, None]
    result: Float32 = table[left] * (1 - part) + table[left + 1] * part
    return result


def _brain(probabilities: Float32, voxel_size: Float) -> NDArray[np.bool_]:
    """Brain from tissue: solid grey and white matter, then the CSF within and close around it.

    Opened so that thin bridges to dura and eyes break, the largest piece kept, closed over sulci
    and ventricles, filled.
    """
    solid = probabilities[0] + probabilities[1] > 0.5
    box = _padded_box(solid, np.ceil(_CLOSING_MM / voxel_size).astype(int) + 1)
    tissue = probabilities.sum(axis=0)[box] > 0.5
    core = _largest(_shrunk(solid[box], voxel_size, 2.0))
    brain = _grown(core, voxel_size, 3.0) & tissue
    brain = _shrunk(_grown(brain, voxel_size, _CLOSING_MM), voxel_size, _CLOSING_MM)
    out = np.zeros_like(solid)
    out[box] = ndimage.binary_fill_holes(brain)
    return out


def _padded_box(mask: NDArray[np.bool_], pad: NDArray[np.int64]) -> tuple[slice, ...]:
    """Bounding box of a mask and ``pad`` voxels more; the whole image for an empty mask."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return tuple(slice(0, n) for n in mask.shape)
    return tuple(
        slice(max(side.start - p, 0), min(side.stop + p, n))
        for side, p, n in zip(found[0], pad, mask.shape, strict=True)
    )


def _grown(mask: NDArray[np.bool_], voxel_size: Float, by_mm: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=voxel_size) <= by_mm)


def _shrunk(mask: NDArray[np.bool_], voxel_size: Float, by_mm: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=voxel_size) > by_mm)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())
