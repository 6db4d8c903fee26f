"""The methods text of a study."""

from __future__ import annotations

from synthetic_records import finished_record, write

from bidsapp.record import find_records
from bidsapp.report.study_methods import cohort_methods

SCANNER = {"Manufacturer": "Siemens", "ManufacturersModelName": "Biograph mCT"}


def methods_of(folder):
    flag = {"code": "pet-t1w", "message": "look at it"}
    for label, session, changes in (
        ("01", "a", {"acquisition": SCANNER, "site": "Ulm"}),
        ("01", "b", {"acquisition": SCANNER, "site": "Ulm", "flags": [flag]}),
        ("02", "a", {"acquisition": {"Manufacturer": "GE"}}),
        ("03", "a", {"status": "failed", "reason": "the PET is cut", "centiloid": None}),
    ):
        entities = {"sub": label, "ses": session, "trc": "PIB" if label == "02" else "FBB"}
        write(folder, finished_record(entities, **changes), entities)
    return find_records(folder)


def test_the_text_counts_scans_people_tracers_scanners_and_outcomes(tmp_path):
    text = cohort_methods(methods_of(tmp_path)).as_markdown()
    for part in (
        "4 PET scans of 3 participants were processed, 1 of them scanned at more than one session",
        "Tracers: [18F]florbetaben (3), [11C]PiB (1).",
        "Scanners: Siemens Biograph mCT (2), GE (1), not known (1).",
        "Sites: Ulm (2), not known (2).",
        "3 of 4 scans gave a result; 1 could not be quantified.",
        "flagged 1 result: pet-t1w (1).",
        "CentiPET 0.1.0",
        "CL = 93.7207 × SUVR",
        "doi:10.1016/j.jalz.2014.07.003",
    ):
        assert part in text, part
    assert text.count("### References") == 1


def test_flags_that_other_scans_tell_count(tmp_path):
    records = methods_of(tmp_path)
    flags = [["pet-t1w"], ["duplicate-pet", "pet-t1w"], [], ["window-off"]]
    done = [codes for codes, one in zip(flags, records, strict=True) if one.status == "ok"]
    text = cohort_methods(records, flags=flags).as_markdown()
    n = sum("pet-t1w" in codes for codes in done)
    assert f"flagged {sum(map(bool, done))} results: pet-t1w ({n})" in text
    assert "duplicate-pet (1)" in text


def test_a_mixture_comes_first_so_that_nobody_pastes_it_unread(tmp_path):
    text = cohort_methods(
        methods_of(tmp_path), ["1 of 4 scans was made by another version"]
    ).as_markdown()
    assert text.startswith("BEFORE YOU PASTE THIS: 1 of 4 scans was made by another version.")


def test_a_study_without_a_result_has_a_text_as_well(tmp_path):
    entities = {"sub": "1", "trc": "FBB"}
    write(tmp_path, finished_record(entities, status="failed", centiloid=None), entities)
    text = cohort_methods(find_records(tmp_path)).as_markdown()
    assert "1 PET scan of 1 participant was processed." in text
    assert "0 of 1 scan gave a result" in text
