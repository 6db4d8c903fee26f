"""Intervals cover the truth as often as they say, whatever a calibration cohort happened to be."""

import math

import interval_coverage as simulated
import numpy as np
import pytest

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs
from bidsapp.core.quantification.uncertainty import (
    COMPONENTS,
    ScanError,
    largest_disagreement,
    probability_above,
    propagate,
)
from bidsapp.data.calibrations import scale_for
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.settings import Processing


def test_pib_intervals_cover_the_truth():
    assert 0.93 < simulated.pib_coverage(np.random.default_rng(1), 150) < 0.97


@pytest.mark.parametrize("name", list(simulated.TRACERS))
def test_intervals_of_another_tracer_cover_the_truth_at_every_load(name):
    """Truth, cohorts, repeat scans, noise and what the tracer sees of its own: all drawn anew."""
    low, high, together = simulated.tracer_coverage(np.random.default_rng(2), name, 50, 120)
    assert 0.93 < together < 0.97
    # fifty pairs tell the spread of patients to a tenth; more give 95 % on both sides
    assert 0.90 < low < 0.985 and 0.90 < high < 0.985


@pytest.mark.parametrize("code", ["PIB", "FBB", "FBP", "FMM", "NAV"])
def test_every_tracer_has_all_components_and_more_amyloid_is_less_certain(code):
    scale = scale_for(Processing(), code)
    equation = scale.equations["wc"]
    sds = []
    for value in (0, 25, 100):
        found = propagate(
            (value - equation.intercept) / equation.slope, equation, scale.error, 0.006
        )
        assert tuple(found.components) == COMPONENTS
        assert found.sd == pytest.approx(math.hypot(*found.components.values()))
        low, high = found.interval(value)
        assert high - value == pytest.approx(value - low) == pytest.approx(1.96 * found.sd, 1e-3)
        sds.append(found.sd)
    assert sds == sorted(sds) and 1.5 < sds[0] < 14 and sds[2] < 26
    assert (found.components["tracer"] == 0) == (code == "PIB")


def test_anchors_weigh_by_their_distance():
    """At 0 only the young controls count, at 100 only the patients: the delta method by hand."""
    equation = tracers()["PIB"].equation
    anchors = equation.anchors
    for suvr, group in ((anchors.young_mean, "young"), (anchors.patients_mean, "patients")):
        sd, n = getattr(anchors, f"{group}_sd"), getattr(anchors, f"{group}_n")
        found = propagate(suvr, equation, ScanError(0.0, 0.0), None)
        assert found.components["anchors"] == pytest.approx(93.72 * sd / math.sqrt(n), rel=1e-3)
        assert found.sd == pytest.approx(found.components["anchors"])


def test_the_line_is_least_certain_away_from_its_people():
    equation = tracers()["FBB"].equation
    sds = [
        propagate(suvr, equation, ScanError(repeatability(), 0.0), None).components["line"]
        for suvr in (0.7, 1.35, 3.0)
    ]
    assert sds[1] < sds[0] and sds[1] < sds[2]


def test_scan_to_scan_error_is_taken_out_of_the_residuals_of_the_pairs():
    """By hand: residuals of 20 CL, of which the tracer's scans make 5 and PiB's 3."""
    anchors = Anchors(1.0, 0.1, 34, 2.0, 0.2, 45)  # 50 CL are a PiB SUVR of 1.5
    pairs = Pairs(0.5, 0.5, 0.1, (0.0, 0.0, 0.0), (0.1, 0.1))
    equation = Equation(200.0, -200.0, "wc", "", "", 30, anchors=anchors, pairs=pairs)
    found = propagate(1.25, equation, ScanError(0.02, 0.0), None)
    assert found.components["tracer"] == pytest.approx(math.sqrt(20**2 - 5**2 - 3**2))


def test_residuals_below_the_scan_to_scan_error_leave_nothing_to_the_tracer():
    anchors = Anchors(1.0, 0.1, 34, 2.0, 0.2, 45)
    pairs = Pairs(0.5, 0.5, 0.1, (0.0, 0.0, 0.0), (0.01, 0.01))  # 2 CL; the scans make 5 and 3
    equation = Equation(200.0, -200.0, "wc", "", "", 30, anchors=anchors, pairs=pairs)
    found = propagate(1.25, equation, ScanError(0.02, 0.0), None)
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
