"""From PET to template without a T1w: patterns, position, point spread and warp in one model.

The PET is described by the patterns of the template (`bidsapp.core.pet_only.pet_template`), blurred
like the PET, read through a smooth map:

    PET(y) = sum over classes c of (sum over k of a_ck P_k(y)) B_c(affine (y + u(y))) + residual

Every class takes up tracer at a level of its own that drifts through the head with polynomials P_k
of second order; in the warp, once the place is known, that of cerebellar grey matter is the same
everywhere. The levels follow from the map by weighted linear least squares, so that only the map is
searched: Gauss-Newton with the levels projected out (variable projection, see
`bidsapp.core.registration.tissue_model`). Nothing is assumed about tracer, amyloid load, or whether
grey or white matter is brighter.

The map has the prior that unified segmentation gives it (`bidsapp.core.anatomy.segment`):
log-stretches of adult heads for the affine, bending energy for the cosines of u. The weight of the
data against it is that of independent observations: the variance is that of the residual, which is
mostly anatomy that a template cannot have, and residuals closer than some 11 mm are one
observation.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from bidsapp.core.anatomy.start import HEAD_SCALE, LOG_STRETCH_SD
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import (
    LENGTH_MM,
    Matrix,
    displacement,
    inverse,
    rotation_deg,
    transform,
)
from bidsapp.core.grid.least_squares import Damping, damped
from bidsapp.core.grid.sampling import Float32, Float64
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_model import (
    DRIFT_ORDER,
    EVEN,
    REACH_MM,
    Patterns,
    PetSamples,
    choose_blur,
    unexplained,
)
from bidsapp.core.pet_only.pet_template import PetTemplate
from bidsapp.core.pet_only.pet_warp import WarpFit
from bidsapp.core.registration import pose_search
from bidsapp.core.registration.pose_search import distinct, search_poses
from bidsapp.core.registration.rigid import coarser, measured_part
from bidsapp.core.registration.tissue_model import TissueModel
from bidsapp.errors import BadDataError

ROUGH_STEP = 2  # every second voxel of the template will do for the first search
DISTINCT_MM, FAR_MM = 15.0, 40.0  # apart: other starts, other positions
MOST_STARTS, MOST_FAR = 3, 2  # best starts, and best far from each other, tried with affines
UPRIGHT_DEG = 50.0  # rotated less, the head is as in the header
KEPT = 4  # of the positions these lead to, so many are tried with the whole model
AFFINE_VOXEL_MM = (8.0, 4.0)
AFFINE_ROUNDS, WEIGHINGS, AFFINE_STEPS = 2, 2, 10
CONVERGED_MM = 0.02  # a step shorter than this ends a search
BRAIN_ALONE_MM = 0.0  # smoothing carries a bright scalp into the rim, which no pattern describes


@dataclass(frozen=True)
class PetNormalisation:
    """Result of `normalise_pet`.

    Attributes
    ----------
    warp : Warp
        PET world -> template world (where its docstring says T1w, read PET).
    field : ndarray, shape of the template grid + (3,), float32
        PET world coordinate (RAS, mm) of every voxel of the template grid.
    levels : dict of float
        Uptake of every class of tissue over that of cerebellar grey matter: the weights of the
        patterns. ``gm_target`` is 1 or less without amyloid and 2 or more with much of it.
    quality : dict of float
        ``pet_only_unexplained``, share of the PET's variance in the brain, at the scale of 12 mm,
        that the model leaves; ``pet_only_fluid``, uptake of CSF over the mean of the brain, and
        ``pet_only_rival``, how much of the PET the best other place explains of what this one does
        (in log units, 1: as much), both when affines of the coarse PET are compared;
        ``pet_only_stretch_sds``, largest log-stretch of the affine in standard deviations of adult
        heads; ``pet_only_turn_deg``, rotation of the head against the axes of the header;
        ``pet_only_jacobian_min``, ``pet_only_jacobian_max`` of the warp over the brain;
        ``pet_only_fwhm_mm``, blur of the tissue maps that fits best.
    """

    warp: Warp
    field: Float32
    levels: dict[str, float]
    quality: dict[str, float]


def normalise_pet(pet: Volume, template: PetTemplate) -> PetNormalisation:
    """Find the map from a PET to the template.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the uptake window, any units, orientation and voxel size. Planes at its ends that
        hold nothing count as not measured.
    template : PetTemplate

    Returns
    -------
    PetNormalisation

    Raises
    ------
    BadDataError
        The PET is empty, or there is no brain in it.
    """
    try:
        with threadpool_limits(limits=1):
            return _normalise(pet, template)
    except linalg.LinAlgError as error:
        raise BadDataError("contains no brain onto which the template could be placed") from error


def _normalise(pet: Volume, template: PetTemplate) -> PetNormalisation:
    pet = measured_part(pet)
    patterns = Patterns(template)
    place = _find_affine(pet, patterns)
    affine = place.affine
    data = PetSamples.near_brain(coarser(pet, AFFINE_VOXEL_MM[-1]), template, affine)
    fit = WarpFit(replace(data, even=EVEN), patterns, affine)
    fit.run()
    field = fit.warp.to_t1w(template.grid)
    levels = fit.levels()
    if not levels:
        raise BadDataError("contains no brain: there is no uptake where its cerebellum would be")
    return PetNormalisation(
        warp=fit.warp,
        field=field,
        levels=levels,
        quality={
            "pet_only_unexplained": fit.unexplained_smooth(),
            "pet_only_fluid": place.fluid,
            "pet_only_rival": place.rival,
            "pet_only_stretch_sds": float(np.abs(_log_stretch(affine)).max()),
            "pet_only_turn_deg": rotation_deg(affine),
            **_jacobian_range(fit.warp, field, template),
            "pet_only_fwhm_mm": patterns.fwhm_mm,
        },
    )


def template_misfit(image: Volume, patterns: Patterns) -> Float64:
    """Displacement of a PET in template space from its best fit to the template.

    Only what the template has in its brain counts, so it does not matter whether there is any
    scalp; nor do units, smoothing, or whose mean the image is. What is mirrored fits as well.

    Parameters
    ----------
    image : Volume, 3D
        Of an amyloid tracer, one person's or the mean of many, in any units.
    patterns : Patterns
        Of the template, which may serve many images.

    Returns
    -------
    ndarray, shape (8, 3)
        Where the affine that fits best moves eight points half a brain from its middle, mm.

    Raises
    ------
    BadDataError
        No brain is found where the template has it.
    """
    # as large as a head, as the prior on stretches expects it
    larger = np.diag([HEAD_SCALE] * 3 + [1.0])
    try:
        with threadpool_limits(limits=1):
            pet = measured_part(Volume(image.data, larger @ image.affine))
            patterns, affine = patterns.for_another(), inverse(larger)
            for voxel_mm in AFFINE_VOXEL_MM:
                coarse = coarser(pet, voxel_mm)
                data = PetSamples.near_brain(
                    coarse, patterns.template, affine, reach_mm=BRAIN_ALONE_MM
                )
                choose_blur(data, patterns, transform(affine, data.world))
                affine = _affine_fit(coarse, patterns, affine, reach_mm=BRAIN_ALONE_MM).affine
    except linalg.LinAlgError as error:
        raise BadDataError("contains no brain where the template has it") from error
    points = _corners(patterns.template)
    return transform(affine @ larger, points) - points


# ---------------------------------------------------------------- affine


@dataclass(frozen=True)
class _AffineFit:
    """An affine PET world -> template world, and how much of the PET it explains (log units)."""

    affine: Matrix
    gain: float


@dataclass(frozen=True)
class _AffineResult:
    """The affine PET world -> template world, and quality numbers of the search."""

    affine: Matrix
    fluid: float
    rival: float


def places(pet: Volume, patterns: Patterns) -> list[tuple[Matrix, float, float]]:
    """Places where a brain may be: the best, and others at least FAR_MM from it.

    Parameters
    ----------
    pet : Volume, 3D
        `bidsapp.core.registration.rigid.measured_part` of it.
    patterns : Patterns

    Returns
    -------
    list of (ndarray of shape (4, 4), float, float)
        Best first: PET world -> template world, RAS mm; how much of the PET it explains, in log
        units; uptake of CSF over the mean of the brain.

    Raises
    ------
    BadDataError
        There is none.
    """
    coarse = coarser(pet, AFFINE_VOXEL_MM[0])
    fits = _tried(coarse, patterns, _starts(pet, patterns.template), drift_order=1)
    poses = distinct([inverse(fit.affine) for fit in fits], _corners(patterns.template), FAR_MM)
    best, *rest = _tried(coarse, patterns, [inverse(pose) for pose in poses[:KEPT]])
    others = [fit for fit in rest if _distance_mm(fit, best, patterns.template) > FAR_MM]
    return [(fit.affine, fit.gain, _fluid(coarse, patterns, fit.affine)) for fit in (best, *others)]


def _find_affine(pet: Volume, patterns: Patterns) -> _AffineResult:
    (affine, gain, fluid), *others = places(pet, patterns)
    most = max((other for _, other, _ in others), default=0.0)
    rival = float(np.clip(most / max(gain, 1e-12), 0, 1))
    fine = coarser(pet, AFFINE_VOXEL_MM[1])
    data = PetSamples.near_brain(fine, patterns.template, affine)
    choose_blur(data, patterns, transform(affine, data.world))
    for _ in range(AFFINE_ROUNDS):  # the voxels near the brain are chosen anew each time
        affine = _affine_fit(fine, patterns, affine).affine
    return _AffineResult(affine, fluid, rival)


def _fluid(pet: Volume, patterns: Patterns, affine: Matrix) -> float:
    """Uptake of CSF over the mean of the brain."""
    data = PetSamples.near_brain(pet, patterns.template, affine)
    points = transform(affine, data.world)
    maps = patterns.at(points)
    data.reweigh(data.residual(maps))
    brain = float(data.values[patterns.template.is_brain(points)].mean())
    return data.uptake(maps)["csf"] / max(brain, 1e-30)


def _starts(pet: Volume, template: PetTemplate) -> list[Matrix]:
    """Rigid positions at the usual size of a head: of any rotation, and near that of the header."""
    shrink = np.diag([1 / HEAD_SCALE] * 3 + [1.0])  # template -> a template of the size of a head
    maps, affine = template.pure(pose_search.FWHM_MM, ROUGH_STEP)
    near = template.outside_mm[(slice(None, None, ROUGH_STEP),) * 3] <= pose_search.REACH_MM
    model = TissueModel(maps, shrink @ affine, transform(shrink, template.centre))
    candidates = search_poses(model, near, coarser(pet, pose_search.VOXEL_MM))
    poses = [candidate.pose @ shrink for candidate in candidates]
    points = _corners(template)
    upright = [pose for pose in poses if rotation_deg(pose) < UPRIGHT_DEG]
    chosen = [
        *distinct(poses, points, DISTINCT_MM, MOST_STARTS),
        *distinct(poses, points, FAR_MM, MOST_FAR),
        *upright[:1],
    ]
    return [inverse(pose) for pose in distinct(chosen, points, DISTINCT_MM)]


def _tried(
    pet: Volume, patterns: Patterns, starts: list[Matrix], drift_order: int = DRIFT_ORDER
) -> list[_AffineFit]:
    """Fit from every start, best first; a start that leads to no brain is left out."""
    fits = []
    for start in starts:
        with suppress(BadDataError, linalg.LinAlgError):
            fits.append(_affine_fit(pet, patterns, start, drift_order))
    if not fits:
        raise BadDataError("contains no brain onto which the template could be placed")
    return sorted(fits, key=lambda fit: -fit.gain)


def _affine_fit(
    pet: Volume,
    patterns: Patterns,
    start: Matrix,
    drift_order: int = DRIFT_ORDER,
    reach_mm: float = REACH_MM,
) -> _AffineFit:
    data = PetSamples.near_brain(pet, patterns.template, start, drift_order, reach_mm)
    affine, left = _fit_affine(data, patterns, start)
    return _AffineFit(affine, -len(data.values) * float(np.log(max(left, 1e-12))))


def _corners(template: PetTemplate) -> Float64:
    """Corners of a brain, template world (8, 3)."""
    signs = 2.0 * np.indices((2, 2, 2)).reshape(3, -1).T - 1
    return template.centre + LENGTH_MM / np.sqrt(3) * signs


def _distance_mm(first: _AffineFit, second: _AffineFit, template: PetTemplate) -> float:
    """Mean distance over a brain between two fits, mm."""
    return displacement(inverse(first.affine), inverse(second.affine), _corners(template))


def _fit_affine(data: PetSamples, patterns: Patterns, affine: Matrix) -> tuple[Matrix, float]:
    """Twelve parameters under the prior on stretches; also what is left of the PET, 0 to 1."""
    centre = data.world.mean(axis=0)
    homogeneous = np.column_stack([(data.world - centre) / LENGTH_MM, np.ones(len(data.world))])

    def moved(step: Float64) -> Matrix:
        change = step.reshape(3, 4)
        result = affine.copy()
        result[:3, :3] += change[:, :3] / LENGTH_MM
        result[:3, 3] += change[:, 3] - change[:, :3] @ centre / LENGTH_MM
        return result

    def cost(matrix: Matrix, precision: float) -> float:
        left = data.residual(patterns.at(transform(matrix, data.world)))
        return precision * data.sum_of_squares(left) + float((_log_stretch(matrix) ** 2).sum())

    for _ in range(WEIGHINGS):
        points = transform(affine, data.world)
        precision = data.reweigh(data.residual(patterns.at(points)))
        current, damping = cost(affine, precision), Damping(1e-3)
        for _ in range(AFFINE_STEPS):
            residual, force, levels = data.linearised(patterns, transform(affine, data.world))
            jacobian = (force[:, :, None] * homogeneous[:, None, :]).reshape(-1, 12)
            jacobian -= levels.part(jacobian)
            stretch = _log_stretch(affine)
            slopes = np.stack(
                [_log_stretch(moved(1e-4 * unit)) - stretch for unit in np.eye(12)], axis=1
            ) / 1e-4  # fmt: skip
            weighted = precision * (jacobian * data.weights[:, None]).T
            normal = weighted @ jacobian + slopes.T @ slopes
            right = weighted @ residual - slopes.T @ stretch
            for tried in damping.rising(tries=6):
                step = linalg.solve(damped(normal, tried), right)
                trial = moved(step)
                trial_cost = cost(trial, precision)
                if trial_cost < current:
                    break
            else:
                break
            affine, current = trial, trial_cost
            damping.lower()
            if np.abs(step).max() < CONVERGED_MM:
                break
    return affine, unexplained(data, data.residual(patterns.at(transform(affine, data.world))))


def _log_stretch(affine: Matrix) -> Float64:
    """Log-stretches against those of adult heads, in units of their standard deviation, (6,)."""
    squares, axes = np.linalg.eigh(affine[:3, :3].T @ affine[:3, :3])
    log = (axes * np.log(np.maximum(squares, 1e-6)) / 2) @ axes.T - np.log(HEAD_SCALE) * np.eye(3)
    result: Float64 = log[np.triu_indices(3)] / LOG_STRETCH_SD
    return result


def _jacobian_range(warp: Warp, field: Float32, template: PetTemplate) -> dict[str, float]:
    """Least and largest volume change by the warp over the brain, its affine part left out."""
    inside = np.argwhere(template.outside_mm == 0)[::4]
    world = field[tuple(inside.T)].astype(np.float64)
    index = transform(inverse(warp.t1w_affine), world)
    low, high = np.floor(index.min(axis=0)) - 1, np.ceil(index.max(axis=0)) + 2
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    at = np.rint(index - low).astype(np.intp)
    values = warp.jacobian(*axes)[tuple(at.T)]
    return {
        "pet_only_jacobian_min": float(values.min()),
        "pet_only_jacobian_max": float(values.max()),
    }
