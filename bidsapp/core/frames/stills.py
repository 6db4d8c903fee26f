"""The window of a PET as a few images, one per position of the head, each on its native grid.

Frames between which the head lay still are averaged voxel by voxel; the others stay apart until the
image is read where it is needed (T1w, template), through the motion and the later transforms at
once. So no voxel is interpolated twice, and a scan without motion is one image, as it always was.
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
class Still:
    """Mean of frames between which the head lay still.

    Attributes
    ----------
    image : Volume, 3D
        On the native grid; NaN where not measured.
    seconds : float
        Time it stands for in the mean of the window.
    motion : ndarray, shape (4, 4)
        World of the reference position -> world of this image, RAS mm.
    """

    image: Volume
    seconds: float
    motion: Matrix

    @property
    def moved(self) -> bool:
        """Whether the head lay elsewhere than at the reference."""
        return not np.array_equal(self.motion, np.eye(4))


def still_images(
    frames: Iterable[Volume],
    weights_s: Sequence[float],
    motion: Sequence[ArrayLike],
    factors: Sequence[float] | None = None,
) -> list[Still]:
    """Average the frames of the window that share a position of the head.

    Parameters
    ----------
    frames : 3D volumes on one grid, read once
    weights_s : seconds of each frame that count
    motion : world of the reference -> world of each frame, 4 x 4
    factors : correct each frame for decay (see `bidsapp.core.frames.frames.average`)

    Returns
    -------
    list of Still

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
        Still(Volume(mean, affine[0]), seconds[key], positions[key])
        for mean, key in zip(means, order, strict=True)
    ]


def mean_at_reference(stills: Sequence[Still]) -> Volume:
    """Mean of the window on the native grid, with the head at the reference position.

    Parameters
    ----------
    stills : of `still_images`

    Returns
    -------
    Volume, 3D
    """
    grid = stills[0].image.grid
    images = (
        resample(still.image, grid, still.motion).data if still.moved else still.image.data
        for still in stills
    )
    mean = weighted_mean((np.asarray(image, np.float32) for image in images), _seconds(stills))
    return Volume(mean, grid.affine)


def mean_in_scanner(stills: Sequence[Still]) -> Volume:
    """Mean of the window voxel by voxel, wherever the head lies.

    Parameters
    ----------
    stills : of `still_images`

    Returns
    -------
    Volume, 3D
    """
    images = (np.asarray(still.image.data, np.float32) for still in stills)
    return Volume(weighted_mean(images, _seconds(stills)), stills[0].image.affine)


def sample_stills(stills: Sequence[Still], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean of the window at world points of the reference position, shape (..., 3), RAS mm.

    Every image is interpolated once, trilinearly; NaN where not measured (see
    `bidsapp.core.grid.resample.sample` and `bidsapp.core.frames.frames.weighted_mean`).

    Parameters
    ----------
    stills : of `still_images`
    points : ndarray, shape (..., 3)

    Returns
    -------
    ndarray, shape (...), float32
    """
    images = (
        sample(still.image, transform(still.motion, points) if still.moved else points)
        for still in stills
    )
    return weighted_mean(images, _seconds(stills))


def resample_stills(stills: Sequence[Still], grid: Grid, to_reference: Matrix) -> Volume:
    """Mean of the window on a grid, through an affine to the world of the reference position.

    Parameters
    ----------
    stills : of `still_images`
    grid : of the result
    to_reference : world of the grid -> PET world of the reference position, RAS mm

    Returns
    -------
    Volume, 3D
    """
    images = (
        np.asarray(resample(still.image, grid, still.motion @ to_reference).data, np.float32)
        for still in stills
    )
    return Volume(weighted_mean(images, _seconds(stills)), grid.affine)


def _seconds(stills: Sequence[Still]) -> list[float]:
    return [still.seconds for still in stills]
