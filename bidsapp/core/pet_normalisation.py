"""From PET to template without a T1w: patterns, position, point spread and warp in one model.

The PET is described by the patterns of the template (`bidsapp.core.pet_template`), blurred like the
PET, read through a smooth map:

    PET(y) = sum over classes c of (sum over k of a_ck P_k(y)) B_c(affine (y + u(y))) + residual

Every class takes up tracer at a level of its own that drifts through the head with polynomials P_k
of second order. The levels follow from the map by weighted linear least squares, so that only the
map is searched: Gauss-Newton with the levels projected out (variable projection, see
`bidsapp.core.tissue_model`). Nothing is assumed about tracer, amyloid load, or whether grey or
white matter is brighter.

The map has the prior that unified segmentation gives it (`bidsapp.core.segment`): log-stretches of
adult heads for the affine, bending energy for the cosines of u. The weight of the data against it
is that of independent observations: the variance is that of the residual, which is mostly anatomy
that a template cannot have, and residuals closer than some 11 mm are one observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from bidsapp.core.alignment import LENGTH_MM, Matrix, inverse, rigid_matrix, transform
from bidsapp.core.pet_model import Options, Patterns, Samples, choose_blur, unexplained
from bidsapp.core.pet_template import PetTemplate
from bidsapp.core.pet_warp import WarpFit
from bidsapp.core.rigid import activity_centre, coarser, first_guesses, measured_part
from bidsapp.core.sampling import Float32, Float64
from bidsapp.core.tissue_model import TissueModel, fit_pose
from bidsapp.core.warp import Warp
from bidsapp.errors import BadDataError
from bidsapp.volume import Volume

HEAD_SCALE, LOG_STRETCH_SD = 1.08, 0.1  # adult heads to the template, as in bidsapp.core.start
ROUGH_VOXEL_MM, ROUGH_FWHM_MM, ROUGH_STEP = 10.0, 14.0, 2
ROUGH_STEPS, ROUGH_KEPT = (10, 15), 5  # steps before and after the best starts are chosen
DISTINCT_MM = 10.0  # rough positions closer than this lead to the same place
CANDIDATES = 2  # rough positions that are tried with the whole model
AFFINE_VOXEL_MM = (8.0, 4.0)
AFFINE_ROUNDS, WEIGHINGS, AFFINE_STEPS = 2, 2, 10
STILL_MM = 0.02  # a step shorter than this ends a search
POOR = 0.06  # unexplained; 0.01-0.05 when all is well
DEFAULTS = Options()

Guesses = Callable[[Float64, Float64], list[Matrix]]


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
        ``pet_only_unexplained``, share of the PET's variance at the scale of 12 mm that the model
        leaves; ``pet_only_start_share``, part of the starts that end where the best one does;
        ``pet_only_stretch_sds``, largest log-stretch of the affine in standard deviations of adult
        heads; ``pet_only_turn_deg``, turn of the head against the axes of the header;
        ``pet_only_jacobian_min``, ``pet_only_jacobian_max`` of the warp over the brain;
        ``pet_fwhm_mm``, blur of the tissue maps that fits best.
    """

    warp: Warp
    field: Float32
    levels: dict[str, float]
    quality: dict[str, float]


def normalise_pet(
    pet: Volume, template: PetTemplate, options: Options = DEFAULTS
) -> PetNormalisation:
    """Find the map from a PET to the template.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the uptake window, any units, orientation and voxel size. Planes at its ends that
        hold nothing count as not measured.
    template : PetTemplate
    options : Options

    Returns
    -------
    PetNormalisation

    Raises
    ------
    BadDataError
        The PET holds nothing, or no brain is found in it.
    """
    try:
        with threadpool_limits(limits=1):
            return _normalise(pet, template, options)
    except linalg.LinAlgError as error:
        raise BadDataError("holds no brain that the template could be laid on") from error


def _normalise(pet: Volume, template: PetTemplate, options: Options) -> PetNormalisation:
    """Fit from the usual starts, and from every turn of the header when that went badly."""
    pet = measured_part(pet)
    usual = _attempt(pet, template, options, first_guesses)
    if usual.quality["pet_only_unexplained"] <= POOR:
        return usual
    turned = _attempt(pet, template, options, _every_way)
    return min(usual, turned, key=lambda fit: fit.quality["pet_only_unexplained"])


def _attempt(
    pet: Volume, template: PetTemplate, options: Options, guesses: Guesses
) -> PetNormalisation:
    patterns = Patterns(template)
    affine, share = _find_affine(pet, patterns, options, guesses)
    data = Samples.near_brain(coarser(pet, AFFINE_VOXEL_MM[-1]), template, affine, options)
    fit = WarpFit(data, patterns, affine, options)
    fit.run()
    field = fit.warp.to_t1w(template.grid)
    return PetNormalisation(
        warp=fit.warp,
        field=field,
        levels=fit.levels(),
        quality={
            "pet_only_unexplained": fit.unexplained_smooth(),
            "pet_only_start_share": share,
            "pet_only_stretch_sds": float(np.abs(_log_stretch(affine)).max()),
            "pet_only_turn_deg": _turn_deg(affine),
            **_jacobian_range(fit.warp, field, template),
            "pet_fwhm_mm": patterns.fwhm_mm,
        },
    )


# ---------------------------------------------------------------- affine


def _find_affine(
    pet: Volume, patterns: Patterns, options: Options, guesses: Guesses
) -> tuple[Matrix, float]:
    """Affine PET world -> template world, and the part of the starts that agree with it."""
    template = patterns.template
    candidates, share = _rough_positions(pet, template, guesses)
    coarse, fine = (coarser(pet, voxel) for voxel in AFFINE_VOXEL_MM)
    fits = []
    for candidate in candidates:
        data = Samples.near_brain(coarse, template, candidate, options)
        affine, left = _fit_affine(data, patterns, candidate)
        fits.append((left, affine))
    affine = min(fits, key=lambda fit: fit[0])[1]
    data = Samples.near_brain(fine, template, affine, options)
    choose_blur(data, patterns, transform(affine, data.world))
    for _ in range(AFFINE_ROUNDS):  # which voxels are near the brain is asked again each time
        data = Samples.near_brain(fine, template, affine, options)
        affine, _ = _fit_affine(data, patterns, affine)
    return affine, share


def _rough_positions(
    pet: Volume, template: PetTemplate, guesses: Guesses
) -> tuple[list[Matrix], float]:
    """Rigid positions at the usual size of a head, best first, and how many starts agree.

    Brain against surroundings, by four blurred maps, from every guess (centre of the brain of the
    template, centre of the activity -> matrices template world -> PET world).
    """
    shrink = np.diag([1 / HEAD_SCALE] * 3 + [1.0])  # template -> a template of the size of a head
    maps, affine = template.pure(ROUGH_FWHM_MM, ROUGH_STEP)
    model = TissueModel(maps, shrink @ affine, transform(shrink, template.centre))
    coarse = coarser(pet, ROUGH_VOXEL_MM)
    points, values = coarse.grid.world().reshape(-1, 3), coarse.data.ravel().astype(np.float64)

    def race(starts: list[Matrix], steps: int) -> list[Matrix]:
        fits = [
            fit_pose(model, points, values, start, drift_order=0, rounds=1, steps=steps)
            for start in starts
        ]
        return [fit.pet_to_t1w for fit in sorted(fits, key=lambda fit: fit.unexplained)]

    starts = [inverse(guess) for guess in guesses(model.centre, activity_centre(coarse))]
    ends = race(starts, ROUGH_STEPS[0])
    best = race(ends[:ROUGH_KEPT], ROUGH_STEPS[1])
    enlarge = inverse(shrink)
    chosen: list[Matrix] = []
    for end in best:
        if all(_apart(end, other, model.centre) > DISTINCT_MM for other in chosen):
            chosen.append(end)
    near = [_apart(end, best[0], model.centre) < DISTINCT_MM for end in ends]
    return [enlarge @ end for end in chosen[:CANDIDATES]], float(np.mean(near))


def _every_way(brain: Float64, activity: Float64) -> list[Matrix]:
    """The 24 ways to put three axes, at the centre of the activity: headers can be wrong."""
    turns = Rotation.create_group("O").as_rotvec()
    return [rigid_matrix([*(activity - brain), *turn], brain) for turn in turns]


def _apart(first: Matrix, second: Matrix, centre: Float64) -> float:
    """Largest distance, at the corners of a brain, of the points that two maps put there."""
    corners = centre + LENGTH_MM / np.sqrt(3) * (2.0 * np.indices((2, 2, 2)).reshape(3, -1).T - 1)
    gap = transform(inverse(first), corners) - transform(inverse(second), corners)
    return float(np.sqrt((gap**2).sum(axis=1)).max())


def _fit_affine(data: Samples, patterns: Patterns, affine: Matrix) -> tuple[Matrix, float]:
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
        here, damping = cost(affine, precision), 1e-3
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
            for _ in range(6):
                step = linalg.solve(normal + damping * np.diag(np.diag(normal)), right)
                trial = moved(step)
                there = cost(trial, precision)
                if there < here:
                    break
                damping *= 10
            else:
                break
            affine, here, damping = trial, there, damping / 10
            if np.abs(step).max() < STILL_MM:
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


def _turn_deg(affine: Matrix) -> float:
    """Angle of the rotation in an affine, degrees."""
    left, _, right = np.linalg.svd(affine[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))
