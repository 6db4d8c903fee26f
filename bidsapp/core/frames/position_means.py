"""The window of a PET as a few images, one per position of the head, each on its native grid.

Frames that share a position of the head are averaged voxel by voxel. The means stay separate until
they are sampled in T1w or template space, through motion and later transforms at once. So no voxel
is interpolated twice, and a scan without head motion is a single image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bidsapp.core.frames.frames import average, weighted_mean
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.resample import resample, sample
from bidsapp.core.grid.volume import Grid, Volume


@dataclass(frozen=True)
class PositionMean:
    """Mean of the frames that share a position of the head.

    Attributes
    ----------
    image : Volume, 3D
        On the native grid; NaN where not measured.
    seconds : float
        Weight in the mean of the window.
    motion : ndarray, shape (4, 4)
        World of the reference position -> world of this image, RAS mm.
    """

    image: Volume
    seconds: float
    motion: Matrix

    @property
    def moved(self) -> bool:
        """Whether the head is not at the reference position."""
        return not np.array_equal(self.motion, np.eye(4))


def mean_per_position(
    frames: Iterable[Volume],
    weights_s: Sequence[float],
    motion: Sequence[ArrayLike],
    factors: Sequence[float] | None = None,
) -> list[PositionMean]:
    """Average the frames of the window that share a position of the head.

    Parameters
    ----------
    frames : 3D volumes on one grid, read once
    weights_s : seconds of each frame that count
    motion : world of the reference -> world of each frame, 4 x 4
    factors : correct each frame for decay (see `bidsapp.core.frames.frames.average`)

    Returns
    -------
    list of PositionMean

    Raises
    ------
    BadDataError
        The numbers of frames differ, or no frame counts.
    """
    positions: dict[bytes, Matrix] = {}
    seconds: dict[bytes, float] = {}
    keys = [np.asarray(matrix, np.float64).tobytes() for matrix in motion]
    for key, matrix, weight in zip(keys, motion, weights_s, strict=True):
        if weight > 0:
            positions[key] = np.asarray(matrix, np.float64)
            seconds[key] = seconds.get(key, 0.0) + weight
    order = list(positions)
    groups = [order.index(key) if key in positions else 0 for key in keys]
    affine: list[Matrix] = []

    def arrays() -> Iterable[NDArray[np.floating]]:
        for frame in frames:
            affine[:] = [frame.affine]
            yield np.asarray(frame.data, np.float32)

    means = average(arrays(), weights_s, groups=groups, factors=factors)
    return [
        PositionMean(Volume(mean, affine[0]), seconds[key], positions[key])
        for mean, key in zip(means, order, strict=True)
    ]


def mean_at_reference(means: Sequence[PositionMean]) -> Volume:
    """Mean of the window on the native grid, with the head at the reference position.

    Parameters
    ----------
    means : of `mean_per_position`

    Returns
    -------
    Volume, 3D
    """
    grid = means[0].image.grid
    images = (
        resample(mean.image, grid, mean.motion).data if mean.moved else mean.image.data
        for mean in means
    )
    data = weighted_mean((np.asarray(image, np.float32) for image in images), _seconds(means))
    return Volume(data, grid.affine)


def mean_in_scanner(means: Sequence[PositionMean]) -> Volume:
    """Mean of the window voxel by voxel, without motion correction.

    Parameters
    ----------
    means : of `mean_per_position`

    Returns
    -------
    Volume, 3D
    """
    images = (np.asarray(mean.image.data, np.float32) for mean in means)
    return Volume(weighted_mean(images, _seconds(means)), means[0].image.affine)


def mean_at_points(
    means: Sequence[PositionMean], points: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Mean of the window at world points of the reference position, shape (..., 3), RAS mm.

    Every image is interpolated once, trilinearly; NaN where not measured (see
    `bidsapp.core.grid.resample.sample` and `bidsapp.core.frames.frames.weighted_mean`).

    Parameters
    ----------
    means : of `mean_per_position`
    points : ndarray, shape (..., 3)

    Returns
    -------
    ndarray, shape (...), float32
    """
    images = (
        sample(
            mean.image,
            transform(mean.motion, points) if mean.moved else points,
        )
        for mean in means
    )
    return weighted_mean(images, _seconds(means))


def mean_on_grid(means: Sequence[PositionMean], grid: Grid, to_reference: Matrix) -> Volume:
    """Mean of the window on a grid, through an affine to the world of the reference position.

    Parameters
    ----------
    means : of `mean_per_position`
    grid : of the result
    to_reference : world of the grid -> PET world of the reference position, RAS mm

    Returns
    -------
    Volume, 3D
    """
    images = (
        np.asarray(
            resample(mean.image, grid, mean.motion @ to_reference).data,
            np.float32,
        )
        for mean in means
    )
    return Volume(weighted_mean(images, _seconds(means)), grid.affine)


def _seconds(means: Sequence[PositionMean]) -> list[float]:
    return [mean.seconds for mean in means]
