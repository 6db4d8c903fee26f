"""Findings: none for a good scan, one sentence that names what is wrong for a bad one."""

import pytest

from bidsapp.core.quality import (
    alignment_findings,
    centiloid_findings,
    coverage_findings,
    coverage_refusal,
)
from bidsapp.core.voi import CoverageRule, VoiStatistics
from bidsapp.data import read_table

RULE = CoverageRule(flag=0.98, refuse=0.5)


def table(**coverages):
    return {
        name: VoiStatistics(1.0 if value >= RULE.refuse else None, 0.1, 10, 1.0, value)
        for name, value in coverages.items()
    }


def test_whole_volumes_are_no_finding():
    whole = table(ctx=1.0, wc=0.985)
    assert coverage_findings(whole, RULE) == ()
    assert coverage_refusal(whole, ("ctx", "wc"), RULE) is None


def test_a_partial_volume_is_flagged_by_name_and_not_refused():
    partial = table(ctx=1.0, wc=0.7, pons=0.2)
    (finding,) = coverage_findings(partial, RULE)
    assert finding.code == "voi-coverage"
    assert "wc 70%" in finding.message and "pons 20%" in finding.message
    assert "ctx" not in finding.message
    assert coverage_refusal(partial, ("ctx", "wc"), RULE) is None


def test_what_the_centiloid_needs_must_be_there():
    cut = table(ctx=1.0, wc=0.3, pons=0.0)
    sentence = coverage_refusal(cut, ("ctx", "wc"), RULE)
    assert "30%" in sentence and "wc" in sentence and "50%" in sentence


@pytest.mark.parametrize(("distance", "n"), [(0.4, 0), (3.0, 0), (3.1, 1)])
def test_disagreement_of_the_two_alignments(distance, n):
    findings = alignment_findings(distance, 3.0)
    assert len(findings) == n
    assert all("3.1 mm" in finding.message for finding in findings)


@pytest.mark.parametrize(("value", "n"), [(-50, 0), (0, 0), (180, 0), (-51, 1), (400, 1)])
def test_centiloids_that_people_do_not_have(value, n):
    assert len(centiloid_findings(value, -50, 250)) == n


def test_limits_in_the_table_fit_the_functions():
    limits = read_table("limits")
    rule = CoverageRule(**limits["voi_coverage"])
    assert 0 < rule.refuse < rule.flag < 1
    assert limits["pet_t1w_distance_mm"]["flag"] > 2  # NMI alone is up to 2 mm off
    assert limits["centiloid"]["lowest"] < 0 < 100 < limits["centiloid"]["highest"]
