"""Initial affine of unified segmentation.

Affine mutual information between a whole head and tissue priors would shrink the head into the
brain. So the fit begins rigid, at the usual scale of an adult head, from several pitches; the best
is then refined to twelve parameters by the likelihood of the mixture model, in which scalp is not
brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, ndimage, optimize
from scipy.spatial.transform import Rotation

from bidsapp.core.anatomy import mixture as gmm
from bidsapp.core.anatomy.priors import PriorSampler, TissuePriors
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.least_squares import Damping, damped
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Volume, known_or_zero
from bidsapp.errors import BadDataError

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

HEAD_SCALE = 1.08  # head to template, the middle of adult heads
INDEPENDENCE_MM3 = 125.0  # tissue that counts as one independent observation
_PITCHES_DEG: tuple[float, ...] = (-25.0, 0.0, 25.0)
_BLUR_MM = 6.0  # of the priors in the rigid step
_RIGID_SPACING_MM = 8.0
_AFFINE_SPACINGS_MM = (6.0, 3.0)
_TOO_SPARSE, _FAR_TOO_SPARSE = 1.2, 2.0  # times the volume that a sample should stand for
_BINS = 64
_FINE_TOLERANCE, _COARSE_TOLERANCE = 2.220446049250313e-09, 1e-4  # relative gain of the last step
# Information of intensities about tissue in the brain, nats: heads 0.1-0.3, 0.02 beside the brain.
_CONVINCING = 0.08
_LEAST_INFORMATION = 0.02
_INFORMATION_SPACING_MM = 4.0
_SURELY_BRAIN = 0.9
_SHADING_MM = 70.0  # FWHM of the local mean
_WORTHWHILE = 0.5  # of the information of the best start
_CLOSE_SCORE = 0.9  # of the best rigid score: worth a closer look
_MOST_STARTS = 3
_DISTINCT_MM = 10.0
_ALIKE = 0.98  # of the best score: starts as good as this are compared
_MOST_SDS = 5.0  # of the stretch: 0.6-1.6 times the size of an adult head
_HEAD_HEIGHT_MM = 150.0  # vertex to below the cerebellum
LOG_STRETCH_SD = 0.1  # of adult heads (0.95-1.29 seen on 25)
_AFFINE_STEPS = 30
_AFFINE_GAIN = 1e-4  # per voxel; the affine is refined again with a warp
_LEAST_BRAIN_ML = 200.0
_INNER_SKULL = 0.3  # sum of the priors
_SKULL_MM = (4.0, 8.0)  # outside the inner skull, where a whole head has bone and scalp
_NOTHING = 0.02  # of the median of the brain: less is none of skull and scalp
_CEREBELLUM_MM = -40.0  # template z: below it is the neck, or the field of view ends


@dataclass(frozen=True)
class Start:
    """Affine start of the segmentation.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        T1w world -> template world, mm.
    spread_mm : float
        Largest distance over the brain between starts that explain the T1w about as well as the
        best: 0 when all agree.
    mutual_information : float
        Of the best rigid start, nats.
    tissue_information : float
        Of intensities and tissue where the brain should be, nats.
    """

    affine: Float
    spread_mm: float
    mutual_information: float
    tissue_information: float

    @property
    def convincing(self) -> bool:
        """Whether the tissues differ in intensity as in a head."""
        return self.tissue_information >= _CONVINCING


@dataclass(frozen=True)
class Samples:
    """Voxels on a regular subgrid of the T1w.

    Attributes
    ----------
    index : ndarray, shape (n, 3)
        Voxel indices.
    world : ndarray, shape (n, 3)
        mm, RAS.
    intensity : ndarray, shape (n,), float64
    volume_mm3 : float
        What one of them stands for.
    """

    index: NDArray[np.int64]
    world: Float
    intensity: Float
    volume_mm3: float

    def where(self, keep: NDArray[np.bool_]) -> Samples:
        """Return some of them.

        Parameters
        ----------
        keep : ndarray of bool, shape (n,)

        Returns
        -------
        Samples
        """
        return Samples(
            self.index[keep], self.world[keep], self.intensity[keep], self.volume_mm3
        )  # fmt: skip


def subsample(t1w: Volume, spacing_mm: float) -> Samples:
    """Every ``round(spacing / voxel size)``-th voxel that is finite.

    Where that is much denser than wanted (2.2 mm voxels for a spacing of 3 mm are all taken, two
    and a half times too many), every other one as on a chequerboard. Where it is much sparser (one
    in eight voxels of 2 mm, too few by more than half), those in the middle between them as well.

    Parameters
    ----------
    t1w : Volume, 3D
    spacing_mm : float

    Returns
    -------
    Samples
    """
    step = np.maximum(1, np.round(spacing_mm / t1w.grid.voxel_size)).astype(int)
    begin = (np.array(t1w.data.shape) - 1) % step // 2
    index = _lattice(begin, t1w.data.shape, step)
    volume = float(np.prod(step * t1w.grid.voxel_size))
    if volume > _FAR_TOO_SPARSE * spacing_mm**3 and (step > 1).any():
        index = np.concatenate([index, _lattice(begin + step // 2, t1w.data.shape, step)])
        volume /= 2
    intensity = t1w.data[tuple(index.T)].astype(np.float64)
    good = np.isfinite(intensity)
    if 2 * volume <= _TOO_SPARSE * spacing_mm**3:
        good &= (index // step).sum(axis=1) % 2 == 0
        volume *= 2
    index, intensity = index[good], intensity[good]
    world = transform(t1w.affine, index.astype(np.float64))
    return Samples(index, world, intensity, volume)


def _lattice(
    begin: NDArray[np.int64], end: tuple[int, ...], step: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Voxel indices from ``begin`` to below ``end`` by ``step``, shape (n, 3)."""
    axes = [np.arange(*of_axis) for of_axis in zip(begin, end, step, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


# As in the header; and all rotations by 90 degrees, for wrong headers.
AS_STORED = (np.eye(3),)
RIGHT_ANGLE_ROTATIONS = tuple(Rotation.create_group("O").as_matrix().round())


def find_head(
    t1w: Volume,
    priors: TissuePriors,
    sampler: PriorSampler,
    orientations: Sequence[Float] = AS_STORED,
    given: Float | None = None,
) -> Start:
    """Affine from T1w world to template world.

    Parameters
    ----------
    t1w : Volume, 3D
    priors : TissuePriors
    sampler : PriorSampler
        Of ``priors``.
    orientations : sequence of ndarray, shape (3, 3)
        Initial rotations from T1w world to template world.
    given : ndarray, shape (4, 4), optional
        T1w world -> template world, mm: refined instead of searched for.

    Returns
    -------
    Start

    Raises
    ------
    BadDataError
        The image contains no head.
    """
    candidates: list[_StartCandidate] = []
    reason = BadDataError("contains no head")
    try:
        candidates = _candidates(t1w, priors, sampler, orientations, given)
    except BadDataError as error:
        reason = error
    doubtful = all(candidate.information < _CONVINCING for candidate in candidates)
    if doubtful and orientations is AS_STORED:
        # strong shading hides the tissue from a start without bias field
        even = without_shading(t1w)
        candidates = [candidate.rescored(even, sampler) for candidate in candidates]
        with suppress(BadDataError):
            candidates += _candidates(even, priors, sampler, orientations, given)
    if not candidates:
        raise reason
    best = max(candidates, key=lambda candidate: candidate.information)
    if best.information < _LEAST_INFORMATION:
        raise BadDataError(
            "contains no head that could be found: its intensities do not separate tissues "
            f"anywhere ({best.information:.3f} nats, heads 0.1 and more); is this a T1w of a whole "
            "head or brain?"
        )
    spread = max(
        _distance_mm(best.affine, candidate.affine, priors)
        for candidate in candidates
        if candidate.information >= _ALIKE * best.information
    )
    return Start(best.affine, spread, best.mutual_information, best.information)


@dataclass(frozen=True)
class _StartCandidate:
    """A candidate affine and its scores.

    ``mutual_information``: of intensities and blurred tissue over the whole head, rigid.
    ``information``: of intensities and tissue over what would be brain there, nats.
    """

    affine: Float
    mutual_information: float
    information: float

    def rescored(self, t1w: Volume, sampler: PriorSampler) -> _StartCandidate:
        """Return the same affine scored by another image."""
        return replace(self, information=_tissue_information(t1w, sampler, self.affine))


def _candidates(
    t1w: Volume,
    priors: TissuePriors,
    sampler: PriorSampler,
    orientations: Sequence[Float],
    given: Float | None,
) -> list[_StartCandidate]:
    """Refined candidates; an error when none is a head.

    All are refined coarsely, and finely those that separate tissues about as well as the best.
    """
    rough: list[_StartCandidate] = []
    reason = BadDataError("contains no head")
    coarse, fine = _AFFINE_SPACINGS_MM
    for score, start in _rigid(t1w, priors, orientations, given):
        try:
            affine = _credible(_refined(t1w, sampler, start, coarse))
        except BadDataError as error:
            reason = error
        else:
            rough.append(_StartCandidate(affine, score, _tissue_information(t1w, sampler, affine)))
    best = max((candidate.information for candidate in rough), default=0.0)
    candidates: list[_StartCandidate] = []
    for candidate in rough:
        if candidate.information < _WORTHWHILE * best:
            continue
        try:
            affine = _credible(_refined(t1w, sampler, candidate.affine, fine))
        except BadDataError as error:
            reason = error
        else:
            candidates.append(replace(candidate, affine=affine).rescored(t1w, sampler))
    if not candidates:
        raise reason
    return candidates


def _tissue_information(t1w: Volume, sampler: PriorSampler, affine: Float) -> float:
    """Mutual information of intensities and grey, white and CSF where all is brain, nats.

    What is not a head may have an outline like one, but not white matter in the middle and CSF in
    the middle of that.
    """
    samples = subsample(t1w, _INFORMATION_SPACING_MM)
    tissue = sampler.values(transform(affine, samples.world))[:, :3]
    brain = tissue.sum(axis=1) > _SURELY_BRAIN
    intensity = samples.intensity[brain]
    if intensity.size < 2 * _BINS or np.ptp(np.percentile(intensity, [0.5, 99.5])) == 0:
        return 0.0
    joint, ratio = _joint(_quantise(intensity), tissue[brain])
    return float((joint * ratio).sum())


def without_shading(t1w: Volume) -> Volume:
    """Divide a T1w by its local mean: crude, but enough to find a head under a strong bias field.

    The mean is that of the logarithm over what is not air (homomorphic filter).

    Parameters
    ----------
    t1w : Volume, 3D

    Returns
    -------
    Volume
        Around 1 in tissue.
    """
    step = np.maximum(1, np.round(_INFORMATION_SPACING_MM / t1w.grid.voxel_size)).astype(int)
    coarse = known_or_zero(t1w.data[tuple(slice(None, None, s) for s in step)]).astype(np.float64)
    head = coarse > max(0.25 * _otsu(coarse.ravel()), 0.0)
    if not head.any():
        return t1w
    sigma = _SHADING_MM / FWHM_PER_SIGMA / (step * t1w.grid.voxel_size)
    logs = np.log(np.where(head, coarse, 1.0))
    weight = ndimage.gaussian_filter(head.astype(np.float64), sigma)
    local = ndimage.gaussian_filter(logs, sigma) / np.maximum(weight, 1e-3)
    shading = np.exp(local - logs[head].mean()).astype(np.float32)
    fine = ndimage.affine_transform(
        shading, 1 / step, output_shape=t1w.data.shape, order=1, mode="nearest"
    )
    return Volume(t1w.data / fine, t1w.affine)


def _rigid(
    t1w: Volume, priors: TissuePriors, orientations: Sequence[Float], given: Float | None
) -> list[tuple[float, Float]]:
    """Rigid starts to refine with their scores, the best first; or the given one.

    They are distinct and score not much less than the best: at this blur, the correct position of a
    head may be the second best.
    """
    sigma = _BLUR_MM / FWHM_PER_SIGMA / priors.grid.voxel_size
    blurred = np.stack([ndimage.gaussian_filter(tissue, sigma) for tissue in priors.maps])
    sampler = PriorSampler(TissuePriors(blurred, priors.affine))
    samples = subsample(t1w, _RIGID_SPACING_MM)
    seen = samples.intensity
    if seen.size == 0 or np.ptp(np.percentile(seen, [0.5, 99.5])) == 0:
        raise BadDataError("contains no head: nearly all voxels have the same intensity")
    if given is not None:
        return [(_mutual_information(given, sampler, samples.world, _quantise(seen))[0], given)]
    head = samples.intensity > _otsu(samples.intensity)
    target = _brain_centre(priors)
    pitches, tolerance = _PITCHES_DEG, _FINE_TOLERANCE
    if orientations is not AS_STORED:  # many: a coarse fit is enough to choose the right one
        pitches, tolerance = pitches[1:2], _COARSE_TOLERANCE
    fits = []
    for orientation in orientations:
        centre = _head_centre(samples.world, head, up=orientation[2])
        near = np.abs(samples.world - centre).max(axis=1) < _HEAD_HEIGHT_MM
        world, bins = samples.world[near] - centre, _quantise(samples.intensity[near])
        back = np.eye(4)
        back[:3, 3] = -centre
        for pitch in pitches:
            score, affine = _climb(sampler, world, bins, target, orientation, pitch, tolerance)
            fits.append((score, affine @ back))
    fits.sort(key=lambda fit: -fit[0])
    starts: list[tuple[float, Float]] = []
    for score, affine in fits:
        is_distinct = all(_distance_mm(start, affine, priors) > _DISTINCT_MM for _, start in starts)
        if is_distinct and score >= _CLOSE_SCORE * fits[0][0]:
            starts.append((score, affine))
    return starts[:_MOST_STARTS]


def _middle(affine: Float, priors: TissuePriors) -> Float:
    """Centre of the brain by an affine, T1w world."""
    return transform(inverse(affine), _brain_centre(priors))


def _distance_mm(first: Float, second: Float, priors: TissuePriors) -> float:
    """Largest distance between two affines over a brain, mm."""
    corners = 60.0 * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    points = _middle(first, priors) + corners
    off = transform(second, points) - transform(first, points)
    return float(np.linalg.norm(off, axis=1).max())


def _credible(affine: Float) -> Float:
    """Return an affine whose scales are those of heads, or refuse it."""
    stretches = linalg.svdvals(affine[:3, :3]) / HEAD_SCALE
    if np.abs(np.log(stretches)).max() > _MOST_SDS * LOG_STRETCH_SD:
        sizes = " x ".join(f"{1 / stretch:.1f}" for stretch in stretches)
        raise BadDataError(
            f"contains no head that could be found: what fits best is {sizes} times the size of an "
            "adult head; is this a T1w of a whole head or brain, with the right voxel size?"
        )
    return affine


def _head_centre(world: Float, head: NDArray[np.bool_], up: Float) -> Float:
    """Centre of the voxels less than the height of a head below the vertex."""
    height = world @ up
    top = np.percentile(height[head], 99.9)
    middle: Float = world[head & (height > top - _HEAD_HEIGHT_MM)].mean(axis=0)
    return middle


def _climb(
    sampler: PriorSampler,
    world: Float,
    bins: NDArray[np.int64],
    target: Float,
    orientation: Float,
    pitch_deg: float,
    tolerance: float,
) -> tuple[float, Float]:
    """Maximise mutual information over rigid motions; returns it and the affine there."""

    def place(parameters: Float) -> Float:
        affine = np.eye(4)
        rotation = Rotation.from_rotvec(parameters[3:] / 50).as_matrix()
        affine[:3, :3] = HEAD_SCALE * rotation @ orientation
        affine[:3, 3] = target + parameters[:3]
        return affine

    def cost(parameters: Float) -> tuple[float, Float]:
        affine = place(parameters)
        value, slope, slopes = _mutual_information(affine, sampler, world, bins)
        gradient = np.empty(6)
        gradient[:3] = slope
        for axis in range(3):  # slopes = d value / d linear part
            ahead = parameters.copy()
            ahead[3 + axis] += 1e-5
            gradient[3 + axis] = (slopes * (place(ahead) - affine)[:3, :3]).sum() / 1e-5
        return -value, -gradient

    begin = np.array([0, 0, 0, np.deg2rad(pitch_deg) * 50, 0, 0])
    fit = optimize.minimize(cost, begin, jac=True, method="L-BFGS-B", options={"ftol": tolerance})
    return -float(fit.fun), place(fit.x)


def _mutual_information(
    affine: Float, sampler: PriorSampler, world: Float, bins: NDArray[np.int64]
) -> tuple[float, Float, Float]:
    """MI of intensity bins and tissue classes, and its slopes along shift and linear part."""
    prior, slope = sampler.values_and_slopes(transform(affine, world))
    joint, ratio = _joint(bins, prior)
    force = np.einsum("nac,nc->na", slope, ratio.T.astype(np.float32).take(bins, axis=1).T)
    force = force.astype(np.float64)
    force /= bins.size
    return float((joint * ratio).sum()), force.sum(axis=0), force.T @ world


def _joint(bins: NDArray[np.int64], prior: Float32) -> tuple[Float, Float]:
    """Joint frequencies of bins and classes, and the log of each over that of independence."""
    joint = np.stack([np.bincount(bins, p, minlength=_BINS) for p in prior.T.astype(float)], axis=1)
    joint = joint / joint.sum() + 1e-12
    return joint, np.log(joint / (joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)))


def _refined(t1w: Volume, sampler: PriorSampler, affine: Float, spacing_mm: float) -> Float:
    """Refine to twelve parameters by the likelihood of the mixture."""
    samples = subsample(t1w, spacing_mm)  # the voxels that may be brain are chosen anew each time
    fudge = max(1.0, INDEPENDENCE_MM3 / samples.volume_mm3)
    brain = samples.where(brain_region(samples, sampler, affine))
    millilitres = brain.intensity.size * samples.volume_mm3 / 1000
    if millilitres < _LEAST_BRAIN_ML:
        raise BadDataError(
            f"only {millilitres:.0f} ml could be brain: is this a T1w of a whole head or brain, "
            "and is its orientation right?"
        )
    try:
        return _affine_on(brain.world, brain.intensity, sampler, affine, fudge)
    except linalg.LinAlgError as error:  # the image does not determine the position
        raise BadDataError(
            "contains no head that could be found: is this a T1w of a whole head or brain?"
        ) from error


def brain_region(samples: Samples, sampler: PriorSampler, affine: Float) -> NDArray[np.bool_]:
    """Select samples that can be brain: positive, and not certain background by the priors.

    Parameters
    ----------
    samples : Samples
    sampler : reads priors at points of the template, RAS mm
    affine : ndarray, shape (4, 4)
        T1w world -> template world, RAS mm.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    background = sampler.values(transform(affine, samples.world))[:, 3]
    return (samples.intensity > 0) & (background < 1 - 1 / 512)


def skull_missing(t1w: Volume, priors: TissuePriors, affine: Float) -> float:
    """Share of the surroundings of the brain that is empty, 0 to 1.

    Where skull and scalp are, 4 to 8 mm outside the inner skull, from the cerebellum upwards.
    Twenty-six whole heads: 0.04 at most; 25 stripped ones: 0.92 at least.

    Parameters
    ----------
    t1w : Volume, 3D
        Voxels that are dark or not finite hold nothing: interpolation and filters leave a little
        around a brain without skull.
    priors : TissuePriors
    affine : ndarray, shape (4, 4)
        T1w world -> template world, RAS mm.

    Returns
    -------
    float
        0 where the field of view ends before.
    """
    every = (slice(None, None, 2),) * 3  # is enough
    inside = priors.maps[(slice(None), *every)].sum(axis=0) > _INNER_SKULL
    distance = ndimage.distance_transform_edt(~inside, sampling=2 * priors.grid.voxel_size)
    world = priors.grid.world()[every]
    low, high = _SKULL_MM
    skull = (distance > low) & (distance <= high) & (world[..., 2] > _CEREBELLUM_MM)
    around, brain = (_nearest(t1w, affine, world[region]) for region in (skull, inside))
    brain = brain[brain > 0]
    if not around.size or not brain.size:
        return 0.0
    return float(1 - np.mean(around > _NOTHING * np.median(brain)))


def _nearest(t1w: Volume, affine: Float, world: Float) -> Float:
    """Intensities at points of the template that lie in the field of view."""
    index = transform(inverse(t1w.affine) @ inverse(affine), world)
    nearest = np.round(index).astype(np.int64)
    seen = ((nearest >= 0) & (nearest < t1w.data.shape)).all(axis=1)
    return np.asarray(t1w.data[tuple(nearest[seen].T)], np.float64)


def _affine_on(
    world: Float, raw: Float, sampler: PriorSampler, affine: Float, fudge: float
) -> Float:
    """Levenberg-damped Gauss-Newton steps on the affine, the mixture refitted before each."""
    intensity = raw / np.median(raw)
    points = _Normalised(world)
    matrix = points.matrix(affine)
    prior, slope = sampler.values_and_slopes(points.homogeneous @ matrix.T)
    mixture = gmm.initial_mixture(intensity, prior)
    damping, last = Damping(1e-3, least=1e-6), np.inf
    for _ in range(_AFFINE_STEPS):
        mixture, now = gmm.expectation_maximisation(intensity, prior, mixture)
        by_class = gmm.by_class(intensity, mixture)
        force = prior_force(by_class, prior, slope, mixture).astype(np.float64)
        each = (force[:, :, None] * points.homogeneous[:, None, :]).reshape(-1, 12)
        stretch, jacobian = points.stretch(matrix), points.stretch_slopes(matrix)
        cost = -now.log_likelihood + 0.5 * fudge * float(stretch @ stretch)
        gradient = each.sum(axis=0) + fudge * jacobian.T @ stretch
        hessian = each.T @ each + fudge * jacobian.T @ jacobian
        for tried in damping.rising(tries=8):
            step = linalg.solve(damped(hessian, tried), gradient, assume_a="pos")
            trial = matrix - step.reshape(3, 4)
            trial_prior, trial_slope = sampler.values_and_slopes(points.homogeneous @ trial.T)
            stretch = points.stretch(trial)
            total = (by_class * trial_prior).sum(axis=1)
            trial_cost = 0.5 * fudge * float(stretch @ stretch)
            trial_cost -= gmm.log_ratio(total, trial_prior, mixture)
            if trial_cost < cost:
                matrix, prior, slope = trial, trial_prior, trial_slope
                damping.lower()
                break
        else:
            break
        if last - trial_cost < _AFFINE_GAIN * intensity.size:
            break
        last = trial_cost
    return points.affine(matrix)


class _Normalised:
    """Points around their centre at unit scale: shifts and stretches weigh alike in a fit.

    A (3, 4) matrix on them is an affine on the points in mm; both are converted here.
    """

    def __init__(self, world: Float) -> None:
        self.centre = world.mean(axis=0)
        self.scale = float(np.sqrt(((world - self.centre) ** 2).mean()))
        unit = (world - self.centre) / self.scale
        self.homogeneous = np.column_stack([unit, np.ones(len(unit))])

    def matrix(self, affine: Float) -> Float:
        shift = affine[:3, :3] @ self.centre + affine[:3, 3]
        return np.column_stack([affine[:3, :3] * self.scale, shift])

    def affine(self, matrix: Float) -> Float:
        result = np.eye(4)
        result[:3, :3] = matrix[:, :3] / self.scale
        result[:3, 3] = matrix[:, 3] - result[:3, :3] @ self.centre
        return result

    def stretch(self, matrix: Float) -> Float:
        """Log-stretches against those of adult heads in units of their SD, (6,)."""
        return _log_stretch(matrix[:, :3] / self.scale)

    def stretch_slopes(self, matrix: Float) -> Float:
        """Derivative of `stretch` by the matrix, (6, 12)."""
        linear = matrix[:, :3] / self.scale
        stretch = _log_stretch(linear)
        slopes = np.zeros((6, 3, 4))
        for row, column in np.ndindex(3, 3):
            ahead = linear.copy()
            ahead[row, column] += 1e-6
            slopes[:, row, column] = (_log_stretch(ahead) - stretch) / (1e-6 * self.scale)
        return slopes.reshape(6, 12)


def _log_stretch(linear: Float) -> Float:
    squares, axes = linalg.eigh(linear.T @ linear)
    log = (axes * np.log(squares) / 2) @ axes.T - np.log(HEAD_SCALE) * np.eye(3)
    result: Float = log[np.triu_indices(3)] / LOG_STRETCH_SD
    return result


def prior_force(by_class: Float32, prior: Float32, slope: Float32, mixture: gmm.Mixture) -> Float32:
    """Derivative of minus the log-likelihood of each voxel by its template position, (n, 3).

    Parameters
    ----------
    by_class : ndarray, shape (n, 4)
        Likelihood of the classes.
    prior : ndarray, shape (n, 4)
    slope : ndarray, shape (n, 3, 4)
        Of the priors, per mm.
    mixture : Mixture

    Returns
    -------
    ndarray, shape (n, 3)
        Per mm of template.
    """
    weight = mixture.class_weight().astype(np.float32)
    pull = np.divide.outer(weight, prior @ weight).T
    pull -= by_class / (by_class * prior).sum(axis=1, keepdims=True)
    result: Float32 = np.einsum("nac,nc->na", slope, pull)
    return result


def _otsu(intensity: Float) -> float:
    """Threshold between air and head (Otsu, IEEE Trans SMC 9:62, 1979), outliers clipped."""
    clipped = np.clip(intensity, 0, np.percentile(intensity, 99))
    counts, edges = np.histogram(clipped, 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    valid = (below > 0) & (above > 0)
    between = np.zeros(256)
    difference = sums[valid] / below[valid] - (sums[-1] - sums[valid]) / above[valid]
    between[valid] = below[valid] * above[valid] * difference**2
    return float(middle[np.argmax(between)])


def _quantise(intensity: Float) -> NDArray[np.int64]:
    low, high = np.percentile(intensity, [0.5, 99.5])
    return np.clip((intensity - low) / (high - low) * _BINS, 0, _BINS - 1).astype(np.int64)


def _brain_centre(priors: TissuePriors) -> Float:
    weight = priors.maps.sum(axis=0)
    index = np.array(ndimage.center_of_mass(weight))
    return transform(priors.affine, index)
