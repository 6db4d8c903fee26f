"""Tissue probabilities and brain mask on the full T1w grid, from the fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core import mixture as gmm
from bidsapp.core.mixture import Mixture
from bidsapp.core.priors import PriorSampler
from bidsapp.core.warp import Warp
from bidsapp.volume import Volume

Float = NDArray[np.float64]

_SLAB = 8  # slices of the first axis that are worked on at a time


@dataclass(frozen=True)
class TissueMaps:
    """Maps on the T1w grid.

    Attributes
    ----------
    probabilities : ndarray, shape (3, X, Y, Z), float32
        Grey matter, white matter, CSF.
    corrected : ndarray, shape (X, Y, Z), float32
        Bias-corrected T1w in the units of the T1w.
    brain_mask : ndarray, shape (X, Y, Z), bool
    """

    probabilities: NDArray[np.float32]
    corrected: NDArray[np.float32]
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
    to_template = warp.affine @ warp.t1w_affine
    y, z = np.arange(shape[1]), np.arange(shape[2])
    for first in range(0, shape[0], _SLAB):
        here = slice(first, min(first + _SLAB, shape[0]))
        x = np.arange(here.start, here.stop)
        slab = np.nan_to_num(t1w.data[here].astype(np.float32))
        rho = np.exp(bias_basis(x, y, z).evaluate(log_bias)).astype(np.float32)
        corrected[here] = slab * rho
        index = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
        template = index @ to_template[:3, :3].T + to_template[:3, 3]
        template += warp.displacement(x, y, z) @ warp.affine[:3, :3].T
        intensity = corrected[here].ravel() / intensity_unit
        prior = sampler.values(template.reshape(-1, 3))
        inside = (prior[:, 3] < 0.999) & (slab.ravel() != 0)
        joint = _by_class(mixture, intensity[inside]) * prior[inside]
        joint /= joint.sum(axis=1, keepdims=True) + 1e-30
        for tissue in range(3):
            probabilities[tissue, here].reshape(-1)[inside] = joint[:, tissue]
    return TissueMaps(probabilities, corrected, _brain(probabilities, t1w.grid.voxel_size))


def _by_class(mixture: Mixture, intensity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Likelihood of each class by table look-up: the densities are smooth in one variable."""
    low, high = float(intensity.min(initial=0)), float(intensity.max(initial=1))
    knots = np.linspace(low, high + 1e-6, 20001)
    table = gmm.by_class(knots, mixture)
    at = (intensity - low) * ((len(knots) - 1) / (high + 1e-6 - low))
    left = np.minimum(at.astype(np.int64), len(knots) - 2)
    part = (at - left)[:, None]
    result: NDArray[np.float32] = table[left] * (1 - part) + table[left + 1] * part
    return result


def _brain(probabilities: NDArray[np.float32], voxel_size: Float) -> NDArray[np.bool_]:
    """Brain from tissue: solid grey and white matter, then the CSF within and close around it.

    Opened so that thin bridges to dura and eyes break, the largest piece kept, closed over sulci
    and ventricles, filled.
    """
    solid = probabilities[0] + probabilities[1] > 0.5
    core = _largest(_grow(solid, voxel_size, -2.0))
    brain = _grow(core, voxel_size, 3.0) & (probabilities.sum(axis=0) > 0.5)
    brain = _grow(_grow(brain, voxel_size, 5.0), voxel_size, -5.0)
    return ndimage.binary_fill_holes(brain)


def _grow(mask: NDArray[np.bool_], voxel_size: Float, by_mm: float) -> NDArray[np.bool_]:
    """Grow (or, negative, shrink) a mask by a distance in mm."""
    where = np.argwhere(mask)
    if not len(where):
        return mask
    pad = np.ceil(abs(by_mm) / voxel_size).astype(int) + 1
    low = np.maximum(where.min(axis=0) - pad, 0)
    high = np.minimum(where.max(axis=0) + pad + 1, mask.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    out = np.zeros_like(mask)
    if by_mm < 0:
        out[box] = ndimage.distance_transform_edt(mask[box], sampling=voxel_size) > -by_mm
    else:
        out[box] = ndimage.distance_transform_edt(~mask[box], sampling=voxel_size) <= by_mm
    return out


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())
