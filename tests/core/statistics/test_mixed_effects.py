"""The mixed model finds the truth of simulated cohorts, and says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.statistics.mixed_effects import mixed_effects
from bidsapp.errors import BadDataError


def simulated(people, visits, seed, spread=2.0):
    """Centiloid 20 + 0.8 (age - 70) + 3 per year; SDs 30, ``spread`` per year and 3."""
    random = np.random.default_rng(seed)
    age, own = random.normal(0, 6, people), random.normal(20, 30, people)
    slopes = random.normal(3, spread, people)
    who = np.repeat(np.arange(people), visits)
    visit = np.tile(np.arange(visits), people)
    years = 2.0 * visit + random.uniform(-0.2, 0.2, who.size) * (visit > 0)
    values = own[who] + 0.8 * age[who] + slopes[who] * years + random.normal(0, 3, who.size)
    return values, who, years, {"age": age[who]}


def test_truth_of_a_large_cohort():
    fit = mixed_effects(*simulated(120, 3, 1), slopes=True)
    intercept, years, age = fit.terms
    assert [term.name for term in fit.terms] == ["intercept", "years", "age"]
    assert years.low < 3 < years.high and years.high - years.low < 1.1
    assert intercept.low < 20 < intercept.high and age.low < 0.8 < age.high
    assert fit.slope_sd == pytest.approx(2, abs=0.4)
    assert fit.residual_sd == pytest.approx(3, abs=0.4)
    assert fit.intercept_sd == pytest.approx(30, rel=0.2) and not fit.singular
    assert [term.freedom for term in fit.terms] == [117] * 3


def test_estimates_and_standard_errors_are_those_of_r():
    """``lme(y ~ t + age, random = ~ t | id)`` of nlme 3.1, REML."""
    fit = mixed_effects(*simulated(12, 3, 0), slopes=True)
    assert [term.estimate for term in fit.terms] == pytest.approx(
        [11.358, 3.4355, 0.7726], rel=1e-3
    )
    assert [term.se for term in fit.terms] == pytest.approx([8.7288, 0.5257, 2.0599], rel=1e-3)
    spreads = (fit.intercept_sd, fit.slope_sd, fit.residual_sd)
    assert spreads == pytest.approx([30.079, 1.4186, 3.2214], rel=1e-3)
    years = fit.terms[1]
    assert years.high - years.estimate == pytest.approx(2.2622 * years.se, rel=1e-4)  # t of 9


def test_the_maximum_is_reached_where_people_dropped_out_and_slopes_hardly_differ():
    """By nlme 3.1, as above; there the likelihood has a long flat ridge."""
    values, who, years, _ = simulated(40, 4, 20, spread=1.0)
    kept = np.tile(np.arange(4), 40) <= who % 4
    fit = mixed_effects(values[kept], who[kept], years[kept], {}, slopes=True)
    assert [term.estimate for term in fit.terms] == pytest.approx([14.473, 3.286], rel=2e-3)
    assert [term.se for term in fit.terms] == pytest.approx([5.4135, 0.2060], rel=2e-2)
    assert fit.intercept_sd == pytest.approx(34.099, rel=2e-3)
    assert fit.residual_sd == pytest.approx(3.390, rel=2e-2)


def test_slopes_that_do_not_differ_are_singular():
    who, years = np.repeat(np.arange(40), 3), np.tile([0.0, 2.0, 4.0], 40)
    scatter = np.tile([0.5, -1.0, 0.5], 40) * np.where(who % 2, 1.0, -1.0)
    fit = mixed_effects(who + 3 * years + scatter, who, years, {}, slopes=True)
    assert fit.singular and fit.slope_sd < 1e-4 and fit.correlation is None
    assert fit.residual_sd == pytest.approx(np.sqrt(40 * 1.5 / (40 * 2 - 1)))
    assert fit.terms[1].estimate == pytest.approx(3)
    assert fit.terms[1].se == pytest.approx(fit.residual_sd / np.sqrt(40 * 8))


def test_the_unit_of_time_changes_nothing_else():
    values, who, years, fixed = simulated(30, 3, 7)
    in_years = mixed_effects(values, who, years, fixed, slopes=True)
    seconds = 365.25 * 86400
    fit = mixed_effects(values, who, years * seconds, fixed, slopes=True)
    assert not in_years.singular and not fit.singular
    assert fit.slope_sd * seconds == pytest.approx(in_years.slope_sd, rel=1e-4)
    assert fit.correlation == pytest.approx(in_years.correlation, abs=1e-4)
    assert fit.terms[1].se * seconds == pytest.approx(in_years.terms[1].se, rel=1e-4)


def test_people_with_one_visit_add_no_freedom_to_the_change_per_year():
    values, who, years, _ = simulated(40, 3, 6)
    kept = (who < 10) | (years == 0)
    fit = mixed_effects(values[kept], who[kept], years[kept], {}, slopes=True)
    assert [(term.name, term.freedom) for term in fit.terms] == [("intercept", 38), ("years", 8)]
    days = np.where((who >= 10) & (years > 0), years / 365, years)  # and again within some days
    fit = mixed_effects(values, who, days, {}, slopes=True)
    assert [term.freedom for term in fit.terms] == [38, 8]


def test_the_same_bits_again():
    assert mixed_effects(*simulated(15, 3, 2), slopes=True) == mixed_effects(
        *simulated(15, 3, 2), slopes=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(("people", "visits", "slopes"), [(12, 3, True), (30, 2, False)])
def test_intervals_of_small_cohorts_hold_the_truth(people, visits, slopes):
    found = []
    for seed in range(150):
        try:
            fit = mixed_effects(*simulated(people, visits, seed), slopes=slopes)
        except BadDataError:
            continue
        found.append(fit.terms[1])
    assert len(found) > 140
    assert 0.90 < np.mean([term.low < 3 < term.high for term in found]) < 0.99
    assert np.mean([term.estimate for term in found]) == pytest.approx(3, abs=0.15)


def test_columns_that_say_the_same_are_refused():
    values, who, years, fixed = simulated(12, 3, 3)
    with pytest.raises(BadDataError, match="cannot be distinguished"):
        mixed_effects(values, who, years, fixed | {"again": 2 * fixed["age"]}, slopes=True)
    with pytest.raises(BadDataError, match="cannot be distinguished"):  # nobody came again
        mixed_effects(values, who, 0 * years, fixed, slopes=True)


def test_too_few_people_are_refused():
    with pytest.raises(BadDataError, match="3 participants are too few for 3 fixed effects"):
        mixed_effects(*simulated(3, 3, 4), slopes=True)


def test_values_without_any_scatter_are_no_silent_number():
    _, who, years, _ = simulated(12, 3, 5)
    for values in (np.zeros(who.size), 5 + 2 * years):
        with pytest.raises(BadDataError, match="do not scatter"):
            mixed_effects(values, who, years, {}, slopes=True)
    with pytest.raises(BadDataError, match="did not converge"):  # each on a line of their own
        mixed_effects(who * (1 + years), who, years, {}, slopes=True)
