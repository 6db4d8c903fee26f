"""Resampling of images between the spaces of a scan: PET, T1w and template.

A file ``from-A_to-B`` brings images of A to B, so it takes points of B to points of A.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.resample import displaced, sample
from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.nifti import load_displacements, read_grid
from bidsapp.record.stored import StoredScan
from bidsapp.settings import TEMPLATE_SPACE

# The image whose grid a space has; each space is beside those that it is linked with.
_IMAGE = {"pet": "pet_native", "T1w": "t1w", TEMPLATE_SPACE: "pet_mni"}


def in_space(
    image: Volume, scan: StoredScan, space: str, goal: str, *,
    grid: Grid | None = None, labels: bool = False,
) -> Volume:  # fmt: skip
    """Resample an image from one space of a scan to another, interpolated once.

    Parameters
    ----------
    image : Volume, 3D or 4D
    scan : StoredScan
        Whose transforms.
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
    UsageError
        The scan has no such space.
    NoInputError, BadDataError
        A transform is missing or none; the image and ``grid`` do not overlap, or it is zero there.
    """
    way = _way(scan, goal, space)
    grid = read_grid(scan.path(_IMAGE[goal])) if grid is None else grid
    points = grid.world()
    for here, beside in pairwise(way):
        points = _moved(points, scan, here, beside)
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


def _way(scan: StoredScan, space: str, other: str) -> list[str]:
    """Spaces from one to another, each beside the next."""
    spaces = [name for name in _IMAGE if name != "T1w" or scan.record.t1w_source is not None]
    for name in (space, other):
        if name not in spaces:
            raise UsageError(
                f"{scan.record.name} has no space {name}: choose one of {', '.join(spaces)}"
            )
    first, last = spaces.index(space), spaces.index(other)
    return spaces[first : last + 1] if first <= last else spaces[last : first + 1][::-1]


def _moved(
    points: NDArray[np.float64], scan: StoredScan, space: str, beside: str
) -> NDArray[np.float64]:
    """Positions of points of a space in one beside it, RAS mm; NaN where no transform reaches."""
    if TEMPLATE_SPACE not in (space, beside):
        matrix = scan.t1w_to_pet()
        return transform(inverse(matrix) if space == "pet" else matrix, points)
    key = "pet_warp" if "pet" in (space, beside) else "warp"
    path = scan.path(key if space == TEMPLATE_SPACE else f"{key}_inverse")
    return displaced(points, load_displacements(path))
