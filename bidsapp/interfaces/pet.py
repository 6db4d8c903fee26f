"""Nodes on the PET: mean over the window, position relative to the T1w, resampling."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bidsapp.core.frames.position_means import mean_at_points, mean_at_reference, mean_on_grid
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import CentipetError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import prefixed_errors
from bidsapp.interfaces.transfer import Image, PositionMeans, Rigid, WarpArrays
from bidsapp.io.nifti import affine_disagreement, read_frames
from bidsapp.record import RecordPart
from bidsapp.settings import PetToT1w
from bidsapp.steps.averaging import Part, aligned, averaged
from bidsapp.steps.positioning import head_of, positioned
from bidsapp.steps.quantifying import fine_image


@interface("motion", "record")
def AlignFrames(
    pets: list[list[Path]],
    durations_s: list[list[float]],
    starts_s: list[list[float]],
    weights_s: list[float],
    within: bool = True,
) -> tuple[list[list[Rigid]], RecordPart]:
    """Position of the head in every frame of a scan, and of others after the same injection.

    Parameters
    ----------
    pets : files of each raw PET of the injection, NIfTI, the scan itself first
    durations_s, starts_s : of each frame of each PET, seconds after injection
    weights_s : seconds of the scan's frames used
    within : align the frames of a PET, too

    Returns
    -------
    motion
        Per PET and frame: world of the reference -> of the frame.
    record
    """
    scan, *others = [
        Part(files[0].name, partial(_frames, *files), starts, durations)
        for files, starts, durations in zip(pets, starts_s, durations_s, strict=True)
    ]
    with prefixed_errors(pets[0][0]):
        return aligned(scan, others, weights_s, within=within)


def _frames(pet: Path, *more: Path) -> Iterator[Volume]:
    """Frames of an image; errors leave its path out, which the caller adds."""
    try:
        yield from read_frames(pet, *more)
    except CentipetError as error:
        reason = str(error).replace(f"{pet}: ", "").replace(f"{pet.parent}/", "")
        raise type(error)(reason) from error


@interface("pet", "position_means", "ends", "record")
def TimeAverage(
    pet: list[Path],
    weights_s: list[float],
    decay_factors: list[float] | None = None,
    motion: list[list[Rigid]] | None = None,
) -> tuple[Image, PositionMeans, list[int], RecordPart]:
    """Time-weighted mean of the frames in the uptake window.

    Parameters
    ----------
    pet : files of the raw PET, NIfTI, 3D or 4D
    weights_s : seconds of each frame that count
    decay_factors : correction of each frame, if it needs one
    motion : as `AlignFrames` gives it

    Returns
    -------
    pet
        Mean over the window, native grid, head at the reference.
    position_means
        The same, one image per position of the head.
    ends
        Planes left out at both ends of the axis of the scanner.
    record
    """
    moved = motion[0] if motion else [np.eye(4)] * len(weights_s)
    with prefixed_errors(pet[0]):
        position_means, ends, record = averaged(read_frames(*pet), weights_s, moved, decay_factors)
    return mean_at_reference(position_means), position_means, list(map(int, ends)), record


@interface("t1w_to_pet", "by_method", "record")
def Register(
    pet: Image,
    source: str,
    t1w: Image,
    mask: Image,
    gm: Image,
    wm: Image,
    csf: Image,
    warp: WarpArrays,
    anatomy: Literal["t1w", "template"] = "t1w",
    method: PetToT1w = PetToT1w.MODEL,
) -> tuple[Rigid, dict[str, Any], RecordPart]:
    """Rigid position of the PET relative to the T1w (`bidsapp.core.registration.rigid`).

    Parameters
    ----------
    pet : on its native grid
    source : name of the raw image, for messages
    t1w, mask, gm, wm, csf, warp : as `Segment` gives them
    anatomy : what the T1w is
    method : which position to use

    Returns
    -------
    t1w_to_pet, by_method
        The position used, and the one each method found, as nested lists: T1w world -> PET world.
    record
    """
    tissue = (image.data for image in (gm, wm, csf))
    with prefixed_errors(source):
        fit, record = positioned(
            pet,
            head_of(t1w, tissue, mask.data, warp.to_template),
            method=method,
            anatomy=anatomy,
            header_apart_mm=affine_disagreement(source),
        )
    return fit.matrix, {"nmi": fit.nmi.tolist(), "model": fit.model.tolist()}, record


@interface("pet")
def PetToT1wGrid(position_means: PositionMeans, reference: Image, t1w_to_pet: Rigid) -> Image:
    """PET to the T1w grid, trilinear, from its native grid.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    reference : any image on the T1w grid
    t1w_to_pet : as `Register` gives it

    Returns
    -------
    Volume
        NaN outside the field of view.
    """
    return mean_on_grid(position_means, reference.grid, t1w_to_pet)


@interface("pet")
def PetToTemplate(position_means: PositionMeans, field: Image, t1w_to_pet: Rigid) -> Image:
    """PET to the 2 mm MNI grid, one trilinear interpolation from its native grid.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    field : T1w world coordinate of every MNI voxel
    t1w_to_pet : as `Register` gives it

    Returns
    -------
    Volume
        NaN outside the field of view.
    """
    points = transform(t1w_to_pet, field.data.astype(np.float64))
    return Volume(mean_at_points(position_means, points), field.affine)


@interface("pet")
def PetToFineTemplate(position_means: PositionMeans, field: Image, t1w_to_pet: Rigid) -> Image:
    """PET in the Centiloid volumes of the 1 mm MNI grid.

    Parameters
    ----------
    position_means, field, t1w_to_pet : as in `PetToTemplate`

    Returns
    -------
    Volume
        NaN outside the volumes.
    """
    return fine_image(position_means, field, t1w_to_pet)
