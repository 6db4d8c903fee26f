"""Reference-tissue models that are straight lines or planes: Logan's plot, MRTM and MRTM2.

All rest on one equation, exact for one tissue compartment each and late enough (after t*) for
others, with C' and k2' of the reference tissue:

    integral of C = DVR [integral of C' + C'/k2'] + b C

Here it is averaged over each frame, integrals as well as activities, so that it holds for what the
scanner measured and not only at the middle of frames.

The integral of C carries the noise of all frames before, so the residuals of these fits do not
measure their errors. Standard errors are propagated instead: the noise of every frame, estimated
from the residuals of SRTM and the weights, times the derivative of the result by that frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.kinetics.curves import Curve, Float64
from bidsapp.core.kinetics.srtm import response, search_srtm
from bidsapp.core.kinetics.study import Estimates, KineticStudy, estimates
from bidsapp.errors import BadDataError

_ROUNDING_MIN = 1.0 / 60
_COLLINEAR = 1e-7  # least singular value of columns of unit length that are distinct
_STEP = 1e-3  # of a curve's mean: by that much a frame is changed for a derivative

Values = dict[str, Float64]


@dataclass(frozen=True)
class _Frames:
    """Means over every frame: C and its integral, (R, T), C' and its integral, (T,)."""

    activity: Float64
    integral: Float64
    reference: Float64
    input_integral: Float64


# Frames -> parameters by name, (R,), and the fitted activity, (R, T)
Fit = Callable[[_Frames], tuple[Values, Float64]]


def logan(study: KineticStudy, k2_prime: float, t_star_min: float) -> Estimates:
    """Fit the reference Logan plot to every region.

    Slope of the line through ``integral of C / C`` against ``(integral of C' + C'/k2') / C`` after
    t* (Logan, Fowler, Volkow, Wang, Ding & Alexoff, J Cereb Blood Flow Metab 16:834, 1996).

    Parameters
    ----------
    study : Study
    k2_prime : float
        Clearance of the reference tissue, per minute.
    t_star_min : float
        Frames that start earlier are left out, minutes after injection.

    Returns
    -------
    Estimates

    Raises
    ------
    BadDataError
        Fewer than three frames start after t*.
    """
    late = _late(study, t_star_min, 2)

    def fit(frames: _Frames) -> tuple[Values, Float64]:
        given = frames.input_integral + frames.reference / k2_prime
        with np.errstate(divide="ignore", invalid="ignore"):
            ordinate, abscissa = frames.integral / frames.activity, given / frames.activity
        design = np.stack([abscissa, np.ones_like(abscissa)], axis=-1)
        slope, intercept = _solve(design[:, late], ordinate[:, late], study.weights[late]).T
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = (frames.integral - slope[:, None] * given) / intercept[:, None]
        return {"BPND": slope - 1}, np.where(late, fitted, np.nan)

    return _estimated(study, fit, k2_prime)


def mrtm(study: KineticStudy, t_star_min: float) -> Estimates:
    """Fit the multilinear reference tissue model to every region.

    ``C = g1 integral of C' + g2 integral of C + g3 C'`` with BPND = -g1/g2 - 1, k2' = g1/g3,
    R1 = g3, k2 = g1 (Ichise et al., J Cereb Blood Flow Metab 23:1096, 2003, eq. 6).

    Parameters
    ----------
    study : Study
    t_star_min : float
        Frames that start earlier are left out, minutes after injection; R1 and k2 mean what they
        say only when it is 0.

    Returns
    -------
    Estimates

    Raises
    ------
    BadDataError
        Fewer than four frames start after t*.
    """
    late = _late(study, t_star_min, 3)

    def fit(frames: _Frames) -> tuple[Values, Float64]:
        planes = np.broadcast_arrays(frames.input_integral, frames.integral, frames.reference)
        design = np.stack(planes, axis=-1)
        solution = _solve(design[:, late], frames.activity[:, late], study.weights[late])
        g1, g2, g3 = solution.T
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {"R1": g3, "k2": g1, "k2_prime": g1 / g3, "BPND": -g1 / g2 - 1}
        return values, np.where(late, np.einsum("rtk,rk->rt", design, solution), np.nan)

    return _estimated(study, fit)


def mrtm2(study: KineticStudy, k2_prime: float, t_star_min: float) -> Estimates:
    """Fit MRTM2, the multilinear reference tissue model with k2' given, to every region.

    ``C = g1 [integral of C' + C'/k2'] + g2 integral of C`` with BPND = -g1/g2 - 1, R1 = g1/k2',
    k2 = g1 (Ichise et al. 2003, eq. 9).  Parameters and errors as in `mrtm`; standard errors are
    those at the given k2'.

    Parameters
    ----------
    study : Study
    k2_prime : clearance of the reference tissue, per minute
    t_star_min : minutes after injection from which frames are used

    Returns
    -------
    Estimates

    Raises
    ------
    BadDataError
        Fewer than three frames start after t*.
    """
    late = _late(study, t_star_min, 2)

    def fit(frames: _Frames) -> tuple[Values, Float64]:
        given = frames.input_integral + frames.reference / k2_prime
        design = np.stack(np.broadcast_arrays(given, frames.integral), axis=-1)
        solution = _solve(design[:, late], frames.activity[:, late], study.weights[late])
        g1, g2 = solution.T
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {"R1": g1 / k2_prime, "k2": g1, "BPND": -g1 / g2 - 1}
        return values, np.where(late, np.einsum("rtk,rk->rt", design, solution), np.nan)

    return _estimated(study, fit, k2_prime)


def _estimated(study: KineticStudy, fit: Fit, k2_prime: float | None = None) -> Estimates:
    """Fit, and propagate the noise of every frame to the parameters."""
    first = search_srtm(study)
    values, fitted = fit(_frames(study, study.target, first.fitted))
    freedom = max(study.target.shape[1] - 3, 1)
    variance = np.nan_to_num(first.rss / freedom)[:, None] / study.weights
    step = _STEP * np.nan_to_num(np.abs(study.target).mean(axis=1)) + 1e-300
    squares = {name: np.zeros(len(fitted)) for name in values}
    follows = response(study, first)
    for frame in range(study.target.shape[1]):
        changed = study.target.copy()
        changed[:, frame] += step
        elsewhere = first.fitted + step[:, None] * follows[..., frame]
        moved, _ = fit(_frames(study, changed, elsewhere))
        for name, before in values.items():
            squares[name] += ((moved[name] - before) / step) ** 2 * variance[:, frame]
    errors = {name: np.sqrt(total) for name, total in squares.items()}
    if k2_prime is not None:
        values = values | {"k2_prime": np.full(len(fitted), k2_prime)}
    return estimates(values, errors, fitted)


def _frames(study: KineticStudy, target: Float64, elsewhere: Float64) -> _Frames:
    """Means over the frames; what happened between measured frames is taken from SRTM's fit.

    A curve that is not finite has no integral; the cubics cannot hold NaN.
    """
    frame, reference = study.timeline.frame, study.reference
    means = np.array(elsewhere)
    means[:, frame] = target
    finite = np.isfinite(means).all(axis=1, keepdims=True)
    curves = Curve(study.timeline, np.where(finite, means, 0.0))
    return _Frames(
        activity=target,
        integral=np.where(finite, curves.integral_means[:, frame], np.nan),
        reference=reference.means[frame],
        input_integral=reference.integral_means[frame],
    )


def _late(study: KineticStudy, t_star_min: float, n_parameters: int) -> NDArray[np.bool_]:
    """Which frames start after t*, shape (T,)."""
    start = study.timeline.edges_min[study.timeline.frame]
    late = start >= t_star_min - _ROUNDING_MIN
    if late.sum() <= n_parameters:
        raise BadDataError(
            f"{int(late.sum())} frames start later than t* = {t_star_min:g} min, too few for "
            f"{n_parameters} parameters; choose a smaller --t-star"
        )
    return np.asarray(late)


def _solve(design: Float64, values: Float64, weights: Float64) -> Float64:
    """Coefficients of weighted least squares by row, (R, K); NaN where they are not determined.

    Frames without a finite value (Logan's quotient before the tracer came) do not count.
    """
    root = np.sqrt(weights)
    columns, data = design * root[:, None], values * root
    known = np.isfinite(columns).all(axis=2) & np.isfinite(data)
    columns, data = np.where(known[..., None], columns, 0.0), np.where(known, data, 0.0)
    size = np.linalg.norm(columns, axis=1)
    size[size == 0] = 1.0
    left, singular, right = np.linalg.svd(columns / size[:, None], full_matrices=False)
    lost = (known.sum(axis=1) <= design.shape[2]) | (singular[:, -1] <= _COLLINEAR)
    singular[lost] = np.nan
    inner = np.einsum("rtk,rt->rk", left, data) / singular
    return np.asarray(np.einsum("rkj,rk->rj", right, inner) / size, dtype=np.float64)
