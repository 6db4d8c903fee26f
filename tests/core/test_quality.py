"""Findings: none for a good scan, one sentence that names what is wrong for a bad one."""

import numpy as np
import pytest

from bidsapp.core.quality import (
    affine_findings,
    alignment_findings,
    centiloid_findings,
    coverage_findings,
    coverage_refusal,
    doubts_number,
    drift_findings,
    end_findings,
    motion_findings,
    normalisation_findings,
    own_anatomy_findings,
    part_findings,
    position_findings,
    resolution_findings,
    slope_findings,
    uneven_refusal,
)
from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
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


@pytest.mark.parametrize(("value", "n"), [(None, 0), (1.1, 0), (0.75, 0), (0.7, 1)])
def test_a_pet_of_another_head(value, n):
    findings = own_anatomy_findings(value, 0.75)
    assert [finding.code for finding in findings] == ["pet-t1w-other-anatomy"] * n


@pytest.mark.parametrize(("nmi", "n"), [(None, 0), (48.0, 0), (56.0, 1), (44.0, 1)])
def test_centiloids_that_depend_on_the_registration(nmi, n):
    findings = position_findings(nmi, 50.0, 5.0)
    assert len(findings) == n
    assert all(f"{nmi:.0f} by mutual" in finding.message for finding in findings)


def test_a_header_that_says_two_things():
    assert affine_findings(0.2, 1.0, "T1w") == ()
    (finding,) = affine_findings(12.0, 1.0, "T1w")
    assert finding.code == "header-places-differ" and "T1w" in finding.message


def test_numbers_of_a_normalisation_beyond_their_limits():
    limits = {"template_shift_mm": {"flag": 3.0}, "brain_overlap": {"least": 0.9}}
    good = {"template_shift_mm": 3.0, "brain_overlap": 0.9, "unknown": 7.0}
    assert normalisation_findings(good, limits) == ()
    shift, overlap = normalisation_findings(
        {"template_shift_mm": 4.2, "brain_overlap": 0.8, "jacobian_max": 99.0}, limits
    )
    assert shift.code == "normalisation-shift" and "4.2 mm" in shift.message
    assert overlap.code == "normalisation-overlap" and "0.80" in overlap.message


def test_every_number_with_a_limit_can_be_said():
    limits = read_table("limits")
    for kind, value in (("flag", np.inf), ("least", -np.inf)):
        named = {name for name, row in limits.items() if kind in row}
        found = normalisation_findings(dict.fromkeys(named, value), limits)
        assert all("{" not in finding.message for finding in found)


def test_motion_within_the_window_is_flagged_beyond_its_limit():
    limit = read_table("limits")["frame_motion_mm"]["flag"]
    assert limit == 3.0
    assert motion_findings(3.0, limit) == ()
    (found,) = motion_findings(4.87, limit)
    assert found.code == "motion-window" and "4.9 mm" in found.message


def test_a_lost_part_is_named():
    (found,) = part_findings("sub-1_run-1_pet.nii.gz", "it ends early")
    assert "sub-1_run-1_pet.nii.gz" in found.message and "it ends early" in found.message


def test_artefact_planes_are_told():
    assert end_findings(0, 0) == ()
    assert "2 planes at the beginning and 0" in end_findings(2, 0)[0].message


def test_a_target_below_the_resolution_is_told_and_nothing_sharpened():
    assert resolution_findings(8.0, (6.0, 6.0, 8.0)) == ()
    (found,) = resolution_findings(6.0, (5.5, 5.5, 6.4))
    assert "5.5 x 5.5 x 6.4 mm" in found.message


def test_the_effect_of_a_late_mean_has_its_direction_and_size():
    assert drift_findings(5.0, None, 1.0) == ()
    assert drift_findings(-0.9, (0.4, 0.1), 1.0) == ()
    (late,) = drift_findings(5.0, (0.4, 0.1), 1.0)
    assert "5.0 min late changed it by about +2.0 CL (between +1.0 and +3.0)" in late.message
    (early,) = drift_findings(-10.0, (0.4, 0.1), 1.0)
    assert "10.0 min early changed it by about -4.0 CL (between -6.0 and -2.0)" in early.message


@pytest.mark.parametrize("per_min", [2.1, -2.1, 40.0])
def test_a_centiloid_that_runs_up_or_down_is_told_and_takes_the_band(per_min):
    assert slope_findings(per_min / 30, 2.0) == ()
    (found,) = slope_findings(per_min, 2.0)
    assert f"{per_min:+.1f} per minute" in found.message and doubts_number([found])


def test_a_very_uneven_reference_region_gives_no_number():
    assert uneven_refusal("wc", 0.4, 0.4) is None and uneven_refusal("wc", None, 0.4) is None
    assert "region wc the uptake varies by 45%" in uneven_refusal("wc", 0.45, 0.4)
