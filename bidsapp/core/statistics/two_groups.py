"""Cut-offs from the values of a cohort: two normal distributions, or the spread of controls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bidsapp.errors import BadDataError

Float = NDArray[np.float64]

_STARTS = (0.2, 0.35, 0.5, 0.65, 0.8)  # parts of the sorted values that begin as lower group
_STEPS = 500
_TOLERANCE, _BOOTSTRAP_TOLERANCE = 1e-9, 1e-7  # gain of the mean log-likelihood by a step
_LEAST_SD = 0.05  # of the standard deviation of all: a component does not shrink onto one value
_BINS = 200  # of the values that are drawn anew for the uncertainty
_SD_LEVEL = 0.95


@dataclass(frozen=True)
class TwoNormals:
    """Two normal distributions, the lower first.

    Attributes
    ----------
    weights, means, sds : (lower, upper)
    log_likelihood : of the values
    """

    weights: tuple[float, float]
    means: tuple[float, float]
    sds: tuple[float, float]
    log_likelihood: float

    def density(self, x: ArrayLike) -> Float:
        """Probability density of the sum.

        Parameters
        ----------
        x : any shape

        Returns
        -------
        ndarray, shape of ``x``
        """
        at = np.asarray(x, np.float64)[..., None]
        parts = stats.norm.pdf(at, self.means, self.sds) * np.asarray(self.weights)
        return np.asarray(parts.sum(axis=-1))

    @property
    def separation(self) -> float:
        """Ashman's D (Ashman et al. 1994, Astron J 108:2348): above 2 the groups are apart."""
        return (self.means[1] - self.means[0]) * math.sqrt(2) / math.hypot(*self.sds)

    @property
    def crossing(self) -> float | None:
        """Value between the means where both groups are as likely; None when there is none.

        The logarithm of their ratio is a parabola, below zero at the lower mean and above at the
        upper one.
        """
        (w0, w1), (m0, m1), (s0, s1) = self.weights, self.means, self.sds
        a = 0.5 / s0**2 - 0.5 / s1**2
        b = m1 / s1**2 - m0 / s0**2
        c = 0.5 * (m0 / s0) ** 2 - 0.5 * (m1 / s1) ** 2 + math.log(w1 * s0 / (w0 * s1))
        if not (a * m0 + b) * m0 + c < 0 < (a * m1 + b) * m1 + c:
            return None
        if abs(a) * (abs(m0) + abs(m1)) < 1e-9 * abs(b):
            return -c / b
        root = math.sqrt(max(b * b - 4 * a * c, 0.0))
        q = -0.5 * (b + math.copysign(root, b))
        middle = 0.5 * (m0 + m1)
        return min((q / a, c / q), key=lambda x: abs(x - middle))

    @property
    def two_sds(self) -> float:
        """Mean and two standard deviations of the lower group."""
        return self.means[0] + 2 * self.sds[0]


@dataclass(frozen=True)
class CutOff:
    """A cut-off.

    Attributes
    ----------
    value : the estimate
    low, high : its 95 % interval
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TwoGroups:
    """Evidence for two groups, and cut-offs between them.

    Attributes
    ----------
    mixture : fitted by maximum likelihood
    bic_gain : BIC of one normal or uniform distribution minus that of two normal ones; above 6 is
        strong evidence for two (Kass & Raftery 1995)
    crossing, two_sds : cut-offs with the intervals of the bootstrap
    support : part of the bootstrap samples with a crossing between two groups
    """

    mixture: TwoNormals
    bic_gain: float
    crossing: CutOff
    two_sds: CutOff
    support: float


def two_groups(
    values: ArrayLike,
    *,
    fewest: int,
    least_bic_gain: float,
    least_separation: float,
    least_share: float,
    resamples: int,
    seed: int,
) -> TwoGroups:
    """Separate a lower from an upper group, or refuse.

    Parameters
    ----------
    values : shape (N,), one per person
    fewest : people that are needed
    least_bic_gain, least_separation, least_share : below these there are no two groups; the share
        is that of the smaller group
    resamples, seed : of the bootstrap

    Returns
    -------
    TwoGroups

    Raises
    ------
    BadDataError
        Too few people, or no two groups: the message names the number.
    """
    x = np.sort(np.asarray(values, np.float64))
    if x.size < fewest:
        raise BadDataError(f"a mixture needs at least {fewest} people, not {x.size}")
    if np.ptp(x) == 0:
        raise BadDataError("all values are the same, so there are no two groups")
    mixture = fit_mixture(x)
    gain = _bic_gain(x, mixture)
    if gain < least_bic_gain:
        raise BadDataError(
            f"one normal or flat distribution describes these {x.size} values as well as two (BIC "
            f"gain {gain:.1f}, needed {least_bic_gain:g}), so there is no cut-off between groups"
        )
    crossing = mixture.crossing
    if mixture.separation < least_separation or crossing is None:
        raise BadDataError(
            f"the two components overlap (Ashman's D {mixture.separation:.1f}, needed "
            f"{least_separation:g}): one skewed group rather than two"
        )
    if min(mixture.weights) < least_share:
        raise BadDataError(
            f"the smaller group holds {min(mixture.weights):.0%} of the people, less than "
            f"{least_share:.0%}: some outliers rather than a group"
        )
    return _with_intervals(x, mixture, gain, crossing, resamples, seed)


def fit_mixture(values: ArrayLike) -> TwoNormals:
    """Fit two normal distributions by maximum likelihood (EM from five fixed starts, the best).

    Parameters
    ----------
    values : shape (N,), not all the same

    Returns
    -------
    Mixture
    """
    x = np.sort(np.asarray(values, np.float64))
    starts = []
    for share in _STARTS:
        middle = min(max(round(share * x.size), 1), x.size - 1)
        low, high = x[:middle], x[middle:]
        sds = [max(float(part.std()), _LEAST_SD * float(x.std())) for part in (low, high)]
        starts.append([share, low.mean(), high.mean(), *sds])
    fitted, likelihoods = _em(x, np.ones((len(_STARTS), x.size)), np.array(starts), _TOLERANCE)
    return _mixture(fitted[int(np.argmax(likelihoods))], float(likelihoods.max()))


def control_cutoff(values: ArrayLike, fewest: int) -> CutOff:
    """Mean and two standard deviations of controls, with its exact interval for normal values.

    The interval is that of the quantile mean + 2 SD, by the non-central t distribution.

    Parameters
    ----------
    values : shape (N,), one per person
    fewest : controls that are needed

    Returns
    -------
    CutOff

    Raises
    ------
    BadDataError
        Too few of them.
    """
    x = np.asarray(values, np.float64)
    if x.size < fewest:
        raise BadDataError(f"at least {fewest} controls are needed, not {x.size}")
    mean, sd, root = float(x.mean()), float(x.std(ddof=1)), math.sqrt(x.size)
    tail = (1 - _SD_LEVEL) / 2
    low, high = (
        float(stats.nct.ppf(p, x.size - 1, 2 * root)) / root * sd for p in (tail, 1 - tail)
    )
    return CutOff(mean + 2 * sd, mean + low, mean + high)


def _bic_gain(x: Float, mixture: TwoNormals) -> float:
    normal = float(stats.norm.logpdf(x, x.mean(), x.std()).sum())
    single = max(normal, -x.size * math.log(np.ptp(x)))  # nor is a flat spread two groups
    return 2 * (mixture.log_likelihood - single) - 3 * math.log(x.size)


def _with_intervals(
    x: Float, mixture: TwoNormals, gain: float, crossing: float, resamples: int, seed: int
) -> TwoGroups:
    """Percentile intervals of a bootstrap over participants."""
    edges = np.linspace(x[0], x[-1], min(_BINS, x.size) + 1)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, edges.size - 2)
    counts = np.bincount(place, minlength=edges.size - 1)
    centres = np.bincount(place, x, minlength=counts.size)[counts > 0] / counts[counts > 0]
    counts = counts[counts > 0]
    drawn = np.random.default_rng(seed).multinomial(x.size, counts / x.size, size=resamples)
    start = np.tile([mixture.weights[0], *mixture.means, *mixture.sds], (resamples, 1))
    fitted, _ = _em(centres, drawn.astype(np.float64), start, _BOOTSTRAP_TOLERANCE)
    refitted = [_mixture(row, 0.0) for row in fitted]
    crossings = [at for refit in refitted if (at := refit.crossing) is not None]
    if not crossings:
        raise BadDataError("no bootstrap sample has two groups, so the cut-off is not stable")
    return TwoGroups(
        mixture=mixture,
        bic_gain=gain,
        crossing=_percentiles(crossing, crossings),
        two_sds=_percentiles(mixture.two_sds, [refit.two_sds for refit in refitted]),
        support=len(crossings) / resamples,
    )


def _percentiles(value: float, drawn: list[float]) -> CutOff:
    low, high = np.quantile(drawn, [(1 - _SD_LEVEL) / 2, (1 + _SD_LEVEL) / 2])
    return CutOff(value, float(low), float(high))


def _em(x: Float, counts: Float, start: Float, tolerance: float) -> tuple[Float, Float]:
    """Expectation and maximisation of many samples of the same values at once.

    Parameters
    ----------
    x : shape (N,)
    counts : shape (B, N), how often a sample holds each value
    start : shape (B, 5), share of the lower group, two means, two standard deviations
    tolerance : gain of the mean log-likelihood by a step that ends them

    Returns
    -------
    parameters : shape (B, 5)
    log_likelihood : shape (B,)
    """
    fitted = start.astype(np.float64)
    likelihoods = np.full(len(fitted), -np.inf)
    going = np.arange(len(fitted))  # samples that have not converged
    for _ in range(_STEPS):
        fitted[going], after = _em_step(x, counts[going], fitted[going])
        improving = after - likelihoods[going] > tolerance * counts[going].sum(axis=1)
        likelihoods[going] = after
        going = going[improving]
        if not going.size:
            break
    return fitted, likelihoods


def _em_step(x: Float, counts: Float, now: Float) -> tuple[Float, Float]:
    """One step of `_em`: better parameters, and the log-likelihood of those that were given."""
    total = counts.sum(axis=1)
    least = _LEAST_SD * np.sqrt(counts @ x**2 / total - (counts @ x / total) ** 2)
    share, m0, m1, s0, s1 = (column[:, None] for column in now.T)
    low = share / s0 * np.exp(-0.5 * ((x - m0) / s0) ** 2)
    high = (1 - share) / s1 * np.exp(-0.5 * ((x - m1) / s1) ** 2)
    both = np.maximum(low + high, 1e-300)
    likelihood = (counts * np.log(both)).sum(axis=1) - 0.5 * math.log(2 * math.pi) * total
    in_low = counts * (low / both)
    parts = []
    for part in (in_low, counts - in_low):
        n = np.maximum(part.sum(axis=1), 1e-9)
        mean = part @ x / n
        variance = np.clip(part @ x**2 / n - mean**2, 0, None)
        parts.append((n, mean, np.maximum(np.sqrt(variance), least)))
    (n0, m0, s0), (_, m1, s1) = parts
    weight = np.clip(n0 / total, 1e-9, 1 - 1e-9)
    return np.column_stack([weight, m0, m1, s0, s1]), likelihood


def _mixture(parameters: Float, log_likelihood: float) -> TwoNormals:
    share, m0, m1, s0, s1 = map(float, parameters)
    if m0 > m1:
        share, m0, m1, s0, s1 = 1 - share, m1, m0, s1, s0
    return TwoNormals((share, 1 - share), (m0, m1), (s0, s1), log_likelihood)
