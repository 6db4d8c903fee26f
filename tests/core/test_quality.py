"""Findings: none for a good scan, one sentence that names what is wrong for a bad one."""

import pytest

from bidsapp.core.quality import doubts_number, flagged
from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
from bidsapp.data import read_table
from bidsapp.steps.drifting import drift_findings
from bidsapp.steps.quantifying import coverage_findings

LIMITS = read_table("limits")
RULE = CoverageRule(flag=0.98, refuse=0.5)


def table(**coverages):
    return {
        name: VoiStatistics(1.0 if value >= RULE.refuse else None, 0.1, 10, 1.0, value)
        for name, value in coverages.items()
    }


def test_whole_volumes_are_no_finding():
    whole = table(ctx=1.0, wc=0.985)
    assert coverage_findings(whole, RULE) == ()


def test_a_partial_volume_is_flagged_by_name_and_not_refused():
    partial = table(ctx=1.0, wc=0.7, pons=0.2)
    (finding,) = coverage_findings(partial, RULE)
    assert finding.code == "voi-coverage"
    assert "wc 70%" in finding.message and "pons 20%" in finding.message
    assert "ctx" not in finding.message


@pytest.mark.parametrize(("value", "n"), [(-50, 0), (0, 0), (180, 0), (-51, 1), (400, 1)])
def test_centiloids_that_people_do_not_have(value, n):
    assert len(flagged({"centiloid": value}, LIMITS)) == n


def test_limits_in_the_table_fit_the_functions():
    rule = CoverageRule(**LIMITS["voi_coverage"])
    assert 0 < rule.refuse < rule.flag < 1
    assert LIMITS["pet_t1w_distance_mm"]["flag"] > 2  # NMI alone is up to 2 mm off
    assert LIMITS["centiloid"]["lowest"] < 0 < 100 < LIMITS["centiloid"]["highest"]


SAID = [n for n, row in LIMITS.items() if row.keys() & {"says", "like"} and "lowest" not in row]
WORDS = {
    "look": "look there", "again": "copy it", "image": "T1w", "number": 2, "of": 4, "nmi": 50.0,
    "model": 60.0, "part": 0.03, "longer": "longer", "axis": "in all directions", "undone": "look",
    "odd": "a_T1w.nii", "name": "cg", "difference": 12.0, "sds": 4.0, "low": 0.9,
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_number_is_flagged_beyond_its_limit_and_at_it_not(name):
    row = LIMITS[name]
    [limit] = [row[key] for key in ("flag", "least") if key in row]
    sizes = (limit * 1.5, limit * 0.5) if limit > 0 else (limit * 0.5, limit * 1.5)
    beyond, good = sizes if "flag" in row else sizes[::-1]
    for value in (None, limit, good):
        assert flagged({name: value, "unknown": 7.0}, LIMITS, **WORDS) == ()
    (found,) = flagged({name: beyond}, LIMITS, **WORDS)
    assert found.code == LIMITS[row.get("like", name)]["code"]
    assert "{" not in found.message and not found.message.endswith(".")


def test_a_flag_tells_value_limit_and_the_image():
    shift, overlap = flagged({"brain_overlap": 0.8, "template_shift_mm": 4.24}, LIMITS, look="see")
    assert "4.2 mm" in shift.message and "limit 3.5 mm): see" in shift.message
    assert "0.80" in overlap.message and "least 0.86" in overlap.message
    (header,) = flagged({"header_places_mm": 12.0}, LIMITS, image="T1w")
    assert "qform of the T1w differ by up to 12.0 mm" in header.message


def test_motion_within_the_window_is_flagged_beyond_its_limit():
    assert flagged({"frame_motion_mm": 3.0}, LIMITS) == ()
    (found,) = flagged({"frame_motion_mm": 4.87}, LIMITS, undone="look")
    assert found.code == "motion-window" and "4.9 mm" in found.message


def test_the_effect_of_a_late_mean_has_its_direction_and_size():
    assert drift_findings(5.0, None, 1.0) == ()
    assert drift_findings(-0.9, (0.4, 0.1), 1.0) == ()
    (late,) = drift_findings(5.0, (0.4, 0.1), 1.0)
    assert "5.0 min late changed it by about +2.0 CL (between +1.0 and +3.0)" in late.message
    (early,) = drift_findings(-10.0, (0.4, 0.1), 1.0)
    assert "10.0 min early changed it by about -4.0 CL (between -6.0 and -2.0)" in early.message


@pytest.mark.parametrize("per_min", [2.1, -2.1, 40.0])
def test_a_centiloid_that_runs_up_or_down_is_told_and_takes_the_band(per_min):
    assert flagged({"centiloid_per_min": per_min / 30}, LIMITS) == ()
    (found,) = flagged({"centiloid_per_min": per_min}, LIMITS)
    assert f"{per_min:+.1f} per minute" in found.message and doubts_number([found], LIMITS)
