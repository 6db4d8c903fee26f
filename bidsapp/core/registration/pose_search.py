"""Position of a brain in a PET by exhaustive search: every translation at many rotations.

Blurred tissue maps, at one level each, are fitted to the voxels of a coarse PET in and near the
brain, at every possible position. For one rotation all translations are solved at once: the normal
equations of the fit are correlations of the PET with the maps and of the field of view with their
products, which the Fourier transform gives (as for normalised cross-correlation with one map;
Lewis, Vision Interface 1995, 120-123). What lies further from the brain (scalp, neck, table) does
not count, and there is no local optimum to be caught in.

Levels that were quite free would also explain the border between head and air, as a brain whose
white matter takes up nothing. So levels of brain and CSF are drawn towards their usual ratios, at
whatever scale: each deviation counts as much as a residual of its size in all voxels of that
tissue.

Positions are compared by ``N log(V / R)``: N the voxels near the brain that were measured, V their
variance, R the residual variance with the maps. A position at the border of the field of view,
where fewer voxels have to be explained, scores less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import Matrix, displacement, inverse, transform
from bidsapp.core.grid.sampling import Float32, Float64, trilinear
from bidsapp.core.grid.volume import Volume
from bidsapp.core.parallel import each
from bidsapp.core.registration.levels import RIDGE
from bidsapp.core.registration.tissue_model import TissueModel
from bidsapp.errors import BadDataError

VOXEL_MM, FWHM_MM = 10.0, 14.0  # of the coarse PET; blur of the maps that are placed on it
REACH_MM = 8.0  # voxels that far from the brain count
# Usual uptake of grey matter, white matter and CSF: between that of negative and positive scans.
USUAL_UPTAKE = np.array([1.2, 1.6, 0.4])
LEAST_INSIDE = 0.5  # of the voxels near the brain that have to be measured
TILT_DEG = 25.0
MOST_TILTED = 6  # orientations that are also tried tilted
PROMISING = 0.5  # of the best gain: with less an orientation does not become the best by a tilt
PER_ROTATION = 2  # candidates of a rotation
DISTINCT_MM = 25.0  # candidates of one rotation closer than this count as the same
NO_BRAIN = (
    "the PET shows no brain: its uptake is even, or too little of a head was measured; look at the "
    "image, and check the voxel sizes of its header"
)


@dataclass(frozen=True)
class PoseCandidate:
    """A candidate position of the PET.

    Attributes
    ----------
    pose : ndarray, shape (4, 4)
        World of the tissue maps -> PET world, RAS mm.
    gain : log-likelihood of the fit relative to that of a constant, N log(V / R)
    """

    pose: Matrix
    gain: float


def search_poses(model: TissueModel, near: NDArray[np.bool_], pet: Volume) -> list[PoseCandidate]:
    """Try every position of a brain in a PET, best first.

    All 24 right-angle orientations are tried, because headers can be wrong; then that of the
    header and those that explain the PET nearly as well as the best are also tilted by plus and
    minus 25 degrees about each axis.

    Parameters
    ----------
    model : TissueModel
        Blurred grey matter, white matter, CSF, everything else; they add up to one.
    near : ndarray of bool, shape (X, Y, Z)
        On the grid of the maps: which voxels count.
    pet : Volume
        Voxels of about `VOXEL_MM`.

    Returns
    -------
    list of PoseCandidate
        Those of one rotation are `DISTINCT_MM` apart; those of others may be near them.

    Raises
    ------
    BadDataError
        The PET shows no brain.
    """
    if not pet.data.any():
        raise BadDataError(NO_BRAIN)
    search = _PoseSearch(model, near, pet)
    orientations = Rotation.create_group("O").as_matrix()
    # that of the header first
    orientations = orientations[
        np.argsort(-np.trace(orientations, axis1=1, axis2=2), kind="stable")
    ]
    by_orientation = each(search.candidates, list(orientations))
    best = [max((candidate.gain for candidate in group), default=0.0) for group in by_orientation]
    promising = [
        number
        for number in np.argsort(-np.array(best), kind="stable")[:MOST_TILTED].tolist()
        if best[number] >= PROMISING * max(best)
    ]
    angles = np.radians(TILT_DEG) * np.concatenate([np.eye(3), -np.eye(3)])
    tilts = Rotation.from_rotvec(angles).as_matrix()
    for number in sorted({0, *promising}):
        by_orientation += each(search.candidates, [tilt @ orientations[number] for tilt in tilts])
    candidates = [candidate for group in by_orientation for candidate in group]
    if not candidates:
        raise BadDataError(NO_BRAIN)
    return sorted(candidates, key=lambda candidate: -candidate.gain)


def distinct(
    poses: Iterable[Matrix], points: Float64, apart_mm: float, most: float = np.inf
) -> list[Matrix]:
    """First ``most`` poses not within ``apart_mm`` (mean over ``points``) of an earlier one.

    Parameters
    ----------
    poses : ndarray, shape (4, 4) each; the best first
    points : ndarray, shape (N, 3)
        World, RAS mm.
    apart_mm : least mean distance
    most : number of poses to take

    Returns
    -------
    list of ndarray
    """
    chosen: list[Matrix] = []
    for pose in poses:
        if len(chosen) == most:
            break
        if all(displacement(pose, other, points) > apart_mm for other in chosen):
            chosen.append(pose)
    return chosen


class _PoseSearch:
    """One coarse PET and the maps that are fitted to it."""

    def __init__(self, model: TissueModel, near: NDArray[np.bool_], pet: Volume) -> None:
        self.model, self.pet = model, pet
        self.maps: Float32 = np.concatenate(
            [model.maps, near[..., None].astype(np.float32)], axis=-1
        )
        world = transform(model.affine, np.argwhere(near).astype(np.float64))
        radius = float(np.sqrt(((world - model.centre) ** 2).sum(axis=1).max()))
        size = pet.grid.voxel_size
        self.half = np.ceil(radius / size).astype(int)
        steps = (
            np.moveaxis(np.indices((2 * self.half + 1).tolist()), 0, -1).reshape(-1, 3) - self.half
        )
        reach = radius + np.sqrt((np.diag(model.affine.T @ model.affine)[:3]).sum())
        self.steps = np.flatnonzero(((steps * size) ** 2).sum(axis=1) <= reach**2)
        self.by = steps[self.steps].astype(np.float64)
        # what wraps around falls on the empty margin on the other side
        self.shape = [
            fft.next_fast_len(int(max(n + half, 2 * half + 1)), real=True)
            for n, half in zip(pet.data.shape, self.half, strict=True)
        ]
        values: Float64 = np.asarray(pet.data, np.float64)
        values = values / max(float(np.abs(values).mean()), 1e-30)
        images = np.zeros((3, *self.shape), np.float32)
        middle = tuple(slice(h, h + n) for h, n in zip(self.half, pet.data.shape, strict=True))
        images[(slice(None), *middle)] = np.ones(values.shape), values, np.square(values)
        self.spectra = fft.rfftn(images, axes=(1, 2, 3))

    def candidates(self, rotation: NDArray[np.float64]) -> list[PoseCandidate]:
        """Best positions at a rotation (3, 3), map world -> PET world."""
        gain = self._gain(*self._rotated(rotation))
        apart = [2 * int(DISTINCT_MM / size) + 1 for size in self.pet.grid.voxel_size]
        peaks = np.argwhere((gain == ndimage.maximum_filter(gain, apart)) & (gain > 0))
        order = np.argsort(-gain[tuple(peaks.T)], kind="stable")
        return [
            PoseCandidate(self._pose(rotation, peak), float(gain[tuple(peak)]))
            for peak in peaks[order[:PER_ROTATION]]
        ]

    def _pose(self, rotation: NDArray[np.float64], voxel: NDArray[np.intp]) -> Matrix:
        """Pose that puts the centre of the brain into a voxel."""
        pose = np.eye(4)
        pose[:3, :3] = rotation
        centre = transform(self.pet.affine, voxel.astype(np.float64))
        pose[:3, 3] = centre - transform(pose, self.model.centre)
        return pose

    def _rotated(self, rotation: NDArray[np.float64]) -> tuple[Float32, Float32]:
        """Maps (C, ...), and which voxels count, (...), on the PET about a brain in its middle."""
        to_maps = np.eye(4)
        to_maps[:3, :3] = rotation.T @ self.pet.affine[:3, :3]
        to_maps[:3, 3] = self.model.centre
        index = transform(inverse(self.model.affine) @ to_maps, self.by)
        values, _, inside = trilinear(self.maps, index, gradient=False)
        size = 2 * self.half + 1
        box = np.zeros((values.shape[1], int(size.prod())), np.float32)
        box[:, self.steps] = values.T
        box[-1, self.steps] *= inside
        box = box.reshape(-1, *size)
        return box[:-1], box[-1]

    def _gain(self, maps: Float32, counts: Float32) -> Float64:
        """N log(V / R) with the centre of the brain in every voxel; 0 where too little is seen."""
        count = len(maps)
        rows, columns = np.triu_indices(count)
        weighted = maps * counts
        kernels = np.concatenate([counts[None], weighted, weighted[rows] * maps[columns]])
        kernels = np.conj(fft.rfftn(kernels, self.shape, axes=(1, 2, 3)))
        view, values, squares = self.spectra
        n = self._correlated(kernels[0] * view)
        gain = np.zeros(n.shape)
        where = n > LEAST_INSIDE * counts.sum()
        if not where.any():
            return gain
        n = n[where]
        total = self._correlated(kernels[0] * values)[where]
        square = self._correlated(kernels[0] * squares)[where]
        right = self._correlated(kernels[1 : 1 + count] * values)[:, where]
        normal = np.empty((count, count, len(n)))
        normal[rows, columns] = self._correlated(kernels[1 + count :] * view)[:, where]
        normal[columns, rows] = normal[rows, columns]
        # deviations from the usual levels are penalised, their common scale projected out
        known = range(len(USUAL_UPTAKE))
        leaning = normal[known, known] * USUAL_UPTAKE[:, None]
        normal[known, known] *= 2
        normal[: len(USUAL_UPTAKE), : len(USUAL_UPTAKE)] -= (
            leaning[:, None] * leaning / (USUAL_UPTAKE @ leaning)
        )
        normal[range(count), range(count)] += RIDGE * n
        floor = 1e-3 * square + 1e-9
        variance = np.maximum(square - total**2 / n, floor)
        left = np.maximum(square - _explained(normal, right, RIDGE * n), floor)
        gain[where] = n * np.log(variance / left)
        return gain

    def _correlated(self, product: NDArray[np.complexfloating]) -> Float64:
        """Back from the Fourier transform, with the centre of the brain in every voxel."""
        full = fft.irfftn(product, self.shape, axes=(-3, -2, -1))
        x, y, z = self.pet.data.shape
        return np.asarray(full[..., :x, :y, :z], np.float64)


def _explained(normal: Float64, right: Float64, ridge: Float64) -> Float64:
    """``right' normal^-1 right`` of many small systems, (N,), by elimination in all at once.

    Parameters
    ----------
    normal : ndarray, shape (C, C, N), symmetric; overwritten
    right : ndarray, shape (C, N); overwritten
    ridge : ndarray, shape (N,)
        What was added to the diagonal: no pivot can be less but by rounding.
    """
    explained = np.zeros(right.shape[1])
    for k in range(len(right)):
        pivot = np.maximum(normal[k, k], ridge)
        factor = normal[k + 1 :, k] / pivot
        normal[k + 1 :, k + 1 :] -= factor[:, None] * normal[k, k + 1 :]
        right[k + 1 :] -= factor * right[k]
        explained += right[k] ** 2 / pivot
    return explained
