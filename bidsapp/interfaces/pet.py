"""Nodes on the PET, in the order in which they run: from the frames to ratios and Centiloid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.frames.position_means import (
    PositionMean,
    mean_at_points,
    mean_at_reference,
    mean_on_grid,
)
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.resolution import smooth
from bidsapp.core.quantification.scale import Scale
from bidsapp.core.quantification.suvr import ratio_image
from bidsapp.data import REFERENCES, mni_grid
from bidsapp.errors import prefixed_errors
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Arrays
from bidsapp.io.nifti import read_frames
from bidsapp.record import RecordPart
from bidsapp.settings import PetToT1w
from bidsapp.steps.averaging import FrameSeries, aligned, averaged
from bidsapp.steps.head import HeadTissues, PlacedHead
from bidsapp.steps.headers import header_findings
from bidsapp.steps.inspecting import inspected
from bidsapp.steps.positioning import head_of, normalised_without_t1w, positioned
from bidsapp.steps.quantifying import (
    Quantification,
    by_both_positions,
    fine_image,
    quantified,
    volumes,
)
from bidsapp.steps.smoothing import smoothing_of


@interface("motion", "record")
def AlignFrames(
    series: list[FrameSeries], weights_s: list[float], within: bool = True
) -> tuple[list[list[Matrix]], RecordPart]:
    """Position of the head in every frame of a scan, and of others after the same injection.

    Parameters
    ----------
    series : every PET of the injection, the scan itself first
    weights_s : seconds of the scan's frames used
    within : align the frames of a PET, too

    Returns
    -------
    motion
        Per PET and frame: world of the reference -> of the frame.
    record
    """
    scan, *others = series
    with prefixed_errors(scan.files[0]):
        return aligned(scan, others, weights_s, within=within)


@interface("pet", "position_means", "ends", "record")
def TimeAverage(
    pet: list[Path],
    weights_s: list[float],
    decay_factors: list[float] | None = None,
    motion: list[list[Matrix]] | None = None,
) -> tuple[Volume, list[PositionMean], list[int], RecordPart]:
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
    pet: Volume,
    source: str,
    t1w: Volume,
    tissues: HeadTissues,
    warp: Warp,
    anatomy: Literal["t1w", "template"] = "t1w",
    method: PetToT1w = PetToT1w.MODEL,
) -> tuple[Matrix, dict[str, Any], RecordPart]:
    """Rigid position of the PET relative to the T1w (`bidsapp.core.registration.rigid`).

    Parameters
    ----------
    pet : on its native grid
    source : name of the raw image, for messages
    t1w, tissues, warp : as `Segment` gives them
    anatomy : what the T1w is
    method : which position to use

    Returns
    -------
    t1w_to_pet, by_method
        The position used, and the one each method found, as nested lists: T1w world -> PET world.
    record
    """
    with prefixed_errors(source):
        fit, record = positioned(
            pet,
            head_of(t1w, tissues.maps, tissues.mask.data, warp.to_template),
            method=method,
            anatomy=anatomy,
        )
    return fit.matrix, {"nmi": fit.nmi.tolist(), "model": fit.model.tolist()}, record


@interface("field", "warp", "t1w_to_pet", "record")
def NormalisePet(pet: Volume, source: str) -> tuple[Volume, Warp, Matrix, RecordPart]:
    """Map between a PET and the template (`bidsapp.core.pet_only.pet_normalisation`).

    Parameters
    ----------
    pet : on its native grid
    source : name of the raw image, for messages

    Returns
    -------
    field, warp, t1w_to_pet
        As of a T1w and its registration; the PET takes the place of the T1w, so the matrix is the
        identity.
    record
    """
    with prefixed_errors(source):
        normalised, record = normalised_without_t1w(pet)
    return Volume(normalised.field, mni_grid(2).affine), normalised.warp, np.eye(4), record


@interface("pet", "position_means", "record")
def Inspect(
    pet: list[Path],
    weights_s: list[float],
    motion: list[list[Matrix]],
    mean: Volume,
    position_means: list[PositionMean],
    head: PlacedHead,
    reference: str,
) -> tuple[Volume, list[PositionMean], RecordPart]:
    """Mask voxels without a measurement; refuse a PET whose reference region is damaged.

    Parameters
    ----------
    pet : files of the raw PET, NIfTI
    weights_s : seconds of each frame that count
    motion : as `AlignFrames` gives it
    mean : over the window, native grid
    position_means : the same, one image per position of the head
    head : where it lies
    reference : reference region of the Centiloid

    Returns
    -------
    pet, position_means
        Mean and images of the window, NaN where a frame has no measurement.
    record
    """
    with prefixed_errors(pet[0]):
        kept, record = inspected(
            zip(read_frames(*pet), weights_s, motion[0], strict=True),
            position_means,
            mean,
            head,
            reference,
        )
    headers = dict.fromkeys(flag for path in pet for flag in header_findings(path, "PET"))
    record = replace(record, flags=(*headers, *record.flags))
    return (
        (mean, position_means, record) if kept is None else (mean_at_reference(kept), kept, record)
    )


@interface("pet", "position_means", "record")
def Smooth(
    pet: Volume,
    position_means: list[PositionMean],
    head: PlacedHead,
    regions: Arrays | None = None,
    fwhm_mm: float | None = None,
    target_mm: float | None = None,
    psf_mm: list[float] | None = None,
) -> tuple[Volume, list[PositionMean], RecordPart]:
    """Smooth along the voxel axes: by a given FWHM, or up to a common resolution.

    Parameters
    ----------
    pet, position_means : mean PET, native grid; the same, one image per position of the head
    head, regions : where it lies, and as `NativeRegions` gives them, to measure the resolution
    fwhm_mm : of the Gaussian
    target_mm : resolution to reach instead, FWHM
    psf_mm : resolution of the image along each voxel axis, FWHM, when it is known

    Returns
    -------
    pet, position_means
        The same, smoothed.
    record
    """
    psf = None if psf_mm is None else (psf_mm[0], psf_mm[1], psf_mm[2])
    kernel, record = smoothing_of(pet, head, regions, fwhm_mm=fwhm_mm, target_mm=target_mm, psf=psf)
    smoothed = [
        replace(position_mean, image=smooth(position_mean.image, kernel))
        for position_mean in position_means
    ]
    return mean_at_reference(smoothed), smoothed, record


@interface("pet")
def PetToT1wGrid(
    position_means: list[PositionMean], reference: Volume, t1w_to_pet: Matrix
) -> Volume:
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
def PetToTemplate(position_means: list[PositionMean], field: Volume, t1w_to_pet: Matrix) -> Volume:
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
def PetToFineTemplate(
    position_means: list[PositionMean], field: Volume, t1w_to_pet: Matrix
) -> Volume:
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


@interface("record")
def BothPositions(
    position_means: list[PositionMean], field: Volume, by_method: dict[str, Any], scale: Scale
) -> RecordPart:
    """Centiloid by each of the two registrations, from the voxels of its two volumes alone.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    field : T1w world coordinate of every MNI voxel
    by_method : as `Register` gives it
    scale : equations that belong to the scan

    Returns
    -------
    RecordPart
        The Centiloid by each method, flags.
    """
    return by_both_positions(position_means, field, by_method, scale)


@interface("record")
def Quantify(
    pet: Volume,
    source: str,
    how: Quantification,
    position: RecordPart | None = None,
    requested_image: Volume | None = None,
) -> RecordPart:
    """VOI means, uptake ratios, and Centiloids with their uncertainty.

    Parameters
    ----------
    pet : on the 2 mm MNI grid, NaN where not measured
    source : name of the raw image, for messages
    how : it is quantified
    position : part of the record from the registration, with the resolution of the PET
    requested_image : see `bidsapp.steps.quantifying.quantified`

    Returns
    -------
    RecordPart
    """
    fwhm_mm = None if position is None else position.qc.get("pet_fwhm_mm")
    with prefixed_errors(source):
        return quantified(pet, how, requested_image=requested_image, fwhm_mm=fwhm_mm)


@interface(*REFERENCES)
def RatioImages(pet: Volume) -> tuple[Volume | None, ...]:
    """Uptake ratio image per reference region that was measured.

    Parameters
    ----------
    pet : on the 2 mm MNI grid

    Returns
    -------
    wc, cg, wcb, pons
    """
    means = [row.mean for name, row in volumes(pet).items() if name in REFERENCES]
    return tuple(
        None if mean is None else Volume(ratio_image(pet.data, mean), pet.affine) for mean in means
    )
