"""Cut-offs of cohorts of known truth; no cut-off where there is one group."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.statistics.location import shift
from bidsapp.core.statistics.two_groups import TwoNormals, control_cutoff, fit_mixture, two_groups
from bidsapp.data import read_table
from bidsapp.errors import BadDataError

TRUE = TwoNormals((0.6, 0.4), (2.0, 70.0), (8.0, 28.0), 0.0)
LIMITS = read_table("cohort")["mixture"] | {"resamples": 200}


def drawn(seed, size=300):
    random = np.random.default_rng(seed)
    lower = int(0.6 * size)
    return np.concatenate([random.normal(2, 8, lower), random.normal(70, 28, size - lower)])


def test_two_groups_are_found_again():
    found = two_groups(drawn(3), **LIMITS)
    mixture = found.mixture
    assert mixture.means == pytest.approx(TRUE.means, abs=8)
    assert mixture.sds == pytest.approx(TRUE.sds, rel=0.2)
    assert mixture.weights == pytest.approx(TRUE.weights, abs=0.06)
    assert found.crossing.low < TRUE.crossing < found.crossing.high
    assert found.two_sds.low < 18 < found.two_sds.high
    assert found.support == 1 and found.bic_gain > 100
    assert mixture.density(np.linspace(-100, 300, 2001)).sum() * 0.2 == pytest.approx(1, abs=1e-3)


def test_at_the_crossing_both_groups_are_as_likely():
    at = TRUE.crossing
    parts = [
        weight / sd * np.exp(-0.5 * ((at - mean) / sd) ** 2)
        for weight, mean, sd in zip(TRUE.weights, TRUE.means, TRUE.sds, strict=True)
    ]
    assert parts[0] == pytest.approx(parts[1])
    assert TwoNormals((0.01, 0.99), (0.0, 1.0), (1.0, 5.0), 0.0).crossing is None
    assert TwoNormals((0.5, 0.5), (0.0, 6.0), (2.0, 2.0), 0.0).crossing == pytest.approx(3)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    held = []
    for seed in range(40):
        found = two_groups(drawn(seed), **LIMITS)
        held.append(
            (found.crossing.low < TRUE.crossing < found.crossing.high,
             found.two_sds.low < 18 < found.two_sds.high)
        )  # fmt: skip
    assert (np.mean(held, axis=0) > 0.85).all()


def test_order_does_not_matter_and_the_same_bits_come_again():
    values, few = drawn(2, 100), LIMITS | {"resamples": 20}
    assert two_groups(values, **few) == two_groups(values[::-1], **few)
    assert two_groups(drawn(3, LIMITS["fewest"]), **few).support > 0.9  # just enough people


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.random.default_rng(1).normal(20, 20, 300), "as well as two"),
        (np.linspace(-20, 150, 300), "as well as two"),
        (np.random.default_rng(2).lognormal(3, 0.7, 300), "overlap|as well as two"),
        (np.concatenate([np.random.default_rng(3).normal(0, 8, 300), [150, 160, 170]]), "outliers"),
        (np.zeros(300), "all values are the same"),
        (drawn(1, 30), "a mixture needs at least 40 people, not 30"),
    ],
)
def test_one_group_has_no_cut_off(values, why):
    with pytest.raises(BadDataError, match=why):
        two_groups(values, **LIMITS)


def test_no_component_shrinks_onto_one_value():
    values = np.concatenate([np.full(30, 5.0), drawn(4, 60)])
    assert min(fit_mixture(values).sds) >= 0.05 * values.std() * (1 - 1e-9)


def test_the_interval_of_controls_is_exact():
    random = np.random.default_rng(6)
    held = 0
    for _ in range(500):
        found = control_cutoff(random.normal(3, 5, 12), 8)
        held += found.low < 13 < found.high
    assert held / 500 == pytest.approx(0.95, abs=0.03)
    with pytest.raises(BadDataError, match="at least 8 controls are needed, not 7"):
        control_cutoff(np.arange(7), 8)


def test_shift_between_groups():
    random = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        estimate, low, high = shift(random.normal(5, 10, 15), random.normal(0, 10, 40), 0.95)
        held += low < 5 < high
        assert low <= estimate <= high
    assert held / 200 == pytest.approx(0.95, abs=0.03)
    assert shift([1, 2], [3, 4], 0.95) is None
