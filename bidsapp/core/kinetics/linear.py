"""Reference-tissue models that are straight lines or planes: Logan's plot, MRTM and MRTM2.

All rest on one equation, exact for one tissue compartment each and late enough (after t*) for
others, with C' and k2' of the reference tissue:

    integral of C = DVR [integral of C' + C'/k2'] + b C

Here it is averaged over each frame, integrals as well as activities, so that it holds for what the
scanner measured and not only at the middle of frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.kinetics.curves import Float64
from bidsapp.core.kinetics.srtm import search_srtm
from bidsapp.core.kinetics.study import Estimates, Study, estimates, standard_errors
from bidsapp.errors import BadDataError

_ROUNDING_MIN = 1.0 / 60
_COLLINEAR = 1e-7  # least singular value of columns of unit length that can be told apart


def logan(study: Study, k2_prime: float, t_star_min: float) -> Estimates:
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

    Raises
    ------
    BadDataError
        Fewer than three frames start after t*.
    """
    late = _late(study, t_star_min, 2)
    integral, activity, reference, input_integral = _curves(study)
    with np.errstate(divide="ignore", invalid="ignore"):
        ordinate = integral / activity
        abscissa = (input_integral + reference / k2_prime) / activity
    design = np.stack([abscissa, np.ones_like(abscissa)], axis=-1)[:, late]
    coefficients, jacobian, rss = _solve(design, ordinate[:, late], study.weights[late])
    slope, intercept = coefficients.T
    errors = standard_errors(jacobian, rss, np.broadcast_to([[1.0, 0.0]], (len(slope), 1, 2)))
    fitted = np.full_like(activity, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        line = integral - slope[:, None] * (input_integral + reference / k2_prime)
        fitted[:, late] = (line / intercept[:, None])[:, late]
    return estimates(
        {"BPND": slope - 1, "k2_prime": np.full(len(slope), k2_prime)},
        {"BPND": errors[:, 0]},
        fitted,
    )


def mrtm(study: Study, t_star_min: float) -> Estimates:
    """Fit the multilinear reference tissue model to every region.

    ``C = g1 integral of C' + g2 integral of C + g3 C'`` with BPND = -g1/g2 - 1, k2' = g1/g3,
    R1 = g3, k2 = g1 (Ichise et al., J Cereb Blood Flow Metab 23:1096, 2003, eq. 6).

    Parameters
    ----------
    study : Study
    t_star_min : float
        Frames that start earlier are left out, minutes after injection; R1 and k2 mean what they
        say only when it is 0.

    Raises
    ------
    BadDataError
        Fewer than four frames start after t*.
    """
    late = _late(study, t_star_min, 3)
    integral, activity, reference, input_integral = _curves(study)
    planes = [np.broadcast_to(input_integral, integral.shape), integral,
              np.broadcast_to(reference, integral.shape)]  # fmt: skip
    design = np.stack(planes, axis=-1)
    found, jacobian, rss = _solve(design[:, late], activity[:, late], study.weights[late])
    g1, g2, g3 = found.T
    zero, one = np.zeros(len(g1)), np.ones(len(g1))
    with np.errstate(divide="ignore", invalid="ignore"):
        gradients = np.stack([
            np.stack([zero, zero, one], -1),
            np.stack([one, zero, zero], -1),
            np.stack([1 / g3, zero, -g1 / g3**2], -1),
            np.stack([-1 / g2, g1 / g2**2, zero], -1),
        ], axis=1)  # fmt: skip
        values = {"R1": g3, "k2": g1, "k2_prime": g1 / g3, "BPND": -g1 / g2 - 1}
    errors = standard_errors(jacobian, rss, gradients)
    fitted = np.where(late, np.einsum("rtk,rk->rt", design, found), np.nan)
    return estimates(values, dict(zip(values, errors.T, strict=True)), fitted)


def mrtm2(study: Study, k2_prime: float, t_star_min: float) -> Estimates:
    """Fit MRTM2, the multilinear reference tissue model with k2' given, to every region.

    ``C = g1 [integral of C' + C'/k2'] + g2 integral of C`` with BPND = -g1/g2 - 1, R1 = g1/k2',
    k2 = g1 (Ichise et al. 2003, eq. 9).  Parameters and errors as in `mrtm`; standard errors are
    those at the given k2'.

    Raises
    ------
    BadDataError
        Fewer than three frames start after t*.
    """
    late = _late(study, t_star_min, 2)
    integral, activity, reference, input_integral = _curves(study)
    first = np.broadcast_to(input_integral + reference / k2_prime, integral.shape)
    design = np.stack([first, integral], axis=-1)
    found, jacobian, rss = _solve(design[:, late], activity[:, late], study.weights[late])
    g1, g2 = found.T
    zero, one = np.zeros(len(g1)), np.ones(len(g1))
    with np.errstate(divide="ignore", invalid="ignore"):
        gradients = np.stack([
            np.stack([one / k2_prime, zero], -1),
            np.stack([one, zero], -1),
            np.stack([-1 / g2, g1 / g2**2], -1),
        ], axis=1)  # fmt: skip
        values = {"R1": g1 / k2_prime, "k2": g1, "BPND": -g1 / g2 - 1}
    errors = dict(zip(values, standard_errors(jacobian, rss, gradients).T, strict=True))
    fitted = np.where(late, np.einsum("rtk,rk->rt", design, found), np.nan)
    return estimates(values | {"k2_prime": k2_prime * one}, errors, fitted)


def _curves(study: Study) -> tuple[Float64, Float64, Float64, Float64]:
    """Frame means of integral of C and C, each (R, T), of C' and of its integral, (T,)."""
    # What happened while nobody measured is taken from SRTM: the integral needs it.
    targets = study.measured_targets(search_srtm(study).fitted)
    frame = study.timeline.frame
    reference = study.reference
    return (
        targets.integral_means[:, frame],
        study.target,
        reference.means[frame],
        reference.integral_means[frame],
    )


def _late(study: Study, t_star_min: float, n_parameters: int) -> NDArray[np.bool_]:
    """Which frames start after t*, shape (T,)."""
    start = study.timeline.edges_min[study.timeline.frame]
    late = start >= t_star_min - _ROUNDING_MIN
    if late.sum() <= n_parameters:
        raise BadDataError(
            f"{int(late.sum())} frames start later than t* = {t_star_min:g} min, too few for "
            f"{n_parameters} parameters; choose a smaller --t-star"
        )
    return np.asarray(late)


def _solve(design: Float64, values: Float64, weights: Float64) -> tuple[Float64, Float64, Float64]:
    """Weighted least squares by row: coefficients (R, K), weighted design (R, T, K), rss (R,).

    Frames without a finite value (Logan's quotient before the tracer came) do not count.
    """
    root = np.sqrt(weights)
    jacobian, data = design * root[:, None], values * root
    known = np.isfinite(jacobian).all(axis=2) & np.isfinite(data)
    jacobian, data = np.where(known[..., None], jacobian, 0.0), np.where(known, data, 0.0)
    size = np.linalg.norm(jacobian, axis=1)
    size[size == 0] = 1.0
    inverse = np.linalg.pinv(jacobian / size[:, None], rcond=1e-10)
    coefficients = np.einsum("rkt,rt->rk", inverse, data) / size
    rss = ((data - np.einsum("rtk,rk->rt", jacobian, coefficients)) ** 2).sum(axis=1)
    lost = (known.sum(axis=1) <= design.shape[2]) | ~_apart(jacobian / size[:, None])
    coefficients[lost] = np.nan
    return coefficients, jacobian, rss


def _apart(columns: Float64) -> NDArray[np.bool_]:
    """Whether columns of unit length, (R, T, K), differ; a curve equal to its reference fails."""
    singular = np.linalg.svd(columns, compute_uv=False)
    return np.asarray(singular[:, -1] > _COLLINEAR)
