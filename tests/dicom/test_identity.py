"""Who is who: identifiers that are reused, missing or double; dates."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conversions import dry, run
from dicom_studies import Mr, Person, Pet, write

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.dicom.convert import ConversionReport
from bidsapp.dicom.header import Header
from bidsapp.dicom.identity import doubts, mismatch, person_keys, shifted
from bidsapp.settings import Filters, Processing

ERIKA = Person()


def people(source: Path, *series: tuple[Pet | Mr, Person]) -> ConversionReport:
    for number, (images, person) in enumerate(series):
        images.write(source / str(number), person)
    return dry(source)


OTHER_DAY = Pet(injection=datetime(2022, 5, 3, 9, 0))


def header(person: Person, study: str, **tags: str) -> Header:
    values = {
        "PatientName": person.name,
        "PatientID": person.patient_id,
        "PatientBirthDate": person.birth,
        "PatientSex": person.sex,
        "StudyInstanceUID": study,
        **tags,
    }
    return Header(Path("I0"), {key: (value,) for key, value in values.items() if value})


def judged(*headers: Header) -> tuple[int, bool]:
    """How many people these are, and whether anybody is in doubt."""
    persons = person_keys(headers, ["in"] * len(headers))
    return len(set(persons)), bool(doubts(headers, persons)) or mismatch(headers) is not None


@pytest.mark.parametrize(
    ("one", "other", "n_people"),
    [
        (Person("A^B", "1", "19500101"), Person("C^D", "1", "19500101"), 1),  # a new name: told
        (Person("A^B", "1", ""), Person("C^D", "1", ""), 2),
        (Person("A^B", "1", ""), Person("B A", "1", ""), 1),
        (Person("A^B", "1", ""), Person("ANON", "1", ""), 1),
        (Person("A^B", "1", ""), Person("", "1", ""), 1),
        (Person("A^B", "ANON", ""), Person("C^D", "ANON", ""), 2),
        (Person("", "anonymous", ""), Person("", "anonymous", ""), 2),
        (Person("A^B", "0000", ""), Person("A^B", "", ""), 1),
        (Person("A^B", "1", "19500101"), Person("A^B", "1", "19500102"), 2),
        (Person("A^B", "1", "19500101"), Person("A^B", "1", ""), 1),
        (Person("A^B", "MRN-1", ""), Person("C^D", "MRN-1", ""), 2),
        (Person("A^B", "MRN-1", ""), Person("", "MRN-1", ""), 1),
        (Person("X", "MRN-1", "19000101"), Person("X", "MRN-1", "19480229"), 1),
        (Person("", "1", ""), Person("", "2", ""), 2),
        (Person("", "", ""), Person("", "", ""), 2),
    ],
)
def test_one_person_or_two(one: Person, other: Person, n_people: int) -> None:
    assert judged(header(one, "1.1"), header(other, "1.2"))[0] == n_people


PLACEHOLDERS = """DEIDENTIFIED|REMOVED|REDACTED|CONFIDENTIAL|SUBJECT|DUMMY|NULL|XXXX|1|0|-|n/a|9999
匿名|ausgeblendet|PHI removed|*****|Patient|blank"""


@pytest.mark.parametrize("birth", ["", "19000101", "19700101"])
@pytest.mark.parametrize("removed", ["", "YES"])
def test_a_text_that_is_the_same_for_everybody_makes_no_two_people_one_in_silence(
    birth: str, removed: str
) -> None:
    for text in re.split(r"[|\n]", PLACEHOLDERS):
        person = Person(text, text, birth)
        two = [header(person, f"1.{n}", PatientIdentityRemoved=removed) for n in (1, 2)]
        n_people, in_doubt = judged(*two)
        assert in_doubt, text
        assert n_people == 2 or (birth == "19700101" and not removed), text
        assert judged(two[0])[0] == 1, text


@pytest.mark.parametrize("number", ["ANON001", "SUBJ-12", "002_S_0295", "anon 17", "P1"])
def test_a_serial_placeholder_is_an_identifier(number: str) -> None:
    """One person with MR and three PETs, each a study of its own, stays one, without a doubt."""
    studies = [
        header(Person(number, number, ""), f"1.{n}", PatientIdentityRemoved="YES") for n in range(4)
    ]
    assert judged(*studies) == (1, False)
    other = header(Person("", number[:-1] + "8", ""), "1.9")
    assert judged(*studies, other)[0] == 2


@pytest.mark.parametrize(
    "issuer", ["IssuerOfPatientID", "ClinicalTrialSiteID", "ClinicalTrialSubjectID"]
)
def test_a_number_of_two_issuers_is_of_two_people(issuer: str) -> None:
    """Sites that count their participants from 001, and a PatientID that is that of the study."""
    nobody, erika = Person("", "AMY001", "", ""), Person("", "AMY001", "19480229", "")
    a, b = {issuer: "A"}, {issuer: "B"}
    assert judged(header(nobody, "1", **a), header(nobody, "2", **a))[0] == 1
    assert judged(header(nobody, "1", **a), header(nobody, "2"))[0] == 1
    assert judged(header(nobody, "1", **a), header(nobody, "2", **b)) == (2, True)
    named = Person("A^B", "AMY001", "")
    assert judged(header(named, "1", **a), header(named, "2", **b))[0] == 1
    # Two consoles of one hospital, and the same birth date.
    assert judged(header(erika, "1", **a), header(erika, "2", **b))[0] == 1


def test_the_identifier_of_a_trial_stands_for_one_that_was_removed() -> None:
    nobody = Person("ANONYMIZED", "ANONYMIZED", "", "")
    s1, s2 = ({"ClinicalTrialSubjectID": f"S00{n}", "PatientIdentityRemoved": "YES"} for n in "12")
    scans = [header(nobody, "1", **s1), header(nobody, "2", **s1), header(nobody, "3", **s2)]
    assert judged(*scans) == (2, False)


def test_one_series_uid_of_two_people_is_two_series(tmp_path: Path) -> None:
    """As anonymisers write it; what a person has of her own tells them apart."""
    max_ = Person("Muster^Max", "MRN-4712", "19500101", "M")
    for number, person in enumerate((ERIKA, max_)):
        pet = Pet(frames=((5400, 1200),), injection=datetime(2021, 3, 2, 10 + number, 4, 30))
        for kind, images in (("mr", Mr()), ("pet", pet)):
            datasets = list(images.datasets(person, "1.2.3"))
            for data in datasets:
                data.SeriesInstanceUID = data.SOPInstanceUID = "1.2.3.4"
                data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            write(tmp_path / "in" / f"{kind}{number}", datasets)
    report = dry(tmp_path / "in")
    assert report.errors == []
    rows = [(row.participant_id, row.kind, row.files) for row in report.rows]
    assert len(set(rows)) == 4 and {files for _, _, files in rows} == {36, 9}
    assert len({row.participant_id for row in report.rows}) == 2


def test_one_series_uid_of_two_studies_is_two_series(tmp_path: Path) -> None:
    """Of one person at one time of day, a year apart."""
    for number, year in enumerate((2021, 2022)):
        pet = Pet(frames=((5400, 1200),), injection=datetime(year, 3, 2, 10, 4, 30))
        datasets = list(pet.datasets(ERIKA, f"1.2.{number}"))
        for data in datasets:
            data.SeriesInstanceUID = "1.2.3.4"
        write(tmp_path / "in" / str(number), datasets)
    report = dry(tmp_path / "in")
    assert report.errors == []
    assert len({row.target.partition("_")[2] for row in report.rows}) == 2


def test_one_digit_is_an_identifier_where_others_are() -> None:
    people = [header(Person("", f"{n}", ""), f"1.{n}.{m}") for n in (1, 2, 12) for m in (0, 1)]
    assert judged(*people)[0] == 3


def test_contradictions_under_one_identifier_are_told() -> None:
    mine = header(ERIKA, "1.1", PatientSize="1.62")
    assert judged(mine, header(ERIKA, "1.2", PatientSize="163")) == (1, False)
    assert judged(mine, header(ERIKA, "1.2", PatientSize="1.85")) == (1, True)
    assert judged(mine, header(replace(ERIKA, sex="M"), "1.2")) == (2, True)
    assert judged(mine, header(replace(ERIKA, birth="19480301"), "1.2")) == (2, True)


def test_a_name_of_many_is_no_name() -> None:
    """ "ANON^PATIENT" of a man and a woman joins no studies of a third."""
    name = "ANON^PATIENT"
    headers = [
        header(Person(name, "", "", sex), f"1.{n}") for n, sex in enumerate(("M", "F", "", ""))
    ]
    assert judged(*headers) == (4, True)


def test_doubts_stand_in_the_table(tmp_path: Path) -> None:
    anonymous = Person("DEIDENTIFIED", "DEIDENTIFIED", "")
    report = people(tmp_path / "in", (Pet(), anonymous), (OTHER_DAY, anonymous))
    assert len({row.participant_id for row in report.rows}) == 2
    assert all("name their StudyInstanceUID in --dicom-map" in row.reason for row in report.rows)


def test_one_identifier_of_a_man_and_a_woman_is_two_people(tmp_path: Path) -> None:
    report = people(
        tmp_path / "in", (Pet(), ERIKA), (OTHER_DAY, replace(ERIKA, sex="M")), (Mr(), ERIKA)
    )
    assert len({row.participant_id for row in report.rows}) == 2


def test_one_person_under_two_identifiers_is_told(tmp_path: Path) -> None:
    again = replace(ERIKA, patient_id="MRN-0815", name="ERIKA MUSTERMANN")
    report = people(tmp_path / "in", (Pet(), ERIKA), (Mr(), again))
    assert len({row.participant_id for row in report.rows}) == 2
    assert all("same name and birth date" in row.reason for row in report.rows)
    table = tmp_path / "map.tsv"
    table.write_text("patient_id\tparticipant_id\nMRN-0815\t1\nMRN-4711\t1\n")
    report = run(tmp_path / "in", tmp_path / "bids", label_map=table)
    assert {row.participant_id for row in report.rows} == {"sub-1"}


def test_doubts_reach_the_record(tmp_path: Path) -> None:
    """A T1w two years older, and another name: flags of the scan, not only words in a table."""
    Mr(acquired=datetime(2018, 1, 1, 9, 0)).write(
        tmp_path / "in" / "mr", replace(ERIKA, name="X^Y")
    )
    Pet().write(tmp_path / "in" / "pet")
    assert run(tmp_path / "in", tmp_path / "bids").errors == []
    plan = make_plan(read_dataset(tmp_path / "bids", Filters()), Processing())
    (scan,) = plan.scans
    codes = {flag.code: flag.message for flag in scan.flags}
    assert {"t1w-far", "identity"} <= set(codes)
    assert "more than a year" in codes["t1w-far"] and "PatientName differs" in codes["identity"]
    assert "mustermann" not in json.dumps(codes).lower()


def test_dates_are_shifted_by_person_and_keep_their_distances(tmp_path: Path) -> None:
    source = tmp_path / "in"
    Mr().write(source / "mr")
    Pet().write(source / "pet")
    Pet(n_slices=8).write(source / "other", Person("A^B", "2", "19500101"))
    run(source, tmp_path / "bids", shift_dates=True)
    times = {}
    for table in (tmp_path / "bids").rglob("*_scans.tsv"):
        for line in table.read_text().splitlines()[1:]:
            name, text = line.split("\t")
            times[name.split("_")[0], name.split("_")[-1]] = datetime.fromisoformat(text)
    assert len(times) == 3 and max(times.values()).year < 1925
    by_person: dict[str, list[datetime]] = {}
    for (person, _), moment in times.items():
        by_person.setdefault(person.split("/")[1], []).append(moment)
    (erika,) = (found for found in by_person.values() if len(found) == 2)
    assert max(erika) - min(erika) == timedelta(days=14, hours=2, minutes=34, seconds=30)
    assert len({moment.date() for moment in times.values()}) == 3


def test_a_shift_is_the_same_in_every_run() -> None:
    moment = datetime(2021, 3, 2, 11, 34, 30)
    one = shifted(moment, ("MRN-4711", "19480229"))
    assert one == shifted(moment, ("mrn-4711 ", "19480229"))
    assert one != shifted(moment, ("MRN-4712", "19480229"))
    assert one.time() == moment.time()
