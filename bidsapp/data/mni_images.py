"""Images of users that are said to be in MNI space: onto the GAAIN 2 mm grid, if they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.resample import measured_box, sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.regions.atlas_checks import best_fit
from bidsapp.data import mni_grid, template_mask
from bidsapp.data.atlases import SPACES, points_in
from bidsapp.errors import BadDataError
from bidsapp.io.nifti import load_volume
from bidsapp.settings import TEMPLATE_SPACE

# Measured on seven simulated scans: in MNI they fit the brain of the template with a correlation of
# 0.89 and more, best where they lie or 2 mm beside; before normalisation best 4 to 57 mm away.
_LEAST_FIT = 0.7
_LARGEST_SHIFT_MM = 3.5
_UPTAKE = 0.35  # of the 98th percentile: what counts as head


def load_in_mni(path: Path, *, is_pet: bool = True) -> NDArray[np.float32]:
    """Read an image in MNI space onto ``mni_grid(2)``.

    Parameters
    ----------
    path : NIfTI, 3D or 4D, on any grid; ``_space-`` or ``_tpl-`` in its name tells the space,
        MNI152NLin6Asym where nothing does
    is_pet : whether uptake tells where the head is; other images are taken as they lie

    Returns
    -------
    ndarray, shape (91, 109, 91) or (91, 109, 91, T), float32
        NaN where the image was not measured. On the same grid the voxels are those of the file,
        otherwise they are interpolated trilinearly.

    Raises
    ------
    NoInputError, BadDataError
        The image cannot be read, is in another space, or does not lie where the template lies.
    """
    named = re.search(r"(?:^|_)(?:space|tpl)-([A-Za-z0-9]+)", path.name)
    space = named[1] if named else TEMPLATE_SPACE
    if space not in SPACES:
        raise BadDataError(
            f"{path}: is in {space}; give an image in {' or '.join(SPACES)}, or the raw dataset to "
            "centipet"
        )
    volume = load_volume(path)
    single = volume.data.ndim == 3
    frames = volume.data[..., None] if single else volume.data
    carried = np.stack(
        [_onto_grid(Volume(frames[..., t], volume.affine), space) for t in range(frames.shape[3])],
        axis=-1,
    )
    if is_pet and (reason := _misplaced(carried.mean(axis=-1))):
        raise BadDataError(f"{path}: {reason}")
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


def _misplaced(image: NDArray[np.floating]) -> str | None:
    """Sentence when the uptake does not lie in the brain of the template."""
    known = image[np.isfinite(image)]
    if known.size == 0 or known.max() <= 0:
        return "contains no uptake where the template lies; it is not in MNI space"
    head = np.nan_to_num(image) > _UPTAKE * np.percentile(known, 98)
    fit, shift = best_fit(head, template_mask(2).data.astype(np.float64), mni_grid(2))
    far = float(np.linalg.norm(shift))
    if fit >= _LEAST_FIT and far <= _LARGEST_SHIFT_MM:
        return None
    return (
        f"does not lie where the template lies (best match {far:.0f} mm away, correlation "
        f"{fit:.2f}); give the raw dataset to centipet, which normalises it"
    )
