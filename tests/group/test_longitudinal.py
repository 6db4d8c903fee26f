"""Which visits are compared, what does not match, and that no time is invented."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from synthetic_cohorts import cohort, row

from bidsapp.core.regions.regional import Uptake
from bidsapp.data import REFERENCES, read_table
from bidsapp.data.tracers import repeatability, tracers
from bidsapp.group import longitudinal
from bidsapp.group.cohort_model import cohort_model
from bidsapp.group.comparability import match
from bidsapp.group.longitudinal import by_reference, other_references, scan_error, summary
from bidsapp.group.visits import all_visits
from bidsapp.plain import natural
from bidsapp.record import Status


def change_rows(rows):
    return longitudinal.change_rows(rows, all_visits(rows))


def slope_rows(rows):
    return longitudinal.slope_rows(rows, all_visits(rows))


def test_neighbours_and_ends_of_three_visits():
    rows = [row("1", "m0", 10.0, 0.0), row("1", "m24", 30.0, 2.0), row("1", "m48", 32.0, 4.0)]
    found = change_rows(rows)
    assert [(one["pair"], one["session_first"], one["session_last"]) for one in found] == [
        ("consecutive", "ses-m0", "ses-m24"),
        ("consecutive", "ses-m24", "ses-m48"),
        ("first-last", "ses-m0", "ses-m48"),
    ]
    first, second, ends = found
    assert (first["change"], second["change"], ends["change"]) == (20.0, 2.0, 22.0)
    assert [one["reliable_change"] for one in found] == ["increase", "no", "increase"]
    assert (first["rate"], ends["rate"]) == (10.0, 5.5)
    assert first["rate_low"] == first["change_low"] / 2
    limit = 1.96 * math.hypot(scan_error(rows[0]), scan_error(rows[1]))
    assert first["reliable_limit"] == pytest.approx(limit, rel=1e-4)
    assert first["suvr_change"] == pytest.approx(20 / rows[0]["slope"])
    assert first["flags"] is None and first["not_compared"] is None
    assert summary(found) == {"increase": 1, "decrease": 0, "no": 1}


def test_columns_are_those_of_the_dictionary():
    rows = [row("1", str(i), 10.0 + i, float(i)) for i in range(3)]
    assert list(change_rows(rows)[0]) == list(read_table("cohort_columns")["change"])
    assert list(slope_rows(rows)[0]) == list(read_table("cohort_columns")["slopes"])


def test_cut_offs_that_were_passed_are_listed_in_their_order():
    def passed(first, last):
        return change_rows([row("1", "a", first, 0.0), row("1", "b", last, 2.0)])[0]

    down = passed(26.0, 11.5)["marks_passed"]
    assert down == "26 down;25 down;24.4 down;24.1 down;20.1 down;20 down;18 down;12.2 down"
    assert passed(11.5, 19.0)["marks_passed"] == "12.2 up;18 up"
    assert passed(40.0, 90.0)["marks_passed"] is None and passed(11.0, 11.5)["marks_passed"] is None
    assert (
        passed(10.0, 16.1)["accumulation"] == "yes" and passed(10.0, 15.9)["accumulation"] == "no"
    )


def test_two_visits_have_both_rows_and_no_slope():
    rows = [row("1", "a", 10.0, 0.0), row("1", "b", 11.0, 1.0)]
    assert [one["pair"] for one in change_rows(rows)] == ["consecutive", "first-last"]
    assert slope_rows(rows) == [] and change_rows(rows[:1]) == []


@pytest.mark.parametrize(
    ("years", "code"), [((None, None), "time-unknown"), ((0.0, None), "time-unknown"),
                        ((0.0, 0.3), "interval-short")]
)  # fmt: skip
def test_without_enough_known_time_there_is_a_change_and_no_rate(years, code):
    first, _ = change_rows([row("1", "1", 10.0, years[0]), row("1", "2", 90.0, years[1])])
    assert first["change"] == 80.0 and first["reliable_change"] == "increase"
    assert first["rate"] is first["rate_low"] is None and first["flags"] == code
    assert "no rate" in first["notes"]


def test_visits_come_by_time_and_else_by_label():
    rows = [row("1", "m12", 20.0, 1.0), row("1", "m6", 10.0, 2.0)]
    assert all_visits(rows)[0].indices == (0, 1)
    rows = [row("1", "m12", 20.0), row("1", "m6", 10.0)]
    assert all_visits(rows)[0].indices == (1, 0)
    assert natural("m6") < natural("m12") < natural("z")
    for first, last in (("screening", "m24"), ("pre", "post"), ("bl01", "a"), ("sc", "Baseline")):
        (found, _) = change_rows([row("1", last, 60.0), row("1", first, 90.0)])
        assert found["change"] == -30.0 and found["session_first"] == f"ses-{first}"


def test_tau_is_no_visit_of_amyloid():
    """The uptake ratio of the Centiloid volumes is no measure of tau, nor its change of amyloid."""
    tau = {"tracer": "FTP", "centiloid": None}
    rows = [row("1", "a", 10.0, 0.0), row("1", "b", 0.0, 1.0) | tau]
    assert all_visits(rows) == []
    rows += [row("1", "c", 12.0, 2.0), row("1", "d", 0.0, 3.0) | tau]
    assert [one.indices for one in all_visits(rows)] == [(0, 2)]


MISMATCHES = {
    "other-scanner": {"scanner": "S 2"},
    "other-site": {"site": "B"},
    "other-reconstruction": {"reconstruction": "FBP"},
    "other-method": {"method": "pet-only"},
    "other-reference": {"reference_region": "cg"},
    "other-pipeline": {"fingerprint": "xyz"},
    "other-version": {"version": "2"},
    "other-window": {"window_start_min": 80.0},
    "other-resolution": {"pet_fwhm_mm": 7.0},
}


@pytest.mark.parametrize(("code", "changes"), MISMATCHES.items())
def test_every_mismatch_is_a_flag_with_a_sentence(code, changes):
    found = match(row("1", "a", 10.0), row("1", "b", 20.0, **changes))
    assert [flag.code for flag in found.flags] == [code]
    (word,) = {str(value) for value in changes.values() if isinstance(value, str)} or {""}
    assert word in found.flags[0].message and len(found.flags[0].message) > 30
    levels = read_table("cohort_columns")["change"]["flags"]["Levels"]
    assert code in levels


def test_small_differences_of_window_and_resolution_are_none():
    last = row("1", "b", 20.0, window_start_min=93.0, pet_fwhm_mm=6.2)
    assert match(row("1", "a", 10.0), last).flags == ()


def test_what_is_not_told_is_not_compared():
    found = match(row("1", "a", 10.0, scanner=None), row("1", "b", 20.0, pet_fwhm_mm=None))
    assert found.flags == () and found.unknown == ("scanner", "resolution")


def test_another_tracer_widens_the_interval_and_has_no_change_of_suvr():
    same = change_rows([row("1", "a", 50.0, 0.0), row("1", "b", 60.0, 2.0)])[0]
    rows = [row("1", "a", 50.0, 0.0), row("1", "b", 60.0, 2.0, tracer="FBP")]
    other = change_rows(rows)[0]
    assert other["change"] == same["change"] and other["change_sd"] > 2 * same["change_sd"]
    assert other["reliable_limit"] > 2 * same["reliable_limit"]
    assert other["flags"] == "other-tracer" and other["suvr_change"] is None
    assert [one["pair"] for one in change_rows(rows)] == ["consecutive", "first-last"]


def test_two_tracers_at_both_visits_are_two_courses():
    rows = [row("1", s, 10.0, y, tracer=t) for s, y in (("a", 0.0), ("b", 2.0))
            for t in ("FBB", "PIB")]  # fmt: skip
    found = [(one["tracer"], one["tracer_last"]) for one in change_rows(rows)]
    assert found == [("FBB", "FBB")] * 2 + [("PIB", "PIB")] * 2


def test_the_usual_reconstruction_of_the_person_is_compared():
    rows = [row("1", "a", 1.0, 0.0, rec="x"), row("1", "a", 2.0, 0.0, rec="y"),
            row("1", "b", 3.0, 2.0, rec="y")]  # fmt: skip
    assert change_rows(rows)[0]["change"] == 1.0


def test_scans_without_result_or_centiloid():
    rows = [row("1", "a", 10.0, 0.0), row("1", "b", None, 1.0, status="failed"),
            row("1", "c", None, 2.0, suvr_wc=1.4)]  # fmt: skip
    (only, _) = change_rows(rows)
    assert only["session_last"] == "ses-c" and only["change"] is None
    assert only["reliable_change"] is None and only["suvr_change"] is not None


def test_slopes_by_weighted_least_squares():
    rows = [row("1", str(i), 10.0 + 4 * i, 2.0 * i) for i in range(4)]
    (found,) = slope_rows(rows)
    assert found["slope"] == pytest.approx(2.0) and found["n_scans"] == 4
    assert found["slope_low"] < 2.0 < found["slope_high"] and found["widening"] == 1
    rows[2] = row("1", "2", 90.0, 4.0)
    (bent,) = slope_rows(rows)
    assert bent["flags"] == "not-straight" and bent["slope_sd"] > 3 * found["slope_sd"]
    (undated,) = slope_rows([row("1", str(i), 10.0 + i) for i in range(3)])
    assert undated["slope"] is None and undated["flags"] == "time-unknown"
    (short,) = slope_rows([row("1", str(i), 10.0 + i, 0.2 * i) for i in range(3)])
    assert short["slope"] is None and short["flags"] == "interval-short"
    few = [row("1", str(i), 10.0 + 4 * i, 2.0 * i) for i in range(4)]
    ratios = [one["suvr_wc"] for one in few]
    for one in few[:2]:
        one["centiloid"] = None
    (by_suvr,) = slope_rows(few)  # two Centiloids make no slope, four SUVRs do
    assert by_suvr["slope"] is None and by_suvr["n_scans"] == 4
    assert by_suvr["suvr_slope"] == pytest.approx((ratios[3] - ratios[0]) / 6)


def with_references(rows, **uptake):
    """The rows with SUVRs over other regions, and records that say so: cortex 1, region u."""
    records = []
    for one in rows:
        own = {name: values[len(records)] for name, values in uptake.items()}
        one |= {f"suvr_{name}": 1 / own[name] for name in own if name in REFERENCES}
        records.append(
            SimpleNamespace(
                status=Status.OK,
                uptake=lambda region: 1.0 if region == "ctx" else None,
                reference_uptake={name: Uptake(mean, 0.1) for name, mean in own.items()},
            )
        )
    return records


def test_change_and_slope_by_every_other_reference_of_the_run():
    rows = [row("1", str(i), 10.0 + 20 * i, 2.0 * i) for i in range(3)]
    records = with_references(rows, wm=(0.8, 0.7, 0.6), pons=(0.9, 0.9, 0.9))
    assert other_references(rows, records) == ["cg", "wcb", "pons", "wm"]
    by_wm = by_reference(rows, records, "wm")
    *_, ends = change_rows(by_wm)
    assert ends["reference_region"] == "wm" and ends["change"] is None
    assert ends["suvr_change"] == pytest.approx(1 / 0.6 - 1 / 0.8)
    assert ends["suvr_reliable_change"] == "increase"
    noise = rows[0]["sd_noise"] / rows[0]["slope"] / rows[0]["suvr_wc"]
    errors = [math.hypot(repeatability(), noise) / u for u in (0.8, 0.6)]
    assert ends["suvr_change_sd"] == pytest.approx(math.hypot(*errors), rel=1e-6)
    (slope,) = slope_rows(by_wm)
    assert slope["slope"] is None and slope["suvr_reliable_slope"] == "increase"
    assert slope["suvr_slope_low"] < (1 / 0.6 - 1 / 0.8) / 4 < slope["suvr_slope_high"]
    (main,) = slope_rows(rows)
    assert main["reference_region"] == "wc"
    assert main["suvr_slope"] == pytest.approx(main["slope"] / rows[0]["slope"], rel=0.01)
    assert change_rows(by_reference(rows, records, "cg"))[0]["suvr_change"] is None


def test_pib_has_centiloids_by_other_references_with_their_own_error():
    rows = [row("1", str(i), 10.0, 2.0 * i, tracer="PIB", centiloid_pons=5.0 + 30 * i)
            for i in range(2)]  # fmt: skip
    line = tracers()["PIB"].equations["pons"]
    suvrs = [(5.0 + 30 * i - line.intercept) / line.slope for i in range(2)]
    records = with_references(rows, pons=[1 / suvr for suvr in suvrs])
    first, _ = change_rows(by_reference(rows, records, "pons"))
    assert first["change"] == 30.0 and first["suvr_change"] == pytest.approx(30 / line.slope)
    errors = [line.slope * suvr * repeatability() for suvr in suvrs]
    assert first["reliable_limit"] > 1.96 * math.hypot(*errors)


def test_the_model_of_a_reference_without_centiloids_is_of_its_suvrs():
    rows = cohort(14, 3, 6)
    records = with_references(rows, wm=[2 / one["suvr_wc"] for one in rows])
    found = {one["term"]: one for one in cohort_model(by_reference(rows, records, "wm"))}
    main = {one["term"]: one for one in cohort_model(rows)}
    assert found["years"]["unit"] == "SUVR/year" and found["years"]["reference_region"] == "wm"
    assert (main["years"]["unit"], main["years"]["reference_region"]) == ("CL/year", "wc")
    scale = 2 * rows[0]["slope"]
    assert found["years"]["estimate"] * scale == pytest.approx(main["years"]["estimate"], rel=0.02)
