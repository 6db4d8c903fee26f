"""Participants by amyloid and tau: which scans are paired, who is counted, and what is told."""

import pytest
from synthetic_cohorts import row
from synthetic_records import finished_record, tau_record, write
from tsv_rows import table_rows

from bidsapp.data.tau import tau_equations
from bidsapp.data.tracers import tracers
from bidsapp.errors import UsageError
from bidsapp.group.amyloid_tau import StatusRule, amyloid_tau
from bidsapp.group.collect import run_group
from bidsapp.settings import Filters, StudyOptions

RULE = StatusRule(centiloid=24.4, region="universal", centaurz=2.0, days=365.0)
NO_TAU = {"centaurz_universal": None, "centaur_universal": None}


def amyloid(who, session, centiloid, years=None, **changes):
    return row(who, session, centiloid, years, **(NO_TAU | changes))


def tau(who, session, centaurz, years=None, **changes):
    values = {"tracer": "FTP", "centaurz_universal": centaurz, "centaur_universal": None}
    return row(who, session, None, years, suvr_wc=1.0, **(changes | {"tracer": "FBB"})) | values


def one(*rows, rule=RULE):
    (found,) = amyloid_tau(rows, rule).rows
    return found


@pytest.mark.parametrize(
    ("centiloid", "centaurz", "status"),
    [(60.0, 5.0, "A+T+"), (60.0, 1.0, "A+T-"), (10.0, 5.0, "A-T+"), (10.0, 1.0, "A-T-"),
     (24.4, 2.0, "A-T-"), (24.41, 2.01, "A+T+")],
)  # fmt: skip
def test_above_is_strictly_above(centiloid, centaurz, status):
    found = one(amyloid("1", "a", centiloid, 0.0), tau("1", "a", centaurz, 0.1))
    assert found["status"] == status and found["reason"] is None
    assert found["days"] == pytest.approx(36.525) and found["paired_by"] == "dates"


def test_the_first_tau_scan_with_an_amyloid_scan_in_time_counts_with_the_closest():
    rows = [
        tau("1", "t0", 9.0, 0.0),  # nothing within a year of it
        amyloid("1", "a", 10.0, 2.0), amyloid("1", "b", 50.0, 2.9),
        tau("1", "t2", 3.0, 3.0), tau("1", "t1", 1.0, 2.6),
    ]  # fmt: skip
    found = one(*rows)
    assert (found["tau_session"], found["amyloid_session"]) == ("ses-t1", "ses-b")
    assert found["status"] == "A+T-" and found["days"] == pytest.approx(0.3 * 365.25)
    assert one(*reversed(rows)) == found


def test_scans_exactly_as_far_apart_as_allowed_are_a_pair():
    def years(days):
        return days * 86400 / (365.25 * 86400)

    found = [
        one(amyloid("1", "a", 60.0, years(day)), tau("1", "b", 5.0, years(day + 365)))
        for day in range(400)
    ]
    assert {row["status"] for row in found} == {"A+T+"} and {row["days"] for row in found} == {365}


def test_of_several_reconstructions_the_usual_one_of_the_person_counts():
    rows = [
        amyloid("1", "a", 60.0, 0.0, rec="sharp"), amyloid("1", "a", 10.0, 0.0, rec="usual"),
        amyloid("1", "b", 12.0, 2.0, rec="usual"), tau("1", "a", 1.0, 0.1),
    ]  # fmt: skip
    assert one(*rows)["status"] == one(*reversed(rows))["status"] == "A-T-"


def test_the_first_of_scans_is_by_label_where_a_date_is_lacking():
    rows = [amyloid("1", "m24", 60.0, 0.0), amyloid("1", "m00", 10.0)]
    first, _ = amyloid_tau([*rows, tau("2", "a", 5.0)], RULE).rows
    assert first["amyloid_session"] == "ses-m00"


def test_scans_too_far_apart_are_no_pair_whatever_their_session_is_called():
    found = one(amyloid("1", "a", 60.0, 0.0), tau("1", "a", 5.0, 2.0))
    assert found["status"] == "not-paired" and "730 days apart" in found["reason"]
    assert (found["amyloid"], found["tau"]) == (
        "positive",
        "positive",
    )  # each is known, together they are not
    wider = StatusRule(24.4, "universal", 2.0, 800.0)
    assert one(amyloid("1", "a", 60.0, 0.0), tau("1", "a", 5.0, 2.0), rule=wider)["status"] == (
        "A+T+"
    )


def test_without_dates_one_session_is_told_and_two_sessions_are_no_pair():
    found = one(amyloid("1", "a", 60.0), tau("1", "a", 5.0))
    assert found["status"] == "A+T+" and found["paired_by"] == "session" and found["days"] is None
    assert one(amyloid("1", "", 60.0), tau("1", "", 5.0))["paired_by"] == "session"
    apart = one(amyloid("1", "a", 60.0), tau("1", "b", 5.0))
    assert apart["status"] == "not-paired" and "dates are not known" in apart["reason"]
    half = one(amyloid("1", "a", 60.0, 0.0), tau("1", "b", 5.0))
    assert half["status"] == "not-paired"


def test_what_is_missing_is_told_and_never_guessed():
    rows = [
        amyloid("1", "a", 60.0, 0.0),
        tau("2", "a", 5.0, 0.0),
        amyloid("3", "a", None, 0.0, status="failed"), tau("3", "a", None, 0.0, status="failed"),
        amyloid("4", "a", 60.0, 0.0), tau("4", "a", None, 0.0),
    ]  # fmt: skip
    found = {row["participant_id"]: row for row in amyloid_tau(rows, RULE).rows}
    assert [one["status"] for one in found.values()] == [
        "no-tau", "no-amyloid", "neither", "no-tau",
    ]  # fmt: skip
    assert found["sub-1"]["reason"] == "No tau scan." and found["sub-1"]["tau"] is None
    assert found["sub-4"]["reason"] == "1 tau scan without a CenTauRz of the universal volume."
    assert "1 amyloid scan without" in found["sub-3"]["reason"]
    counts = amyloid_tau(rows, RULE).n
    assert sum(counts.values()) == 4 and counts["no-tau"] == 2


def test_a_cohort_without_tau_has_no_table_and_tau_left_out_makes_none():
    assert amyloid_tau([amyloid("1", "a", 60.0, 0.0)], RULE).rows == ()
    left_out = tau("1", "a", None, 0.0, status="skipped")
    assert amyloid_tau([amyloid("1", "a", 60.0, 0.0), left_out], RULE).rows == ()


def test_cut_offs_come_from_the_user_or_the_tables():
    usual = StatusRule.of_options(StudyOptions())
    assert (usual.centiloid, usual.region, usual.centaurz, usual.days) == (
        24.4,
        "universal",
        2,
        365,
    )
    own = StudyOptions(amyloid_cutoff=0.0, tau_cutoff=("frontal", -1.0), pair_days=90.0)
    assert StatusRule.of_options(own) == StatusRule(0.0, "frontal", -1.0, 90.0)
    assert StatusRule.of_options(StudyOptions(tau_cutoff=(None, 3.0))).region == "universal"
    with pytest.raises(UsageError, match="--tau-cutoff hippocampus: give one of universal"):
        StatusRule.of_options(StudyOptions(tau_cutoff=("hippocampus", 2.0)))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """People of every kind; the true cross table is that of their values."""
    folder = tmp_path_factory.mktemp("at")
    line, z = tracers()["FBB"].equation, tau_equations("FTP")["centaurz"]["universal"]
    people = [(80, 6)] * 3 + [(80, 0)] * 2 + [(5, 6)] + [(5, 0)] * 4 + [(80, None), (None, 6)]
    for number, (centiloid, centaurz) in enumerate(people):
        entities = {"sub": f"{number:02}", "ses": "1"}
        if centiloid is not None:
            suvr = (centiloid + number / 10 - line.intercept) / line.slope
            scan = entities | {"trc": "FBB"}
            write(folder, finished_record(scan, suvr, acq_time="1925-01-10T10:00:00"), scan)
        if centaurz is not None:
            scan = entities | {"trc": "FTP"}
            suvr = (centaurz - z.intercept) / z.slope + number / 1000
            write(folder, tau_record(scan, suvr, acq_time="1925-02-10T10:00:00"), scan)
    run_group(folder, Filters())
    return folder


def test_the_tables_and_the_page_have_the_true_counts(cohort):
    counts = {
        row["status"]: int(row["n"]) for row in table_rows(cohort / "group_amyloid_tau_counts.tsv")
    }
    assert counts == {
        "A+T+": 3, "A+T-": 2, "A-T+": 1, "A-T-": 4,
        "not-paired": 0, "no-amyloid": 1, "no-tau": 1, "neither": 0,
    }  # fmt: skip
    rows = table_rows(cohort / "group_amyloid_tau.tsv")
    assert len(rows) == 12 and {row["days"] for row in rows} == {"31.0", "n/a"}
    page = (cohort / "group_centiloid.html").read_text("utf-8")
    part = page[page.index('id="amyloid-tau"') :].partition("</section>")[0]
    cells = [cell.partition("<")[0] for cell in part.split('<td class="num">')[1:10]]
    assert cells == ["4", "1", "5", "2", "3", "5", "6", "4", "10"]  # margins included
    assert "1 without a tau value, 1 without a Centiloid" in part
    assert "[18F]flortaucipir" in part and "within 365 days" in part
    methods = (cohort / "group_methods.md").read_text("utf-8")
    assert "(A+T+ 3, A+T- 2, A-T+ 1, A-T- 4); 2 had no such pair" in methods


def test_another_cut_off_moves_people_and_is_in_the_rows(cohort):
    own = StudyOptions(amyloid_cutoff=100.0, tau_cutoff=("meta_temporal", 0.5))
    run_group(cohort, Filters(), options=own)
    rows = table_rows(cohort / "group_amyloid_tau.tsv")
    assert {row["amyloid"] for row in rows} == {"negative", "n/a"}
    assert {(row["amyloid_cutoff"], row["tau_region"], row["tau_cutoff"]) for row in rows} == {
        ("100.0", "meta_temporal", "0.5")
    }
