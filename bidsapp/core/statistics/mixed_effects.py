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
    low, high : float
        95 % interval, by Student's t with `MixedFit.freedom`.
    """

    name: str
    estimate: float
    se: float
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
    freedom : degrees of freedom of the intervals: participants minus fixed effects
    singular : a variance between participants is zero at the maximum, so their spread is unknown
        by these data
    """

    terms: tuple[Term, ...]
    intercept_sd: float
    slope_sd: float | None
    correlation: float | None
    residual_sd: float
    freedom: int
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
    freedom = int(group.max()) + 1 - design.shape[1]
    if freedom < 1:
        raise BadDataError(
            f"{int(group.max()) + 1} participants are too few for {len(names)} fixed effects; more "
            "participants are needed"
        )
    return _fit(y, group, design, names, slopes, freedom)


def _fit(
    y: Float, group: NDArray[np.int_], design: Float, names: tuple[str, ...], slopes: bool,
    freedom: int,
) -> MixedFit:  # fmt: skip
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
        except (np.linalg.LinAlgError, ValueError) as error:
            raise BadDataError(f"the mixed model could not be computed ({error})") from None
        errors = np.asarray(fit.bse_fe, np.float64)
    estimates = np.asarray(fit.fe_params, np.float64)
    if not (fit.converged and np.isfinite(estimates).all() and np.isfinite(errors).all()):
        raise BadDataError("the mixed model did not converge; look for outliers among the scans")
    width = float(stats.t.ppf(0.975, freedom))
    covariance = np.asarray(fit.cov_re, np.float64)
    sds = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    whole = float(sds.prod())
    correlation = float(covariance[0, -1]) / whole if slopes and whole > 0 else None
    return MixedFit(
        terms=tuple(
            Term(name, float(b), float(se), float(b - width * se), float(b + width * se))
            for name, b, se in zip(names, estimates, errors, strict=True)
        ),
        intercept_sd=float(sds[0]),
        slope_sd=float(sds[1]) if slopes else None,
        correlation=correlation,
        residual_sd=math.sqrt(float(fit.scale)),
        freedom=freedom,
        singular=bool(
            (sds < 1e-3 * math.sqrt(residual)).any()
            or (correlation is not None and abs(correlation) > 0.999)
        ),
    )


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
