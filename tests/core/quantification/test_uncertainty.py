"""Intervals cover the truth as often as they say, whatever a calibration cohort happened to be."""

import math
from dataclasses import replace

import interval_coverage as simulated
import numpy as np
import pytest

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs
from bidsapp.core.quantification.uncertainty import (
    COMPONENTS,
    ScanError,
    at_load,
    largest_disagreement,
    probability_above,
    propagate,
)
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.settings import Interval, Processing


def at(value, equation, error, noise):
    """Uncertainty of a scan with this Centiloid."""
    return propagate((value - equation.intercept) / equation.slope, equation, error, noise)


def test_both_intervals_of_pib_cover_their_truth():
    for kind, found in simulated.pib_coverage(np.random.default_rng(1), 100).items():
        assert all(0.93 < share < 0.97 for share in found), kind


@pytest.mark.parametrize("name", list(simulated.TRACERS))
def test_both_intervals_of_another_tracer_cover_their_truth_at_every_load(name):
    """Truth, cohorts, repeat scans, noise, bias, what the tracer sees of its own: drawn anew."""
    rng, drawn = np.random.default_rng(2), simulated.TRACERS[name]
    for kind, found in simulated.tracer_coverage(rng, drawn, 50, 100).items():
        assert all(0.93 < share < 0.97 for share in found), kind


@pytest.mark.parametrize("code", ["PIB", "FBB", "FBP", "FMM", "NAV"])
def test_every_tracer_has_all_components_and_more_amyloid_is_less_certain(code):
    scale = Pipeline(Processing(), code).scale()
    equation = scale.equations["wc"]
    widths = []
    for value in (0, 25, 100):
        found = at(value, equation, scale.error, 0.006)
        assert tuple(found.components) == COMPONENTS
        parts = found.components
        assert found.sd(Interval.PIB) == pytest.approx(math.hypot(*parts.values()))
        assert found.sd(Interval.RESCAN) == pytest.approx(
            math.hypot(parts["noise"], parts["repeatability"])
        )
        (low, high), (pib_low, pib_high) = map(found.interval, Interval)
        assert pib_low < low < value < high < pib_high
        widths.append((high - low, pib_high - pib_low))
    assert widths == sorted(widths) and 5 < widths[0][1] < 75 and widths[2][1] < 110
    assert (found.components["tracer"] == 0) == (code == "PIB")


@pytest.mark.parametrize("kind", Interval)
@pytest.mark.parametrize("value", [-8.0, 12.0, 42.0, 110.0])
@pytest.mark.parametrize("code", ["PIB", "FBP", "FMM"])
def test_an_interval_holds_what_its_own_error_does_not_speak_against(code, value, kind):
    """Neyman's construction, end by end; a cut-off is inside exactly as its probability says."""
    scale = Pipeline(Processing(), code).scale()
    found = at(value, scale.equations["wc"], scale.error, 0.006)
    ends = found.interval(kind)
    for end in ends:
        assert abs(end - value) == pytest.approx(1.959964 * found.sd_at(end, kind), rel=1e-5)
    inside = [0.025 < found.probability_above(cut, kind) < 0.975 for cut in range(-60, 220, 3)]
    assert inside == [ends[0] < cut < ends[1] for cut in range(-60, 220, 3)]


def test_the_interval_of_pib_reaches_farther_up_than_down_where_the_error_grows():
    scale = Pipeline(Processing(), "FBP").scale()
    low, high = at(20.0, scale.equations["wc"], scale.error, None).interval(Interval.PIB)
    assert high - 20 > 1.2 * (20 - low)


def test_an_end_that_is_nowhere_is_told_as_none():
    """Three pairs whose line is known to 60 %: no load is too high to be true."""
    equation = tracers()["FBB"].equation
    pairs = replace(equation.pairs, covariance=(0.13, -0.17, 0.25))
    found = at(50.0, replace(equation, pairs=pairs), ScanError(repeatability()), None)
    assert found.interval(Interval.PIB) is None and found.interval(Interval.RESCAN) is not None


def test_the_spread_grows_no_more_beyond_its_end():
    assert at_load(3, 5, 0, 50.0) == 3 and at_load(3, 5, 25, 50.0) == pytest.approx(13**0.5)
    assert at_load(3, 5, 50, 50.0) == at_load(3, 5, 200, 50.0) == 5
    assert at_load(3, 5, 100, 200.0) == 5 == at_load(3, 5, 100) and at_load(3, 5, 200) > 8
    assert at_load(3, 5, 300, 200.0) == at_load(3, 5, 200)


def test_anchors_weigh_by_their_distance():
    """At 0 only the young controls count, at 100 only the patients: the delta method by hand."""
    equation = tracers()["PIB"].equation
    anchors = equation.anchors
    for suvr, group in ((anchors.young_mean, "young"), (anchors.patients_mean, "patients")):
        sd, n = getattr(anchors, f"{group}_sd"), getattr(anchors, f"{group}_n")
        found = propagate(suvr, equation, ScanError(0.0), None)
        assert found.components["anchors"] == pytest.approx(93.72 * sd / math.sqrt(n), rel=1e-3)
        assert found.sd(Interval.PIB) == pytest.approx(found.components["anchors"])


def test_the_line_is_least_certain_away_from_its_people():
    equation = tracers()["FBB"].equation
    sds = [
        propagate(suvr, equation, ScanError(repeatability()), None).components["line"]
        for suvr in (0.7, 1.35, 3.0)
    ]
    assert sds[1] < sds[0] and sds[1] < sds[2]


def test_scan_to_scan_error_is_taken_out_of_the_residuals_of_the_pairs():
    """By hand: residuals of 20 CL, of which the tracer's scans make 5 and PiB's 3."""
    anchors = Anchors(1.0, 0.1, 34, 2.0, 0.2, 45)  # 50 CL are a PiB SUVR of 1.5
    pairs = Pairs(0.5, 0.5, 0.1, (0.0, 0.0, 0.0), (0.1, 0.1))
    equation = Equation(200.0, -200.0, "wc", "", "", 30, anchors=anchors, pairs=pairs)
    found = propagate(1.25, equation, ScanError(0.02), None)
    assert found.components["tracer"] == pytest.approx(math.sqrt(20**2 - 5**2 - 3**2))


def test_residuals_below_the_scan_to_scan_error_leave_nothing_to_the_tracer():
    anchors = Anchors(1.0, 0.1, 34, 2.0, 0.2, 45)
    pairs = Pairs(0.5, 0.5, 0.1, (0.0, 0.0, 0.0), (0.01, 0.01))  # 2 CL; the scans make 5 and 3
    equation = Equation(200.0, -200.0, "wc", "", "", 30, anchors=anchors, pairs=pairs)
    found = propagate(1.25, equation, ScanError(0.02), None)
    assert found.components["tracer"] == 0


def test_probability_above_a_cutoff():
    assert probability_above(24.4, 5, 24.4) == pytest.approx(0.5)
    assert probability_above(24.4 + 5 * 1.6449, 5, 24.4) == pytest.approx(0.95, abs=1e-4)
    assert probability_above(30, 0, 24.4) == 1 and probability_above(20, 0, 24.4) == 0


def test_reference_regions_are_compared_in_their_own_measure():
    """Ten Centiloids are much between two kinds of cerebellum and usual for the pons."""
    expected = {"wcb": (1.0, 2.7), "pons": (5.4, 14.0)}
    found = largest_disagreement({"wc": 10.0, "wcb": 16.0, "pons": 20.0}, "wc", expected)
    assert found[:2] == ("wcb", 6.0) and found[2] == pytest.approx(5.8, abs=0.2)
    assert largest_disagreement({"wc": 10.0, "pons": None}, "wc", expected) is None
    assert largest_disagreement({"wc": None, "pons": 1.0}, "wc", expected) is None


@pytest.mark.parametrize(
    ("centiloid", "smoothed_mm", "change"),  # measured: twelve people's PET smoothed in place
    [(114.8, 8, -5.39), (83.1, 8, -3.08), (89.1, 6, -2.30), (66.7, 8, -3.72), (17.2, 8, 1.32),
     (6.9, 8, 1.06), (53.5, 6, -0.90)],
)  # fmt: skip
def test_the_interval_of_a_smoothed_image_holds_what_smoothing_does(centiloid, smoothed_mm, change):
    equation = tracers()["PIB"].equation
    suvr = (centiloid + change - equation.intercept) / equation.slope
    blur = math.hypot(6.0, smoothed_mm)
    found = propagate(suvr, equation, ScanError(0.0), None, blur)
    assert found.sd(Interval.RESCAN) == found.components["resolution"]
    low, high = found.interval(Interval.RESCAN)
    assert low < centiloid < high
    for usual in (None, 5.0, 7.0):
        assert propagate(suvr, equation, ScanError(0.0), None, usual).sd(Interval.RESCAN) == 0
