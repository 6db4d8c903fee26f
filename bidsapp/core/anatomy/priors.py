"""Tissue priors in template space and how they are read at any point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse
from bidsapp.core.grid.volume import Grid

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]

# No tissue is impossible anywhere: a lesion or a ventricle wider than any in the priors must still
# be explained by its intensity.
FLOOR = 1e-4
_CHUNK = 8192  # points at a time: the work arrays stay in the processor's cache
_FOUR = np.complex128  # an item of the size of four float32


@dataclass(frozen=True)
class TissuePriors:
    """Probability of grey matter, white matter and CSF; the rest is everything else.

    Attributes
    ----------
    maps : ndarray, shape (3, X, Y, Z), float32
        Grey matter, white matter, CSF, in [0, 1], their sum at most 1.
    affine : ndarray, shape (4, 4)
        Voxel indices -> template world, RAS mm.
    """

    maps: Float32
    affine: Float

    @property
    def grid(self) -> Grid:
        """The grid of the maps, which is also the grid of the written field."""
        x, y, z = self.maps.shape[1:]
        return Grid((x, y, z), self.affine)

    @cached_property
    def sampler(self) -> PriorSampler:
        """Interpolator of the maps, cached."""
        return PriorSampler(self)


class PriorSampler:
    """Reads four class probabilities, and their slopes, at template positions.

    Trilinear in the probabilities; the slopes are those of the interpolation itself, so that
    objective and derivative agree. Outside the maps everything is background. The four classes of a
    voxel are read at once; then each lies in a row of its own, so that loops run along the points.

    Parameters
    ----------
    priors : TissuePriors
    """

    def __init__(self, priors: TissuePriors) -> None:
        maps = np.clip(priors.maps.astype(np.float64), 0, 1)
        background = np.clip(1 - maps.sum(axis=0, keepdims=True), 0, 1)
        classes = np.concatenate([maps, background]) + FLOOR
        classes /= classes.sum(axis=0)
        # a rim of pure background onto which positions outside can be clamped
        rim = np.array([FLOOR, FLOOR, FLOOR, 1 + FLOOR]) / (1 + 4 * FLOOR)
        padded = np.empty((4, *(n + 4 for n in priors.maps.shape[1:])), np.float32)
        padded[:] = rim.reshape(4, 1, 1, 1)
        padded[:, 2:-2, 2:-2, 2:-2] = classes
        self._shape = padded.shape[1:]
        self._table = np.ascontiguousarray(padded.reshape(4, -1).T).view(_FOUR).reshape(-1)
        self._world_to_index = inverse(priors.affine)
        self._world_to_index[:3, 3] += 2

    @property
    def on_grid(self) -> Float32:
        """Class probabilities of every voxel of the maps, shape (4, X, Y, Z), float32."""
        table = self._table.view(np.float32).reshape(*self._shape, 4)
        return np.moveaxis(table[2:-2, 2:-2, 2:-2], -1, 0)

    def values(self, world: Float) -> Float32:
        """Class probabilities, shape (n, 4): GM, WM, CSF, other, at ``world`` (n, 3) in mm.

        Parameters
        ----------
        world : ndarray, shape (n, 3)
            Template world, RAS mm.

        Returns
        -------
        ndarray, shape (n, 4), float32
        """
        values = np.empty((4, len(world)), np.float32)
        for part in _parts(len(world)):
            (x, y, z), cell = self._locate(world[part])
            faces = []
            for side in self._sides(cell):
                (a, b), (c, d) = side
                faces.append(_blend(_blend(a, b, z), _blend(c, d, z), y))
            values[:, part] = _blend(faces[0], faces[1], x)
        return values.T

    def values_and_slopes(self, world: Float) -> tuple[Float32, Float32]:
        """Probabilities (n, 4) and their derivatives (n, 3, 4) per mm along the world axes.

        Parameters
        ----------
        world : ndarray, shape (n, 3)
            Template world, RAS mm.

        Returns
        -------
        probabilities : ndarray, shape (n, 4), float32
        slopes : ndarray, shape (n, 3, 4), float32
        """
        values = np.empty((4, len(world)), np.float32)
        slopes = np.empty((3, 4, len(world)), np.float32)
        turn = self._world_to_index[:3, :3].T.astype(np.float32)
        for part in _parts(len(world)):
            (x, y, z), cell = self._locate(world[part])
            faces, along_y, along_z = [], [], []
            for side in self._sides(cell):
                (a, b), (c, d) = side
                b -= a
                d -= c
                low, high = a + z * b, c + z * d
                high -= low
                faces.append(low + y * high)
                along_y.append(high)
                along_z.append(_blend(b, d, y))
            faces[1] -= faces[0]
            values[:, part] = faces[0] + x * faces[1]
            across = [faces[1], *(_blend(low, high, x) for low, high in (along_y, along_z))]
            flat = np.stack(across).reshape(3, -1)
            slopes[:, :, part] = (turn @ flat).reshape(3, 4, -1)
        return values.T, np.moveaxis(slopes, -1, 0)

    def _locate(self, world: Float) -> tuple[Float32, NDArray[np.int64]]:
        """Fractions within the cell (3, n), and the number of its first corner."""
        index = self._world_to_index[:3, :3] @ world.T
        index += self._world_to_index[:3, 3:]
        np.clip(index, 0, np.reshape(self._shape, (3, 1)) - 1.001, out=index)
        corner = index.astype(np.int64)
        fraction = (index - corner).astype(np.float32)
        x, y, z = corner
        return fraction, (x * self._shape[1] + y) * self._shape[2] + z

    def _sides(self, cell: NDArray[np.int64]) -> Iterator[list[list[Float32]]]:
        """Corner values (4, n) of the two sides of a cell across x, each [y][z]."""
        ny, nz = self._shape[1:]
        for x in (0, ny * nz):
            yield [[self._at(cell + (x + y + z)) for z in (0, 1)] for y in (0, nz)]

    def _at(self, voxels: NDArray[np.int64]) -> Float32:
        """Values of voxels, shape (4, n)."""
        return np.ascontiguousarray(self._table.take(voxels).view(np.float32).reshape(-1, 4).T)


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, first + _CHUNK) for first in range(0, n, _CHUNK))


def _blend(low: Float32, high: Float32, fraction: Float32) -> Float32:
    return low + fraction * (high - low)
