"""Images of users in MNI space: resampling to the GAAIN 2 mm grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.resample import measured_box, sample
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.data.atlases import SPACES, points_in
from bidsapp.data.sentences import refused
from bidsapp.io.nifti import load_volume, named_space
from bidsapp.settings import TEMPLATE_SPACE


def load_in_mni(path: Path) -> NDArray[np.float32]:
    """Read an image in MNI space onto ``mni_grid(2)``.

    Parameters
    ----------
    path : NIfTI, 3D or 4D, on any grid; ``_space-`` or ``_tpl-`` in its name states the space,
        MNI152NLin6Asym where nothing does

    Returns
    -------
    ndarray, shape (91, 109, 91) or (91, 109, 91, T), float32
        NaN where the image was not measured. On the same grid the voxels are those of the file,
        otherwise they are interpolated trilinearly.

    Raises
    ------
    NoInputError, BadDataError
        The image cannot be read, or its name says that it is in another space.
    """
    space = named_space(path) or TEMPLATE_SPACE
    if space not in SPACES:
        raise refused("atlas", "image-space", path=path, space=space, spaces=SPACES)
    volume = load_volume(path)
    single = volume.data.ndim == 3
    frames = volume.data[..., None] if single else volume.data
    carried = np.stack(
        [_onto_grid(Volume(frames[..., t], volume.affine), space) for t in range(frames.shape[3])],
        axis=-1,
    )
    return carried[..., 0] if single else carried


def _onto_grid(volume: Volume, space: str) -> NDArray[np.float32]:
    grid = mni_grid(2)
    if space == TEMPLATE_SPACE and volume.grid.is_same(grid):
        return _measured(volume.data)
    return sample(volume, points_in(space))


def _measured(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """The voxels, NaN in the padding that other programs leave as zeros."""
    first, last = measured_box(data)
    image = np.full(data.shape, np.nan, np.float32)
    inside = tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    image[inside] = data[inside]
    return image
