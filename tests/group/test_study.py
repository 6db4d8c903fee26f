"""The cohort: mixed model, sites, duplicates, contradictions and cut-offs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_cohorts import cohort, row
from synthetic_records import finished_record, write
from tsv_rows import table_rows

from bidsapp.core.statistics.location import shift
from bidsapp.core.statistics.two_groups import control_cutoff
from bidsapp.data import read_table
from bidsapp.data.literature import scale
from bidsapp.group.cohort_model import cohort_model
from bidsapp.group.collect import run_group
from bidsapp.group.cutoff_chart import cutoff_histogram
from bidsapp.group.cutoffs import cutoffs
from bidsapp.group.duplicates import duplicates
from bidsapp.group.implausible import implausible, shifted_dates
from bidsapp.group.scan_choice import first_scans
from bidsapp.group.sites import site_rows
from bidsapp.group.tables import centiloid_rows
from bidsapp.group.visits import all_visits
from bidsapp.record import ScanRecord, Status
from bidsapp.record.model import Provenance
from bidsapp.settings import Filters, StudyOptions

# ------------------------------------------------------------------------------------ mixed model


def test_the_model_has_age_sex_and_the_spread_of_slopes():
    rows = cohort(40, 3, 1)
    found = cohort_model(rows)
    terms = {one["term"]: one for one in found}
    assert list(terms) == ["intercept", "years", "age", "sex_M", "intercept_sd", "slope_sd",
                           "correlation", "residual_sd"]  # fmt: skip
    assert terms["years"]["ci_low"] < 3 < terms["years"]["ci_high"]
    assert terms["years"]["n_participants"] == 40 and terms["years"]["n_scans"] == 120
    assert list(found[0]) == list(read_table("cohort_columns")["model"])
    assert found[0]["flags"] is None


def test_a_second_tracer_is_a_covariate():
    rows = cohort(12, 3, 2)
    for one in rows[1::3]:
        one |= {"tracer": "PIB", "centiloid": one["centiloid"] + 15}
    terms = {one["term"]: one["estimate"] for one in cohort_model(rows)}
    assert terms["tracer_PIB"] == pytest.approx(15, abs=5)


def test_uptake_ratios_of_several_tracers_or_of_tau_have_no_common_model():
    rows = [one | {"centiloid": None} for one in cohort(12, 3, 2)]
    tau = [one | {"tracer": "FTP", "suvr_wc": 9.0} for one in rows]
    assert cohort_model([*rows, *tau]) == cohort_model(rows)
    assert cohort_model(rows)[0]["unit"] == "SUVR"
    (only,) = cohort_model([*rows[:9], *(one | {"tracer": "PIB"} for one in rows[9:])])
    assert only["estimate"] is None and only["flags"] == "several-tracers"
    assert "SUVRs of FBB, PIB have different ranges" in only["notes"]


def test_a_second_reconstruction_is_not_a_second_scan():
    rows = cohort(12, 3, 2)
    twice = [
        version for one in rows
        for version in (one | {"rec": "sharp", "centiloid": one["centiloid"] + 9}, one)
    ]  # fmt: skip
    assert cohort_model(twice) == cohort_model([one for one in twice if one["rec"] == "sharp"])
    assert cohort_model(twice)[0]["n_scans"] == len(rows)


def test_time_of_the_model_counts_from_the_first_scan_in_it():
    rows = cohort(12, 3, 2)
    tau = [row(name, "tau", None, 0.0, tracer="FBB") | {"tracer": "FTP"} for name in ("000", "003")]
    later = [
        one | {"years": one["years"] + 4 * (one["participant_id"] in ("sub-000", "sub-003"))}
        for one in rows
    ]
    assert cohort_model([*tau, *later])[0]["estimate"] == pytest.approx(
        cohort_model(rows)[0]["estimate"], rel=1e-6
    )


def test_too_few_people_are_told_and_no_number_is_given():
    (only,) = cohort_model(cohort(9, 3, 3))
    assert only["estimate"] is None and only["flags"] == "too-few"
    assert only["notes"] == (
        "No mixed model: 9 participants with Centiloids at known times 0.5 years or more apart, "
        "10 are needed."
    )
    undated = [one | {"years": None} for one in cohort(20, 3, 3)]
    (only,) = cohort_model(undated)
    assert "0 participants" in only["notes"] and "60 scans at an unknown time" in only["notes"]


def test_two_tracers_within_a_day_are_no_change_over_time():
    rows = [
        row(f"{i}", "1", float(i), 0.003 * (tracer == "PIB"), tracer=tracer)
        for i in range(20) for tracer in ("FBB", "PIB")
    ]  # fmt: skip
    assert cohort_model(rows)[0]["flags"] == "too-few"
    assert cohort_model([*rows, *cohort(12, 2, 4)])[0]["flags"] == "random-slope-left-out"


def test_two_visits_share_one_slope_and_say_so():
    model = cohort_model(cohort(12, 2, 4))
    assert model[0]["flags"] == "random-slope-left-out"
    assert "slope_sd" not in [row["term"] for row in model]
    assert "one slope" in model[0]["notes"]


def test_trouble_is_a_flag():
    rows = [one | {"centiloid": 5.0} for one in cohort(12, 3, 5)]
    (only,) = cohort_model(rows)
    assert only["kind"] == "none" and only["flags"] == "not-fitted"
    assert only["notes"] == "No mixed model: the values do not scatter about the fixed effects."
    alike = [one | {"centiloid": 5.0 + i % 3 % 2} for i, one in enumerate(rows)]
    model = cohort_model(alike)
    assert model[0]["flags"] == "singular"
    assert (
        "spread between participants, of intercepts, slopes or both, is zero" in model[0]["notes"]
    )


def test_age_that_is_not_known_of_all_is_left_out_with_a_sentence():
    rows = cohort(12, 2, 6)
    rows[0]["age"] = rows[1]["age"] = None
    model = cohort_model(rows)
    assert "age" not in [row["term"] for row in model]
    assert "Age is not known of 1 participant, so" in model[0]["notes"]


# ------------------------------------------------------------------------------------------- sites


def test_a_site_that_differs_is_told_with_care():
    rows = []
    for number in range(60):
        site = "ABC"[number % 3]
        value = float(np.random.default_rng(number).normal(20 + 30 * (site == "C"), 8))
        rows.append(row(str(number), "1", value, site=site, scanner=f"S {site}"))
    rows += [row("0", "2", 500.0, 1.0, site="A", scanner="S A")]  # only the first scan counts
    found = [one for one in site_rows(rows, []) if one["level"] == "site"]
    assert [(one["site"], one["n_participants"], one["n_scans"]) for one in found] == [
        ("A", 20, 21), ("B", 20, 20), ("C", 20, 20),
    ]  # fmt: skip
    last = found[-1]
    assert last["difference_low"] < 30 < last["difference_high"]
    assert last["flags"] == "site-differs" and "the people scanned" in last["notes"]
    assert list(last) == list(read_table("cohort_columns")["sites"])


def test_like_sites_do_not_differ_more_often_than_the_level_says():
    wrong = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        rows = [row(str(i), "1", float(random.normal(20, 15)), site=str(i % 5)) for i in range(60)]
        wrong += any(one["flags"] for one in site_rows(rows, []) if one["level"] == "site")
    assert wrong <= 8


@pytest.mark.parametrize("others", [[], ["C"]])
def test_two_sites_are_one_comparison_whatever_sites_without_enough_people_there_are(others):
    values = np.random.default_rng(5).normal(20, 15, 30)
    rows = [row(str(i), "1", float(x), site="AB"[i % 2]) for i, x in enumerate(values)]
    rows += [row(f"x{site}", "1", None, site=site) | {"status": "failed"} for site in others]
    found = {one["site"]: one for one in site_rows(rows, [])}
    expected = shift(values[::2], values[1::2], 0.95)
    assert (
        found["A"]["difference"], found["A"]["difference_low"], found["A"]["difference_high"]
    ) == pytest.approx(expected)  # fmt: skip
    assert found["B"]["difference_high"] == pytest.approx(-expected[1])


def test_nobody_is_compared_with_themselves_at_another_site():
    rows = [row(f"{i:02}", "1", float(i), 0.0, site="AB"[i % 2]) for i in range(20)]
    moved = [row(f"{i:02}", "2", 500.0, 2.0, site="B") for i in range(0, 20, 2)]
    alone, both = site_rows(rows, []), site_rows([*rows, *moved], [])
    names = ("difference", "difference_low", "difference_high", "centiloid_median")
    assert [[one[name] for name in names] for one in both if one["level"] == "site"] == [
        [one[name] for name in names] for one in alone
    ]
    assert [one["n_participants"] for one in both if one["level"] == "site"] == [10, 20]


def test_scans_of_an_unknown_tracer_are_a_site_of_none():
    rows = [row("1", "1", 10.0), row("2", "1", None) | {"tracer": None, "status": "skipped"}]
    assert [one["tracer"] for one in site_rows(rows, [])] == ["FBB", None]


def test_few_people_have_no_interval():
    rows = [row(str(i), "1", 10.0 + i, site="AB"[i > 2]) for i in range(8)]
    assert {one["difference"] for one in site_rows(rows, [])} == {None}


# ------------------------------------------------------------------------------------- duplicates


def record(pet="p", t1w="t", suvr=(1.5, 1.6, 1.4, 1.1), status=Status.OK):
    names = ("wc", "cg", "wcb", "pons")
    return SimpleNamespace(
        status=status, suvr=dict(zip(names, suvr, strict=True)),
        provenance=Provenance(inputs={"pet": pet, "t1w": t1w}),
    )  # fmt: skip


def orders(findings):
    return [one.order for one in findings]


def test_one_file_under_two_names():
    rows = [row("1", "a", 10.0), row("2", "a", 11.0), row("3", "a", 12.0)]
    records = [record("p1", "t1", (1, 2, 3, 4)), record("p1", "t2", (1.1, 2, 3, 4)),
               record("p3", "t3", (1.2, 2, 3, 4))]  # fmt: skip
    found = duplicates(records, rows)
    assert orders(found) == [(0, "duplicate-pet"), (1, "duplicate-pet")]
    assert "sub-2 ses-a FBB" in found[0].flag.message and "byte-for-byte" in found[0].flag.message


def test_one_image_saved_again_has_the_same_ratios():
    rows = [row(str(i), "a", 10.0) for i in range(3)]
    suvr = (1.5, 1.6, 1.4, 1.1)
    records = [record("a", "x", suvr), record("b", "y", tuple(s * (1 + 1e-8) for s in suvr)),
               record("c", "z", tuple(s * (1 + 1e-4) for s in suvr))]  # fmt: skip
    again = record("d", "w", tuple(s * (1 + 2e-8) for s in suvr))
    found = duplicates([*records, again], [*rows, row("3", "a", 10.0)])
    assert [one.others for one in found] == [(1, 3), (0, 3), (0, 1)]
    found = duplicates(records, rows)
    assert orders(found) == [(0, "duplicate-pet"), (1, "duplicate-pet")]
    assert "to a millionth" in found[0].flag.message


def test_one_t1w_is_a_duplicate_between_people_only():
    rows = [row("1", "a", 10.0), row("1", "b", 11.0), row("2", "a", 12.0)]
    records = [record(str(i), "same", (1 + 0.1 * i, 2, 3, 4)) for i in range(3)]
    assert orders(duplicates(records[:2], rows[:2])) == []
    found = duplicates(records, rows)
    assert orders(found) == [(i, "duplicate-t1w") for i in range(3)]
    assert (
        "sub-2" in found[0].flag.message
        and "sub-1 ses-a FBB, sub-1 ses-b FBB" in found[2].flag.message
    )


def test_voxels_of_one_image_under_two_headers():
    rows = [row("1", "a", 10.0), row("2", "a", 11.0)]
    records = [record("p1", "t1", (1, 2, 3, 4)), record("p2", "t2", (1.1, 2, 3, 4))]
    for one in records:
        one.provenance = replace(one.provenance, voxels={"pet": "same", "t1w": "same"})
    found = duplicates(records, rows)
    assert orders(found) == [(i, f"duplicate-{k}") for i in (0, 1) for k in ("pet", "t1w")]
    assert all("every voxel" in one.flag.message for one in found)


def test_many_duplicates_name_three():
    rows = [row(str(i), "a", 10.0) for i in range(6)]
    found = duplicates([record() for _ in rows], rows)
    assert "and 2 more" in found[0].flag.message and len(found[0].others) == 3


# ----------------------------------------------------------------------------------- contradictions


def contradictions(first, last):
    rows = [row("1", "1", 20.0, 0.0, **first), row("1", "2", 22.0, 2.0)]
    rows[1] |= last
    return {one.flag.code for one in implausible(rows, all_visits(rows)) if one.index == 1}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ({}, {}, set()),
        ({}, {"brain_ml": 1400 * 1.10}, set()),  # 5 % and 3 % a year
        ({}, {"brain_ml": 1400 * 1.12}, {"brain-volume"}),
        ({}, {"brain_ml": 1400 * 1.12, "t1w_source": "t1w-1-1"}, set()),
        ({"sex": "F"}, {"sex": "M"}, {"sex-contradiction"}),
        ({"age": 70}, {"age": 72}, set()),
        ({"age": 70}, {"age": 70}, set()),
        ({"age": 70}, {"age": 75}, {"age-contradiction"}),
        ({"age": 70}, {"age": 60, "years": None}, {"age-contradiction"}),
        ({"age": 87}, {"age": 89, "years": 6.0}, set()),  # 89+
        ({"age": 80}, {"age": 89, "years": 6.0}, {"age-contradiction"}),
        ({}, {"centiloid": 80.0}, {"centiloid-rise"}),
        ({"centiloid": 90.0}, {"centiloid": 40.0}, {"centiloid-fall"}),
        ({"centiloid": 15.0}, {"centiloid": 6.0}, set()),
        ({"session_id": "ses-3"}, {}, {"visit-order"}),
        ({"session_id": "ses-screening"}, {"session_id": "ses-baseline"}, set()),
        ({}, {"years": 0.0}, {"same-time"}),
        ({}, {"years": 0.5}, set()),
    ],
)
def test_contradictions_between_visits(first, last, expected):
    rows = [row("1", "1", 20.0, 0.0), row("1", "2", 22.0, 2.0)]
    rows[0] |= first
    rows[1] |= last
    found = implausible(rows, all_visits(rows))
    assert {one.flag.code for one in found} == expected
    assert len(found) == 2 * len(expected)
    assert all(len(one.flag.message) > 40 for one in found)
    levels = read_table("cohort_columns")["findings"]["code"]["Levels"]
    assert expected <= set(levels)


@pytest.mark.parametrize(("treated", "codes"), [([-0.1, 1.9], []), ([None, None], ["fall"] * 2),
                                               ([-3.0, -1.0], ["fall"] * 2)])  # fmt: skip
def test_a_fall_after_treatment_began_is_no_contradiction(treated, codes):
    rows = [row("1", "a", 90.0, 0.0), row("1", "b", 20.0, 2.0)]
    found = implausible(rows, all_visits(rows), treated)
    assert [one.flag.code for one in found] == [f"centiloid-{code}" for code in codes]


def test_dates_of_two_calendars_give_no_years():
    def scan(who, ses, date):
        entities = {"sub": who, "ses": ses, "trc": "FBB"}
        return ScanRecord(participant_id=f"sub-{who}", entities=entities, acq_time=date,
                          path=f"{who}{ses}")  # fmt: skip

    dates = {
        "1": ("1925-03-01T10:00:00", "2021-03-01T10:00:00"),  # one shifted, one not
        "2": ("1901-03-01T10:00:00", "1903-03-02T10:00:00"),
        "3": (None, "2021-01-01"),
    }
    records = [scan(who, ses, date) for who, two in dates.items()
               for ses, date in zip("ab", two, strict=True)]  # fmt: skip
    years = [one["years"] for one in centiloid_rows(records)]
    assert years[:2] == [None, None] and years[3] == pytest.approx(2, abs=0.01) and years[5] == 0
    found = shifted_dates(records)
    assert [(one.index, one.others, one.flag.code) for one in found] == [
        (0, (1,), "dates-shifted"), (1, (0,), "dates-shifted"),
    ]  # fmt: skip
    assert not re.search(r"\d", found[0].flag.message)
    assert "dates-shifted" in read_table("cohort_columns")["findings"]["code"]["Levels"]


# ---------------------------------------------------------------------------------------- cut-offs


def two_group_rows(people=120):
    random = np.random.default_rng(1)
    rows = []
    for number in range(people):
        high = number % 5 > 2
        value = random.normal(75, 25) if high else random.normal(1, 7)
        rows.append(row(str(number), "1", float(value), age=30 if number % 10 == 0 else 70,
                        group="hc" if number % 5 == 0 else "x"))  # fmt: skip
    return rows


def test_cutoffs_of_the_cohort_stand_beside_the_published():
    found = cutoffs(two_group_rows())
    methods = [one["method"] for one in found.rows]
    assert methods[:3] == ["mixture-crossing", "mixture-mean-2sd", "controls-mean-2sd"]
    marks = sum(len(marks) for _, marks in scale().cutoffs)
    assert methods[3:] == ["published"] * (2 + marks)
    assert {one["doi"] for one in found.rows[3:]} >= {
        "10.1002/alz.14336",
        "10.1016/j.jalz.2018.09.001",
    }
    crossing = found.rows[0]
    assert 10 < crossing["cutoff_low"] < crossing["cutoff"] < crossing["cutoff_high"] < 40
    assert crossing["n_above"] == sum(value > crossing["cutoff"] for value in found.values)
    assert list(crossing) == list(read_table("cohort_columns")["cutoffs"])
    assert "Ashman" in crossing["notes"]
    figure = cutoff_histogram(found)
    assert figure.drawing.count("<path") >= 5 and "both groups as likely" in figure.alt


def test_controls_are_the_young_or_those_named():
    rows = two_group_rows()
    young, named = (
        next(one for one in cutoffs(rows, who).rows if one["method"] == "controls-mean-2sd")
        for who in (None, ("group", "hc"))
    )
    assert (young["n"], named["n"]) == (12, 24)
    assert "younger than 45 years" in young["meaning"] and "group=hc" in named["meaning"]
    expected = control_cutoff([one["centiloid"] for one in rows if one["group"] == "hc"], 8)
    assert (named["cutoff"], named["cutoff_low"]) == (expected.value, expected.low)
    coded = [one | {"group": 1.0 if one["group"] == "hc" else 2.0} for one in rows]
    assert cutoffs(coded, ("group", "1")).rows[2]["n"] == 24
    missing = cutoffs(rows, ("nothing", "1")).rows[2]
    assert missing["cutoff"] is None and "no column nothing" in missing["notes"]


def test_one_group_or_few_people_are_refused_with_a_sentence():
    found = cutoffs([row(str(i), "1", float(i)) for i in range(20)])
    assert (
        found.groups is None
        and "mixture needs at least 40 people, not 20" in found.rows[0]["notes"]
    )
    assert cutoff_histogram(found) is not None
    assert cutoff_histogram(cutoffs([row("1", "1", 1.0)])) is None


def test_a_person_counts_once_with_the_first_scan():
    rows = [
        row("1", "b", 1.0, 1.0),
        row("1", "a", 2.0, 0.0),
        row("2", "a", None),
        row("2", "b", 3.0),
    ]
    assert [rows[index]["centiloid"] for index in first_scans(rows)] == [2.0, 3.0]
    undated = [row("1", "m24", 1.0, 0.0), row("1", "m00", 2.0), row("1", "m48", 3.0, 2.0)]
    assert first_scans(undated) == [1]  # as change does: by label unless all dates are known
    rows = [row("1", "a", 9.0, 0.0), row("1", "a", 1.0, 0.0, rec="OSEM")]
    rows += [row("1", "b", 2.0, 1.0, rec="OSEM")]
    assert first_scans(rows) == [1]  # of the reconstruction that the participant has most often


# ------------------------------------------------------------------------------------ the whole run


def test_a_study_on_disk(tmp_path):
    """Change, findings, page and flags of two visits and one duplicate, from records alone."""
    for number, (ses, suvr, when) in enumerate((("m00", 1.1, "2020"), ("m24", 1.5, "2022"))):
        entities = {"sub": "01", "ses": ses, "trc": "FBB"}
        record = finished_record(entities, suvr_wc=suvr, acq_time=f"{when}-01-01T12:00:00")
        record["provenance"] |= {"inputs": {"pet": "same" if number else "other", "t1w": "t"}}
        write(tmp_path, record, entities)
    entities = {"sub": "02", "trc": "FBB"}
    record = finished_record(entities)
    record["provenance"] |= {"inputs": {"pet": "same", "t1w": "u"}}
    write(tmp_path, record, entities)
    controls = StudyOptions(controls=("group", "hc"))
    written = {path.name for path in run_group(tmp_path, Filters(), options=controls)}
    assert {"group_change.tsv", "group_change.json", "group_findings.tsv", "group_model.tsv",
            "group_sites.tsv", "group_cutoffs.tsv"} <= written  # fmt: skip
    assert "group_slopes.tsv" not in written
    change = table(tmp_path, "group_change")
    assert [one["pair"] for one in change] == ["consecutive", "first-last"] * 4
    regions = [one["reference_region"] for one in change]
    assert regions == [name for name in ("wc", "cg", "wcb", "pons") for _ in range(2)]
    assert all(one["change"] == "n/a" and one["suvr_change"] != "n/a" for one in change[2:])
    assert float(change[0]["years"]) == pytest.approx(2, abs=0.01)
    assert change[0]["reliable_change"] == "increase"
    assert [one["flags"] for one in table(tmp_path, "group_centiloid")] == [
        "centiloid-rise", "centiloid-rise;duplicate-pet", "duplicate-pet",
    ]  # fmt: skip
    assert len(table(tmp_path, "group_findings")) == 4
    for name in ("change", "findings", "model", "sites", "cutoffs"):
        described = json.loads((tmp_path / f"group_{name}.json").read_text("utf-8"))
        columns = {key: entry for key, entry in described.items() if key != "CentiPET"}
        assert list(columns) == list(table(tmp_path, f"group_{name}")[0])
        assert all("Description" in entry for entry in columns.values())
    page = (tmp_path / "group_centiloid.html").read_text("utf-8")
    assert "Duplicates and contradictions" in page and "Reliable changes" in page
    assert "No mixed model: 1 participant with" in page


def test_courses_without_centiloids_are_not_among_those_that_were_judged(tmp_path):
    uncalibrated = {
        "centiloid": None, "equation": None,
        "calibration": {"id": "published", "calibrated": False, "differences": ["smoothing"]},
    }  # fmt: skip
    for who, more in (("01", {}), ("02", uncalibrated)):
        for session, suvr in (("a", 1.2), ("b", 1.6)):
            entities = {"sub": who, "ses": session, "trc": "FBB"}
            write(tmp_path, finished_record(entities, suvr, **more), entities)
    run_group(tmp_path, Filters())
    page = (tmp_path / "group_centiloid.html").read_text("utf-8")
    assert "from the first to the last visit (1 course), 1 reliable change." in page
    assert "In 2 of 2 courses" in page  # no dates


@pytest.mark.parametrize("lacking", ["a", "b"])
def test_a_reference_region_that_one_visit_lacks_has_its_pair_and_no_change(tmp_path, lacking):
    for session in "ab":
        entities = {"sub": "01", "ses": session, "trc": "FBB"}
        record = finished_record(entities, 1.2)
        if session == lacking:
            del record["suvr"]["pons"], record["voi"]["pons"]
        write(tmp_path, record, entities)
    run_group(tmp_path, Filters())
    pairs = [one for one in table(tmp_path, "group_change") if one["reference_region"] == "pons"]
    assert [one["suvr_change"] for one in pairs] == ["n/a"] * 2


def table(folder, name):
    return table_rows(folder / f"{name}.tsv")


def test_sites_come_as_people_count_and_one_scanner_is_told_once():
    rows = [
        row(str(number), "1", 10.0 + number, site=f"site {number % 11}",
            scanner=f"S{number // 11 if number % 11 == 2 else ''}")
        for number in range(22)
    ]  # fmt: skip
    found = site_rows(rows, [])
    sites = [one["site"] for one in found if one["level"] == "site"]
    assert sites == [f"site {number}" for number in range(11)]
    assert [(one["site"], one["scanner"]) for one in found if one["level"] == "scanner"] == [
        ("site 2", "S0"), ("site 2", "S1"),
    ]  # fmt: skip
    assert [one["scanner"] for one in found[:3]] == ["S", "S", None]
