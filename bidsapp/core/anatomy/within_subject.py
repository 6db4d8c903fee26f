"""One head of several T1w of a person: the within-subject template.

Every visit is treated alike: none is the target of the others, none keeps its own grid.

1. The segmentations of the visits already say which places correspond; generalised Procrustes of
   these landmarks is the start, so that it does not matter how far the visits lie apart.
2. All visits are moved together (rigid, 6 parameters each) until they agree with their common mean,
   by Gauss-Newton steps on the differences of standardised intensities, with Tukey weights, so
   that what changed between the visits (lesions, vessels, artefacts) does not pull. The slopes are
   those of the mean, the same for all.
3. The world of the template lies halfway: the mean of the rotations to the visits is none, and the
   middle of the brain lies at the mean of its places.
4. Each visit is interpolated once (cubic spline) on a grid that belongs to none of them; their mean
   is the template, or their median when there are three or more.

The design is that of Reuter & Fischl, NeuroImage 57:19-21 (2011), and Reuter et al., NeuroImage
61:1402-1418 (2012): a visit that is interpolated less or serves as reference is measured otherwise
than the others, and the change is biased. The weights are those of Reuter et al., NeuroImage
53:1181-1196 (2010).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, ndimage
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from bidsapp.core.grid.alignment import (
    LENGTH_MM,
    Matrix,
    inverse,
    rigid_between,
    rigid_matrix,
    transform,
)
from bidsapp.core.grid.sampling import (
    SD_PER_MAD,
    Float32,
    Float64,
    blur,
    scattered_points,
    trilinear,
)
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero, mask_slices
from bidsapp.errors import BadDataError

LEVELS = ((8.0, 5.0), (2.0, 2.5))  # blur and distance of points, mm
STEPS, CONVERGED_MM = 30, 0.002  # at most so many steps; less movement is none
TUKEY = 4.685  # standard deviations: 95 % efficiency for Gaussian noise
LEAST_POINTS = 1000
MARGIN_MM = 50.0  # of the template around the brain: scalp and face, little neck
REACH_MM = 20.0  # of the images around the brain while they are aligned: more than the blur
DEEP_MM = 20.0  # CSF farther than this from the outside of the brain is ventricle


@dataclass(frozen=True)
class Visit:
    """A T1w of the person, segmented separately.

    Attributes
    ----------
    image : Volume, 3D, float32
        Bias-corrected; zero and non-finite voxels count as missing.
    brain : ndarray of bool, shape of ``image``
    landmarks : ndarray, shape (N, 3)
        World coordinates, mm: row by row the same places of the head in every visit.
    """

    image: Volume
    brain: NDArray[np.bool_]
    landmarks: Float64


@dataclass(frozen=True)
class WithinSubject:
    """Result of `within_subject_template`.

    Attributes
    ----------
    image : Volume, float32
        The template, isotropic voxels, 0 where no visit measured.
    to_visits : tuple of ndarray, shape (4, 4)
        World of the template -> world of each visit, RAS mm.
    agreement : tuple of float
        Correlation of each visit with the mean of the others over the brain.
    """

    image: Volume
    to_visits: tuple[Matrix, ...]
    agreement: tuple[float, ...]


def within_subject_template(visits: Sequence[Visit]) -> WithinSubject:
    """Align the T1w of a person with each other and average them.

    The order of the visits makes no difference, to the last bit.

    Parameters
    ----------
    visits : sequence of Visit
        Two or more.

    Returns
    -------
    WithinSubject

    Raises
    ------
    BadDataError
        The brains do not overlap.
    """
    order = sorted(range(len(visits)), key=lambda number: _digest(visits[number]))
    ordered = [visits[number] for number in order]
    with threadpool_limits(limits=1):  # the same bits whatever the number of threads
        near = [_near_brain(visit) for visit in ordered]
        matrices = _first_positions([visit.landmarks for visit in ordered])
        for fwhm, spacing in LEVELS:
            matrices, level = _converge(near, matrices, fwhm, spacing)
        grid = _template_grid(ordered, matrices)
        image = _average([visit.image for visit in ordered], matrices, level.gains, grid)
    place = np.argsort(order)
    agreement = level.agreement()
    return WithinSubject(
        image=image,
        to_visits=tuple(matrices[k] for k in place),
        agreement=tuple(agreement[k] for k in place),
    )


def ventricles_ml(
    csf: NDArray[np.floating], brain: NDArray[np.bool_], voxel_size: Float64
) -> float:
    """Volume of the CSF deep in the brain: ventricles, for the change from visit to visit.

    Parameters
    ----------
    csf : ndarray, shape (X, Y, Z)
        Probability of CSF.
    brain : ndarray of bool, shape (X, Y, Z)
    voxel_size : ndarray, shape (3,), mm

    Returns
    -------
    float
    """
    box = mask_slices(brain)
    padded = np.pad(brain[box], 1)
    depth = ndimage.distance_transform_edt(padded, sampling=voxel_size)[1:-1, 1:-1, 1:-1]
    return float(csf[box][depth > DEEP_MM].sum(dtype=np.float64) * np.prod(voxel_size) / 1000)


def template_quality(visits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Numbers of quality of a template.

    Parameters
    ----------
    visits : sequence of mapping
        ``agreement``, ``tissue_ml`` and ``ventricles_ml`` of each; those without agreement were
        left out.

    Returns
    -------
    dict of float
        ``visits_agreement``, the least of all visits; ``visits_tissue_percent`` and
        ``visits_ventricles_ml``, how much grey and white matter and ventricles of the visits
        differ at most.
    """
    used = [visit for visit in visits if "agreement" in visit]
    tissue = [visit["tissue_ml"] for visit in used]
    ventricles = [visit["ventricles_ml"] for visit in used]
    return {
        "visits_agreement": min(visit["agreement"] for visit in used),
        "visits_tissue_percent": 100 * (max(tissue) - min(tissue)) / float(np.mean(tissue)),
        "visits_ventricles_ml": max(ventricles) - min(ventricles),
    }


def halfway(matrices: Sequence[Matrix], centre: Float64) -> list[Matrix]:
    """Move the common world of several rigid transforms to the middle of those they lead to.

    Parameters
    ----------
    matrices : sequence of ndarray, shape (4, 4)
        Common world -> each world.
    centre : ndarray, shape (3,)
        Middle of the head in the common world.

    Returns
    -------
    list of ndarray, shape (4, 4)
        From the new common world: the mean of the rotations is the identity, and the middle of the
        head lies at the mean of its places.
    """
    there = np.mean([transform(matrix, centre) for matrix in matrices], axis=0)
    rotation = Rotation.from_matrix([matrix[:3, :3] for matrix in matrices]).mean().as_matrix()
    to_old = np.eye(4)
    to_old[:3, :3] = rotation.T
    to_old[:3, 3] = centre - rotation.T @ there
    return [matrix @ to_old for matrix in matrices]


def _digest(visit: Visit) -> bytes:
    """Name of the content, by which the visits are sorted."""
    data = np.ascontiguousarray(visit.image.data)
    return hashlib.sha256(data.tobytes() + visit.image.affine.tobytes()).digest()


def _near_brain(visit: Visit) -> Visit:
    """Cut to the brain and what the blur reaches, missing voxels 0."""
    around = np.ceil(REACH_MM / visit.image.grid.voxel_size).astype(int)
    inside = np.argwhere(visit.brain)
    if not len(inside):
        raise BadDataError("the brain mask of a T1w is empty; look at its segmentation")
    low = np.maximum(inside.min(axis=0) - around, 0)
    high = np.minimum(inside.max(axis=0) + 1 + around, visit.brain.shape)
    box = tuple(map(slice, low, high))
    affine = visit.image.affine.copy()
    affine[:3, 3] = transform(visit.image.affine, low.astype(np.float64))
    data = known_or_zero(np.asarray(visit.image.data[box], np.float32))
    return Visit(Volume(data, affine), visit.brain[box], visit.landmarks)


# ---------------------------------------------------------------- positions


def _first_positions(landmarks: Sequence[Float64]) -> list[Matrix]:
    """Generalised Procrustes without scale; common world -> each world."""
    mean = landmarks[0]
    for _ in range(STEPS):
        matrices = [rigid_between(mean, own) for own in landmarks]
        back = [transform(inverse(m), own) for m, own in zip(matrices, landmarks, strict=True)]
        before, mean = mean, np.mean(back, axis=0)
        if np.abs(mean - before).max() < CONVERGED_MM:
            break
    return halfway(matrices, mean.mean(axis=0))


@dataclass(frozen=True)
class _Level:
    """The visits at points of the common world: intensities (V, N) and slopes of their mean."""

    values: Float64
    slope: Float64  # (3, N), of the mean of the standardised values, per mm
    points: Float64  # (N, 3)

    @classmethod
    def at(cls, images: Sequence[Volume], matrices: Sequence[Matrix], points: Float64) -> _Level:
        read: list[Float64] = []
        slopes: list[Float64] = []
        seen = np.ones(len(points), bool)
        for image, matrix in zip(images, matrices, strict=True):
            to_index = inverse(image.affine) @ matrix
            data: Float32 = np.asarray(image.data, np.float32)
            values, slope, inside = trilinear(data, transform(to_index, points))
            read.append(values.astype(np.float64))
            slopes.append(to_index[:3, :3].T @ slope.astype(np.float64))
            seen &= inside
        if seen.sum() < LEAST_POINTS:
            raise BadDataError("the brains of the T1w do not overlap; are they of one person?")
        seen_by_all = np.stack(read)[:, seen]
        spread = _range(seen_by_all)
        pairs = zip(slopes, spread, strict=True)
        return cls(seen_by_all, np.mean([s[:, seen] / sd for s, sd in pairs], axis=0), points[seen])

    @property
    def standardised(self) -> Float64:
        middle = np.median(self.values, axis=1)
        return (self.values - middle[:, None]) / _range(self.values)[:, None]

    @property
    def gains(self) -> Float64:
        """Factors that give all visits the same brightness, (V,)."""
        level = np.log(np.maximum(np.median(self.values, axis=1), 1e-12))
        return np.exp(level.mean() - level)

    def agreement(self) -> tuple[float, ...]:
        """Correlation of each visit with the mean of the others."""
        values = self.standardised
        others = (values.sum(axis=0) - values) / (len(values) - 1)
        pairs = zip(values, others, strict=True)
        return tuple(float(np.corrcoef(own, other)[0, 1]) for own, other in pairs)

    def steps(self, centre: Float64) -> Float64:
        """Translation (mm), rotation (radians) of each visit to the mean, (V, 6); they sum to 0."""
        values = self.standardised
        target = values.mean(axis=0)
        torque = np.cross(self.points - centre, self.slope.T)
        jacobian = np.concatenate([self.slope.T, torque / LENGTH_MM], axis=1)
        steps_of = []
        for own in values:
            residual = own - target
            sigma = SD_PER_MAD * max(float(np.median(np.abs(residual))), 1e-6)
            weight = np.clip(1 - (residual / (TUKEY * sigma)) ** 2, 0, None) ** 2
            weighted = jacobian * weight[:, None]
            steps_of.append(-linalg.solve(jacobian.T @ weighted, weighted.T @ residual))
        steps = np.array(steps_of)
        steps -= steps.mean(axis=0)
        return steps / [1, 1, 1, *[LENGTH_MM] * 3]


def _range(values: Float64) -> Float64:
    """Distance of the 10th and the 90th percentile of each row: from CSF to white matter."""
    low, high = np.percentile(values, [10, 90], axis=1)
    return np.maximum(high - low, 1e-12)


def _converge(
    visits: Sequence[Visit], matrices: list[Matrix], fwhm: float, spacing: float
) -> tuple[list[Matrix], _Level]:
    """Move all visits together until convergence; positions and resampled images."""
    images = [blur(visit.image, fwhm) for visit in visits]
    brain = _common_brain(visits, matrices)
    points = scattered_points(np.asarray(brain.data, bool), brain.affine, spacing)
    centre = points.mean(axis=0)
    for _ in range(STEPS):
        steps = _Level.at(images, matrices, points).steps(centre)
        pairs = zip(matrices, steps, strict=True)
        matrices = [matrix @ rigid_matrix(step, centre) for matrix, step in pairs]
        if np.abs(steps * [1, 1, 1, *[LENGTH_MM] * 3]).max() < CONVERGED_MM:
            break
    level = _Level.at(images, matrices, points)
    return halfway(matrices, centre), level


def _common_brain(visits: Sequence[Visit], matrices: Sequence[Matrix]) -> Volume:
    """Voxels (2 mm, common world) that are brain in at least half of the visits."""
    low, high = _brain_box(visits, matrices)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = low
    x, y, z = np.ceil((high - low) / 2).astype(int) + 1
    grid = Grid((int(x), int(y), int(z)), affine)
    share = np.zeros(grid.shape, np.float32)
    for visit, matrix in zip(visits, matrices, strict=True):
        to_index = inverse(visit.image.affine) @ matrix @ affine
        share += ndimage.affine_transform(
            visit.brain.astype(np.float32), to_index, output_shape=grid.shape, order=0
        )
    return Volume(share >= len(visits) / 2, affine)


def _brain_box(visits: Sequence[Visit], matrices: Sequence[Matrix]) -> tuple[Float64, Float64]:
    """Lowest and highest coordinates (mm, common world) of the brains of all visits."""
    ends = []
    for visit, matrix in zip(visits, matrices, strict=True):
        places = transform(
            inverse(matrix) @ visit.image.affine, np.argwhere(visit.brain)[::97].astype(np.float64)
        )
        ends += [places.min(axis=0), places.max(axis=0)]
    return np.min(ends, axis=0), np.max(ends, axis=0)


# ---------------------------------------------------------------- image


def _template_grid(visits: Sequence[Visit], matrices: Sequence[Matrix]) -> Grid:
    """Grid of the template: the head, in voxels of the mean size, along the axes of the world."""
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
    fields = [
        transform(inverse(m) @ v.image.affine, corners * (np.array(v.brain.shape) - 1.0))
        for v, m in zip(visits, matrices, strict=True)
    ]
    low, high = _brain_box(visits, matrices)
    low = np.maximum(low - MARGIN_MM, np.min(fields, axis=(0, 1)))
    high = np.minimum(high + MARGIN_MM, np.max(fields, axis=(0, 1)))
    volumes = [visit.image.grid.voxel_volume for visit in visits]
    voxel = float(np.exp(np.mean(np.log(volumes)) / 3))
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = low
    x, y, z = np.floor((high - low) / voxel).astype(int) + 1
    return Grid((int(x), int(y), int(z)), affine)


def _average(
    images: Sequence[Volume], matrices: Sequence[Matrix], gains: Float64, grid: Grid
) -> Volume:
    """Mean of two, median of more; voxels that a visit did not measure do not count."""
    stack = np.stack(
        [
            gain * _interpolated(image, matrix, grid)
            for image, matrix, gain in zip(images, matrices, gains.astype(np.float32), strict=True)
        ]
    )
    stack.sort(axis=0)  # what is missing, NaN, comes last
    n = np.isfinite(stack).sum(axis=0)[None]
    lower, upper = (
        np.take_along_axis(stack, np.maximum(k, 0), axis=0)[0] for k in ((n - 1) // 2, n // 2)
    )
    return Volume(known_or_zero((lower + upper) / 2).astype(np.float32), grid.affine)


def _interpolated(image: Volume, matrix: Matrix, grid: Grid) -> Float32:
    """A visit on the grid of the template, by cubic splines; NaN where it was not measured."""
    data = known_or_zero(np.asarray(image.data, np.float32))
    to_index = inverse(image.affine) @ matrix @ grid.affine
    measured = ndimage.affine_transform(
        (data != 0).astype(np.uint8), to_index, output_shape=grid.shape, order=0
    )
    values = ndimage.affine_transform(
        data, to_index, output_shape=grid.shape, output=np.float32, order=3, mode="nearest"
    )
    # a spline rings at sharp edges; what was measured is not negative
    result: Float32 = np.where(measured > 0, np.maximum(values, 0), np.float32(np.nan))
    return result
