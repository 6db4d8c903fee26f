"""A PET as the sum of the subject's own tissue maps, and the rigid transform that fits it best.

Every tissue class takes up tracer at a level of its own, which drifts slowly through the brain:

    PET(y) = sum over classes c of  (sum over k of a_ck P_k(y))  B_c(S y)  +  residual

with B_c the map of class c blurred like the PET, S the rigid motion PET world -> T1w world, and P_k
polynomials and, for grey and white matter, the regions of an atlas (1 inside, 0 elsewhere). The
levels a are free: nothing is assumed about tracer, amyloid load or pattern, and grey may be darker
than white. Without the drift (one level a class) regional differences of uptake bias the pose: more
uptake in frontal cortex shifts the head forwards, more in inferior temporal cortex than in the
temporal pole rotates it. The regions stay on the voxels where the first pose put them, so that
their borders do not bias it either.

The levels follow from the pose by weighted linear least squares, so only the six numbers of the
pose are searched: Gauss-Newton with the levels projected out (variable projection; Golub & Pereyra,
SIAM J Numer Anal 10:413, 1973, in Kaufman's form, BIT 15:49, 1975), Levenberg-Marquardt damped.
Voxels that no level explains (a lesion, a vessel, the scalp) lose their weight as under a Cauchy
distribution of residuals (Holland & Welsch, Commun Stat A6:813, 1977).

The maps are interpolated at the voxels of the PET, not the PET at those of the maps: the maps are
smooth, so interpolation does not change them, whereas it smooths a noisy PET by an amount that
depends on the shift, and least squares would then prefer certain shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, logm, polar

from bidsapp.core.grid.alignment import LENGTH_MM, Matrix, inverse, rigid_matrix, transform
from bidsapp.core.grid.least_squares import Damping, damped, shortest_solution
from bidsapp.core.grid.sampling import SD_PER_MAD, Float32, Float64, trilinear
from bidsapp.core.registration.levels import Levels, SpatialTerms

CAUCHY = 3.0  # in robust standard deviations; 2.4 is 95 % efficient on Gaussian residuals
DOUBTFUL = 0.75  # detail of a head that a PET shows; right pairs have 1
WHOLLY_EXPLAINED = 0.5  # detail over what is left; of another person's PET, at most a quarter
DAMPING_START = 1e-3
CONVERGED_MM = 0.01  # a step shorter than this ends the search
STRAINS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
STRAIN_STEPS = 6
MOST_STRAIN = 0.1  # in one step
REGIONAL = 2  # the first classes, grey and white, have levels of their own in every region

# T1w world points (N, 3) -> number of the region that each lies in, (N,)
RegionOf = Callable[[Float64], NDArray[np.integer]]


@dataclass(frozen=True)
class TissueModel:
    """Blurred tissue maps.

    Attributes
    ----------
    maps : ndarray, shape (X, Y, Z, C), float32
        Fraction of each class, blurred; beyond the grid the outermost voxels continue. With
        ``region_of`` the first two are grey and white matter.
    affine : ndarray, shape (4, 4)
        Indices of ``maps`` -> T1w world.
    centre : ndarray, shape (3,)
        Middle of the brain in T1w world, mm: the pose turns about it.
    region_of : function, optional
        Regions in which grey and white have levels of their own.
    """

    maps: Float32
    affine: Matrix
    centre: Float64
    region_of: RegionOf | None = None


@dataclass(frozen=True)
class PoseFit:
    """Best fit of a tissue model to a PET.

    Attributes
    ----------
    pet_to_t1w : ndarray, shape (4, 4)
    unexplained : float
        Weighted residual variance over the weighted variance of the PET, 0 to 1.
    weights : ndarray, shape (N,)
        Final weight of each voxel, 0 to 1.
    """

    pet_to_t1w: Matrix
    unexplained: float
    weights: Float64


class _Search:
    """One PET's voxels under one model; evaluates poses.

    The voxels are sorted by region, as `SpatialTerms` needs them: ``order`` is their order.
    """

    def __init__(
        self,
        model: TissueModel,
        points: Float64,
        values: Float64,
        pose: Matrix,
        drift_order: int,
        weights: Float64 | None = None,
    ) -> None:
        self.model, self.order = model, np.arange(len(values))
        region, self.regional = None, 0
        if model.region_of is not None:
            region, self.regional = model.region_of(transform(pose, points)), REGIONAL
            self.order = np.argsort(region, kind="stable")
            region = region[self.order]
        self.points, self.values = points[self.order], values[self.order]
        self.weights = np.ones(len(values)) if weights is None else weights[self.order]
        middle = transform(inverse(pose), model.centre)
        self.terms = SpatialTerms.of(self.points, middle, drift_order, region)
        self.to_index = inverse(model.affine)

    def as_given(self, values: Float64) -> Float64:
        """Return values of the voxels, (N,), in the order in which these were given."""
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def levels(self, maps: Float32) -> Levels:
        """Least squares for the levels, given the maps at the voxels, (N, C)."""
        return Levels(maps, self.terms, self.weights, self.regional)

    def residual(self, pose: Matrix) -> Float64:
        """Return the residual of every voxel with the best levels at ``pose``, shape (N,)."""
        index = transform(self.to_index @ pose, self.points)
        maps, _, _ = trilinear(self.model.maps, index, gradient=False)
        residual: Float64 = self.values - self.levels(maps).part(self.values)
        return residual

    def cost(self, residual: Float64) -> float:
        """Return the weighted sum of squares."""
        return float((self.weights * residual**2).sum())

    def unexplained(self, pose: Matrix) -> float:
        """Return the weighted residual variance at ``pose`` over that of the PET."""
        mean = np.average(self.values, weights=self.weights)
        return self.cost(self.residual(pose)) / max(self.cost(self.values - mean), 1e-12)

    def linearise(self, pose: Matrix, *, strained: bool = False) -> _Step:
        """Return cost and normal equations of the six numbers of the pose, and of six of strain."""
        at = transform(pose, self.points)
        maps, slopes, _ = trilinear(self.model.maps, transform(self.to_index, at))
        levels = self.levels(maps)
        coefficients = levels.solve(self.values)
        residual = self.values - levels.at(coefficients)
        force = np.einsum("inc,nc->in", slopes, levels.local(coefficients))
        force = np.einsum("ji,jn->in", self.to_index[:3, :3], force)  # per mm of T1w world
        arm = (at - self.model.centre).T / LENGTH_MM
        columns = [force, np.cross(arm, force, axis=0)]
        if strained:
            columns.append(np.stack([force[i] * arm[j] + force[j] * arm[i] for i, j in STRAINS]))
        jacobian: Float64 = np.concatenate(columns).T
        jacobian = jacobian - levels.part(jacobian)
        weighted = (jacobian * self.weights[:, None]).T
        return _Step(residual, self.cost(residual), weighted @ jacobian, weighted @ residual)


@dataclass(frozen=True)
class _Step:
    """Normal equations at a pose: three translations in mm, three rotations in LENGTH_MM radians.

    With strain, six more numbers: its components `STRAINS` in units of 1 / LENGTH_MM.
    """

    residual: Float64
    cost: float
    normal: Float64
    right: Float64

    def solve(self, damping: float) -> Float64:
        # the shortest of all solutions: none at all where the PET contains no brain
        return shortest_solution(damped(self.normal, damping), self.right)


def fit_pose(
    model: TissueModel,
    points: Float64,
    values: Float64,
    start: Matrix,
    *,
    drift_order: int,
    rounds: int,
    steps: int,
) -> PoseFit:
    """Find the pose at which the model leaves least of the PET unexplained.

    Parameters
    ----------
    model : TissueModel
    points : ndarray, shape (N, 3)
        Centres of the PET voxels used, PET world, mm.
    values : ndarray, shape (N,)
        PET at these voxels.
    start : ndarray, shape (4, 4)
        First pose, PET world -> T1w world.
    drift_order : int
        Order of the polynomials by which each class's level varies in space.
    rounds : int
        How often the voxels are weighed anew; with 1 all weigh alike.
    steps : int
        Largest number of Gauss-Newton steps per round.

    Returns
    -------
    PoseFit
    """
    search = _Search(model, points, values, start, drift_order)
    pose = start
    for number in range(rounds):
        if number:
            search.weights = cauchy_weights(search.residual(pose))
        before = pose
        pose = _descend(search, pose, steps)
        moved = np.abs(transform(pose @ inverse(before), model.centre) - model.centre).max()
        if number > 1 and moved < CONVERGED_MM:
            break
    return PoseFit(pose, search.unexplained(pose), search.as_given(search.weights))


def fit_strain(
    model: TissueModel, points: Float64, values: Float64, pose: Matrix, *, drift_order: int
) -> Float64:
    """Find by how much the PET must be stretched, beside the best pose, to fit the model.

    Parameters
    ----------
    model, points, values, drift_order
        As for `fit_pose`.
    pose : ndarray, shape (4, 4)
        The best one, PET world -> T1w world.

    Returns
    -------
    ndarray, shape (3, 3)
        Symmetric, T1w world: logarithm of the stretch, 0.05 for 5 % longer.
    """
    search = _Search(model, points, values, pose, drift_order)
    search.weights = cauchy_weights(search.residual(pose))
    for _ in range(STRAIN_STEPS):
        equations = search.linearise(pose, strained=True)
        step = equations.solve(DAMPING_START)
        strain = np.zeros((3, 3))
        for (i, j), size in zip(STRAINS, step[6:] / LENGTH_MM, strict=True):
            strain[i, j] += size
            strain[j, i] += size
        stretch = np.eye(4)
        stretch[:3, :3] = expm(np.clip(strain, -MOST_STRAIN, MOST_STRAIN))
        stretch[:3, 3] = model.centre - stretch[:3, :3] @ model.centre
        pose = _rigid(step[:6], model.centre) @ stretch @ pose
        search.weights = cauchy_weights(equations.residual)
    total: Float64 = np.real(logm(polar(pose[:3, :3], side="left")[1]))
    return total


def _rigid(step: Float64, centre: Float64) -> Matrix:
    """Move that a step of `_Step` stands for."""
    return rigid_matrix(step / [1, 1, 1, *[LENGTH_MM] * 3], centre)


def unexplained(
    model: TissueModel,
    points: Float64,
    values: Float64,
    pose: Matrix,
    *,
    drift_order: int,
    weights: Float64,
) -> float:
    """Return the share of the PET's variance that the model leaves at ``pose`` (see `fit_pose`).

    Parameters
    ----------
    model : TissueModel
    points : ndarray, shape (N, 3)
        PET world, RAS mm.
    values : ndarray, shape (N,)
        Of the PET there.
    pose : ndarray, shape (4, 4)
        PET world -> T1w world, RAS mm.
    drift_order : of the polynomials of the levels
    weights : ndarray, shape (N,)

    Returns
    -------
    float
        0 to 1.
    """
    return _Search(model, points, values, pose, drift_order, weights).unexplained(pose)


def own_detail(
    own: TissueModel,
    average: TissueModel,
    points: Float64,
    values: Float64,
    pose: Matrix,
    *,
    drift_order: int,
) -> float | None:
    """Share of the difference between ``own`` and ``average`` that the PET shows at ``pose``.

    Both models explain the PET by levels of their own; with o and a what they explain, the result
    is the regression coefficient ``<PET - a, o - a> / <o - a, o - a>``. One half means that one
    model is as good as the other, 1 that nothing of the average is needed beside the own maps, less
    than a half that the average head explains the PET better than this head does: the PET is of
    another person, or misplaced. Noise, which neither explains, does not change it.

    A head that is itself average cannot be distinguished from the average. Then neither leaves much
    of the PET, whereas of another person's PET both leave that person's detail, which is of the
    size of ``o - a`` at least.

    Parameters
    ----------
    own, average : TissueModel
        Of the same classes, blurred alike.
    points, values, pose, drift_order
        As for `fit_pose`.

    Returns
    -------
    float or None
        None when the head is too similar to the average.
    """
    both = [_Search(model, points, values, pose, drift_order) for model in (own, average)]
    left = [search.as_given(search.residual(pose)) for search in both]
    detail = left[1] - left[0]
    size = max(float(detail @ detail), 1e-12)
    shown = float(left[1] @ detail) / size
    if shown < DOUBTFUL and size > WHOLLY_EXPLAINED * float(left[0] @ left[0]):
        return None
    return shown


def _descend(search: _Search, pose: Matrix, steps: int) -> Matrix:
    """Levenberg-Marquardt from ``pose`` under fixed weights; the cost never rises."""
    damping = Damping(DAMPING_START)
    current = search.linearise(pose)
    for _ in range(steps):
        step = current.solve(damping.value)
        trial = _rigid(step, search.model.centre) @ pose
        proposed = search.linearise(trial)
        if proposed.cost < current.cost:
            pose, current = trial, proposed
            damping.lower()
        else:
            damping.higher()
        if np.abs(step).max() < CONVERGED_MM:
            break
    return pose


def cauchy_weights(residual: Float64) -> Float64:
    """Weigh residuals down as under a Cauchy distribution whose scale is their own median size.

    Parameters
    ----------
    residual : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (N,)
        Above 0 to 1.
    """
    scale = CAUCHY * SD_PER_MAD * float(np.median(np.abs(residual)))
    weights: Float64 = 1 / (1 + (residual / max(scale, 1e-12)) ** 2)
    return weights
