"""Tissue priors in template space and how they are read at any point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.volume import Grid

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]

# No tissue is impossible anywhere: a lesion or a ventricle wider than any in the priors must still
# be explained by its intensity.
FLOOR = 1e-4


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


class PriorSampler:
    """Reads four class probabilities, and their slopes, at template positions.

    Trilinear in the probabilities; the slopes are those of the interpolation itself, so that
    objective and derivative agree. Outside the maps everything is background.
    """

    def __init__(self, priors: TissuePriors) -> None:
        maps = np.clip(priors.maps.astype(np.float64), 0, 1)
        background = np.clip(1 - maps.sum(axis=0, keepdims=True), 0, 1)
        classes = np.concatenate([maps, background]) + FLOOR
        classes /= classes.sum(axis=0)
        # a rim of pure background onto which positions outside can be clamped
        rim = np.array([FLOOR, FLOOR, FLOOR, 1 + FLOOR]) / (1 + 4 * FLOOR)
        padded = np.empty((*(n + 4 for n in priors.maps.shape[1:]), 4), np.float32)
        padded[:] = rim
        padded[2:-2, 2:-2, 2:-2] = np.moveaxis(classes, 0, -1)
        self._table = padded.reshape(-1, 4)
        self._shape = padded.shape[:3]
        self._world_to_index = np.linalg.inv(priors.affine)
        self._world_to_index[:3, 3] += 2

    def values(self, world: Float) -> Float32:
        """Class probabilities, shape (n, 4): GM, WM, CSF, other, at ``world`` (n, 3) in mm."""
        (x, y, z), start = self._locate(world)
        ny, nz = self._shape[1:]
        near, far = (
            _blend(
                _blend(*self._edge(start + offset), z), _blend(*self._edge(start + offset + nz), z), y
            )
            for offset in (0, ny * nz)
        )
        return _blend(near, far, x)

    def values_and_slopes(self, world: Float) -> tuple[Float32, Float32]:
        """Probabilities (n, 4) and their derivatives (n, 3, 4) per mm along the world axes."""
        (x, y, z), start = self._locate(world)
        ny, nz = self._shape[1:]
        faces, along_y, along_z = [], [], []
        for offset in (0, ny * nz):
            front, back = self._edge(start + offset), self._edge(start + offset + nz)
            low, high = _blend(*front, z), _blend(*back, z)
            faces.append(_blend(low, high, y))
            along_y.append(high - low)
            along_z.append(_blend(front[1] - front[0], back[1] - back[0], y))
        slopes = np.stack(
            [faces[1] - faces[0], _blend(*along_y, x), _blend(*along_z, x)], axis=1
        )
        return _blend(*faces, x), self._to_world(slopes)

    def _to_world(self, slopes: Float32) -> Float32:
        result: Float32 = np.matmul(self._world_to_index[:3, :3].T.astype(np.float32), slopes)
        return result

    def _locate(self, world: Float) -> tuple[Float32, NDArray[np.int64]]:
        """Fractions within the cell (3, n, 1), and the row of its first corner."""
        index = world @ self._world_to_index[:3, :3].T + self._world_to_index[:3, 3]
        np.clip(index, 0, np.array(self._shape) - 1.001, out=index)
        corner = index.astype(np.int64)
        fraction = (index - corner).astype(np.float32).T[:, :, None]
        return fraction, np.ravel_multi_index(tuple(corner.T), self._shape)

    def _edge(self, start: NDArray[np.int64]) -> tuple[Float32, Float32]:
        """Both ends of the cell edge along the last axis."""
        return self._table.take(start, axis=0), self._table.take(start + 1, axis=0)


def _blend(low: Float32, high: Float32, fraction: Float32) -> Float32:
    return low + fraction * (high - low)
