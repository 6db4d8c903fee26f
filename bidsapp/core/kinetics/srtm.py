"""The simplified reference tissue model by variable projection.

With one tissue compartment each (Lammertsma & Hume, NeuroImage 4:153, 1996)

    C(t) = R1 C'(t) + (k2 - R1 theta) C'(t) * exp(-theta t),    theta = k2 / (1 + BPND)

is linear except for theta. SRTM2 (Wu & Carson, J Cereb Blood Flow Metab 22:1440, 2002) gives all
tissues one k2' = k2 / R1, that of the reference tissue, which leaves R1 and theta:

    C(t) = R1 [C'(t) + (k2' - theta) C'(t) * exp(-theta t)]

The amplitudes follow from theta by weighted linear least squares, so theta alone is searched: on a
grid (the basis functions of Gunn, Lammertsma, Hume & Cunningham, NeuroImage 6:279, 1997), then
between its points. No start value, no local minimum beside the one found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.kinetics.curves import Float64
from bidsapp.core.kinetics.study import Estimates, KineticStudy, estimates, standard_errors

# Per minute. Slower than 0.4 % per minute too little leaves a tissue within a scan to be seen.
THETA = np.geomspace(0.004, 0.6, 96)
_GOLDEN = (np.sqrt(5) - 1) / 2
_HALVINGS = 32  # golden sections: the interval shrinks by 2e-7

# theta (N,) -> columns of the linear problem, mean over every interval, (N, K, E)
Columns = Callable[[Float64], Float64]


@dataclass(frozen=True)
class Search:
    """The best theta of every row.

    Attributes
    ----------
    theta : ndarray, shape (R,)
        Per minute; NaN where the best is the slowest (`best_on_grid`).
    amplitudes : ndarray, shape (R, K)
    at_once : ndarray of bool, shape (R,)
        The best is the fastest: tissue and reference differ by a ratio, DVR, and how fast the
        tracer leaves cannot be determined.
    fitted : ndarray, shape (R, E)
        The model's mean over every interval.
    rss : ndarray, shape (R,)
        Weighted residual sum of squares.
    """

    theta: Float64
    amplitudes: Float64
    at_once: NDArray[np.bool_]
    fitted: Float64
    rss: Float64


def srtm(study: KineticStudy) -> Estimates:
    """Fit SRTM to every region (see the module).

    Parameters
    ----------
    study : Study

    Returns
    -------
    Estimates
        R1, k2, k2' and BPND with standard errors, by region.
    """
    fit = search_srtm(study)
    r1, gain = fit.amplitudes.T
    k2 = gain + r1 * fit.theta
    reference, slope = study.reference, _slope(study.reference.convolved, fit.theta)
    wash = reference.convolved(_safe(fit.theta))
    theta = fit.theta[:, None]
    columns = [
        reference.means - theta * wash,
        wash,
        gain[:, None] * slope - r1[:, None] * wash,
    ]
    jacobian = study.scaled(np.stack(columns, axis=1)).swapaxes(1, 2)
    zeros, ones = np.zeros(len(k2)), np.ones(len(k2))
    with np.errstate(divide="ignore", invalid="ignore"):
        gradients = _rows(
            [ones, zeros, zeros],
            [zeros, ones, zeros],
            [-k2 / r1**2, 1 / r1, zeros],
            [zeros, 1 / fit.theta, -k2 / fit.theta**2],
        )
        values = {"R1": r1, "k2": k2, "k2_prime": k2 / r1, "BPND": k2 / fit.theta - 1}
    errors = standard_errors(jacobian, fit.rss, gradients)
    return _reported(study, fit, values, errors)


def srtm2(study: KineticStudy, k2_prime: float) -> Estimates:
    """Fit SRTM2 to every region; standard errors are those at the given k2', per minute.

    Parameters
    ----------
    study : Study
    k2_prime : clearance of the reference tissue, per minute

    Returns
    -------
    Estimates
    """
    columns = one_column(study, k2_prime)
    fit = search(study, columns)
    r1 = fit.amplitudes[:, 0]
    shape = columns(_safe(fit.theta))[:, 0]
    slope = r1[:, None] * _slope(lambda theta: columns(theta)[:, 0], fit.theta)
    jacobian = study.scaled(np.stack([shape, slope], axis=1)).swapaxes(1, 2)
    zeros, ones = np.zeros(len(r1)), np.ones(len(r1))
    gradients = _rows(
        [ones, zeros],
        [k2_prime * ones, zeros],
        [zeros, zeros],
        [k2_prime / fit.theta, -r1 * k2_prime / fit.theta**2],
    )
    errors = standard_errors(jacobian, fit.rss, gradients)
    errors[:, 2] = np.nan  # given, not estimated
    values = {"R1": r1, "k2": r1 * k2_prime, "k2_prime": k2_prime * ones}
    return _reported(study, fit, values | {"BPND": r1 * k2_prime / fit.theta - 1}, errors)


def search_srtm(study: KineticStudy) -> Search:
    """Best theta and amplitudes (R1, k2 - R1 theta) of SRTM.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Search
    """
    return search(study, two_columns(study))


def response(study: KineticStudy, fit: Search) -> Float64:
    """Derivative of SRTM's fit over every interval by the frames, shape (R, E, T).

    ``J (J'WJ)^-1 J'W`` of the linearised model: the weight of each frame in a break of the study.

    Parameters
    ----------
    study : Study
    fit : of `search_srtm`

    Returns
    -------
    ndarray, shape (R, E, T)
    """
    wash = study.reference.convolved(_safe(fit.theta))
    slope = fit.amplitudes[:, 1, None] * _slope(study.reference.convolved, fit.theta)
    means = np.broadcast_to(study.reference.means, wash.shape)
    columns = np.nan_to_num(np.stack([means, wash, slope], axis=-1))
    root = np.sqrt(study.weights)
    size = np.linalg.norm(columns, axis=1, keepdims=True)
    columns = columns / np.where(size > 0, size, 1.0)
    weighted = columns[:, study.timeline.frame] * root[:, None]
    return np.asarray(columns @ np.linalg.pinv(weighted, rcond=1e-7) * root)


def global_k2_prime(estimates: Estimates) -> float:
    """One k2' of the reference tissue from those of the regions, per minute.

    The median weighted by the inverse variances, so that regions that do not determine it (R1 near
    DVR) do not count; NaN when none does.

    Parameters
    ----------
    estimates : Estimates
        Of `srtm`.

    Returns
    -------
    float
    """
    values, errors = estimates.values["k2_prime"], estimates.errors["k2_prime"]
    usable = np.isfinite(values) & np.isfinite(errors) & (values > 0)
    if not usable.any():
        return float("nan")
    order = np.argsort(values[usable], kind="stable")
    # a fit without residuals is the best there is, not a division by zero
    weights = 1 / np.maximum(errors[usable][order], 1e-9 * values[usable][order]) ** 2
    half = np.searchsorted(np.cumsum(weights), weights.sum() / 2)
    return float(values[usable][order][half])


def search(study: KineticStudy, columns: Columns) -> Search:
    """Find the theta that leaves least of every row.

    Parameters
    ----------
    study : Study
    columns : the model's columns at a theta

    Returns
    -------
    Search
    """
    data = study.scaled_target
    basis, _ = np.linalg.qr(study.scaled(columns(THETA)).swapaxes(1, 2))
    explained = (np.einsum("ntk,rt->rnk", basis, data) ** 2).sum(axis=2)
    best = best_on_grid(explained, (data**2).sum(axis=1), data.shape[1])
    inside = np.clip(best, 1, len(THETA) - 2)
    low, high = np.log(THETA[inside - 1]), np.log(THETA[inside + 1])
    theta = np.exp(_climb(lambda x: _explained(study, columns(np.exp(x)), data), low, high))
    design = columns(theta)
    basis, triangle = np.linalg.qr(study.scaled(design).swapaxes(1, 2))
    inner = np.einsum("rtk,rt->rk", basis, data)
    amplitudes = np.linalg.solve(_regular(triangle), inner[..., None])[..., 0]
    fitted = np.einsum("rk,rke->re", amplitudes, design)
    rss = ((data - study.scaled(fitted)) ** 2).sum(axis=1)
    theta = np.where(best == 0, np.nan, theta)
    return Search(theta, amplitudes, best == len(THETA) - 1, fitted, rss)


def best_on_grid(
    explained: NDArray[np.floating], total: NDArray[np.floating], n_frames: int
) -> NDArray[np.intp]:
    """Index of the best theta of every row, shape (R,); 0, the slowest, is not an answer.

    A curve proportional to its reference (R1 = DVR) has any theta, and noise may pick the slowest,
    of which a DVR of anything would follow. Where the fastest does as well, within four times the
    residual variance, it is taken: the tissue follows its reference at once, in the ratio DVR.

    Parameters
    ----------
    explained : ndarray, shape (R, N)
        Weighted sum of squares that every theta explains.
    total : ndarray, shape (R,)
        Weighted sum of squares.
    n_frames : int

    Returns
    -------
    ndarray of int, shape (R,)
    """
    best = explained.argmax(axis=1)
    rest = (total - explained[:, 0]) / max(n_frames - 3, 1)
    rounding = 8 * np.finfo(explained.dtype).eps * total
    alike = (explained[:, 0] - explained[:, -1] <= 4 * rest + rounding) & (total > 0)
    return np.asarray(np.where((best == 0) & alike, len(THETA) - 1, best))


def two_columns(study: KineticStudy) -> Columns:
    """Columns of SRTM: C' and C' * exp(-theta t).

    Parameters
    ----------
    study : Study

    Returns
    -------
    Columns
        Theta (N,), per minute -> ndarray, shape (N, 2, E), means over the intervals.
    """

    def columns(theta: Float64) -> Float64:
        wash = study.reference.convolved(theta)
        return np.stack([np.broadcast_to(study.reference.means, wash.shape), wash], axis=1)

    return columns


def one_column(study: KineticStudy, k2_prime: float) -> Columns:
    """Column of SRTM2: C' + (k2' - theta) C' * exp(-theta t).

    Parameters
    ----------
    study : Study
    k2_prime : clearance of the reference tissue, per minute

    Returns
    -------
    Columns
        Theta (N,), per minute -> ndarray, shape (N, 1, E), means over the intervals.
    """

    def columns(theta: Float64) -> Float64:
        wash = study.reference.convolved(theta)
        mixed: Float64 = study.reference.means + (k2_prime - theta[:, None]) * wash
        return mixed[:, None]

    return columns


def _explained(study: KineticStudy, design: Float64, data: Float64) -> Float64:
    """Weighted sum of squares that the columns of every row explain of it, shape (R,)."""
    basis, _ = np.linalg.qr(study.scaled(design).swapaxes(1, 2))
    return np.asarray((np.einsum("rtk,rt->rk", basis, data) ** 2).sum(axis=1))


def _climb(height: Callable[[Float64], Float64], low: Float64, high: Float64) -> Float64:
    """Golden-section search for the highest point of every row between ``low`` and ``high``."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = height(left), height(right)
    for _ in range(_HALVINGS):
        go_left = at_left > at_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        probe = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_probe = height(probe)
        left, right = np.where(go_left, probe, right), np.where(go_left, left, probe)
        at_left, at_right = (
            np.where(go_left, at_probe, at_right),
            np.where(go_left, at_left, at_probe),
        )
    return np.asarray((low + high) / 2, dtype=np.float64)


def _slope(values: Callable[[Float64], Float64], theta: Float64) -> Float64:
    """Derivative by theta, central difference."""
    safe = _safe(theta)
    step = 1e-4 * safe
    return np.asarray((values(safe + step) - values(safe - step)) / (2 * step[:, None]))


def _safe(theta: Float64) -> Float64:
    return np.where(np.isfinite(theta), theta, THETA[0])


def _regular(triangle: Float64) -> Float64:
    """Triangles with a tiny pivot instead of none: a row of zeros has amplitudes of zero."""
    diagonal = np.einsum("rkk->rk", triangle)
    least = 1e-12 * np.abs(diagonal).max(axis=1, keepdims=True) + 1e-300
    diagonal[np.abs(diagonal) < least] = least.min()
    return triangle


def _rows(*rows: list[Float64]) -> Float64:
    """Gradients of Q quantities by P parameters, shape (R, Q, P)."""
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=1)


def _reported(
    study: KineticStudy, fit: Search, values: dict[str, Float64], errors: Float64
) -> Estimates:
    names = ("R1", "k2", "k2_prime", "BPND")
    lost = ~np.isfinite(fit.theta)
    unknown = dict.fromkeys(("k2", "k2_prime"), lost | fit.at_once)
    reported, reported_errors = {}, {}
    for index, name in enumerate(names):
        reported[name] = np.where(unknown.get(name, lost), np.nan, values[name])
        reported_errors[name] = np.where(unknown.get(name, lost), np.nan, errors[:, index])
    return estimates(reported, reported_errors, fit.fitted[:, study.timeline.frame])
