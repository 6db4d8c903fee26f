"""``bidsapp.segment``, ``register`` and ``to_template``: the steps of a scan, for Python.

Images go in as paths or nibabel images and come out as nibabel images, with the voxels that the
command line writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bidsapp.core.anatomy.segment import Segmentation
from bidsapp.core.frames.position_means import mean_at_reference
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume, known_or_zero
from bidsapp.core.quality import Flag
from bidsapp.data import mni_grid
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.nifti import as_nibabel, from_nibabel, load_volume
from bidsapp.settings import PetToT1w
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.averaging import averaged
from bidsapp.steps.headers import header_findings
from bidsapp.steps.positioning import head_of, positioned

GivenImage = Any  # a path, or a nibabel image


@dataclass(frozen=True, eq=False)
class SegmentedHead:
    """What was found in a T1w.

    Attributes
    ----------
    t1w : nibabel image
        Without shading, on the grid of the T1w.
    mask, gm, wm, csf : nibabel images
        Brain, and probability of each tissue, on the same grid.
    quality : mapping of float or None
        Quality numbers by name.
    flags : tuple of Flag
        What a person should look at.
    segmentation : Segmentation
        All else, the warp among it.
    """

    t1w: Any
    mask: Any
    gm: Any
    wm: Any
    csf: Any
    quality: Mapping[str, float | None]
    flags: tuple[Flag, ...]
    segmentation: Segmentation


@dataclass(frozen=True, eq=False)
class Registered:
    """Position of a PET relative to a T1w.

    Attributes
    ----------
    t1w_to_pet : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.
    pet : nibabel image
        The PET, without planes that were not measured.
    quality, flags
        As of `SegmentedHead`.
    """

    t1w_to_pet: NDArray[np.float64]
    pet: Any
    quality: Mapping[str, float | None]
    flags: tuple[Flag, ...]


def segment(image: GivenImage) -> SegmentedHead:
    """Segment a T1w and find its warp to the template.

    Parameters
    ----------
    image : path or nibabel image, 3D
        The T1w.

    Returns
    -------
    SegmentedHead

    Raises
    ------
    CentipetError
        It cannot be read, or contains no head.
    """
    volume = _volume(image)
    segmented = segment_head(volume)
    head = segmented.segmentation
    grey, white, fluid = head.probabilities
    images = (head.corrected, head.brain_mask.astype(np.uint8), grey, white, fluid)
    t1w, mask, gm, wm, csf = (as_nibabel(Volume(data, volume.affine)) for data in images)
    flags = (*segmented.findings, *_about_header(image, "T1w"))
    return SegmentedHead(t1w, mask, gm, wm, csf, segmented.quality, flags, head)


def register(pet: GivenImage, head: SegmentedHead, *, method: str = "model") -> Registered:
    """Find the rigid position of a PET on a T1w.

    Parameters
    ----------
    pet : path or nibabel image, 3D
        Mean over the uptake window; `bidsapp.quantify` makes it of frames.
    head : as `segment` gives it
    method : ``model`` or ``nmi``, as ``--pet-to-t1w``

    Returns
    -------
    Registered

    Raises
    ------
    CentipetError
        The PET cannot be read, or contains no brain.
    """
    volume = _volume(pet)
    position_means, *_ = averaged(iter([volume]), [1.0], [np.eye(4)])
    mean, segmentation = mean_at_reference(position_means), head.segmentation
    t1w = Volume(segmentation.corrected, head.t1w.affine)
    fit, part = positioned(
        mean,
        head_of(
            t1w, segmentation.probabilities, segmentation.brain_mask, segmentation.warp.to_template
        ),
        method=PetToT1w(method),
    )
    flags = (*_about_header(pet, "PET"), *part.flags)
    return Registered(fit.matrix, as_nibabel(_measured(mean)), dict(part.qc), flags)


def to_template(
    image: GivenImage, head: SegmentedHead, t1w_to_image: ArrayLike | None = None
) -> Any:
    """Bring an image to the 2 mm grid of the template, by one trilinear interpolation.

    Parameters
    ----------
    image : path or nibabel image, 3D
    head : as `segment` gives it
    t1w_to_image : array_like, shape (4, 4), optional
        T1w world -> world of the image, such as ``t1w_to_pet`` of `register`; None when the image
        lies where the T1w does.

    Returns
    -------
    nibabel image
        0 outside the field of view.
    """
    points = head.segmentation.field.astype(np.float64)
    if t1w_to_image is not None:
        points = transform(np.asarray(t1w_to_image, np.float64), points)
    return as_nibabel(_measured(Volume(sample(_volume(image), points), mni_grid(2).affine)))


def _volume(image: GivenImage) -> Volume:
    if isinstance(image, str | os.PathLike):
        return load_volume(os.fspath(image), ndim=3)
    if not hasattr(image, "dataobj"):
        raise UsageError(
            f"give a path or a nibabel image, not {type(image).__name__}: an array does not say "
            "where its voxels are"
        )
    volume = from_nibabel(image)
    if volume.data.ndim != 3:
        raise BadDataError(
            f"a 3D image is needed, but the shape is {volume.data.shape}; for frames use "
            "bidsapp.quantify"
        )
    return volume


def _about_header(image: GivenImage, name: str) -> tuple[Flag, ...]:
    return header_findings(Path(image), name) if isinstance(image, str | os.PathLike) else ()


def _measured(volume: Volume) -> Volume:
    return Volume(known_or_zero(np.asarray(volume.data, np.float32)), volume.affine)
