"""Rigid registration of the PET to the T1w by two methods, which are compared.

1. **Initial position.** Four blurred maps (grey, white, CSF, everything else) are fitted to the PET
   at every position and many rotations (`bidsapp.core.registration.pose_search`), and the best
   candidates are refined. The contrast of brain and surroundings is the strongest feature of a
   blurred PET; NMI at this scale lost the pose of heads with even uptake in the brain, and a fit to
   the whole PET that of heads whose scalp and neck are as bright as the brain.
2. **NMI** between T1w and PET (`bidsapp.core.registration.similarity`) from the best initial
   positions: the method with which the published Centiloid scale was made.
3. **Tissue model** from the NMI position: the subject's own tissue maps, blurred as much as the
   PET, with levels that differ by region and may drift through the brain. High cortical uptake
   biases NMI by 1-2 mm, towards too low an SUVR; the model knows where the cortex is. Fitted again
   to the mirrored PET it detects an exchange of left and right.

Both are written in NumPy and SciPy: with analytic gradients a registration takes seconds on one
core, and its result does not depend on the number of threads (BLAS is limited to one).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bidsapp.core.grid.alignment import Matrix, displacement, inverse, transform
from bidsapp.core.grid.resample import measured_box
from bidsapp.core.grid.sampling import (
    Float64,
    best_blur,
    block_affine,
    block_mean,
    blur,
    nearest_voxels,
    scattered_points,
    thinned,
)
from bidsapp.core.grid.volume import Volume, known_or_zero, mask_box
from bidsapp.core.registration import pose_search
from bidsapp.core.registration.head import Head
from bidsapp.core.registration.pose_search import distinct, search_poses
from bidsapp.core.registration.similarity import MutualInformation, climb
from bidsapp.core.registration.tissue_model import (
    DOUBTFUL,
    PoseFit,
    TissueModel,
    fit_pose,
    fit_strain,
    own_detail,
    unexplained,
)
from bidsapp.errors import BadDataError
from bidsapp.settings import PetToT1w

ROUGH_STEPS, ROUGH_KEPT = 15, 5  # steps from so many of the best candidates
DISTINCT_MM = 8.0  # rough positions closer than this lead to the same position
CANDIDATES = 3  # rough positions that are tried with NMI
# Distance of points and blur of both images, mm; slope at the end, in per cent per mm. The first
# level only has to choose the best start: the others would converge slowly.
NMI_LEVELS = ((4.0, 4.0, 1e-2), (2.5, 0.5, 1e-3))
NMI_REACH_MM = 10.0  # points around the brain: its border, skull and scalp
MODEL_VOXEL_MM, MODEL_REACH_MM = 2.0, 6.0
MODEL_VOXELS = 20_000
DRIFT_ORDER = 4  # cubic levels leave 0.05 mm more where the load is high and regional
FWHM_TRIED_MM = (4.0, 6.0, 8.0)
FWHM_SMOOTHED_MM = (11.0, 14.0, 18.0)  # tried as long as the fit improves
FWHM_RANGE_MM = (3.0, 16.0)
BLUR_THINNING = 2  # of the voxels from which the blur is estimated
STRAIN_THINNING = 4
MIRROR_THINNING, MIRROR_ROUNDS = 4, 3
MIRRORED = 0.95  # a mirror image that leaves less than this share of what the PET leaves is a flip
BETTER = 0.9  # a position that leaves less than this share of what another leaves explains more
BOUND_MM = 5.0  # NMI is 0.3-2 mm off: a model farther away has fitted something else


@dataclass(frozen=True)
class RigidFit:
    """Result of `register`; matrices map T1w world to PET world, RAS mm.

    Attributes
    ----------
    matrix : ndarray, shape (4, 4)
        The position to use.
    method : PetToT1w
        The one used: as requested, or NMI when the model was rejected (far from NMI, and not
        showing this head).
    nmi, model : ndarray, shape (4, 4)
        The positions found by both.
    distance_mm : float
        Mean distance between the two over the brain.
    score : float
        Normalised mutual information at ``nmi``, 1 to 2.
    unexplained : float
        Share of the PET's variance in and around the brain that the model leaves, 0 to 1.
    mirrored : float
        The same for the PET with left and right exchanged: usually half as much again or more.
    fwhm_mm : float
        Blur of the tissue maps that fits the PET best: its resolution, roughly.
    strain : ndarray, shape (3, 3)
        Logarithm of the stretch that would make the PET fit better, T1w world; next to nothing
        when the voxel sizes of both images are true
        (`bidsapp.core.registration.tissue_model.fit_strain`).
    own_anatomy : float or None
        Whether the PET shows this head rather than an average one at ``matrix``: about 1 when it
        does, 0.6 or less when it is of another person or misplaced
        (`bidsapp.core.registration.tissue_model.own_detail`); None when it cannot be determined: no
        average was given, or this head is like it.
    doubts : tuple of str
        Codes of what a person should look at.
    """

    matrix: Matrix
    method: PetToT1w
    nmi: Matrix
    model: Matrix
    distance_mm: float
    score: float
    unexplained: float
    mirrored: float
    fwhm_mm: float
    strain: Float64
    own_anatomy: float | None
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class _ModelStep:
    matrix: Matrix
    fwhm_mm: float
    unexplained: float  # at ``matrix``
    at_nmi: float  # at the NMI position, same weights and blur
    mirrored: float  # of the mirrored PET, where it fits best
    strain: Float64

    @property
    def is_mirrored(self) -> bool:
        return self.mirrored < MIRRORED * self.unexplained


def register(pet: Volume, head: Head, *, method: PetToT1w = PetToT1w.MODEL) -> RigidFit:
    """Find the rigid position of a PET relative to the T1w.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the uptake window. Planes at its ends that hold nothing count as not measured.
    head : Head
        `bidsapp.steps.positioning.head_of` makes one of a segmented T1w.
    method : PetToT1w
        Which position to use; both are always computed.

    Returns
    -------
    RigidFit

    Raises
    ------
    BadDataError
        The PET is empty.
    """
    with threadpool_limits(limits=1):
        pet = measured_part(pet)
        rough = _rough_positions(head, pet)
        nmi, score = _register_nmi(head, pet, rough)
        points = scattered_points(head.outside_mm <= 0, head.t1w.affine, 10.0)
        fit = choose_position(head, pet, nmi, score, points, method)
        if method is PetToT1w.NMI or fit.own_anatomy is None or fit.own_anatomy >= DOUBTFUL:
            return fit
        return _from_other_starts(head, pet, fit, rough, points)


def choose_position(
    head: Head, pet: Volume, nmi: Matrix, score: float, points: Float64, method: PetToT1w
) -> RigidFit:
    """Fit the tissue model from the NMI position and choose between the two positions.

    Parameters
    ----------
    head : Head
    pet : Volume, 3D
        Cropped to what was measured.
    nmi : ndarray, shape (4, 4)
        T1w world -> PET world.
    score : float
        Normalised mutual information there.
    points : ndarray, shape (N, 3)
        In the brain, T1w world: their mean displacement is reported.
    method : PetToT1w

    Returns
    -------
    RigidFit
    """
    model = _register_model(head, pet, nmi)
    distance = displacement(nmi, model.matrix, points)
    doubts: tuple[str, ...] = ()
    shown = own_anatomy(head, pet, model.matrix, model.fwhm_mm)
    if distance > BOUND_MM or model.unexplained > model.at_nmi:
        if shown is not None:
            credible = shown >= DOUBTFUL
        else:  # an average head has no detail of its own: compare the residuals
            credible = head.average is not None and model.unexplained < BETTER * model.at_nmi
        if not credible:
            method = PetToT1w.NMI
        rejected = "model" if method is PetToT1w.NMI else "nmi"
        doubts = (f"pet-t1w-{rejected}-rejected",)
    elif model.is_mirrored:
        doubts = ("pet-t1w-mirrored",)
    if method is PetToT1w.NMI:
        shown = own_anatomy(head, pet, nmi, model.fwhm_mm)
    return RigidFit(
        matrix=model.matrix if method is PetToT1w.MODEL else nmi,
        method=method,
        nmi=nmi,
        model=model.matrix,
        distance_mm=distance,
        score=score,
        unexplained=model.unexplained,
        mirrored=model.mirrored,
        fwhm_mm=model.fwhm_mm,
        strain=model.strain,
        own_anatomy=shown,
        doubts=doubts,
    )


def _from_other_starts(
    head: Head, pet: Volume, first: RigidFit, starts: list[Matrix], points: Float64
) -> RigidFit:
    """Choose from every rough position; the first result unless another shows more of this head."""
    tried = [first]
    for start in starts:
        nmi, score = _register_nmi(head, pet, [start])
        tried.append(choose_position(head, pet, nmi, score, points, PetToT1w.MODEL))
    best = max(tried, key=lambda fit: fit.own_anatomy or 0.0)
    if best is first or (best.own_anatomy or 0.0) < DOUBTFUL:
        return first
    return replace(best, doubts=("pet-t1w-fallback", *best.doubts))


def measured_part(pet: Volume) -> Volume:
    """Crop to the planes that hold something; non-finite voxels become 0.

    Parameters
    ----------
    pet : Volume, 3D

    Returns
    -------
    Volume, float32

    Raises
    ------
    BadDataError
        No voxel holds activity.
    """
    first, last = measured_box(pet.data)
    if (last < first + 1).any():
        raise BadDataError("the PET contains no activity; check that the right image was converted")
    pet = cropped(pet, first, last + 1)
    return Volume(known_or_zero(pet.data.astype(np.float32)), pet.affine)


def cropped(image: Volume, first: NDArray[np.intp], end: NDArray[np.intp]) -> Volume:
    """Return the voxels from ``first`` up to ``end``, shape (3,) each.

    Parameters
    ----------
    image : Volume, 3D
    first, end : ndarray of int, shape (3,)

    Returns
    -------
    Volume
    """
    affine = image.affine.copy()
    affine[:3, 3] = transform(image.affine, first.astype(np.float64))
    return Volume(image.data[tuple(map(slice, first, end))], affine)


def coarser(pet: Volume, voxel_mm: float) -> Volume:
    """Average blocks of voxels up to about ``voxel_mm``.

    Parameters
    ----------
    pet : Volume, 3D
    voxel_mm : float

    Returns
    -------
    Volume
        The same voxels when they are not smaller.
    """
    a, b, c = (max(1, int(voxel_mm / s + 0.25)) for s in pet.grid.voxel_size)
    return Volume(block_mean(pet.data, (a, b, c)), block_affine(pet.affine, (a, b, c)))


# ---------------------------------------------------------------- rough position


def _rough_positions(head: Head, pet: Volume) -> list[Matrix]:
    """Return up to CANDIDATES distinct positions, T1w world -> PET world, best first."""
    coarse = coarser(pet, pose_search.VOXEL_MM)
    model = replace(
        head.model(pose_search.FWHM_MM, skull_apart=False), region_of=None
    )  # no place is known yet
    candidates = search_poses(model, head.outside_mm <= pose_search.REACH_MM, coarse)
    brain = scattered_points(head.outside_mm <= 0, head.t1w.affine, 15.0)
    fits = []
    for start in distinct(
        (candidate.pose for candidate in candidates), brain, DISTINCT_MM, ROUGH_KEPT
    ):
        points, values = _voxels_near_brain(head, coarse, start)
        fits.append(
            fit_pose(
                model, points, values, inverse(start), drift_order=0, rounds=1, steps=ROUGH_STEPS
            )
        )
    poses = [inverse(fit.pet_to_t1w) for fit in sorted(fits, key=lambda fit: fit.unexplained)]
    return distinct(poses, brain, DISTINCT_MM, CANDIDATES)


# ---------------------------------------------------------------- mutual information


def _register_nmi(head: Head, pet: Volume, starts: list[Matrix]) -> tuple[Matrix, float]:
    """Climb NMI from each start on the first level and from the best on the next."""
    for spacing, fwhm, flat in NMI_LEVELS:
        points = scattered_points(head.outside_mm <= NMI_REACH_MM, head.t1w.affine, spacing)
        measure = MutualInformation.between(blur(head.t1w, fwhm), points, blur(pet, fwhm))
        climbed = [climb(measure, start, head.centre, flat) for start in starts]
        best, score = max(climbed, key=lambda pair: pair[1])
        starts = [best]
    return best, score


# ---------------------------------------------------------------- tissue model


def _register_model(head: Head, pet: Volume, nmi: Matrix) -> _ModelStep:
    """Fit the tissue model from the NMI position, at the blur that fits best."""
    points, values = _voxels_near_brain(head, coarser(pet, MODEL_VOXEL_MM), nmi)
    models = [head.model(width) for width in FWHM_TRIED_MM]
    order = {"drift_order": DRIFT_ORDER}
    some, seen = points[::BLUR_THINNING], values[::BLUR_THINNING]
    first = fit_pose(models[1], some, seen, inverse(nmi), **order, rounds=3, steps=10)
    pose, weights = first.pet_to_t1w, first.weights

    def left(model: TissueModel) -> float:
        return unexplained(model, some, seen, pose, **order, weights=weights)

    tried, shares = list(FWHM_TRIED_MM), [left(model) for model in models]
    del models  # their memory; the head keeps the last ones
    for wider in FWHM_SMOOTHED_MM:
        if shares[-1] > min(shares):
            break
        tried.append(wider)
        shares.append(left(head.model(wider)))
    best = min(max(int(np.argmin(shares)), 1), len(shares) - 2)
    near = slice(best - 1, best + 2)
    fwhm = best_blur(tried[near], shares[near], FWHM_RANGE_MM)
    model = head.model(fwhm)
    final = fit_pose(model, points, values, pose, **order, rounds=6, steps=10)
    at_nmi = inverse(nmi)
    return _ModelStep(
        matrix=inverse(final.pet_to_t1w),
        fwhm_mm=fwhm,
        unexplained=final.unexplained,
        at_nmi=unexplained(model, points, values, at_nmi, **order, weights=final.weights),
        mirrored=_mirrored_share(model, points, values, final) * final.unexplained,
        strain=fit_strain(
            model, points[::STRAIN_THINNING], values[::STRAIN_THINNING], final.pet_to_t1w, **order
        ),
    )


def _mirrored_share(model: TissueModel, points: Float64, values: Float64, fit: PoseFit) -> float:
    """Residual variance of the mirrored PET at its best fit, over that of the PET at ``fit``.

    A fraction of the voxels is enough, because the difference is large.
    """
    points, values = points[::MIRROR_THINNING], values[::MIRROR_THINNING]
    weights = fit.weights[::MIRROR_THINNING]
    reflection = np.diag([-1.0, 1.0, 1.0, 1.0])
    reflection[0, 3] = 2 * model.centre[0]
    reflected = transform(reflection @ fit.pet_to_t1w, points)
    order = {"drift_order": DRIFT_ORDER}
    mirrored = fit_pose(
        model, reflected, values, np.eye(4), **order, rounds=MIRROR_ROUNDS, steps=10
    )
    as_is = unexplained(model, points, values, fit.pet_to_t1w, **order, weights=weights)
    return mirrored.unexplained / max(as_is, 1e-12)


def own_anatomy(head: Head, pet: Volume, matrix: Matrix, fwhm_mm: float) -> float | None:
    """Return how much of this head, as against an average one, the PET shows at ``matrix``.

    Parameters
    ----------
    head : Head
    pet : Volume, 3D
    matrix : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.
    fwhm_mm : blur of the PET

    Returns
    -------
    float or None
        1 for this head, 0 for an average one; None where it cannot be determined.
    """
    average = head.average_model(fwhm_mm)
    if average is None:
        return None
    own = head.model(fwhm_mm)
    points, values = _voxels_near_brain(head, coarser(pet, MODEL_VOXEL_MM), matrix)
    return own_detail(own, average, points, values, inverse(matrix), drift_order=DRIFT_ORDER)


def _voxels_near_brain(head: Head, pet: Volume, matrix: Matrix) -> tuple[Float64, Float64]:
    """Return centres (N, 3) and values (N,) of PET voxels in and around the brain, thinned."""
    box = _around(head.outside_mm <= MODEL_REACH_MM, inverse(pet.affine) @ matrix @ head.t1w.affine)
    pet = cropped(pet, box[0], np.minimum(box[1], pet.data.shape))
    world = pet.grid.world().reshape(-1, 3)
    nearest = nearest_voxels(head.t1w.grid, transform(inverse(matrix), world))
    near = np.flatnonzero(nearest >= 0)
    near = near[head.outside_mm.reshape(-1)[nearest[near]] <= MODEL_REACH_MM]
    near = thinned(near, MODEL_VOXELS)
    return world[near], pet.data.ravel()[near].astype(np.float64)


def _around(mask: NDArray[np.bool_], to_index: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and end voxel of the box of another image that contains the voxels of a mask."""
    low, high = mask_box(mask)
    ends = np.stack([low - 1.0, high + 1.0], axis=1)
    corners = transform(to_index, np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3))
    first, end = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    return np.maximum(first, 0).astype(np.intp), np.maximum(end, 0).astype(np.intp)
