"""Intervals cover the truth as often as they say, whatever a calibration cohort happened to be."""

import math

import numpy as np
import pytest

from bidsapp.core.calibration import level1, level2
from bidsapp.core.uncertainty import (
    COMPONENTS,
    ScanError,
    at_load,
    largest_disagreement,
    probability_above,
    propagate,
)
from bidsapp.data.calibrations import scale_for
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.settings import Processing

LIMITS = {"slope": (0.98, 1.02)}
YOUNG, PATIENTS, REPEAT = (1.0095, 0.0462), (2.0761, 0.2013), 0.0177


def truth(pib: np.ndarray) -> np.ndarray:
    """Centiloid on the scale of all young controls and patients, not of those scanned."""
    return 100 * (pib - YOUNG[0]) / (PATIENTS[0] - YOUNG[0])


def scanned(rng, suvr, noise=0.0):
    return suvr * (1 + math.hypot(REPEAT, noise) * rng.standard_normal(suvr.shape))


def people(rng, n):
    """True PiB SUVRs as a memory clinic has them: half without amyloid, half anywhere."""
    low = rng.normal(1.02, 0.05, n)
    return np.where(rng.random(n) < 0.5, low, rng.uniform(1.05, 2.4, n))


def pib_anchors(rng):
    # the spread of the groups in the table holds the error of their scans
    groups = [
        rng.normal(mean, sd, n) for (mean, sd), n in zip((YOUNG, PATIENTS), (34, 45), strict=True)
    ]
    suvr, is_young = np.concatenate(groups), np.arange(79) < 34
    return level1(
        suvr, is_young, truth(suvr), [""] * 79, reference_region="wc", source="simulated",
        standard=None, limits=LIMITS,
    ).equation  # fmt: skip


def test_pib_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    noise, hits = 0.008, []
    for _ in range(150):
        equation = pib_anchors(rng)
        pib = people(rng, 40)
        suvr = scanned(rng, pib, noise)
        sds = [propagate(s, equation, ScanError(REPEAT, 0.0), noise).sd for s in suvr]
        values = equation.slope * suvr + equation.intercept
        hits.append(np.mean(np.abs(values - truth(pib)) < 1.959964 * np.array(sds)))
    assert 0.93 < np.mean(hits) < 0.97


@pytest.mark.parametrize(
    ("gain", "offset", "person"),
    [
        (0.61, 0.39, (0.03, 0.11)),  # like florbetaben: spread grows with the load
        (0.77, 0.22, (0.01, 0.14)),  # like flutemetamol
        (0.54, 0.50, (0.09, 0.09)),  # the same spread for everybody
    ],
)
def test_intervals_of_another_tracer_cover_the_truth_at_every_load(gain, offset, person):
    """Truth, cohorts, repeat scans, noise and what the tracer sees of its own: all drawn anew."""
    rng = np.random.default_rng(2)
    noise, cohorts, error = 0.006, 120, ScanError(REPEAT, 0.0)

    def tracer(pib):
        sd = np.array([at_load(*person, cl) for cl in truth(pib)])
        return gain * pib + offset + sd * rng.standard_normal(pib.shape)

    low, high = [], []
    for _ in range(cohorts):
        anchors = pib_anchors(rng).anchors
        pib = people(rng, 50)
        pairs = scanned(rng, pib), scanned(rng, tracer(pib))
        equation = level2(
            *pairs, np.zeros(50, bool), [""] * 50, anchors=anchors, reference_region="wc",
            source="simulated", limits={"r2": (0.7, 1.0)},
        ).equation  # fmt: skip
        new = people(rng, 60)
        suvr = scanned(rng, tracer(new), noise)
        sds = np.array([propagate(s, equation, error, noise).sd for s in suvr])
        values, true = equation.slope * suvr + equation.intercept, truth(new)
        for part, hits in ((true < 25, low), (true >= 25, high)):
            hits.extend(np.abs(values - true)[part] < 1.959964 * sds[part])
    assert 0.93 < np.mean([*low, *high]) < 0.97
    # fifty pairs tell the spread of patients to a tenth; a thousand give 95 % on both sides
    assert 0.90 < np.mean(low) < 0.985 and 0.90 < np.mean(high) < 0.985


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
