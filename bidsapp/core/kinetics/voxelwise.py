"""Parametric images: SRTM and SRTM2 in every voxel by basis functions.

One least-squares problem per voxel and basis function (Gunn, Lammertsma, Hume & Cunningham,
NeuroImage 6:279, 1997) would be hundreds of millions. All basis functions have orthonormal columns
Q, so that what each explains of a voxel is the squared length of Q'y: one matrix product per chunk
of voxels, and a parabola through the best three values finds theta between the basis functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bidsapp.core.kinetics.srtm import THETA, Columns, best_on_grid, one_column, two_columns
from bidsapp.core.kinetics.study import KineticStudy

Float32 = NDArray[np.float32]

_CHUNK = 4096  # voxels at a time: what all basis functions explain of them stays in the cache


@dataclass(frozen=True)
class Maps:
    """Parameters of every voxel, each of shape (V,), float32; NaN where they are not determined.

    Attributes
    ----------
    R1, BPND, DVR : as in `bidsapp.core.kinetics.study.Estimates`
    """

    R1: Float32
    BPND: Float32
    DVR: Float32


def srtm_maps(study: KineticStudy, voxels: NDArray[np.floating]) -> Maps:
    """Fit SRTM to every voxel.

    Parameters
    ----------
    study : Study
        Reference curve, frames and weights; its targets are not used.
    voxels : ndarray, shape (V, T)
        Activity in the frames of the study.

    Returns
    -------
    Maps
    """
    theta, (r1, gain) = _fit(study, two_columns(study), voxels)
    dvr = r1 + gain / theta
    return Maps(np.where(np.isfinite(dvr), r1, np.nan), dvr - 1, dvr)


def srtm2_maps(study: KineticStudy, voxels: NDArray[np.floating], k2_prime: float) -> Maps:
    """Fit SRTM2 to every voxel, with one k2' (per minute); otherwise as `srtm_maps`.

    Parameters
    ----------
    study : Study
        Of one region at least: frames, reference and weights are used.
    voxels : ndarray, shape (N, T)
        Activity of every voxel, one per frame of the study.
    k2_prime : clearance of the reference tissue, per minute

    Returns
    -------
    Maps
    """
    theta, amplitudes = _fit(study, one_column(study, k2_prime), voxels)
    r1, dvr = amplitudes[0], amplitudes[0] * np.float32(k2_prime) / theta
    return Maps(np.where(np.isfinite(dvr), r1, np.nan), dvr - 1, dvr)


def _fit(
    study: KineticStudy, columns: Columns, voxels: NDArray[np.floating]
) -> tuple[Float32, Float32]:
    """Theta, (V,), and amplitudes, (K, V), of every voxel."""
    design = study.scaled(columns(THETA)).swapaxes(1, 2)
    basis, triangle = np.linalg.qr(design)
    n_theta, n_frames, n_columns = basis.shape
    flat = np.ascontiguousarray(basis.transpose(1, 2, 0).reshape(n_frames, -1), dtype=np.float32)
    to_amplitudes = np.linalg.inv(triangle).astype(np.float32)
    root = np.sqrt(study.weights).astype(np.float32)
    theta = np.empty(len(voxels), np.float32)
    amplitudes = np.empty((n_columns, len(voxels)), np.float32)
    with threadpool_limits(limits=1):  # the order of sums must not depend on threads
        for start in range(0, len(voxels), _CHUNK):
            part = slice(start, start + _CHUNK)
            data = voxels[part].astype(np.float32) * root
            inner = np.asarray(data @ flat, np.float32).reshape(len(data), n_columns, n_theta)
            theta[part], amplitudes[:, part] = _between(data, inner, to_amplitudes)
    return theta, amplitudes


def _between(data: Float32, inner: Float32, to_amplitudes: Float32) -> tuple[Float32, Float32]:
    """Best theta of a chunk, from the products with all basis functions, (V, K, N)."""
    explained = (inner**2).sum(axis=1)
    best = best_on_grid(explained, (data**2).sum(axis=1), data.shape[1])
    row, middle = np.arange(len(best)), np.clip(best, 1, len(THETA) - 2)
    left, top, right = (explained[row, middle + step].astype(np.float64) for step in (-1, 0, 1))
    bend = left - 2 * top + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    shift = np.clip(shift, -0.5, 0.5)
    spacing = np.log(THETA[1] / THETA[0])
    theta = np.exp(np.log(THETA[middle]) + shift * spacing)
    theta[(best == 0) | ~np.isfinite(top)] = np.nan
    near = np.stack([
        np.einsum("vij,vj->vi", to_amplitudes[middle + step], inner[row, :, middle + step])
        for step in (-1, 0, 1)
    ])  # fmt: skip
    # the amplitudes at theta: the parabola through those at the three basis functions
    lower, upper = 0.5 * shift * (shift - 1), 0.5 * shift * (shift + 1)
    shares = np.stack([lower, 1 - shift**2, upper])
    return theta.astype(np.float32), np.einsum("sv,svk->kv", shares, near).astype(np.float32)
