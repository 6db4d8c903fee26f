"""Straight lines through paired measurements, their fit, and outliers.

Everything a calibration or a comparison of two pipelines rests on: ordinary and Deming regression
with standard errors, the growth of the residuals with the load, limits of agreement, and pairs of
people whose values look exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from bidsapp.core.grid.sampling import SD_PER_MAD
from bidsapp.errors import BadDataError

Float = NDArray[np.float64]

FEWEST = 3  # people: a line through two has no residual

_LEAST_FREEDOM = 3.0  # Student's t is not followed into its longest tails


@dataclass(frozen=True)
class Line:
    """y = ``slope`` * x + ``intercept``, fitted.

    Attributes
    ----------
    slope, intercept : float
    slope_se, intercept_se : float
        Standard errors.
    covariance : float
        Of slope and intercept.
    r2 : float
        Squared correlation of x and y.
    residual_sd : float
        Standard deviation of y about the line, with n - 2 degrees of freedom; units of y.
    n : int
    """

    slope: float
    intercept: float
    slope_se: float
    intercept_se: float
    covariance: float
    r2: float
    residual_sd: float
    n: int

    def at(self, x: ArrayLike) -> Float:
        """Values of the line.

        Parameters
        ----------
        x : any shape

        Returns
        -------
        ndarray, shape of ``x``
        """
        return self.slope * np.asarray(x, np.float64) + self.intercept


Fit = Callable[[Float, Float], Line]


@dataclass(frozen=True)
class Spread:
    """Standard deviation of residuals as a function of the load.

    Attributes
    ----------
    at_zero, at_one : float
        Standard deviation at load 0 and at load 1, in the units of the residuals; ``at_one`` is
        never the smaller.
    wide_at_zero, wide_at_one : float
        The same, so wide that 1.96 of them hold 95 % of new values: Student's t by the degrees of
        freedom that each rests on.
    variance : ndarray, shape (N,)
        Of each residual, by its load.
    """

    at_zero: float
    at_one: float
    wide_at_zero: float
    wide_at_one: float
    variance: Float


@dataclass(frozen=True)
class Agreement:
    """Limits of agreement of two measurements of the same people (Bland & Altman 1986).

    Attributes
    ----------
    bias : float
        Mean of second minus first.
    sd : float
        Of the differences.
    lower, upper : float
        ``bias`` -+ 1.96 ``sd``.
    largest : float
        Largest absolute difference.
    n : int
    """

    bias: float
    sd: float
    lower: float
    upper: float
    largest: float
    n: int


def ordinary(x: ArrayLike, y: ArrayLike) -> Line:
    """Ordinary least squares: all error in y.

    Parameters
    ----------
    x, y : shape (N,)

    Returns
    -------
    Line

    Raises
    ------
    BadDataError
        Fewer than three pairs, or x does not vary.
    """
    a, b = _pairs(x, y)
    deviation = a - a.mean()
    squares = float(deviation @ deviation)
    slope = float(deviation @ b) / squares
    intercept = float(b.mean() - slope * a.mean())
    residual = b - slope * a - intercept
    variance = float(residual @ residual) / (a.size - 2)
    return Line(
        slope=slope,
        intercept=intercept,
        slope_se=float(np.sqrt(variance / squares)),
        intercept_se=float(np.sqrt(variance * (1 / a.size + a.mean() ** 2 / squares))),
        covariance=float(-a.mean() * variance / squares),
        r2=_r2(a, b),
        residual_sd=float(np.sqrt(variance)),
        n=a.size,
    )


def deming(x: ArrayLike, y: ArrayLike, error_ratio: float = 1.0) -> Line:
    """Deming regression: error in both, as two scans of one person have.

    Standard errors by the jackknife (Linnet 1993, Clin Chem 39:424).

    Parameters
    ----------
    x, y : shape (N,)
    error_ratio : variance of the error of y over that of x

    Returns
    -------
    Line

    Raises
    ------
    BadDataError
        Fewer than three pairs, x does not vary, or the ratio is not positive.
    """
    a, b = _pairs(x, y)
    if not error_ratio > 0:
        raise BadDataError(f"the ratio of error variances must be positive, not {error_ratio:g}")
    slope, intercept = _deming(a, b, error_ratio)
    n = a.size
    left_out = np.array([_deming(np.delete(a, i), np.delete(b, i), error_ratio) for i in range(n)])
    pseudo = n * np.array([slope, intercept]) - (n - 1) * left_out
    covariance = np.cov(pseudo, rowvar=False) / n
    residual = b - slope * a - intercept
    return Line(
        slope=slope,
        intercept=intercept,
        slope_se=float(np.sqrt(covariance[0, 0])),
        intercept_se=float(np.sqrt(covariance[1, 1])),
        covariance=float(covariance[0, 1]),
        r2=_r2(a, b),
        residual_sd=float(np.sqrt(residual @ residual / (n - 2))),
        n=n,
    )


def spread(load: ArrayLike, residual: ArrayLike, full_at: float = math.inf) -> Spread:
    """Standard deviation of residuals by load.

    The variance is taken to be v0 + v1 min(max(load, 0), full_at)^2, and both are fitted by maximum
    likelihood (scaled by n / (n - 2) for the fitted line): pairs of tracers scatter two to seven
    times more among patients than among young controls, so one residual standard deviation would
    be wrong for both.

    Parameters
    ----------
    load : shape (N,), for example Centiloid / 100
    residual : shape (N,)
    full_at : load beyond which it grows no more

    Returns
    -------
    Spread
    """
    squared = np.asarray(residual, np.float64) ** 2
    growth = (np.clip(np.asarray(load, np.float64), 0, full_at) / min(full_at, 1.0)) ** 2
    typical = float(squared.mean())
    if typical == 0:
        return Spread(0.0, 0.0, 0.0, 0.0, np.zeros_like(squared))

    def minus_log_likelihood(logs: Float) -> float:
        variance = typical * (np.exp(logs[0]) + np.exp(logs[1]) * growth)
        return float(np.sum(np.log(variance) + squared / variance))

    fit = optimize.minimize(
        minus_log_likelihood,
        np.log([0.5, 0.5]),
        method="L-BFGS-B",
        bounds=[(-9.0, 5.0), (-9.0, 9.0)],
    )
    parts = typical * np.exp(fit.x) * squared.size / (squared.size - 2)
    patterns = np.stack([np.ones_like(growth), growth])
    variance = parts @ patterns
    # Fisher information of the two variances: how many degrees of freedom each end rests on
    error = np.linalg.pinv(0.5 * (patterns / variance**2) @ patterns.T)
    wide = [
        widened(
            math.sqrt(value), 2 * value**2 / max(float(ends @ error @ ends), np.finfo(float).tiny)
        )
        for value, ends in ((parts[0], np.array([1.0, 0.0])), (parts.sum(), np.ones(2)))
    ]
    return Spread(
        at_zero=math.sqrt(parts[0]),
        at_one=math.sqrt(parts.sum()),
        wide_at_zero=wide[0],
        wide_at_one=max(wide),
        variance=variance,
    )


def widened(sd: float, freedom: float) -> float:
    """So wide a standard deviation that 1.96 of it hold 95 % of new values (Student's t).

    Parameters
    ----------
    sd : estimated
    freedom : degrees of freedom it rests on

    Returns
    -------
    float
    """
    return sd * float(stats.t.ppf(0.975, max(freedom, _LEAST_FREEDOM)) / stats.norm.ppf(0.975))


def agreement(first: ArrayLike, second: ArrayLike) -> Agreement:
    """Limits of agreement of ``second`` with ``first``, both of shape (N,).

    Parameters
    ----------
    first, second : shape (N,)
        Measurements of the same people in the same order.

    Returns
    -------
    Agreement

    Raises
    ------
    BadDataError
        Fewer than two pairs.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.size < 2 or a.shape != b.shape:
        raise BadDataError(f"{a.size} and {b.size} values: two of each at least are compared")
    difference = b - a
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    return Agreement(
        bias=bias,
        sd=sd,
        lower=bias - 1.96 * sd,
        upper=bias + 1.96 * sd,
        largest=float(np.abs(difference).max()),
        n=a.size,
    )


def robust_z(x: ArrayLike, y: ArrayLike, load: ArrayLike, least_sd: float) -> Float:
    """Residuals of y about a line that outliers do not bend, in standard deviations.

    Siegel's repeated medians for the line (he stands half of the pairs being wrong); the scale is
    the median absolute deviation, which grows with ``load`` as the median of the residuals does.

    Parameters
    ----------
    x, y, load : shape (N,)
    least_sd : the scale is never taken smaller, so that rounding makes no outlier

    Returns
    -------
    ndarray, shape (N,)
    """
    a, b = _pairs(x, y)
    slope, intercept = stats.siegelslopes(b, a)
    residual = b - slope * a - intercept
    high = np.asarray(load, np.float64) > 0.3
    scale = np.empty_like(residual)
    for group in (high, ~high):
        part = residual[group] if group.sum() >= 8 else residual
        scale[group] = max(SD_PER_MAD * float(np.median(np.abs(part))), least_sd)
    return residual / scale


def exchanged(
    x: ArrayLike, y: ArrayLike, z: Float, names: Sequence[str], limit: float
) -> list[tuple[str, str]]:
    """Pairs of outliers whose y values would both fit if they were exchanged.

    Parameters
    ----------
    x, y : shape (N,)
    z : as `robust_z` gives them
    names : of the N people
    limit : |z| from which a value is an outlier

    Returns
    -------
    list of (name, name)
        Nobody is in two pairs; the best pair comes first.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    slope, intercept = stats.siegelslopes(b, a)
    residual = b - slope * a - intercept
    exchanges = []
    for i, j in combinations(map(int, np.flatnonzero(np.abs(z) > limit)), 2):
        scale = abs(residual[i] / z[i]), abs(residual[j] / z[j])
        after = (
            abs(b[j] - slope * a[i] - intercept) / scale[0],
            abs(b[i] - slope * a[j] - intercept) / scale[1],
        )
        if max(after) < limit:
            exchanges.append((max(after), i, j))
    taken: set[int] = set()
    pairs = []
    for _, i, j in sorted(exchanges):
        if not taken & {i, j}:
            taken |= {i, j}
            pairs.append((names[i], names[j]))
    return pairs


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[Float, Float]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise BadDataError(f"{a.size} and {b.size} values do not form pairs")
    if a.size < FEWEST:
        raise BadDataError(f"{a.size} pairs: a line needs at least {FEWEST}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BadDataError("a line needs finite values; leave out the people without a number")
    if np.ptp(a) == 0:
        raise BadDataError("all first values are the same: no line goes through them")
    return a, b


def _deming(a: Float, b: Float, error_ratio: float) -> tuple[float, float]:
    deviation = a - a.mean(), b - b.mean()
    xx, yy = float(deviation[0] @ deviation[0]), float(deviation[1] @ deviation[1])
    xy = float(deviation[0] @ deviation[1])
    if xy == 0:
        return 0.0, float(b.mean())
    half = yy - error_ratio * xx
    slope = (half + np.sqrt(half**2 + 4 * error_ratio * xy**2)) / (2 * xy)
    return float(slope), float(b.mean() - slope * a.mean())


def _r2(a: Float, b: Float) -> float:
    return float(np.corrcoef(a, b)[0, 1] ** 2) if np.ptp(b) > 0 else 0.0
