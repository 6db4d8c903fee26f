"""Reading volumes at points: interpolated, nearest; scattered points, coarser grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bidsapp.core.grid.alignment import Matrix, inverse, transform
from bidsapp.core.grid.volume import Grid, Volume

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))
SD_PER_MAD = 1.4826  # of a normal distribution


_GOLDEN = 0.6180339887498949


def thinned(index: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """About ``most`` of many voxels, by golden-section sampling: even, and on no grid.

    Parameters
    ----------
    index : ndarray, shape (N,) or (N, 3)
    most : how many to keep; all when there are no more

    Returns
    -------
    ndarray, shape (M,) or (M, 3)
    """
    if len(index) <= most:
        return index
    return index[(np.arange(len(index)) * _GOLDEN) % 1 < most / len(index)]


def best_blur(
    tried_mm: Sequence[float], left: Sequence[float], range_mm: tuple[float, float]
) -> float:
    """Return the FWHM at the lowest point of a parabola in FWHM^2.

    Parameters
    ----------
    tried_mm : FWHMs, at least three
    left : what each leaves of the image
    range_mm : least and largest FWHM to return

    Returns
    -------
    float
        Of those tried the best, when the parabola has no lowest point.
    """
    curve = np.polyfit(np.square(tried_mm), left, 2)
    if curve[0] <= 0:
        return tried_mm[int(np.argmin(left))]
    lowest, highest = range_mm
    return float(np.sqrt(np.clip(-curve[1] / (2 * curve[0]), lowest**2, highest**2)))


def trilinear(
    data: Float32, index: Float64, *, gradient: bool = True
) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Interpolate a volume (or several on one grid) linearly and differentiate the interpolant.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z) or (X, Y, Z, C), float32
    index : ndarray, shape (N, 3)
        Voxel coordinates.
    gradient : bool
        False saves the time; the second value is then empty.

    Returns
    -------
    values : ndarray, shape (N,) or (N, C)
        Beyond the outermost voxel centres, those of the nearest face.
    gradient : ndarray, shape (3, N) or (3, N, C)
        Derivative along the three voxel axes, per voxel: exactly that of ``values`` inside.
    inside : ndarray of bool, shape (N,)
        Whether the point is within the outermost voxel centres.
    """
    inside = np.ones(len(index), bool)
    start = np.zeros(len(index), np.intp)
    fractions: list[Float32] = []
    for axis, size in enumerate(data.shape[:3]):
        at = np.ascontiguousarray(index[:, axis])
        inside &= (at >= 0) & (at <= size - 1)
        at = np.clip(at, 0, size - 1)
        base = np.minimum(at.astype(np.intp), size - 2)
        start = start * size + base
        fraction = (at - base).astype(np.float32).reshape(-1, *[1] * (data.ndim - 3))
        # of every channel, so that loops need not stop after the few channels of a point
        fractions.append(np.broadcast_to(fraction, (len(index), *data.shape[3:])).copy())
    x, y, z = fractions
    step_x, step_y = data.shape[1] * data.shape[2], data.shape[2]
    flat = data.reshape(-1, *data.shape[3:])

    def along_z(offset: int) -> tuple[Float32, Float32]:
        low = flat.take(start + offset, axis=0)
        slope = flat.take(start + (offset + 1), axis=0)
        slope -= low
        return low + z * slope, slope

    (v00, z00), (v01, z01) = along_z(0), along_z(step_y)
    (v10, z10), (v11, z11) = along_z(step_x), along_z(step_x + step_y)
    y0, y1 = v01 - v00, v11 - v10
    v0, v1 = v00 + y * y0, v10 + y * y1
    values: Float32 = v0 + x * (v1 - v0)
    if not gradient:
        return values, np.empty(0, dtype=np.float32), inside
    z0, z1 = z00 + y * (z01 - z00), z10 + y * (z11 - z10)
    slopes = np.stack([v1 - v0, y0 + x * (y1 - y0), z0 + x * (z1 - z0)])
    return values, slopes, inside


def interpolate(
    data: NDArray[Any],
    index: NDArray[np.floating],
    *,
    beyond: str = "nearest",
    dtype: DTypeLike | None = None,
) -> NDArray[Any]:
    """Interpolate an image, or every component of a field, linearly at fractional voxels.

    `trilinear` is for fits: fast with many components, and with gradient.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z) or (X, Y, Z, C)
    index : ndarray, shape (3, ...)
        Voxel coordinates.
    beyond : ``nearest`` or ``constant``
        Beyond the outermost voxel centres the value of the nearest face, or zero.
    dtype : of the result; None takes that of ``data``

    Returns
    -------
    ndarray, shape (...) or (..., C)
    """
    if data.ndim == 3:
        return np.asarray(map_coordinates(data, index, dtype, order=1, mode=beyond))
    components = np.moveaxis(data, -1, 0)
    parts = [interpolate(part, index, beyond=beyond, dtype=dtype) for part in components]
    return np.stack(parts, axis=-1)


def nearest(image: Volume, points: NDArray[np.floating]) -> NDArray[Any]:
    """Values of the voxels nearest to world points; 0 outside the image.

    Parameters
    ----------
    image : Volume, shape (X, Y, Z); labels, say
    points : ndarray, shape (..., 3), RAS mm in the world of ``image``

    Returns
    -------
    ndarray, shape (...), of the type of the image
    """
    voxels = nearest_voxels(image.grid, points)
    inside = voxels >= 0
    values = np.zeros(voxels.size, image.data.dtype)
    values[inside] = image.data.reshape(-1)[voxels[inside]]
    return values.reshape(points.shape[:-1])


def nearest_voxels(grid: Grid, points: NDArray[np.floating]) -> NDArray[np.intp]:
    """Voxels of a grid nearest to world points.

    Parameters
    ----------
    grid : Grid
    points : ndarray, shape (..., 3), RAS mm in its world

    Returns
    -------
    ndarray, shape (number of points,)
        Flat index (C order); -1 outside the grid.
    """
    flat = np.asarray(points, np.float64).reshape(-1, 3)
    index = np.rint(transform(inverse(grid.affine), flat)).T
    inside = np.logical_and.reduce(
        [(at >= 0) & (at < size) for at, size in zip(index, grid.shape, strict=True)]
    )
    flat_index = np.full(len(flat), -1, np.intp)
    flat_index[inside] = np.ravel_multi_index(tuple(index[:, inside].astype(np.intp)), grid.shape)
    return flat_index


def scattered_points(mask: NDArray[np.bool_], affine: Matrix, spacing_mm: float) -> Float64:
    """Return world points spread evenly over a mask but on no grid, shape (N, 3), mm.

    The additive recurrence on powers of the root of x^4 = x + 1 (M. Roberts, "The unreasonable
    effectiveness of quasirandom sequences", 2018): even, and the same every time.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
    affine : voxel indices -> world, RAS mm
    spacing_mm : mean distance of neighbours

    Returns
    -------
    ndarray, shape (N, 3)
    """
    voxels = np.argwhere(mask)
    low, extent = voxels.min(axis=0) - 0.5, np.ptp(voxels, axis=0) + 1
    box_mm3 = float(extent.prod() * abs(np.linalg.det(affine[:3, :3])))
    steps = 1.2207440846057596 ** -np.arange(1.0, 4.0)
    count = np.arange(int(box_mm3 / spacing_mm**3))[:, None]
    index = low + ((0.5 + count * steps) % 1) * extent
    nearest = np.rint(index).astype(np.intp)
    return transform(affine, index[mask[tuple(nearest.T)]])


def blur(volume: Volume, fwhm_mm: float) -> Volume:
    """Smooth a 3D volume with an isotropic Gaussian of ``fwhm_mm`` (full width at half maximum).

    Parameters
    ----------
    volume : Volume, 3D
    fwhm_mm : full width at half maximum

    Returns
    -------
    Volume, float32
    """
    sigma = fwhm_mm / FWHM_PER_SIGMA / volume.grid.voxel_size
    data = gaussian_filter(np.asarray(volume.data, dtype=np.float32), sigma, mode="nearest")
    return Volume(data, volume.affine)


def block_mean(data: NDArray[np.generic], factors: tuple[int, int, int]) -> Float32:
    """Average blocks of voxels; incomplete blocks at the far ends are dropped.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
    factors : edge lengths of a block, voxels

    Returns
    -------
    ndarray, float32
    """
    n = [size // factor for size, factor in zip(data.shape, factors, strict=True)]
    kept = data[tuple(slice(k * f) for k, f in zip(n, factors, strict=True))]
    total: Float32 = kept.astype(np.float32, copy=False)
    for axis, factor in enumerate(factors):  # whole planes at a time: a mean over axes takes longer
        parts = [total[(slice(None),) * axis + (slice(k, None, factor),)] for k in range(factor)]
        total = sum(parts[1:], start=parts[0])
    return total / np.float32(np.prod(factors))


def block_affine(affine: Matrix, factors: tuple[int, int, int]) -> Matrix:
    """Return the affine of the grid that `block_mean` makes.

    Parameters
    ----------
    affine : voxel indices -> world, RAS mm
    factors : edge lengths of a block, voxels

    Returns
    -------
    ndarray, shape (4, 4)
    """
    scale = np.eye(4)
    scale[:3, :3] = np.diag(factors)
    scale[:3, 3] = (np.array(factors) - 1) / 2
    return affine @ scale
