"""Resolution of a PET: measured along the voxel axes, and lowered to a common one.

The effective resolution of an image is what blurs the uptake of the head, so it is measured there:
the subject's own tissue maps, blurred along the axes of the PET, are fitted to it, with its widths
across and along the axis of the scanner as unknowns. (The correlation of the noise does not measure
it: iterative reconstruction and filters shape noise and signal differently.) The levels of the
tissues are free and drift slowly through the brain, as in `bidsapp.core.registration.tissue_model`;
they are projected out, and the widths follow by Gauss-Newton, for the derivative of a Gaussian blur
by its variance is half the second derivative of the blurred image.

Widths are full widths at half maximum (FWHM) in mm along the voxel axes; Gaussians add in squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter
from threadpoolctl import threadpool_limits

from bidsapp.core.grid.alignment import Matrix, inverse, transform
from bidsapp.core.grid.least_squares import weighted_least_squares
from bidsapp.core.grid.resample import measured_voxels, resample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, Float32, Float64, thinned
from bidsapp.core.grid.volume import Grid, Volume, mask_box
from bidsapp.core.registration.levels import drift_basis
from bidsapp.core.registration.tissue_model import cauchy_weights

Widths = tuple[float, float, float]

_PREBLUR_MM = 2.5  # of the tissue maps before they are read between voxels; a part of the result
_REACH_MM = 6.0  # voxels around the brain that enter: its edge is most informative
_DRIFT_ORDER = 2
_ROUNDS = 15
_SETTLED_MM = 0.01
_RANGE_MM = (2.6, 15.0)
_START_MM = 6.0
_MOST_VOXELS = 60_000
# Linear interpolation between points h apart blurs by h^2 / 6 on average over their distances.
INTERPOLATION = FWHM_PER_SIGMA**2 / 6
_MARGIN_VOXELS = 12
_FINE_MM = 2.0  # larger voxels are divided: samples farther apart do not show what a blur does


def measure_resolution(
    pet: Volume,
    tissue: NDArray[np.floating],
    mask: NDArray[np.bool_],
    regions: Mapping[str, NDArray[np.bool_]],
    t1w_affine: Matrix,
    t1w_to_pet: Matrix,
) -> Widths:
    """Measure the effective resolution of a PET along its voxel axes.

    Parameters
    ----------
    pet : Volume, 3D
        NaN where not measured.
    tissue : ndarray, shape (3, X, Y, Z)
        Probabilities of grey matter, white matter and CSF on the T1w grid.
    mask : ndarray of bool, shape (X, Y, Z)
        Brain on the T1w grid.
    regions : mapping of ndarray of bool, shape (X, Y, Z)
        ``ctx``, the cortical target, and ``cbl``, the cerebellum: their tissue has levels of its
        own.
    t1w_affine : ndarray, shape (4, 4)
    t1w_to_pet : ndarray, shape (4, 4), RAS mm

    Returns
    -------
    tuple of float
        FWHM along the three voxel axes of ``pet``, mm; the same along both that lie across the
        axis of the scanner.
    """
    size = pet.grid.voxel_size
    box = _box(pet, mask, t1w_affine, t1w_to_pet)
    first = np.array([part.start for part in box], np.float64)
    corner = pet.affine.copy()
    corner[:3, 3] = transform(pet.affine, first)
    data = np.asarray(pet.data, np.float32)[box]
    x, y, z = data.shape
    grid = Grid((x, y, z), corner)
    fine, every = _divided(grid)
    maps, brain = _maps(tissue, mask, regions, t1w_affine, fine, inverse(t1w_to_pet))
    brain = brain[every]
    near = binary_dilation(brain > 0.5, iterations=max(1, round(_REACH_MM / float(size.mean()))))
    chosen = np.flatnonzero(near & np.isfinite(data) & measured_voxels(pet.data)[box])
    chosen = thinned(chosen, _MOST_VOXELS)
    points = grid.world().reshape(-1, 3)[chosen]
    drift = drift_basis(points, points.mean(axis=0), _DRIFT_ORDER)
    t1w_mm = np.linalg.norm(t1w_affine[:3, :3], axis=0).mean()
    known = _PREBLUR_MM**2 + INTERPOLATION * t1w_mm**2
    with threadpool_limits(limits=1):
        values = data.reshape(-1)[chosen].astype(np.float64)
        squares = _fit(maps, values, _within(fine, every)[chosen], drift, fine, known)
    x_mm, y_mm, z_mm = np.sqrt(squares).tolist()
    return x_mm, y_mm, z_mm


def kernel_to(target_mm: float, measured: Sequence[float]) -> Widths:
    """Blur that takes a measured resolution to a target; 0 along an axis that is blurred enough.

    Parameters
    ----------
    target_mm : FWHM wanted
    measured : FWHM along the three voxel axes, mm

    Returns
    -------
    tuple of float
    """
    x, y, z = (float(np.sqrt(max(target_mm**2 - own**2, 0.0))) for own in measured)
    return x, y, z


def smooth(image: Volume, fwhm_mm: Sequence[float]) -> Volume:
    """Blur an image along its voxel axes, ignoring voxels that were not measured.

    Parameters
    ----------
    image : Volume, 3D
        NaN, or whole planes of zeros at the ends, where not measured.
    fwhm_mm : FWHM along the three voxel axes

    Returns
    -------
    Volume
        float32; every voxel the mean of the measured ones around it (normalised convolution:
        Knutsson & Westin, CVPR 1993), NaN where it was not measured itself.
    """
    known = np.isfinite(image.data) & measured_voxels(image.data)
    sigma = np.asarray(fwhm_mm) / FWHM_PER_SIGMA / image.grid.voxel_size
    values = np.where(known, image.data, 0).astype(np.float32)
    total = gaussian_filter(values, sigma, mode="constant")
    weight = gaussian_filter(known.astype(np.float32), sigma, mode="constant")
    return Volume(np.where(known, total / np.where(known, weight, 1), np.nan), image.affine)


def _box(
    pet: Volume, mask: NDArray[np.bool_], t1w_affine: Matrix, t1w_to_pet: Matrix
) -> tuple[slice, ...]:
    """Part of the PET grid around the brain, with room for the blur."""
    corners = np.array(np.meshgrid(*np.transpose(mask_box(mask)))).reshape(3, -1).T
    world = transform(t1w_to_pet @ t1w_affine, corners.astype(np.float64))
    index = transform(inverse(pet.affine), world)
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - _MARGIN_VOXELS, 0, None)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + _MARGIN_VOXELS, pet.data.shape)
    return tuple(map(slice, low, high))


def _divided(grid: Grid) -> tuple[Grid, tuple[slice, ...]]:
    """A grid with its large voxels divided, and where in it the voxels themselves are."""
    parts = np.maximum(1, np.round(grid.voxel_size / _FINE_MM)).astype(int)
    affine = grid.affine @ np.diag([*1 / parts, 1.0])
    x, y, z = (np.array(grid.shape) - 1) * parts + 1
    return Grid((int(x), int(y), int(z)), affine), tuple(slice(None, None, int(n)) for n in parts)


def _within(fine: Grid, every: tuple[slice, ...]) -> NDArray[np.intp]:
    """Index in a divided grid of every voxel of the grid, both flattened."""
    return np.arange(np.prod(fine.shape)).reshape(fine.shape)[every].reshape(-1)


def _maps(
    tissue: NDArray[np.floating],
    mask: NDArray[np.bool_],
    regions: Mapping[str, NDArray[np.bool_]],
    t1w_affine: Matrix,
    grid: Grid,
    to_t1w: Matrix,
) -> tuple[Float32, Float32]:
    """Tissue by region on the PET grid, (C, X, Y, Z), and the brain, both blurred a little."""
    nowhere = np.zeros(mask.shape, dtype=bool)
    cerebellum = regions.get("cbl", nowhere)
    cortex = regions.get("ctx", nowhere) & ~cerebellum
    # grey and white beyond the mask is dura, muscle and marrow, whose uptake is not the brain's
    grey, white = tissue[0] * mask, tissue[1] * mask
    parts = [
        grey * ~(cortex | cerebellum), grey * cortex, grey * cerebellum,
        white * ~cerebellum, white * cerebellum, tissue[2],
    ]  # fmt: skip
    sigma = _PREBLUR_MM / FWHM_PER_SIGMA / np.linalg.norm(t1w_affine[:3, :3], axis=0)

    def on_grid(part: NDArray[np.generic]) -> Float32:
        blurred = gaussian_filter(np.asarray(part, np.float32), sigma)
        return np.nan_to_num(np.asarray(resample(Volume(blurred, t1w_affine), grid, to_t1w).data))

    maps = np.stack([on_grid(part) for part in parts if part.any()])
    rest = np.clip(1 - maps.sum(axis=0), 0, 1)
    return np.concatenate([maps, rest[None]]), on_grid(mask)


def _fit(
    maps: Float32,
    values: Float64,
    chosen: NDArray[np.intp],
    drift: Float64,
    grid: Grid,
    known: float,
) -> Float64:
    """Squares of the three FWHMs, mm^2, that leave least of the PET."""
    squares = np.full(3, _START_MM**2)
    weights = np.ones(len(values))
    size = grid.voxel_size
    per_voxel = (FWHM_PER_SIGMA * size) ** 2  # mm^2 of FWHM^2 per voxel^2 of variance
    # A ring of detectors sees all directions across its axis alike: one width for both.
    along = int(np.argmax(np.abs(grid.affine[2, :3]) / size))
    tied = np.stack([np.arange(3) != along, np.arange(3) == along], axis=-1).astype(np.float64)
    for number in range(_ROUNDS):
        sigma = np.sqrt(np.maximum(squares - known, 0.01) / per_voxel)
        blurred = [gaussian_filter(tissue_map, sigma) for tissue_map in maps]
        fractions = np.stack([tissue_map.reshape(-1)[chosen] for tissue_map in blurred], axis=-1)
        design = (fractions[:, :, None] * drift[:, None, :]).reshape(len(values), -1)
        levels = weighted_least_squares(design, values, weights)
        residual = values - design @ levels
        if number < 4:
            weights = cauchy_weights(residual)
            continue
        local = drift @ levels.reshape(len(maps), -1).T
        slopes = np.stack(
            [
                sum(
                    local[:, k] * _second(tissue_map, axis).reshape(-1)[chosen]
                    for k, tissue_map in enumerate(blurred)
                )
                for axis in range(3)
            ],
            axis=-1,
        ) / (2 * per_voxel)
        slopes = slopes @ tied
        own = slopes - design @ weighted_least_squares(design, slopes, weights)
        step = tied @ weighted_least_squares(own, residual, weights)
        before = squares
        squares = np.clip(squares + step, _RANGE_MM[0] ** 2, _RANGE_MM[1] ** 2)
        weights = cauchy_weights(residual)
        if np.abs(np.sqrt(squares) - np.sqrt(before)).max() < _SETTLED_MM:
            break
    return squares


def _second(image: Float32, axis: int) -> Float32:
    """Second difference along an axis."""
    return np.roll(image, 1, axis) + np.roll(image, -1, axis) - 2 * image
