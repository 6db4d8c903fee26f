"""Results in scans.tsv and sessions.tsv of the participants."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from synthetic_records import finished_record, write
from whole_app import validator_errors

from bidsapp.bids.derivative_root import write_root_files
from bidsapp.bids.derivatives import output_path
from bidsapp.data import read_table
from bidsapp.group.scans import write_scan_tables


def write_scan(folder, trc="FBB", ses="m00", **changes):
    entities = {"sub": "01", "ses": ses, "trc": trc}
    write(folder, finished_record(entities, **changes), entities)
    image = output_path(folder, "pet_native", entities)
    image.write_bytes(b"an image")
    return entities


def read(path):
    table = pd.read_csv(path, sep="\t")
    described = json.loads(path.with_suffix(".json").read_text())
    assert set(described) - {"CentiPET"} == set(table.columns)
    return table


@pytest.fixture
def person(tmp_path):
    write_scan(tmp_path, centiloid=10.5, centiloid_sd=5.0, centiloid_interval=[0.7, 20.3])
    write_scan(tmp_path, ses="m24", centiloid=20.0)
    write_scan(tmp_path, ses="m24", trc="PIB")
    write_scan_tables(tmp_path, ["01"])
    return tmp_path


def test_each_scan_has_a_row_that_names_its_image(person):
    first = read(person / "sub-01/ses-m00/sub-01_ses-m00_scans.tsv")
    assert first.filename.tolist() == ["pet/sub-01_ses-m00_trc-FBB_desc-preproc_pet.nii.gz"]
    assert (first.centiloid[0], first.centiloid_sd[0], first.centiloid_high[0]) == (10.5, 5, 20.3)
    second = read(person / "sub-01/ses-m24/sub-01_ses-m24_scans.tsv")
    assert second.tracer.tolist() == ["FBB", "PIB"]


def test_a_session_has_the_result_of_its_scan_unless_there_are_several(person):
    sessions = read(person / "sub-01/sub-01_sessions.tsv").set_index("session_id")
    assert sessions.centiloid["ses-m00"] == 10.5 and sessions.n_results.tolist() == [1, 2]
    assert sessions.loc["ses-m24", ["centiloid", "tracer"]].isna().all()


@pytest.mark.parametrize("status", ["incomplete", "failed"])
def test_an_earlier_result_goes_when_the_scan_has_none_now(person, status):
    write_scan(person, status=status)
    write_scan_tables(person, ["01"])
    assert not list(person.glob("sub-01/ses-m00/sub-01_ses-m00_scans.*"))
    sessions = read(person / "sub-01/sub-01_sessions.tsv")
    assert sessions.session_id.tolist() == ["ses-m24"]


def test_scans_without_session_and_people_without_result(tmp_path):
    entities = {"sub": "01", "trc": "FBB"}
    write(tmp_path, finished_record(entities), entities)
    write_scan_tables(tmp_path, ["01", "02"])
    assert not list(tmp_path.glob("**/*_s*.tsv"))  # its image is not there
    output_path(tmp_path, "pet_native", entities).write_bytes(b"an image")
    write_scan_tables(tmp_path, ["01", "02"])
    assert [path.name for path in tmp_path.glob("**/*_s*.tsv")] == ["sub-01_scans.tsv"]


def test_the_validator_has_nothing_against_them(person, tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    write_root_files(person, raw)
    errors = validator_errors(person)
    places = [place for found in errors.values() for place in found]  # of what is no image, too
    assert not [place for place in places if "_scans" in place or "_sessions" in place], errors
    (image,) = person.glob("sub-01/ses-m00/pet/*_pet.nii.gz")
    image.unlink()
    assert "SCANS_FILENAME_NOT_MATCH_DATASET" in validator_errors(person)


def test_own_columns_are_described():
    assert {"filename", "session_id", "n_results"} == set(read_table("group_columns")["scans"])
