"""Who is in the raw dataset and in no table."""

from __future__ import annotations

import json
import logging

import pytest
from synthetic_records import finished_record, write

from bidsapp.bids.derivative_root import RAW_FACTS, write_root_files
from bidsapp.group.absent import absence, absent_people, read_facts, vanished
from bidsapp.group.collect import run_group
from bidsapp.record import find_records
from bidsapp.settings import Filters

PARTICIPANTS = "participant_id\tage\nsub-01\t70\nsub-02\t71\nsub-03\t72\n"


@pytest.fixture
def out(tmp_path):
    raw, folder = tmp_path / "raw", tmp_path / "out"
    (raw / "sub-04").mkdir(parents=True)
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (raw / "participants.tsv").write_text(PARTICIPANTS)
    (raw / "participants.json").write_text('{"age": {"Description": "At the first visit"}}')
    write_root_files(folder, raw)
    entities = {"sub": "02", "trc": "FBB"}
    write(folder, finished_record(entities, participant={"age": "71"}), entities)
    assert (raw / "participants.tsv").read_text() == PARTICIPANTS
    return folder


def test_people_of_the_table_and_of_folders_are_missed(out):
    facts, records = read_facts(out), find_records(out)
    assert absent_people(facts, records, Filters()) == ["sub-01", "sub-03", "sub-04"]
    assert absent_people(facts, records, Filters(participant=("02", "04"))) == ["sub-04"]
    assert absent_people({}, records, Filters()) == []


def test_the_page_the_log_and_the_dictionary_tell_what_the_raw_dataset_says(out, caplog):
    with caplog.at_level(logging.WARNING):
        run_group(out, Filters())
    assert "3 of the raw dataset have no PET or were never processed" in caplog.text
    assert "sub-01, sub-03, sub-04" in (out / "group_centiloid.html").read_text()
    described = json.loads((out / "group_centiloid.json").read_text())
    assert described["participants_age"]["Description"].startswith("At the first visit")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"participants": 7, "participant": []}'])
def test_facts_that_cannot_be_read_are_none(out, text):
    (out / RAW_FACTS).write_text(text)
    assert read_facts(out) == {}
    run_group(out, Filters())


def test_many_are_counted_not_listed():
    (sentence,) = absence([f"sub-{number}" for number in range(50)])
    assert "sub-19" in sentence and "sub-20" not in sentence and "30 more" in sentence


def test_results_of_images_that_are_gone_are_told(out, caplog):
    raw = out.parent / "raw"
    records = find_records(out)
    assert vanished(records, raw) == vanished(records, None) == []  # another dataset, or none
    for label in ("01", "03"):
        entities = {"sub": label, "trc": "FBB"}
        write(out, finished_record(entities), entities)
    image = raw / "sub-01" / "pet" / "sub-01_trc-FBB_pet.nii.gz"
    image.parent.mkdir(parents=True)
    image.symlink_to("content that was not fetched")
    with caplog.at_level(logging.WARNING):
        run_group(out, Filters(), bids_dir=raw)
    sentence = (
        "no longer has the image of 2 results in pages and tables: sub-02_trc-FBB, sub-03_trc-F"
    )
    assert sentence in caplog.text and sentence in (out / "group_centiloid.html").read_text()
    assert vanished(find_records(out), raw / "nowhere") == []
