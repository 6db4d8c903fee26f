"""Course of a cohort: linear mixed effects with intercept and slope of every participant.

Laird & Ware 1982 (Biometrics 38:963), by restricted maximum likelihood. Once the covariance between
participants, over the variance of scans, is given, all else follows by generalised least squares:
the likelihood is one of the three numbers of its Cholesky factor (Bates & DebRoy 2004, J Multivar
Anal 91:1), which has no trouble with spreads of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from bidsapp.errors import BadDataError

Float = NDArray[np.float64]

INTERCEPT, YEARS = "intercept", "years"
_STARTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # spread of participants over that of scans
_TOLERANCE = 1e-7  # of the deviance
_RESTARTS = 20
_LEAST_SPAN = 0.05  # of the longest course: two tracers within days say nothing about the years


@dataclass(frozen=True)
class Term:
    """A fixed effect.

    Attributes
    ----------
    name : str
    estimate, se : float
    freedom : int
        Degrees of freedom: participants minus fixed effects, for the change per year those with
        scans further apart than `_LEAST_SPAN`, because the others say nothing about it.
    low, high : float
        95 % interval, by Student's t.
    """

    name: str
    estimate: float
    se: float
    freedom: int
    low: float
    high: float


@dataclass(frozen=True)
class MixedFit:
    """A fitted model.

    Attributes
    ----------
    terms : fixed effects, in the order they were given
    intercept_sd, slope_sd : between participants; ``slope_sd`` None when all share one slope
    correlation : of intercept and slope of a participant; None when it is not known
    residual_sd : of a scan about the participant's line
    singular : a variance between participants, of intercepts, slopes or both together, is zero at
        the maximum, so their spread is unknown by these data
    """

    terms: tuple[Term, ...]
    intercept_sd: float
    slope_sd: float | None
    correlation: float | None
    residual_sd: float
    singular: bool


def mixed_effects(
    values: ArrayLike,
    people: Sequence[int],
    years: ArrayLike,
    fixed: Mapping[str, ArrayLike],
    *,
    slopes: bool,
) -> MixedFit:
    """Fit values of scans by years and other fixed effects, with random effects of participants.

    Parameters
    ----------
    values : shape (N,), for example Centiloids
    people : number of the participant, 0 to M - 1, of every scan
    years : shape (N,), since the first scan of the participant
    fixed : further columns by name, each shape (N,), finite
    slopes : every participant has a slope of their own, not only an intercept

    Returns
    -------
    MixedFit

    Raises
    ------
    BadDataError
        Two columns say the same, too few participants for so many effects, or the optimiser did
        not converge.
    """
    y, t = np.asarray(values, np.float64), np.asarray(years, np.float64)
    group = np.asarray(people)
    names = (INTERCEPT, YEARS, *fixed)
    design = np.column_stack(
        [np.ones_like(y), t, *(np.asarray(column, np.float64) for column in fixed.values())]
    )
    largest = np.abs(design).max(axis=0)
    if np.linalg.matrix_rank(design / np.where(largest > 0, largest, 1.0)) < design.shape[1]:
        raise BadDataError(
            f"the fixed effects {', '.join(names)} cannot be distinguished in these scans; leave "
            "one of them out"
        )
    n_people = int(group.max()) + 1
    if n_people <= len(names):
        raise BadDataError(
            f"{n_people} participants are too few for {len(names)} fixed effects; more "
            "participants are needed"
        )
    spans = np.array([np.ptp(t[group == person]) for person in range(n_people)])
    n_again = int((spans > _LEAST_SPAN * spans.max()).sum())
    freedom = dict.fromkeys(names, n_people - len(names)) | {YEARS: max(n_again - len(names), 1)}
    return _fit(y, group, design, freedom, slopes)


def _fit(
    y: Float, group: NDArray[np.int_], design: Float, freedom: Mapping[str, int], slopes: bool
) -> MixedFit:
    n_random = 2 if slopes else 1
    rough = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ rough
    if not np.ptp(rest) > 1e-9 * np.abs(y).max(initial=1.0):
        raise BadDataError("no mixed model: the values do not scatter about the fixed effects")
    sums = _sums(rest, design, design[:, :n_random], group)
    spread_of_time = math.sqrt(float(np.mean(design[:, 1] ** 2)))
    units = (1.0, 1 / spread_of_time)[:n_random]
    try:
        least = _least(lambda factor: _at(sums, factor).deviance, units)
    except np.linalg.LinAlgError:  # spreads without end: no scan scatters about its line
        least = None
    if least is None:
        raise BadDataError("the mixed model did not converge; look for outliers among the scans")
    fit = _at(sums, least)
    errors = np.sqrt(np.diag(np.linalg.inv(fit.information)) * fit.scale)
    covariance = least @ least.T * fit.scale
    sds = np.sqrt(np.diag(covariance))
    # in units of the scatter that they make among the scans, whatever years are counted in
    is_zero = bool((sds / units < 1e-3 * math.sqrt(fit.scale)).any())
    correlation = float(covariance[0, 1] / sds.prod()) if slopes and not is_zero else None
    return MixedFit(
        terms=tuple(
            _term(name, float(b), float(se), degrees)
            for (name, degrees), b, se in zip(
                freedom.items(), rough + fit.coefficients, errors, strict=True
            )
        ),
        intercept_sd=float(sds[0]),
        slope_sd=float(sds[1]) if slopes else None,
        correlation=correlation,
        residual_sd=math.sqrt(fit.scale),
        singular=is_zero or (correlation is not None and abs(correlation) > 0.999),
    )


def _term(name: str, estimate: float, se: float, freedom: int) -> Term:
    width = float(stats.t.ppf(0.975, freedom)) * se
    return Term(name, estimate, se, freedom, estimate - width, estimate + width)


@dataclass(frozen=True)
class _Sums:
    """Sums of products of columns, which are all that the likelihood needs of the scans.

    Attributes
    ----------
    random : of random effects, shape (M, q, q), by participant
    mixed : of random effects with fixed effects and values, shape (M, q, p + 1)
    fixed : of fixed effects and values, shape (p + 1, p + 1)
    n : scans
    """

    random: Float
    mixed: Float
    fixed: Float
    n: int


@dataclass(frozen=True)
class _Point:
    """What follows from a covariance between participants.

    Attributes
    ----------
    deviance : -2 log restricted likelihood, except for a constant
    coefficients : of the fixed effects
    information : of them, over ``scale``
    scale : variance of scans
    """

    deviance: float
    coefficients: Float
    information: Float
    scale: float


def _sums(y: Float, design: Float, random: Float, group: NDArray[np.int_]) -> _Sums:
    both = np.column_stack([design, y])
    return _Sums(
        random=_by_person(random, random, group),
        mixed=_by_person(random, both, group),
        fixed=both.T @ both,
        n=y.size,
    )


def _by_person(left: Float, right: Float, group: NDArray[np.int_]) -> Float:
    total = np.zeros((int(group.max()) + 1, left.shape[1], right.shape[1]))
    np.add.at(total, group, left[:, :, None] * right[:, None, :])
    return total


def _at(sums: _Sums, factor: Float) -> _Point:
    """Likelihood of a Cholesky factor of the covariance between participants over ``scale``."""
    inner = np.eye(len(factor)) + factor.T @ sums.random @ factor
    part = factor.T @ sums.mixed
    products = sums.fixed - np.einsum("mqa,mqb->ab", part, np.linalg.solve(inner, part))
    information, score = products[:-1, :-1], products[:-1, -1]
    coefficients = np.linalg.solve(information, score)
    squares = max(float(products[-1, -1] - score @ coefficients), np.finfo(float).tiny)
    freedom = sums.n - len(coefficients)
    determinants = np.linalg.slogdet(inner)[1].sum() + np.linalg.slogdet(information)[1]
    deviance = float(determinants) + freedom * math.log(squares)
    return _Point(deviance, coefficients, information, squares / freedom)


def _least(deviance: Callable[[Float], float], units: Sequence[float]) -> Float | None:
    """Factor of the least deviance: the best of a grid, then a simplex, again until nothing is won.

    None where it does not end.
    """
    size, scales = len(units), np.asarray(units)[:, None]
    corner = np.tril_indices(size)

    def factor(numbers: ArrayLike) -> Float:
        matrix = np.zeros((size, size))
        matrix[corner] = numbers
        return scales * matrix

    starts = [np.diag(start)[corner] for start in product(_STARTS, repeat=size)]
    best = min(starts, key=lambda numbers: deviance(factor(numbers)))
    least = math.inf
    for _ in range(_RESTARTS):  # a simplex may collapse before the minimum
        simplex = optimize.minimize(
            lambda numbers: deviance(factor(numbers)), best, method="Nelder-Mead",
            options={
                "initial_simplex": np.vstack([best, best + 0.5 * np.diag(np.abs(best) + 0.1)]),
                "maxiter": 2000, "fatol": _TOLERANCE, "xatol": 1e-6 * max(np.abs(best).max(), 1.0),
            },
        )  # fmt: skip
        if simplex.success and least - simplex.fun < _TOLERANCE:
            return factor(simplex.x)
        best, least = simplex.x, min(simplex.fun, least)
    return None
