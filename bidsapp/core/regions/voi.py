"""Statistics of an image in volumes of interest.

Plain voxel means over the GAAIN volumes on the MNI grid, as the Centiloid was defined (Klunk et
al. 2015), over the voxels that the PET measured, with their coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.sampling import nearest_voxels
from bidsapp.core.grid.volume import Grid, mask_slices

_CHUNK = 1 << 16  # points at a time: the work arrays stay in the processor's cache
_SLAB = 8  # slices of the first axis that are worked on at a time


@dataclass(frozen=True)
class CoverageRule:
    """Limits for the coverage of a volume of interest.

    Attributes
    ----------
    flag : float
        Below this part the result is flagged.
    refuse : float
        Below this part the mean is not given.
    """

    flag: float
    refuse: float


@dataclass(frozen=True)
class VoiStatistics:
    """Uptake in one volume of interest.

    Attributes
    ----------
    mean : over the measured voxels, units of the image; missing where too little was measured
    sd : standard deviation over these voxels, units of the image; missing as the mean
    n_voxels : number of measured voxels
    volume_ml : volume of the measured voxels, ml
    coverage : measured part of the volume of interest, 0 to 1
    """

    mean: float | None
    sd: float | None
    n_voxels: int
    volume_ml: float
    coverage: float


def measure(
    image: NDArray[np.floating],
    vois: Mapping[str, NDArray[np.bool_]],
    voxel_volume_mm3: float,
    *,
    least_coverage: float = 0.0,
) -> dict[str, VoiStatistics]:
    """Measure an image in volumes of interest.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    vois : masks of shape (X, Y, Z) by name
    voxel_volume_mm3 : float
    least_coverage : part of a volume that must be measured for its mean to be given

    Returns
    -------
    dict of VoiStatistics
        One entry per name in ``vois``, in that order, whatever the image holds.
    """
    table = {}
    for name, mask in vois.items():
        values = image[mask].astype(np.float64)
        measured = values[np.isfinite(values)]
        coverage = measured.size / values.size
        known = measured.size > 0 and coverage >= least_coverage
        table[name] = VoiStatistics(
            mean=float(measured.mean()) if known else None,
            sd=float(measured.std()) if known else None,
            n_voxels=measured.size,
            volume_ml=measured.size * voxel_volume_mm3 / 1000,
            coverage=coverage,
        )
    return table


def template_voxels(
    grid: Grid,
    template: Grid,
    to_template: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    within: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Nearest voxel of the template for every voxel of a native grid.

    Parameters
    ----------
    grid, template : native grid and grid of the template
    to_template : native world points (N, 3) -> template world points (N, 3), RAS mm
    within : ndarray of bool, on ``grid``; voxels outside get none

    Returns
    -------
    ndarray, shape (number of voxels of ``grid``,)
        Flat index (C order); -1 where the template has no voxel.
    """
    source = np.full(int(np.prod(grid.shape)), -1, np.intp)
    wanted = np.arange(source.size) if within is None else np.flatnonzero(within)
    for start in range(0, wanted.size, _CHUNK):
        part = wanted[start : start + _CHUNK]
        voxels = np.stack(np.unravel_index(part, grid.shape), axis=-1).astype(np.float64)
        source[part] = nearest_voxels(template, to_template(transform(grid.affine, voxels)))
    return source


def in_native_space(
    vois: Mapping[str, NDArray[np.bool_]],
    grid: Grid,
    to_template: Callable[..., NDArray[np.float64]],
    mask: NDArray[np.bool_],
) -> dict[str, NDArray[np.bool_]]:
    """Carry volumes of interest from the template to the voxels of a brain.

    Parameters
    ----------
    vois : masks on ``grid`` by name
    grid : grid of the template
    to_template : voxel positions along the three axes of ``mask`` -> template world points of their
        lattice, shape (3, X, Y, Z), RAS mm
    mask : ndarray, shape (X, Y, Z)
        Brain; everything outside it belongs to no volume.

    Returns
    -------
    dict of ndarray, shape (X, Y, Z), bool
        Each brain voxel has the value of the nearest template voxel.
    """
    native = {name: np.zeros(mask.shape, bool) for name in vois}
    slabs, *box = mask_slices(mask)
    for first in range(slabs.start, slabs.stop, _SLAB):
        slab = (slice(first, min(first + _SLAB, slabs.stop)), *box)
        brain = mask[slab].copy()
        points = to_template(*(np.arange(along.start, along.stop) for along in slab))[:, brain]
        nearest = nearest_voxels(grid, points.T)
        brain[brain] = inside = nearest >= 0
        place = nearest[inside]
        for name, voi in vois.items():
            native[name][slab][brain] = voi.reshape(-1)[place]
    return native
