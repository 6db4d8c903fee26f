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

    Trilinear in the probabilities and in their central differences; outside the maps everything
    is background.
    """

    def __init__(self, priors: TissuePriors) -> None:
        floor = np.clip(priors.maps.astype(np.float64), 0, 1)
        background = np.clip(1 - floor.sum(axis=0, keepdims=True), 0, 1)
        classes = np.concatenate([floor, background]) + FLOOR
        classes /= classes.sum(axis=0)
        # a rim of pure background lets positions outside be clamped onto it
        outside = np.array([FLOOR, FLOOR, FLOOR, 1 + FLOOR]) / (1 + 4 * FLOOR)
        padded = np.empty((4, *(n + 4 for n in priors.maps.shape[1:])))
        padded[:] = outside[:, None, None, None]
        padded[:, 2:-2, 2:-2, 2:-2] = classes
        slopes = np.gradient(padded, axis=(1, 2, 3))
        self.shape = padded.shape[1:]
        self._values = _channels_last(padded[None])
        self._values_and_slopes = _channels_last(np.stack([padded, *slopes]))
        self._world_to_index = np.linalg.inv(priors.affine)
        self._world_to_index[:3, 3] += 2
        self.linear = self._world_to_index[:3, :3]

    def values(self, world: Float) -> Float32:
        """Class probabilities, shape (n, 4): GM, WM, CSF, other, at ``world`` (n, 3) in mm."""
        return self._gather(self._values, world)

    def values_and_slopes(self, world: Float) -> tuple[Float32, Float32]:
        """Probabilities (n, 4) and their derivatives (n, 3, 4) per mm along the world axes."""
        both = self._gather(self._values_and_slopes, world).reshape(-1, 4, 4)
        slopes = np.matmul(self.linear.T.astype(np.float32), both[:, 1:])
        return both[:, 0], slopes

    def _gather(self, table: Float32, world: Float) -> Float32:
        """Trilinear interpolation of the rows of ``table``."""
        index = world @ self.linear.T + self._world_to_index[:3, 3]
        last = np.array(self.shape) - 1.001
        np.clip(index, 0, last, out=index)
        corner = index.astype(np.int64)
        x, y, z = (index - corner).astype(np.float32).T[:, :, None]
        ny, nz = self.shape[1:]
        start = (corner[:, 0] * ny + corner[:, 1]) * nz + corner[:, 2]

        def edge(offset: int) -> Float32:
            at = table[start + offset]
            return at + z * (table[start + offset + 1] - at)

        def face(offset: int) -> Float32:
            near = edge(offset)
            return near + y * (edge(offset + nz) - near)

        near = face(0)
        result: Float32 = near + x * (face(ny * nz) - near)
        return result


def _channels_last(stack: Float) -> Float32:
    """(d, 4, X, Y, Z) -> (X*Y*Z, 4 d) float32: all numbers of a voxel side by side."""
    moved = np.moveaxis(stack.reshape(-1, *stack.shape[2:]), 0, -1)
    return np.ascontiguousarray(moved, dtype=np.float32).reshape(-1, moved.shape[-1])
