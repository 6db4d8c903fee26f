"""An image in memory: voxels and affine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SAME_MM = 0.01  # of each entry of the affines of one grid


def known_or_zero(data: NDArray[Any]) -> NDArray[Any]:
    """Replace voxels that are not finite by zero, so that they add nothing to a sum.

    Parameters
    ----------
    data : ndarray, any shape

    Returns
    -------
    ndarray
        The same shape, 0 where a value is NaN or infinite.
    """
    return np.where(np.isfinite(data), data, np.zeros((), data.dtype))


def mask_box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last index of a mask along each axis.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)

    Returns
    -------
    first, last : ndarray, shape (3,)
        Inclusive; ``last < first`` when the mask is empty.
    """
    first, last = np.zeros(3, np.intp), np.full(3, -1, np.intp)
    for axis in range(3):
        planes = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if planes.size:
            first[axis], last[axis] = planes[0], planes[-1]
    return first, last


def mask_slices(
    mask: NDArray[np.bool_], margin: int | NDArray[np.integer] = 0
) -> tuple[slice, ...]:
    """Smallest block that holds a mask and ``margin`` voxels around it, inside the image.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
    margin : int, or ndarray of int, shape (3,)

    Returns
    -------
    tuple of slice
    """
    first, last = mask_box(mask)
    low = np.maximum(first - margin, 0)
    high = np.minimum(last + 1 + margin, mask.shape)
    return tuple(map(slice, low.tolist(), high.tolist()))


def blur_reach(sigma: ArrayLike) -> NDArray[np.intp]:
    """Voxels to either side that a Gaussian filter of SciPy looks at, which ends at 4 sigma.

    Parameters
    ----------
    sigma : standard deviation, voxels, any shape

    Returns
    -------
    ndarray of int, shape of ``sigma``
    """
    return np.ceil(4.0 * np.asarray(sigma)).astype(np.intp)


def mask_centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean index of the voxels of a mask, from their number in every plane.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)

    Returns
    -------
    ndarray, shape (3,)
    """
    columns = np.count_nonzero(mask, axis=2)
    planes = (columns.sum(axis=1), columns.sum(axis=0), np.count_nonzero(mask, axis=(0, 1)))
    return np.array([plane @ np.arange(plane.size) for plane in planes]) / planes[0].sum()


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels.

    Attributes
    ----------
    shape : tuple of int
        Number of voxels along each of the three axes.
    affine : ndarray, shape (4, 4), float64
        Voxel indices -> world coordinates, RAS+, mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def voxel_size(self) -> NDArray[np.float64]:
        """Edge lengths of a voxel in mm, shape (3,)."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3 (= microlitres)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def is_same(self, other: Grid) -> bool:
        """Whether voxels of the same index have the same position.

        Parameters
        ----------
        other : Grid

        Returns
        -------
        bool
        """
        return self.shape == other.shape and np.allclose(
            self.affine, other.affine, rtol=0, atol=_SAME_MM
        )

    def coarser(self, step_mm: float) -> Grid:
        """Grid along the same axes that begins with the same voxel and reaches the last one.

        Parameters
        ----------
        step_mm : float
            Distance of its voxels; that of this grid where it is larger.

        Returns
        -------
        Grid
        """
        step = np.maximum(step_mm / self.voxel_size, 1.0)
        x, y, z = (np.ceil((np.array(self.shape) - 1) / step - 1e-6) + 1).astype(int).tolist()
        return Grid((x, y, z), self.affine @ np.diag([*step, 1.0]))

    def world(self) -> NDArray[np.float64]:
        """World coordinates (RAS, mm) of every voxel centre, shape ``shape + (3,)``.

        Returns
        -------
        ndarray, shape (X, Y, Z, 3)
        """
        x, y, z = np.ix_(*map(np.arange, self.shape))
        world = np.empty((*self.shape, 3))
        for axis, (by_x, by_y, by_z, origin) in enumerate(self.affine[:3]):
            world[..., axis] = (by_x * x + by_y * y) + (by_z * z + origin)
        return world


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with an affine.

    Attributes
    ----------
    data : ndarray, shape (X, Y, Z) or (X, Y, Z, T)
    affine : ndarray, shape (4, 4), float64
        Voxel indices -> world coordinates, RAS+, mm.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        """The spatial grid, without the time axis."""
        x, y, z = self.data.shape[:3]
        return Grid((x, y, z), self.affine)

    def frames(self) -> Iterator[Volume]:
        """Yield the frames as 3D volumes; the volume itself when it has no time axis.

        Yields
        ------
        Volume
            Of shape (X, Y, Z).
        """
        if self.data.ndim == 3:
            yield self
            return
        for index in range(self.data.shape[3]):
            yield Volume(self.data[..., index], self.affine)
