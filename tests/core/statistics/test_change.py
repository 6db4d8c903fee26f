"""Change and slope of a person: intervals that hold the truth, limits that hold no change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs
from bidsapp.core.quantification.uncertainty import ScanError, propagate
from bidsapp.core.statistics.change import (
    Change,
    Measured,
    anchor_sd,
    change,
    scale_sd,
    weighted_slope,
)
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.errors import BadDataError

ERROR = ScanError(repeatability(), 1.3)
REPEATS = 4000


def scans(random, equation, *true):
    """Centiloids of scans of true Centiloid values, each REPEATS times, and their errors."""
    for value in true:
        suvr = (value - equation.intercept) / equation.slope
        drawn = suvr * (1 + repeatability() * random.standard_normal(REPEATS))
        yield equation.slope * drawn + equation.intercept, equation.slope * drawn * repeatability()


def test_without_a_change_95_of_100_pairs_stay_within_the_limit():
    random = np.random.default_rng(1)
    (a, sa), (b, sb) = scans(random, tracers()["FBB"].equation, 80.0, 80.0)
    relative = scale_sd(tracers()["FBB"].equation, ERROR)
    found = [
        change(Measured(*first), Measured(*last), relative)
        for first, last in zip(zip(a, sa, strict=True), zip(b, sb, strict=True), strict=True)
    ]
    assert np.mean([not one.reliable for one in found]) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("code", ["PIB", "FBB", "FMM"])
def test_the_interval_holds_the_true_change_over_calibrations_people_and_scans(code):
    """Anchors, line and the tracer's own signal are drawn anew, once for both scans."""
    equation, random = tracers()[code].equation, np.random.default_rng(2)
    anchors, pairs = equation.anchors, equation.pairs
    before, after = 10.0, 90.0
    young, patients = (
        random.normal(mean, sd / math.sqrt(n), REPEATS)
        for mean, sd, n in (
            (anchors.young_mean, anchors.young_sd, anchors.young_n),
            (anchors.patients_mean, anchors.patients_sd, anchors.patients_n),
        )
    )
    gain, offset, own = np.ones(REPEATS), np.zeros(REPEATS), np.zeros((2, REPEATS))
    true_gain, true_offset = 1.0, 0.0
    if pairs is not None:
        var_gain, both, var_offset = pairs.covariance
        true_gain, true_offset = pairs.gain, pairs.offset
        gain, offset = random.multivariate_normal(
            [true_gain, true_offset], [[var_gain, both], [both, var_offset]], REPEATS
        ).T
        level, growth = random.standard_normal((2, REPEATS))
        low, high = (
            propagate((c - equation.intercept) / equation.slope, equation, ERROR, None)
            .components["tracer"] / equation.slope for c in (0.0, 100.0)
        )  # fmt: skip
        part = math.sqrt(high**2 - low**2)
        own = np.array([low * level + part * growth * c / 100 for c in (before, after)])
    values, sds = [], []
    for c, extra in zip((before, after), own, strict=True):
        pib = anchors.young_mean + c / 100 * (anchors.patients_mean - anchors.young_mean)
        suvr = (true_gain * pib + true_offset + extra) * random.normal(1, repeatability(), REPEATS)
        values.append(100 * ((suvr - offset) / gain - young) / (patients - young))
        sds.append(abs(equation.slope) * suvr * repeatability())
    relative = scale_sd(equation, ERROR)
    spread = np.sqrt(sds[0] ** 2 + sds[1] ** 2 + (relative * (values[1] - values[0])) ** 2)
    held = np.abs(values[1] - values[0] - (after - before)) < 1.96 * spread
    assert 0.92 < held.mean() < 0.975


def test_what_two_tracers_do_not_share_is_counted_twice():
    first, last = Measured(20.0, 3.0, 4.0, 1.0), Measured(50.0, 4.0, 6.0, 2.0)
    same = change(first, last, 0.1)
    assert same.limit == pytest.approx(1.96 * 5, rel=1e-4) and same.sd == math.hypot(5, 3)
    other = change(first, last, 0.1, same_tracer=False)
    assert other.sd == pytest.approx(math.hypot(5, 4, 6, 3)) and other.limit > same.limit
    pipelines = change(first, last, 0.1, same_pipeline=False)
    assert pipelines.sd == pytest.approx(math.hypot(5, 1, 2, 3))


def test_the_interval_lies_about_the_change_by_its_own_error():
    low, high = Change(value=10.0, sd=2.0, limit=50.0).interval
    assert (low, high) == pytest.approx((10 - 3.919928, 10 + 3.919928))


def test_a_rate_is_the_change_over_time():
    found = change(Measured(20.0, 1.0), Measured(30.0, 1.0), 0.0)
    rate, low, high = found.rate(2.0)
    assert rate == 5.0 and low == found.interval[0] / 2 and high == found.interval[1] / 2
    with pytest.raises(BadDataError, match="must differ in time"):
        found.rate(0.0)


def test_the_scale_stretches_a_change_by_the_errors_of_its_means_and_gain():
    anchors = Anchors(1.0, 0.06, 36, 2.0, 0.2, 25)
    pib = Equation(100.0, -100.0, "wc", "s", "d", 9, anchors=anchors)
    assert anchor_sd(pib) == pytest.approx(math.hypot(0.01, 0.04))
    assert scale_sd(pib, ERROR) == anchor_sd(pib)
    pairs = Pairs(0.5, 0.5, 0.0, (0.0004, 0.0, 0.0), (0.0, 0.0))
    tracer = Equation(200.0, -200.0, "wc", "s", "d", 9, anchors=anchors, pairs=pairs)
    assert scale_sd(tracer, ERROR) == pytest.approx(math.hypot(0.01, 0.04, 0.04))
    assert anchor_sd(Equation(100.0, -100.0, "wc", "s", "d", 9)) == 0.0


@pytest.mark.parametrize("visits", [3, 5])
def test_the_interval_of_a_slope_holds_the_truth(visits):
    random = np.random.default_rng(visits)
    years = np.arange(visits) * 1.5
    sds = np.linspace(2, 4, visits)
    held = 0
    for _ in range(1000):
        line = weighted_slope(years, 10 + 3 * years + random.normal(0, sds), sds, 0.0)
        held += line.interval[0] <= 3 <= line.interval[1]
    assert 0.945 < held / 1000 < 0.99  # scatter widens and never narrows


def test_scatter_beyond_the_errors_widens_the_slope():
    calm = weighted_slope([0, 1, 2], [0, 1, 2], [1, 1, 1], 0.0)
    assert calm.value == pytest.approx(1) and calm.widening == 1 and calm.chi2 < 1e-9
    wild = weighted_slope([0, 1, 2], [0, 9, 2], [1, 1, 1], 0.0)
    assert wild.widening == pytest.approx(math.sqrt(wild.chi2)) and wild.widening > 4
    assert wild.sd == pytest.approx(calm.sd * wild.widening)


def test_a_slope_follows_the_units_of_time_and_of_values():
    years, values, sds = (
        np.array([0, 0.2, 0.5]),
        np.array([3.0, 3.9, 3.2]),
        np.array([0.1, 0.2, 0.1]),
    )
    line = weighted_slope(years, values, sds, 0.05)
    other = weighted_slope(12 * years, 30 * values, 30 * sds, 0.05)
    assert (other.value, other.sd) == pytest.approx((2.5 * line.value, 2.5 * line.sd))
    assert (other.widening, other.chi2) == pytest.approx((line.widening, line.chi2))


@pytest.mark.parametrize(
    ("years", "sds"), [([0, 1], [1, 1]), ([1, 1, 1], [1, 1, 1]), ([0, 1, 2], [1, 0, 1])]
)
def test_no_slope_without_three_times_and_errors(years, sds):
    with pytest.raises(BadDataError, match="three at different times"):
        weighted_slope(years, years, sds, 0.0)
