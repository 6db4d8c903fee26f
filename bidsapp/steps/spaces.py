"""Resampling of images between the spaces of a scan: PET, T1w and template."""

from __future__ import annotations

import numpy as np

from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero
from bidsapp.errors import BadDataError
from bidsapp.record.transforms import Transforms


def in_space(
    image: Volume, transforms: Transforms, space: str, goal: str, *,
    grid: Grid | None = None, labels: bool = False,
) -> Volume:  # fmt: skip
    """Resample an image from one space of a scan to another, interpolated once.

    Parameters
    ----------
    image : Volume, 3D or 4D
    transforms : Transforms
        Of the scan.
    space, goal : str
        Its space and that of the result: ``pet``, ``T1w`` or ``MNI152NLin6Asym``.
    grid : Grid, optional
        In ``goal``; that of the scan's own images there if it is not given.
    labels : bool
        Take the value of the nearest voxel instead of a trilinear interpolation.

    Returns
    -------
    Volume
        0 outside the image.

    Raises
    ------
    BadDataError
        The image and ``grid`` do not overlap, or it is zero there.
    """
    grid = transforms.grid(goal) if grid is None else grid
    points = transforms.points(grid.world(), goal, space)
    seen = np.isfinite(points).all(axis=-1)
    frames = []
    for frame in image.frames():
        if labels:
            values = np.zeros(grid.shape, frame.data.dtype)
            values[seen] = nearest(frame, points[seen])
        else:
            values = known_or_zero(sample(frame, points))
        frames.append(values)
    if not any(frame.any() for frame in frames):
        raise BadDataError(
            f"no part of it lies in {goal}; is it really an image in the space {space}?"
        )
    data = frames[0] if image.data.ndim == 3 else np.stack(frames, axis=-1)
    return Volume(data, grid.affine)
