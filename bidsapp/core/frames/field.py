"""Artefact planes at the ends of a PET's axial field of view.

The outermost planes of a ring scanner are seen by few pairs of detectors. Reconstructions leave
them noisy, too high, too low or empty. Such planes are not measurements: they become NaN, so that a
volume of interest that reaches into them loses coverage instead of taking a wrong mean.

An end is judged only where it cuts the head. A plane is an artefact when its noise is a multiple of
what the same pixels have further inside, or when its uptake steps up or down from one plane to the
next more steeply than the resolution of a PET lets anatomy do. Planes of zeros at the ends are
padding (`bidsapp.core.grid.resample.measured_box`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from bidsapp.core.grid.resample import Box, measured_box
from bidsapp.core.grid.sampling import SD_PER_MAD
from bidsapp.core.grid.volume import Volume, known_or_zero

_SEARCHED_MM = 16.0  # planes at an end that may be artefacts
_COMPARED_MM = 16.0  # planes inside of these that show what is usual
_HEAD = 0.15  # of the bright part of the image: above it is head
_LEAST_PIXELS = 200  # of the head in a plane, to measure its noise
_NOISE = 3.0  # times the usual noise is an artefact
_STEP = (0.4, 1.8)  # times the uptake of the next plane inside; a blurred edge is less steep
_FLAT = (0.8, 1.25)  # times the uptake of the plane before that: no edge has begun there
_LEAST_LEVEL = 0.3  # of the usual uptake, for a step to mean anything
_STEEP_MM = 3.5  # planes farther apart may differ that much by anatomy
_OWN_NOISE = 0.02  # of the uptake: less is not noise to compare with


def artefact_ends(image: Volume) -> tuple[int, int]:
    """Planes at the two axial ends that hold artefacts.

    Parameters
    ----------
    image : Volume, 3D
        Mean over the window.

    Returns
    -------
    lower, upper : int
        How many planes at the beginning and at the end of the axis of the scanner (`axial_axis`)
        are to be left out, after those that hold nothing.
    """
    axis = axial_axis(image)
    first, last = measured_box(image.data)
    if last[axis] <= first[axis]:
        return 0, 0
    planes = np.moveaxis(np.asarray(image.data, np.float32), axis, 0)
    planes = known_or_zero(planes[first[axis] : last[axis] + 1])
    step = float(image.grid.voxel_size[axis])
    return _bad_planes(planes, step), _bad_planes(planes[::-1], step)


def without_ends(image: Volume, ends: tuple[int, int]) -> Volume:
    """Return the image with the planes of `artefact_ends` NaN.

    Parameters
    ----------
    image : Volume, 3D or 4D
    ends : numbers of planes at the beginning and the end of the axial axis

    Returns
    -------
    Volume
    """
    if not any(ends):
        return image
    axis = axial_axis(image)
    first, last = (int(edge[axis]) for edge in measured_box(image.data))
    data = np.array(image.data, np.float32)
    planes = np.moveaxis(data, axis, 0)
    planes[: first + ends[0]] = np.nan
    planes[last + 1 - ends[1] :] = np.nan
    return Volume(data, image.affine)


def box_without_ends(image: Volume, box: Box, ends: tuple[int, int]) -> Box:
    """Return the measured part of `image` without the planes of `artefact_ends`.

    Parameters
    ----------
    image : Volume
    box : first and last voxel of the measured part, shape (3,) each
    ends : numbers of planes at the beginning and the end of the axial axis

    Returns
    -------
    (ndarray, ndarray), shape (3,) each
    """
    axis = axial_axis(image)
    first, last = (edge.copy() for edge in box)
    first[axis] += ends[0]
    last[axis] -= ends[1]
    return first, last


def axial_axis(image: Volume) -> int:
    """Voxel axis along the scanner: the one most nearly upright in world coordinates.

    Parameters
    ----------
    image : Volume

    Returns
    -------
    int
    """
    return int(np.argmax(np.abs(image.affine[2, :3]) / image.grid.voxel_size))


def _bad_planes(planes: NDArray[np.float32], step_mm: float) -> int:
    """Number of artefact planes at the beginning."""
    searched = max(1, round(_SEARCHED_MM / step_mm))
    compared = max(3, round(_COMPARED_MM / step_mm))
    if len(planes) < 2 * (searched + compared):
        return 0
    usual = planes[searched : searched + compared]
    level = float(np.percentile(planes, 99))
    # pixels inside the head in all the planes compared with: it goes on to the end, then
    head = binary_erosion((usual > _HEAD * level).all(axis=0), iterations=2)
    if head.sum() < _LEAST_PIXELS:
        return 0
    uptake = float(np.median(usual[:, head]))
    noise = max(float(np.median([_noise(plane, head) for plane in usual])), _OWN_NOISE * uptake)
    levels = [float(np.median(plane[head])) / uptake for plane in planes[: searched + 2]]
    bad = 0
    for number in range(1, searched + 1):
        own, inner, before = levels[number - 1 : number + 2]
        level = inner > _LEAST_LEVEL and _FLAT[0] * before <= inner <= _FLAT[1] * before
        steep = step_mm <= _STEEP_MM and not _STEP[0] * inner <= own <= _STEP[1] * inner
        if (level and steep) or _noise(planes[number - 1], head) > _NOISE * noise:
            bad = number
    return bad


def _noise(plane: NDArray[np.float32], head: NDArray[np.bool_]) -> float:
    """Noise of a plane: robust size of its second differences along both axes, at the head."""
    centre = 4 * plane
    around = sum(np.roll(plane, shift, axis) for axis in (0, 1) for shift in (1, -1))
    return SD_PER_MAD * float(np.median(np.abs((centre - around)[head]))) / np.sqrt(20)
