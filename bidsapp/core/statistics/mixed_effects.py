"""Course of a cohort: linear mixed effects with intercept and slope of every participant.

Laird & Ware 1982 (Biometrics 38:963), by restricted maximum likelihood in statsmodels. It is
started from moments of the data: from its own start the optimiser does not reach the maximum.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bidsapp.errors import BadDataError

Float = NDArray[np.float64]

INTERCEPT, YEARS = "intercept", "years"
_LEAST_SHARE = 0.05  # of a start value: a variance of zero is a place the optimiser cannot leave


@dataclass(frozen=True)
class Term:
    """A fixed effect.

    Attributes
    ----------
    name : str
    estimate, se : float
    freedom : int
        Degrees of freedom: participants minus fixed effects, for the change per year those with
        scans at two times or more, because the others tell nothing of it.
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
    singular : a variance between participants is zero at the maximum, so their spread is unknown
        by these data
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
    if np.linalg.matrix_rank(design / np.abs(design).max(axis=0)) < design.shape[1]:
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
    n_again = sum(np.ptp(t[group == person]) > 0 for person in range(n_people))
    freedom = dict.fromkeys(names, n_people - len(names)) | {YEARS: max(n_again - len(names), 1)}
    return _fit(y, group, design, freedom, slopes)


def _fit(
    y: Float, group: NDArray[np.int_], design: Float, freedom: Mapping[str, int], slopes: bool
) -> MixedFit:
    """Fit by statsmodels, which is imported here because it takes seconds."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    random = design[:, : 2 if slopes else 1]
    coefficients, residual, between = _moments(y, group, design, slopes)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")  # they are reported by `converged` and `singular`
        try:
            fit = MixedLM(y, design, groups=group, exog_re=random).fit(
                start_params=MixedLMParams.from_components(coefficients, between / residual),
                reml=True,
                method=["lbfgs", "bfgs"],
            )
            errors = _standard_errors(design, random, group, fit.cov_re, fit.scale)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise BadDataError(f"the mixed model could not be computed ({error})") from None
    estimates = np.asarray(fit.fe_params, np.float64)
    if not (fit.converged and np.isfinite(estimates).all() and np.isfinite(errors).all()):
        raise BadDataError("the mixed model did not converge; look for outliers among the scans")
    covariance = np.asarray(fit.cov_re, np.float64)
    sds = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    whole = float(sds.prod())
    correlation = float(covariance[0, -1]) / whole if slopes and whole > 0 else None
    return MixedFit(
        terms=tuple(
            _term(name, float(b), float(se), degrees)
            for (name, degrees), b, se in zip(freedom.items(), estimates, errors, strict=True)
        ),
        intercept_sd=float(sds[0]),
        slope_sd=float(sds[1]) if slopes else None,
        correlation=correlation,
        residual_sd=math.sqrt(float(fit.scale)),
        singular=bool(
            (sds < 1e-3 * math.sqrt(residual)).any()
            or (correlation is not None and abs(correlation) > 0.999)
        ),
    )


def _term(name: str, estimate: float, se: float, freedom: int) -> Term:
    width = float(stats.t.ppf(0.975, freedom)) * se
    return Term(name, estimate, se, freedom, estimate - width, estimate + width)


def _standard_errors(
    design: Float, random: Float, group: NDArray[np.int_], between: Float, scale: float
) -> Float:
    """Standard errors of generalised least squares, as those of R's nlme and lme4.

    Those of statsmodels invert the observed information of fixed effects and variances together, of
    which in a restricted likelihood the cross terms make them too large, twofold in ten people.
    """
    information = np.zeros((design.shape[1],) * 2)
    for places in (np.flatnonzero(group == person) for person in np.unique(group)):
        x, z = design[places], random[places]
        covariance = z @ between @ z.T + scale * np.eye(places.size)
        information += x.T @ np.linalg.solve(covariance, x)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))


def _moments(
    y: Float, group: NDArray[np.int_], design: Float, slopes: bool
) -> tuple[Float, float, Float]:
    """Start of the fit: coefficients, residual variance, covariance between participants.

    From the lines of least squares of every participant: their scatter is that of the
    participants plus what the scans' own scatter gives.
    """
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    rest, t = y - design @ coefficients, design[:, 1]
    counts = np.bincount(group)
    t_mean, rest_mean = (np.bincount(group, values) / counts for values in (t, rest))
    dt, dr = t - t_mean[group], rest - rest_mean[group]
    spread = np.bincount(group, dt**2)
    own = np.bincount(group, dt * dr) / np.where(spread > 0, spread, 1.0)
    if not slopes:
        own = np.zeros_like(own)
    left = np.bincount(group, (dr - own[group] * dt) ** 2)
    free = np.clip(counts - 1 - (spread > 0) * slopes, 0, None)
    typical = max(float(rest @ rest) / rest.size, 1e-12)
    residual = max(float(left.sum()) / max(int(free.sum()), 1), 1e-3 * typical)
    levels = rest_mean - own * t_mean
    variances = [_between(levels, residual * (1 / counts), typical)]
    if slopes:
        seen = spread > 0
        variances = [
            _between(levels[seen], residual * (1 / counts + t_mean**2 / np.where(seen, spread, 1))[
                seen], typical),
            _between(own[seen], residual / spread[seen], typical / max(float(np.var(t)), 1e-12)),
        ]  # fmt: skip
    return np.asarray(coefficients), residual, np.asarray(np.diag(variances))


def _between(lines: Float, error: Float, typical: float) -> float:
    scatter = float(np.var(lines, ddof=1)) if lines.size > 1 else typical
    return max(scatter - float(np.mean(error)), _LEAST_SHARE * scatter, 1e-6 * typical)
