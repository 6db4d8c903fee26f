"""Unified segmentation: bias field, tissue maps and normalisation of a T1w in one model.

For voxel i with intensity y_i the model says

    -log p = - sum_i log( rho_i sum_k gamma_k b_k(i) N(rho_i y_i; mu_k, s_k^2)
                          / sum_k gamma_k b_k(i) ) + bias penalty + warp penalty

with a bias rho = exp(cosines), K Gaussians spread over grey matter, white matter, CSF and the rest,
and priors b read from the template at ``affine (x + u(x))``. The parts are fitted in turn: the
mixture by expectation maximisation, bias and warp by Gauss-Newton steps.

Source of the method: Ashburner & Friston, NeuroImage 26:839 (2005). The Centiloid scale was defined
with this model, so that a smooth, tissue-driven warp with few parameters is what has to be
measured with, not a sharper one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from threadpoolctl import threadpool_limits

from bidsapp.core.anatomy import mixture as gmm
from bidsapp.core.anatomy.intensity_model import IntensityModel, intensity_model
from bidsapp.core.anatomy.mixture import Mixture
from bidsapp.core.anatomy.priors import PriorSampler, TissuePriors
from bidsapp.core.anatomy.start import (
    INDEPENDENCE_MM3,
    Samples,
    Start,
    brain_region,
    find_head,
    prior_force,
    subsample,
)
from bidsapp.core.anatomy.tissue import TissueMaps, classify
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.basis import squared_frequencies
from bidsapp.core.grid.least_squares import Damping, refined_solution
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.errors import BadDataError

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

QUIET_ROUNDS = 2  # one after the other that hardly move: a single one may come before a better one
COARSER, COARSEST_MM = 2.0, 8.0  # distance of the voxels of the first, coarse fit
SMOOTHER = 1.4  # times the usual cut-off: of that fit only what is affine is used

_MARGIN_MM = 20.0  # how far the box of the cosines reaches beyond the voxels that may be brain
_BIAS_FWHM_MM, _BIAS_PENALTY = 60.0, 1e-4  # smoothness and strength of the prior on the log bias
_BIAS_STEPS = 10  # at most so many alternations of mixture and bias within a round
_CONVERGED_MM = 0.1  # mean displacement of the voxels; a round that moves them less is quiet
_MOST_DAMPING = 0.1  # to begin a round with: steps under more are short without being at the end


@dataclass(frozen=True)
class Options:
    """Options of the model; defaults near those of the standard pipeline.

    Attributes
    ----------
    spacing_mm : distance of the voxels that are used
    warp_cutoff_mm : one basis function per axis and so many mm of field of view
    warp_penalty : factor of the bending energy
    rounds : at most so many alternations of intensities and warp
    warp_steps : at most so many steps of the warp within a round
    gain : of the log posterior per voxel; less is not worth another step
    """

    spacing_mm: float = 3.0
    warp_cutoff_mm: float = 25.0
    warp_penalty: float = 1.0
    rounds: int = 40
    warp_steps: int = 20
    gain: float = 1e-4


@dataclass(frozen=True)
class Segmentation:
    """Result of `segment`.

    Attributes
    ----------
    probabilities : ndarray, shape (3, X, Y, Z), float32
        Grey matter, white matter, CSF on the T1w grid, CSF out to the inner skull.
    corrected : ndarray, shape (X, Y, Z), float32
        T1w without its bias field.
    brain_mask : ndarray, shape (X, Y, Z), bool
    warp : Warp
        Between T1w world and template world.
    field : ndarray, shape of the prior grid + (3,), float32
        T1w world coordinate (RAS, mm) of every voxel of the template grid.
    quality : dict of float
        ``log_likelihood`` per voxel; ``start_spread_mm``, disagreement of the affine starts;
        ``start_mi``, ``start_information``, mutual information of the start, over the head and
        over the brain; ``rounds`` used; ``converged``, 1 when the last ones hardly improved the
        fit, else 0; ``brain_ml``, ``gm_ml``, ``wm_ml``, ``csf_ml`` volumes; ``gm_wm_contrast``,
        distance of their means over the pooled SD.
    intensities : IntensityModel
        Histogram of the bias-corrected T1w and the Gaussians fitted to it.
    """

    probabilities: NDArray[np.float32]
    corrected: NDArray[np.float32]
    brain_mask: NDArray[np.bool_]
    warp: Warp
    field: NDArray[np.float32]
    quality: dict[str, float]
    intensities: IntensityModel


def segment(
    t1w: Volume,
    priors: TissuePriors,
    options: Options = Options(),
    start: Start | None = None,
) -> Segmentation:
    """Fit the model to a T1w.

    Parameters
    ----------
    t1w : Volume, 3D
        Any orientation and voxel size; zeros and non-finite voxels count as missing.
    priors : TissuePriors
    options : Options
    start : Start
        Where the head is, if known.

    Returns
    -------
    Segmentation

    Raises
    ------
    BadDataError
        The image contains no head.
    """
    # the order of sums, and so the bits, must not depend on the number of threads
    with threadpool_limits(limits=1):
        sampler = priors.sampler
        try:
            start = start or find_head(t1w, priors, sampler)
            place = better_start(t1w, priors, sampler, start, options)
            fit = fit_model(t1w, sampler, place, options)
        except linalg.LinAlgError as error:  # the image does not determine the warp
            raise BadDataError(
                "contains no head that could be found: is this a T1w of a whole head or brain?"
            ) from error
        maps = classify(t1w, sampler, fit.warp, fit.mixture, fit.log_bias, fit.intensity_unit)
        return Segmentation(
            probabilities=maps.probabilities,
            corrected=maps.corrected,
            brain_mask=maps.brain_mask,
            warp=fit.warp,
            field=fit.warp.to_t1w(priors.grid),
            quality=_quality(t1w, start, fit, maps),
            intensities=fit.intensities,
        )


@dataclass(frozen=True)
class Fit:
    """Fitted parameters of the model.

    Attributes
    ----------
    warp : Warp
    log_bias : ndarray, shape (nx, ny, nz)
        Cosine coefficients over the box of the warp.
    mixture : Mixture
        Of bias-corrected intensities divided by ``intensity_unit``.
    intensity_unit : float
        Raw intensity that the mixture calls one.
    log_likelihood : float
        Per voxel.
    rounds : int
    converged : bool
        Whether the last rounds moved little.
    intensities : IntensityModel
    """

    warp: Warp
    log_bias: Float
    mixture: Mixture
    intensity_unit: float
    log_likelihood: float
    rounds: int
    converged: bool
    intensities: IntensityModel


def better_start(
    t1w: Volume, priors: TissuePriors, sampler: PriorSampler, start: Start, options: Options
) -> Start:
    """Move the affine part of a coarse fit into the starting position.

    The bending energy punishes a warp for what an affine left undone, so that the result would
    depend on where it began: tests/benchmarks/starts.py.

    Parameters
    ----------
    t1w : Volume, 3D
    priors : TissuePriors
    sampler : reads priors at points of the template, RAS mm
    start : Start
        Position of the head.
    options : Options

    Returns
    -------
    Start
    """
    spacing, cutoff = COARSER * options.spacing_mm, SMOOTHER * options.warp_cutoff_mm
    if options.warp_steps == 0 or spacing > COARSEST_MM:
        return start
    coarse = replace(options, spacing_mm=spacing, warp_cutoff_mm=cutoff)
    warp = fit_model(t1w, sampler, start, coarse).warp
    every = (slice(None, None, 3),) * 3
    maps = priors.maps[(slice(None), *every)]
    x, y, z = maps.shape[1:]
    grid = Grid((x, y, z), priors.affine @ np.diag([3.0, 3, 3, 1]))
    brain = maps.sum(axis=0) > 0.5
    goal = grid.world()[brain]
    points = np.column_stack([warp.to_t1w(grid)[brain].astype(np.float64), np.ones(len(goal))])
    affine = np.eye(4)
    affine[:3] = linalg.solve(points.T @ points, points.T @ goal, assume_a="pos").T
    return replace(start, affine=affine)


def fit_model(t1w: Volume, sampler: PriorSampler, start: Start, options: Options) -> Fit:
    """Alternate mixture, bias and warp until the warp hardly moves.

    How far it moves, and not what the fit gains: the gain falls so slowly that rounding decides
    in which round it passes a limit.

    Parameters
    ----------
    t1w : Volume, 3D
    sampler : reads priors at points of the template, RAS mm
    start : Start
        Position of the head.
    options : Options

    Returns
    -------
    Fit
    """
    samples = subsample(t1w, options.spacing_mm)
    keep = brain_region(samples, sampler, start.affine)
    model = _Model(t1w, samples.where(keep), sampler, start.affine, options)
    rounds = quiet = 0
    for rounds in range(1, options.rounds + 1):
        # a stiff first warp: the mixture is not yet to be believed
        model.stiffness = 10.0 if rounds == 1 else 1.0
        model.fit_intensities()
        moved_mm = model.fit_warp()
        quiet = quiet + 1 if moved_mm < _CONVERGED_MM else 0
        if quiet == QUIET_ROUNDS:
            break
    return Fit(
        warp=model.warp,
        log_bias=model.bias,
        mixture=model.mixture,
        intensity_unit=model.unit,
        log_likelihood=model.log_likelihood() / model.n,
        rounds=rounds,
        converged=quiet == QUIET_ROUNDS,
        intensities=intensity_model(model.corrected, model.prior, model.mixture, model.unit),
    )


class _Model:
    """The current parameters, and one method to improve each group of them.

    The samples form a regular lattice with holes; fields on the lattice are dense arrays over its
    bounding box, ``where`` finds the samples in them.
    """

    def __init__(
        self, t1w: Volume, samples: Samples, sampler: PriorSampler, affine: Float, options: Options
    ) -> None:
        self.samples, self.sampler, self.options = samples, sampler, options
        self.n = samples.intensity.size
        self.unit = float(np.median(samples.intensity))
        self.raw = samples.intensity / self.unit
        axes = [np.unique(samples.index[:, axis]) for axis in range(3)]
        self.box = tuple(len(axis) for axis in axes)
        self.where = np.ravel_multi_index(
            tuple(np.searchsorted(axes[a], samples.index[:, a]) for a in range(3)), self.box
        )
        voxel = t1w.grid.voxel_size
        # the cosines live on a box around the brain, so that the field of view does not matter
        margin = np.round(_MARGIN_MM / voxel)
        origin = samples.index.min(axis=0) - margin
        length = samples.index.max(axis=0) + 1 + margin - origin
        extent = length * voxel
        self.fudge = max(1.0, INDEPENDENCE_MM3 / samples.volume_mm3)

        orders = np.maximum(1, np.round(extent / options.warp_cutoff_mm)).astype(int)
        self.warp = Warp(np.zeros((3, *orders)), origin, length, t1w.affine, affine)
        self.warp_basis = self.warp.basis(*axes)
        kx, ky, kz = squared_frequencies(self.warp_basis.orders, extent)
        # Integral of the bending energy over the box (mm^2), as in
        # `bidsapp.core.pet_only.pet_warp`. SPM's unified segmentation (spm_preproc) sums it over
        # the native voxels in units of voxels, which is this over the voxel size: its warp of a T1w
        # of 0.7 mm is 1.4 times as stiff as of one of 1 mm. Here one head gives one field, whatever
        # its voxels.
        bending = (kx + ky + kz) ** 2 * t1w.grid.voxel_volume
        self.bending = options.warp_penalty * self.fudge * bending

        orders = np.ceil(2 * extent / _BIAS_FWHM_MM).astype(int)
        self.bias = np.zeros(tuple(orders))
        self.bias_basis = replace(self.warp, coefficients=np.zeros((3, *orders))).basis(*axes)
        kx, ky, kz = squared_frequencies(self.bias_basis.orders, extent)
        sigma = _BIAS_FWHM_MM / FWHM_PER_SIGMA
        self.bias_precision = _BIAS_PENALTY * self.fudge * np.exp(0.5 * sigma**2 * (kx + ky + kz))

        self.stiffness = 1.0
        self.damping = Damping(raised_to=1e-2, off_below=1e-3)
        self.may_reseed = True
        self.known: gmm.Evidence | None = None
        self.log_rho = np.zeros(self.n)
        self.unmoved = np.ascontiguousarray(transform(affine, samples.world).T)
        self.prior, self.slope = self._read(self.warp.coefficients)
        self.mixture = gmm.initial_mixture(self.raw, self.prior)

    # ---- the objective
    @property
    def corrected(self) -> Float:
        return self.raw * np.exp(self.log_rho)

    def evidence(self) -> gmm.Evidence:
        """Of the present parameters; what changes one of them forgets it."""
        if self.known is None:
            self.known = gmm.evidence(self.corrected, self.prior, self.mixture, self.log_rho)
        return self.known

    def log_likelihood(self) -> float:
        return self.evidence().log_likelihood

    def cost(self) -> float:
        """Minus the log posterior."""
        return (
            -self.log_likelihood()
            + self._bias_penalty(self.bias)
            + self._warp_penalty(self.warp.coefficients)
        )

    def _bias_penalty(self, bias: Float) -> float:
        return 0.5 * float((self.bias_precision * bias**2).sum())

    def _warp_penalty(self, coefficients: Float) -> float:
        return 0.5 * self.stiffness * float((self.bending * coefficients**2).sum())

    # ---- intensities: mixture and bias
    def fit_intensities(self) -> None:
        before = np.inf
        for number in range(_BIAS_STEPS):
            self.mixture, self.known = self._fitted(self.mixture, self.evidence())
            if number == 0:
                self._reseed()
            cost = self._step_bias()
            if before - cost < self.options.gain * self.n:
                break
            before = cost

    def _fitted(
        self, begin: Mixture, known: gmm.Evidence | None = None
    ) -> tuple[Mixture, gmm.Evidence]:
        return gmm.expectation_maximisation(self.corrected, self.prior, begin, self.log_rho, known)

    def _reseed(self) -> None:
        """Bring lost Gaussians back if that improves the fit, until it does not."""
        now = self.evidence()
        split = gmm.reseeded(self.mixture, now) if self.may_reseed else None
        if split is None:
            return
        mixture, evidence = self._fitted(split)
        self.may_reseed = evidence.log_likelihood > now.log_likelihood
        if self.may_reseed:
            self.mixture, self.known = mixture, evidence

    def _step_bias(self) -> float:
        """One damped Gauss-Newton step on the log bias; returns -log-likelihood + its penalty."""
        now = self.evidence()
        cost = -now.log_likelihood + self._bias_penalty(self.bias)
        corrected = self.corrected
        # sum_k p_k / s2_k and sum_k p_k mu_k / s2_k: all that the derivatives need of the mixture
        sharpness = 1 / self.mixture.variance
        per_gaussian = np.stack([sharpness, sharpness * self.mixture.mean])
        precision, weighted = per_gaussian @ now.responsibilities().astype(np.float64).T
        pull = corrected * (corrected * precision - weighted) - 1
        gradient = self.bias_basis.project(self._dense(pull)) + self.bias_precision * self.bias
        hessian = self.bias_basis.gram(self._dense(1 + corrected**2 * precision))
        hessian[np.diag_indices_from(hessian)] += self.bias_precision.ravel()
        step = refined_solution(hessian, gradient.ravel()).reshape(self.bias.shape)
        for size in (1.0, 0.5, 0.25, 0.1):
            bias = self.bias - size * step
            log_rho = self._at_samples(self.bias_basis.evaluate(bias))
            trial = gmm.evidence(self.raw * np.exp(log_rho), self.prior, self.mixture, log_rho)
            trial_cost = -trial.log_likelihood + self._bias_penalty(bias)
            if trial_cost < cost:
                self.bias, self.log_rho, self.known = bias, log_rho, trial
                return trial_cost
        return cost

    # ---- warp
    def fit_warp(self) -> float:
        """Levenberg-damped Gauss-Newton steps; returns by how many mm the samples moved, mean.

        The damping that was needed in one round is tried first in the next.
        """
        by_class = gmm.by_class(self.corrected, self.mixture)

        def cost_of(prior: Float32, coefficients: Float) -> float:
            total = (by_class * prior).sum(axis=1)
            return self._warp_penalty(coefficients) - gmm.log_ratio(total, prior, self.mixture)

        coefficients = self.warp.coefficients
        cost = cost_of(self.prior, coefficients)
        linear = self.warp.affine[:3, :3].astype(np.float32)
        self.damping.value = min(self.damping.value, _MOST_DAMPING)
        for _ in range(self.options.warp_steps):
            force = prior_force(by_class, self.prior, self.slope, self.mixture) @ linear
            gradient, hessian = self._normal_equations(force.astype(np.float64), coefficients)
            scale = np.diag(hessian).copy()
            begin = cost
            for attempt, damped in enumerate(self.damping.rising(tries=6)):
                hessian[np.diag_indices_from(hessian)] = scale * (1 + damped)
                step = refined_solution(hessian, gradient).reshape(coefficients.shape)
                trial = coefficients - step
                prior, slope = self._read(trial)
                trial_cost = cost_of(prior, trial)
                if trial_cost < cost:
                    coefficients, cost = trial, trial_cost
                    self.prior, self.slope, self.known = prior, slope, None
                    if attempt == 0:  # else less of it has just been too little
                        self.damping.lower()
                    break
            if begin - cost < self.options.gain * self.n:
                break
        change = coefficients - self.warp.coefficients
        moved = [self._at_samples(self.warp_basis.evaluate(c)) for c in change]
        self.warp = replace(self.warp, coefficients=coefficients)
        return float(np.sqrt(np.square(moved).sum(axis=0)).mean())

    def _normal_equations(self, force: Float, coefficients: Float) -> tuple[Float, Float]:
        """Gradient (3M,) and Gauss-Newton matrix (3M, 3M) of likelihood and bending energy."""
        basis = self.warp_basis
        m = self.bending.size
        penalty = (self.stiffness * self.bending).ravel()
        gradient = np.empty((3, m))
        hessian = np.empty((3, m, 3, m))
        for a in range(3):
            gradient[a] = basis.project(self._dense(force[:, a])).ravel()
            gradient[a] += penalty * coefficients[a].ravel()
            for b in range(a, 3):
                block = basis.gram(self._dense(force[:, a] * force[:, b]))
                if a == b:
                    block[np.diag_indices_from(block)] += penalty
                hessian[a, :, b] = block
                hessian[b, :, a] = block
        return gradient.ravel(), hessian.reshape(3 * m, 3 * m)

    # ---- between samples, lattice and template
    def _read(self, coefficients: Float) -> tuple[Float32, Float32]:
        """Priors (n, 4) and slopes (n, 3, 4) per mm of template at the displaced samples."""
        by = [self._at_samples(self.warp_basis.evaluate(c)) for c in coefficients]
        moved = self.warp.affine[:3, :3] @ np.stack(by)
        return self.sampler.values_and_slopes((self.unmoved + moved).T)

    def _dense(self, values: Float) -> Float:
        dense = np.zeros(int(np.prod(self.box)))
        dense[self.where] = values
        return dense.reshape(self.box)

    def _at_samples(self, field: Float) -> Float:
        return field.ravel()[self.where]


def _quality(t1w: Volume, start: Start, fit: Fit, maps: TissueMaps) -> dict[str, float]:
    ml = t1w.grid.voxel_volume / 1000
    inside = maps.brain_mask
    gm, wm, csf = (float(p[inside].sum(dtype=np.float64)) * ml for p in maps.probabilities)
    mean, variance = _class_moments(fit.mixture)
    return {
        "log_likelihood": fit.log_likelihood,
        "start_spread_mm": start.spread_mm,
        "start_mi": start.mutual_information,
        "start_information": start.tissue_information,
        "rounds": float(fit.rounds),
        "converged": float(fit.converged),
        "brain_ml": float(inside.sum()) * ml,
        "gm_ml": gm,
        "wm_ml": wm,
        "csf_ml": csf,
        "gm_wm_contrast": float(abs(mean[1] - mean[0]) / np.sqrt((variance[0] + variance[1]) / 2)),
    }


def _class_moments(mixture: Mixture) -> tuple[Float, Float]:
    """Mean and variance of each class, its Gaussians pooled, each of shape (4,)."""
    weight = mixture.weight[:, None] * gmm.MEMBERS
    weight /= weight.sum(axis=0)
    mean = mixture.mean @ weight
    second = (mixture.variance + mixture.mean**2) @ weight
    return mean, second - mean**2
