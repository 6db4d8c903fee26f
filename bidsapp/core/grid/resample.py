"""Trilinear interpolation of measured images.

All points are world coordinates (RAS+, mm).  Where an image was not measured the result is NaN,
so that no mean includes voxels that hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.sampling import interpolate
from bidsapp.core.grid.volume import Grid, Volume, mask_box

Box = tuple[NDArray[np.intp], NDArray[np.intp]]  # first and last index along each axis

# Both ways between the axes of NIfTI (right, front, up) and of ITK (left, back, up).
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_CHUNK = 1 << 19  # points at a time: the work arrays stay in the processor's cache
_EDGE = 1e-3  # voxels; rounding of coordinates must not push the outermost centres outside


def measured_box(data: NDArray[np.generic]) -> Box:
    """First and last index along each axis of the part of a PET image that was measured.

    Whole planes at the ends without a finite, non-zero voxel are padding: they were put there by
    a reconstruction or a resampling and have no activity to average.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)

    Returns
    -------
    first, last : ndarray, shape (3,)
        Inclusive; ``last < first`` when the image is empty.
    """
    return mask_box(np.isfinite(data) & (data != 0))


def measured_voxels(data: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Voxels inside `measured_box`.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
    """
    first, last = measured_box(data)
    inside = np.zeros(data.shape, bool)
    inside[tuple(map(slice, first, last + 1))] = True
    return inside


def common_box(frames: Iterable[NDArray[np.generic]]) -> Box:
    """Part measured by any frame of a PET; frames before arrival of activity count as measured.

    Parameters
    ----------
    frames : arrays of shape (X, Y, Z)

    Returns
    -------
    first, last : ndarray, shape (3,)
        As `measured_box`.
    """
    boxes = [(first, last) for first, last in map(measured_box, frames) if (last >= first).all()]
    if not boxes:
        return np.zeros(3, np.intp), np.full(3, -1, np.intp)
    firsts, lasts = zip(*boxes, strict=True)
    return np.min(firsts, axis=0), np.max(lasts, axis=0)


def sample(
    volume: Volume, points: NDArray[np.floating], box: Box | None = None
) -> NDArray[np.float32]:
    """Interpolate an image at world points.

    Parameters
    ----------
    volume : Volume, shape (X, Y, Z)
    points : ndarray, shape (..., 3), RAS mm in the world of ``volume``
    box : the measured part; None takes that of ``volume`` (`measured_box`)

    Returns
    -------
    ndarray, shape (...), float32
        Trilinear interpolation between voxel centres; NaN outside the measured part, and
        where a point or a voxel it needs is not finite.
    """
    to_index = np.linalg.inv(volume.affine)
    box = measured_box(volume.data) if box is None else box
    flat = points.reshape(-1, 3)
    values = np.empty(len(flat), np.float32)
    for start in range(0, len(flat), _CHUNK):
        part = slice(start, start + _CHUNK)
        index = to_index[:3, :3] @ flat[part].T.astype(np.float64) + to_index[:3, 3:]
        values[part] = _interpolate(volume.data, index, box)
    return values.reshape(points.shape[:-1])


def resample(
    volume: Volume, grid: Grid, to_volume: NDArray[np.floating], box: Box | None = None
) -> Volume:
    """Interpolate an image on a grid, through an affine transform.

    Parameters
    ----------
    volume : Volume, shape (X, Y, Z)
    grid : where to; its shape is the shape of the result
    to_volume : ndarray, shape (4, 4)
        World of ``grid`` -> world of ``volume``, RAS mm.
    box : the measured part; None takes that of ``volume`` (`measured_box`)

    Returns
    -------
    Volume
        float32, NaN where ``volume`` was not measured (see `sample`).
    """
    to_index = np.linalg.inv(volume.affine) @ to_volume @ grid.affine
    box = measured_box(volume.data) if box is None else box
    x, y, z = (np.arange(n, dtype=np.float64) for n in grid.shape)
    plane = to_index[:3, 1, None, None] * y[:, None] + to_index[:3, 2, None, None] * z
    plane += to_index[:3, 3, None, None]
    values = np.empty(grid.shape, np.float32)
    data = np.ascontiguousarray(volume.data)  # read in a fifth less time than in another order
    for i, step in enumerate(x):
        values[i] = _interpolate(data, plane + step * to_index[:3, 0, None, None], box)
    return Volume(values, grid.affine)


def itk_displacements(field: NDArray[np.floating], grid: Grid) -> NDArray[np.float32]:
    """Displacement field as ITK reads it from NIfTI.

    Parameters
    ----------
    field : ndarray, shape (X, Y, Z, 3)
        World coordinate (RAS, mm) in the moving image for each voxel of ``grid``.
    grid : Grid, shape (X, Y, Z)

    Returns
    -------
    ndarray, shape (X, Y, Z, 1, 3), float32
        ``field`` minus the world coordinate of the voxel, in LPS mm (ITK's convention: x and y
        point to the left and to the back).
    """
    displacement: NDArray[np.float32] = ((field - grid.world()) * np.diag(RAS_LPS)[:3]).astype(
        np.float32
    )
    return displacement[:, :, :, np.newaxis, :]


def displaced(points: NDArray[np.floating], displacements: Volume) -> NDArray[np.float64]:
    """Displace points by a displacement field.

    Parameters
    ----------
    points : ndarray, shape (..., 3), RAS mm
    displacements : Volume, shape (X, Y, Z, 3), RAS mm

    Returns
    -------
    ndarray, shape (..., 3)
        RAS mm, trilinear; NaN outside the grid of the field.
    """
    whole = (np.zeros(3, np.intp), np.array(displacements.grid.shape) - 1)
    moved = np.empty(points.shape)
    for axis in range(3):
        part = Volume(displacements.data[..., axis], displacements.affine)
        moved[..., axis] = points[..., axis] + sample(part, points, whole)
    return moved


def itk_affine_text(matrix: NDArray[np.floating]) -> str:
    """ITK text file of an affine transform.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        RAS world -> RAS world, mm, from points of the fixed to points of the moving image.

    Returns
    -------
    str
        The same transform between LPS points, in the format of ``itk::AffineTransform``.
    """
    lps = RAS_LPS @ matrix @ RAS_LPS
    numbers = " ".join(repr(float(v)) for v in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    return (
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )


def _interpolate(
    data: NDArray[np.generic],
    index: NDArray[np.float64],
    box: Box,
) -> NDArray[np.float32]:
    """Values at fractional voxel indices (3, ...), which it may move; NaN outside the box."""
    values = np.full(index.shape[1:], np.nan, np.float32)
    inside = np.ones(values.shape, bool)
    for at, first, last in zip(index, *box, strict=True):
        inside &= (at >= first - _EDGE) & (at <= last + _EDGE)
        np.clip(at, first, last, out=at)
    if inside.any():
        where = ... if inside.all() else inside
        values[where] = interpolate(data, index[:, where], dtype=np.float32)
    return values
