"""Lines, their standard errors, limits of agreement, outliers and exchanged people."""

import numpy as np
import pytest
from scipy import stats

from bidsapp.core.statistics.regression import (
    agreement,
    deming,
    exchanged,
    ordinary,
    robust_z,
    spread,
)
from bidsapp.errors import BadDataError


@pytest.fixture
def paired():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.9, 2.5, 60)
    return x, 0.61 * x + 0.39 + 0.08 * rng.standard_normal(60)


def test_ordinary_regression_is_that_of_scipy(paired):
    ours, theirs = ordinary(*paired), stats.linregress(*paired)
    assert (ours.slope, ours.intercept) == pytest.approx((theirs.slope, theirs.intercept))
    assert ours.slope_se == pytest.approx(theirs.stderr)
    assert ours.intercept_se == pytest.approx(theirs.intercept_stderr)
    assert ours.r2 == pytest.approx(theirs.rvalue**2)
    design = np.column_stack([paired[0], np.ones(60)])
    covariance = ours.residual_sd**2 * np.linalg.inv(design.T @ design)
    assert ours.covariance == pytest.approx(covariance[0, 1])


@pytest.mark.parametrize("ratio", [1.0, 0.3, 4.0])
def test_deming_regression_is_total_least_squares_in_units_of_the_errors(paired, ratio):
    x, y = paired
    centred = np.column_stack([x - x.mean(), (y - y.mean()) / np.sqrt(ratio)])
    direction = np.linalg.svd(centred)[2][0]
    line = deming(x, y, ratio)
    assert line.slope == pytest.approx(direction[1] / direction[0] * np.sqrt(ratio))
    assert line.intercept == pytest.approx(y.mean() - line.slope * x.mean())
    slopes = [deming(np.delete(x, i), np.delete(y, i), ratio).slope for i in range(60)]
    assert line.slope_se == pytest.approx(np.sqrt(59) * np.std(slopes))  # jackknife


@pytest.mark.parametrize("fit", [ordinary, deming])
def test_where_the_zero_of_x_lies_moves_the_intercept_along_the_line(paired, fit):
    x, y = paired
    line, moved = fit(x, y), fit(x - 1.5, y)
    assert (moved.slope, moved.slope_se) == pytest.approx((line.slope, line.slope_se))
    assert moved.intercept == pytest.approx(line.at(1.5))
    variance = line.intercept_se**2 + 3 * line.covariance + (1.5 * line.slope_se) ** 2
    assert moved.intercept_se == pytest.approx(np.sqrt(variance))


def test_deming_is_symmetric_and_its_standard_error_is_right():
    rng = np.random.default_rng(3)
    slopes, errors = [], []
    for _ in range(150):
        true = rng.uniform(0, 100, 40)
        x, y = true + rng.normal(0, 8, 40), 1.2 * true + rng.normal(0, 8, 40)
        line, back = deming(x, y), deming(y, x)
        assert back.slope == pytest.approx(1 / line.slope)
        slopes.append(line.slope)
        errors.append(line.slope_se)
    assert np.mean(slopes) == pytest.approx(1.2, abs=0.02)  # ordinary least squares finds 1.12
    assert np.std(slopes) == pytest.approx(np.mean(errors), rel=0.2)


def ends(found):
    return found.at_zero, found.at_one


def test_residuals_that_grow_with_the_load_are_told_from_those_that_do_not():
    rng = np.random.default_rng(4)
    load = np.tile([0.0, 0.05, 0.5, 1.0, 1.3], 400)
    growing = rng.standard_normal(2000) * np.sqrt(0.03**2 + (0.12**2 - 0.03**2) * load**2)
    assert ends(spread(load, growing)) == pytest.approx((0.03, 0.12), rel=0.1)
    assert ends(spread(load, rng.normal(0, 0.05, 2000))) == pytest.approx((0.05, 0.05), rel=0.1)
    assert ends(spread(load, np.zeros(2000))) == (0, 0)
    level = 0.03 * (1 + 3 * np.clip(load / 0.5, 0, 1)) * rng.standard_normal(2000)
    found = spread(load, level, 0.5)
    assert ends(found) == pytest.approx((0.03, 0.12), rel=0.15)
    assert (found.variance[load > 0.5] == found.variance.max()).all()


def test_a_spread_is_widened_by_what_few_residuals_leave_open():
    """1.96 of it hold 95 % of new residuals, whatever the few happened to be."""
    rng = np.random.default_rng(4)
    load = np.repeat([0.0, 0.9], 8)
    sd = np.where(load > 0.5, 0.4, 0.1)
    held, plain = [], []
    for _ in range(200):
        found = spread(load, sd * rng.standard_normal(16), 0.5)
        new = np.abs(rng.standard_normal((50, 2)) * [0.1, 0.4])
        held.append((new < 1.96 * np.array([found.wide_at_zero, found.wide_at_one])).mean(0))
        plain.append((new < 1.96 * np.array(ends(found))).mean(0))
    assert np.mean(held, 0) == pytest.approx([0.95, 0.95], abs=0.02)
    assert (np.mean(plain, 0) < np.mean(held, 0) - 0.01).all()
    many = spread(np.repeat(load, 200), rng.standard_normal(3200), 0.5)
    assert many.wide_at_one == pytest.approx(many.at_one, rel=0.01)


def test_limits_of_agreement():
    found = agreement([1.0, 2.0, 3.0], [2.0, 2.0, 5.0])
    assert (found.bias, found.sd, found.largest, found.n) == (1.0, 1.0, 2.0, 3)
    assert (found.lower, found.upper) == pytest.approx((-0.96, 2.96))
    assert agreement([1.0, 2.0], [2.0, 4.0]).bias == 1.5
    with pytest.raises(BadDataError, match="1 and 1 values"):
        agreement([1.0], [2.0])


def test_exchanged_people_are_found_and_named():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 120, 40)
    y = x + rng.normal(0, 1.5, 40)
    names = [f"P{i:02d}" for i in range(40)]
    z = robust_z(x, y, x / 100, 1.0)
    assert np.abs(z).max() < 6 and exchanged(x, y, z, names, 6) == []
    low, high = int(np.argmin(x)), int(np.argmax(x))
    y[[low, high]] = y[[high, low]]
    z = robust_z(x, y, x / 100, 1.0)
    (pair,) = exchanged(x, y, z, names, 6)
    assert set(pair) == {names[low], names[high]}
    assert (np.abs(z) > 6).sum() == 2


def test_where_the_zero_of_a_measure_lies_does_not_matter_to_exchanges():
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 120, 40)
    names = [f"P{i:02d}" for i in range(40)]
    low, high = int(np.argmin(x)), int(np.argmax(x))
    swapped = x + rng.normal(0, 1.5, 40)
    swapped[[low, high]] = swapped[[high, low]]
    apart = x + rng.normal(0, 1.5, 40)
    apart[[low, high]] += 40, 70  # two outliers that have nothing to do with each other
    for y, number in ((swapped, 1), (apart, 0)):
        for zero in (-500.0, 0.0, 500.0):
            z = robust_z(x, y + zero, x / 100, 1.0)
            assert (np.abs(z) > 6).sum() == 2
            assert len(exchanged(x, y + zero, z, names, 6)) == number


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("sds", [(1.0, 1.0), (0.8, 1.25)])
@pytest.mark.parametrize(
    ("off", "number"), [((2.9, 2.9), 1), ((3.1, 3.1), 0), ((2.9, 3.1), 0), ((3.1, 2.9), 0)]
)
def test_an_exchange_must_bring_both_within_the_limit(off, number, sds, sign):
    """People on the line y = +-x; two are exchanged, and ``off`` standard deviations beside it."""
    x, sd = np.arange(10.0), np.ones(10)
    y = x.copy()
    sd[[2, 7]] = sds
    y[[2, 7]] = 7 + off[1] * sd[7], 2 - off[0] * sd[2]
    z = (y - x) / sd
    assert len(exchanged(x, sign * y, sign * z, list("abcdefghij"), 3.0)) == number


def test_a_line_has_the_values_it_was_fitted_to():
    x = np.array([1.0, 2.0, 4.0])
    for fit in (ordinary, deming):
        np.testing.assert_allclose(fit(x, 3 * x - 2).at([0, 1, 10]), [-2, 1, 28])


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 2, 3], [1, 2], "do not form pairs"),
        ([1, 1, 1], [1, 2, 3], "the same"),
        ([1, 2, np.nan], [1, 2, 3], "finite"),
    ],
)
def test_what_no_line_goes_through_is_said(x, y, word):
    for fit in (ordinary, deming):
        with pytest.raises(BadDataError, match=word):
            fit(x, y)


def test_errors_without_a_ratio_are_refused():
    with pytest.raises(BadDataError, match="must be positive, not 0"):
        deming([1, 2, 3], [1, 2, 4], 0.0)
