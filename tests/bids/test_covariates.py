"""Ages, weights and dates of raw tables, as people write them."""

import json

import pytest

from bidsapp.bids.covariates import age_years, holds_date, weight_kg
from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.bids.table_problems import table_problems
from bidsapp.group.tables import centiloid_rows
from bidsapp.record.about import age_of
from bidsapp.record.model import ScanRecord
from bidsapp.settings import Filters, Processing

DATES = [
    "2020-01-02", "2020-1-2", "2020/01/02", "2020.01.02", "2020-01-02T10:00:00+01:00",
    "02/03/2020 10:22", "03.02.2019", "3-2-2019", "03.02.19", "1/2/20", "20200102",
    "20200102101500", "12-Mar-2020", "12MAR2020", "12. März 2020", "2 févr. 2021", "March 3, 2020",
    "Mar 3rd 2020", "2020-Mar-12", "2020 Dec 1", "scanned on 2020-01-02", "ab 1950-02-03 x",
    "seen 3 May 2021, well", "D2020-01-02", "MRI of Sept. 3, 2020",
    "May 2020", "2020-05", "05/2020", "5/2020", "05-2020", "05.2020", "2020/05", "2020 May",
    "May2020", "may, 2020", "Sept. 2020", "seen in May of 2020", "since 2020-05", "onset 11/1998",
    "Mai 2020", "März 2020", "févr. 2021", "Mayo 2020", "dicembre 2019", "May-20", "May '20",
    "20-May", "12 Dec", "May 3rd", "2nd of March", "MAR-01", "1 de mayo de 2020", "3rd of May 2020",
    "05 2020", "2020 05", "2020/5", "2020-W05-1", "1950_03_04", "born 03_04_1950",
    "\u0662\u0660\u0662\u0660-\u0660\u0665-\u0660\u0661", "2020\u5e745\u6708",
    "2020\u5e745\u67083\u65e5",
]  # fmt: skip
NO_DATES = [
    "2020", "1950", "71.5", "20259999", "1.2.3", "e3e4", "A-12-3", "site 3 of 2020", "cohort 2020",
    "120200102", "10-12", "n/a", "", "29", "ADNI3", "2020-13", "12345678901", "wave 2020",
    "192.168.10.20", "3 Tesla", "cohort 2 wave 2019", "phase 3 trial 2021", "Version 12 build 2019",
    "march", "decile 3 of 2010", "ADNI GO 2 2010", "Decile 2010", "marker 2020", "set 2020",
    "2020.05", "12.2020", "2010-2012", "2019-20", "10/20", "5/30", "v1-2020", "S2020-01",
    "0.5/2000", "202005", "120/80", "1-20", "Gen 2", "arm 3", "visit 12",
    "Juliane 3", "e4", "1.5T", "24m", "MAR01", "DEC2", "site-MAR01", "02 12",
]  # fmt: skip


def test_a_date_is_told_in_any_way_of_writing():
    assert [text for text in DATES if not holds_date(text)] == []
    assert [text for text in NO_DATES if holds_date(text)] == []


@pytest.mark.parametrize(
    ("text", "age"),
    [
        (">89", 89), (">= 90", 90), ("72", 72), ("072", 72), ("72.5", 72.5), ("72,5", 72.5),
        ("89+", 89), ("072Y", 72), ("72 years", 72), (" 72 ", 72), ("-4", None), ("0", None),
        ("999", None), ("866", None), ("18+", None), (">18", None), ("80+ y", None), ("80+", 80),
        ("<50", None), ("=70", None),
        (".", None), ("NULL", None), ("sixty", None), ("nan", None), ("inf", None), (None, None),
    ],
)  # fmt: skip
def test_an_age_is_that_of_an_adult(text, age):
    assert age_years(text) == age
    record = ScanRecord(participant_id="sub-1", entities={"sub": "1"}, participant={"Age": text})
    assert age_of(record) == age and type(age_of(record)) is type(age)


@pytest.mark.parametrize(
    ("value", "weight"), [(80, 80), ("80,5", 80.5), ("8e1", 80), ("0", None), (72000, None),
                          ("heavy", None), (True, None), (None, None), ("77.5kg", 77.5),
                          ("80 (kg)", 80), ("80 Kilogramm", 80), ("150 lbs", 68.0388555),
                          ("154 Pounds", 69.85322498),
                          ("80000 g", None), ("12 st", None), ("about 80", None),
                          ("12 st 5 lb", None), ("11st 4lbs", None), ("5 ft 150 lb", None),
                          ("22 kg/m2", None), ("22 kg/m\u00b2", None), ("22 kg per m", None),
                          ("150 lb or kg", None), ("150 pounds (lbs)", 68.0388555)],
)  # fmt: skip
def test_a_weight_is_one_in_kg(value, weight):
    assert weight_kg(value) == pytest.approx(weight)


@pytest.fixture
def planned(raw):
    def plan(table, sessions=""):
        raw.t1w("sub-1_ses-a")
        raw.pet("sub-1_ses-a_trc-FBB")
        (raw.root / "participants.tsv").write_text(table)
        (raw.root / "sub-1" / "sub-1_sessions.tsv").write_text(sessions)
        (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
        return scan

    return plan


def test_what_cannot_be_an_age_or_a_weight_is_told_and_not_used(planned):
    scan = planned("participant_id\tage\tweight\nsub-1\t-4\t72000\n")
    (flag,) = [flag for flag in scan.flags if flag.code == "covariates"]
    assert "'-4', which is not an age in years" in flag.message
    assert "'72000', which is not a weight in kg" in flag.message
    assert scan.suv_factor is None


def test_a_decimal_comma_is_read(planned):
    scan = planned("participant_id;age;weight\nsub-1;72,5;80,5\n")
    assert not [flag for flag in scan.flags if flag.code == "covariates"]
    assert scan.suv_factor == pytest.approx(80.5e3 / 300e6)


@pytest.mark.parametrize(
    ("units", "cell", "factor"),
    [("lb", "150", 68.0389), ("kilograms", "80,5", 80.5), ("lb", "80 kg", 80), ("n/a", "80", 80)],
)
def test_the_unit_of_a_weight_is_that_of_its_column(raw, planned, units, cell, factor):
    (raw.root / "participants.json").write_text(json.dumps({"Weight": {"Units": units}}))
    scan = planned(f"participant_id\tweight\nsub-1\t{cell}\n")
    assert not [flag for flag in scan.flags if flag.code == "covariates"]
    assert scan.suv_factor == pytest.approx(factor * 1e3 / 300e6)


def test_the_unit_of_a_session_may_be_that_of_its_participant(raw, planned):
    planned("participant_id\n")  # makes the folder
    (raw.root / "sub-1" / "sub-1_sessions.json").write_text('{"weight": {"Units": "lbs"}}')
    scan = planned("participant_id\n", "session_id\tweight\nses-a\t150\n")
    assert scan.suv_factor == pytest.approx(68.0389 * 1e3 / 300e6)


def test_a_weight_in_another_unit_is_told_and_not_used(raw, planned):
    (raw.root / "participants.json").write_text('{"weight": {"Units": "stone"}, "age": "years"}')
    scan = planned("participant_id\tweight\nsub-1\t12\n")
    (flag,) = [flag for flag in scan.flags if flag.code == "covariates"]
    assert "'12 stone', which is not a weight in kg" in flag.message and scan.suv_factor is None


@pytest.mark.parametrize(
    ("levels", "cell", "kept"),
    [
        ({"1": "Male", "2": "Female"}, "2", "female"),
        ({"0": {"Description": "male participants"}}, "0", "male"),
        ({"M": "male"}, "M", "M"),
        ({"1": "male or female"}, "1", "1"),
        ({"0": "not female", "1": "female"}, "0", "0"),
        ({"1": "male"}, "2", "2"),
        ("M or F", "2", "2"),
    ],
)
@pytest.mark.parametrize("described", ["Sex", "sex"])
def test_codes_of_sex_are_what_the_dictionary_says(raw, planned, described, levels, cell, kept):
    (raw.root / "participants.json").write_text(json.dumps({described: {"Levels": levels}}))
    scan = planned(f"participant_id\tSex\nsub-1\t{cell}\n")
    assert scan.about["participant"] == {"Sex": kept}


def test_a_date_that_cannot_be_read_is_told(raw):
    for label in ("1", "2"):
        raw.t1w(f"sub-{label}_ses-a")
        raw.pet(f"sub-{label}_ses-a_trc-FBB")
    sessions = {"1": "ses-a\t02/03/2020\n", "2": "ses-a\t2020-03-02\nses-b\tn/a\n"}
    for label, rows in sessions.items():
        table = raw.root / f"sub-{label}" / f"sub-{label}_sessions.tsv"
        table.write_text(f"session_id\tacq_time\n{rows}")
    scans = raw.root / "sub-2" / "ses-a" / "sub-2_ses-a_scans.tsv"
    scans.write_text("filename\tacq_time\npet/sub-2_ses-a_trc-FBB_pet.nii.gz\t2 March 2020\n")
    of_sessions, of_scans = table_problems(read_dataset(raw.root, Filters()))
    assert of_sessions.startswith("sub-1_sessions.tsv: acq_time of ses-a is not of the form")
    assert of_scans.startswith("sub-2_ses-a_scans.tsv: acq_time of pet/sub-2_ses-a_trc-FBB_pet is")


def test_what_tables_of_sessions_and_scans_lack_is_told_once_for_all(raw):
    names = [f"sub-{n}_ses-a" for n in (1, 2, 3)]
    for name in names:
        raw.t1w(name)
        raw.pet(f"{name}_trc-FBB")
    tables = {
        "sub-1/sub-1_sessions.tsv": "session_id\tacq_time\nses-b\t2020-01-01\n",
        "sub-2/sub-2_sessions.tsv": "session_id\tscan_date\tdob\nses-a\t2020-01-01\t1950-01-01\n",
        "sub-1/ses-a/sub-1_ses-a_scans.tsv": "filename\tacq_time\npet/sub-1_pet.nii\t2020-01-01\n",
        "sub-2/ses-a/sub-2_ses-a_scans.tsv": "filename\tnote\npet/sub-2_pet.nii\tx\n",
        "sub-3/ses-a/sub-3_ses-a_scans.tsv": (  # without the folder
            "filename\tacq_time\nsub-3_ses-a_trc-FBB_pet.nii.gz\t2020-01-02\n"
        ),
    }
    for name, text in tables.items():
        (raw.root / name).write_text(text)
    dataset = read_dataset(raw.root, Filters())
    session, other, scan = table_problems(dataset)
    assert session == "sessions.tsv: has no row of sub-1 ses-a"
    assert other.startswith("sub-2_sessions.tsv: ") and "scan_date was not used" in other
    assert scan == (
        "scans.tsv: has no row of sub-1_ses-a_trc-FBB_pet.nii.gz, sub-2_ses-a_trc-FBB_pet.nii.gz"
    )
    (pet,) = [pet for pet in dataset.pets if pet.participant == "3"]
    assert str(dataset.acquired(pet)) == "2020-01-02 00:00:00"


def test_the_begin_of_treatment_reaches_the_group_level_and_no_table(planned):
    scan = planned(
        "participant_id\ttreatment_start\tborn\nsub-1\t2021-03-31\t12-Mar-1950\n",
        "session_id\tseen\nses-a\t02/03/2020 10:22\n",
    )
    assert scan.about["participant"] == {"treatment_start": "2021-03-31"}
    assert scan.about["session"] == {}
    record = ScanRecord(
        participant_id="sub-1", entities={"sub": "1"}, participant=scan.about["participant"]
    )
    (row,) = centiloid_rows([record])
    assert row["treatment_start"] is None


@pytest.mark.parametrize(
    ("value", "n_told"),
    [("80 st", 1), ("80 kg", 0), (80000, 1), ("80", 0), (0, 0), ("n/a", 0), (None, 0)],
)
def test_a_weight_of_the_sidecar_that_cannot_be_one_is_told(raw, value, n_told):
    raw.t1w("sub-1")
    raw.pet("sub-1", PatientWeight=value)
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    assert [flag.code for flag in scan.flags] == ["covariates"] * n_told
    assert all(f"PatientWeight of the sidecar is '{value}'" in f.message for f in scan.flags)
