"""Reading records back: good ones whole, broken ones as failed scans, never a crash."""

from __future__ import annotations

import json
import random

import pytest
from synthetic_records import finished_record, write

from bidsapp.record import Frame, Status, find_records, read_record

SCAN = {"sub": "01", "ses": "a", "trc": "FBB"}


def read(tmp_path, content):
    return read_record(write(tmp_path, content, SCAN), tmp_path)


def test_a_finished_scan_is_read_whole(tmp_path):
    record = read(tmp_path, finished_record(SCAN, suvr_wc=1.75))
    assert record.status is Status.OK
    assert record.name == "sub-01_ses-a_trc-FBB"
    assert record.path == "sub-01/ses-a/pet/sub-01_ses-a_trc-FBB_centiloid.json"
    assert record.centiloid == 153.4 * 1.75 - 154.9
    assert record.suvr["wc"] == 1.75
    assert record.window_min == (90.0, 110.0)
    assert record.frames[0] == Frame(5400.0, 300.0, 300.0)
    assert record.voi["pons"].n_voxels == 2261
    assert record.version == "0.1.0"


def test_numbers_that_are_not_finite_are_absent(tmp_path):
    content = finished_record(SCAN)
    content["qc"] = {"a": float("nan"), "b": float("inf"), "c": None, "d": 3, "e": 1e300}
    assert dict(read(tmp_path, content).qc) == {"d": 3, **dict.fromkeys("abce")}


@pytest.mark.parametrize(
    "torn",
    ["", "{", "[]", "null", '"ok"', '{"status": "ok"}', '{"status": "great"}',
     '{"status": ["ok"]}', "[" * 100_000, "\x00\x01"],
)  # fmt: skip
def test_a_torn_record_is_a_failed_scan_with_a_remedy(tmp_path, torn):
    record = read(tmp_path, torn)
    assert record.status is Status.FAILED
    assert record.centiloid is None
    assert record.entities == SCAN
    assert record.tracer == "FBB"
    assert "sub-01_ses-a_trc-FBB_centiloid.json" in record.reason
    assert "run the participant level again" in record.reason


@pytest.mark.parametrize("value", ["x", 7, [1], {"a": []}, True])
def test_a_field_of_another_type_never_crashes(tmp_path, value):
    whole = finished_record(SCAN)
    for field in whole:
        record = read(tmp_path, whole | {field: value})
        assert record.status in Status
        assert (record.centiloid is None) == (record.status is Status.FAILED), field
        assert isinstance(record.method, str | None)


def test_a_record_cut_anywhere_is_failed(tmp_path):
    text = json.dumps(finished_record(SCAN))
    for length in random.Random(1).sample(range(len(text)), 40):
        assert read(tmp_path, text[:length]).status is Status.FAILED


def test_a_record_that_is_a_folder_or_not_text_is_failed(tmp_path):
    folder = write(tmp_path, "", SCAN)
    folder.unlink()
    folder.mkdir()
    assert read_record(folder, tmp_path).status is Status.FAILED
    folder.rmdir()
    folder.write_bytes(b"\xff\xfe\x00")
    assert read_record(folder, tmp_path).status is Status.FAILED


def test_records_are_found_in_order_and_half_written_ones_are_not(tmp_path):
    scans = [
        {"sub": "02", "trc": "FBB"},
        {"sub": "01", "ses": "b", "trc": "FBB"},
        {"sub": "01", "ses": "a", "trc": "PIB"},
        {"sub": "01", "ses": "a", "trc": "FBB", "run": "10"},
        {"sub": "01", "ses": "a", "trc": "FBB", "run": "2"},
        {"sub": "010", "trc": "FBB"},
    ]
    for entities in scans:
        path = write(tmp_path, finished_record(entities), entities)
    path.with_name(f".{path.name}.123.tmp").write_text("{")
    names = [record.name for record in find_records(tmp_path)]
    assert names == [
        "sub-01_ses-a_trc-FBB_run-2",
        "sub-01_ses-a_trc-FBB_run-10",
        "sub-01_ses-a_trc-PIB",
        "sub-01_ses-b_trc-FBB",
        "sub-010_trc-FBB",
        "sub-02_trc-FBB",
    ]
    assert [record.name for record in find_records(tmp_path, "010")] == ["sub-010_trc-FBB"]


def test_the_fingerprint_follows_parameters_and_resources_only(tmp_path):
    base = finished_record(SCAN)
    first = read(tmp_path, base).fingerprint
    assert read(tmp_path, base | {"centiloid": 1.0}).fingerprint == first
    for key, other in (
        ("parameters", {"pet_to_t1w": "nmi", "voi_mm": None}),
        ("resources", {"a.nii.gz": "x"}),
    ):
        changed = base | {"provenance": base["provenance"] | {key: other}}
        assert read(tmp_path, changed).fingerprint != first
        assert getattr(read(tmp_path, changed).provenance, key) == other
    assert read(tmp_path, base | {"provenance": {"version": "1"}}).fingerprint is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../../x_tacs.tsv", "a\x00b", 7, ["x"]])
def test_a_record_names_no_file_outside_the_dataset(tmp_path, path):
    entities = {"sub": "1", "trc": "FBB"}
    tables = {"Centiloid": "sub-1/pet/x_tacs.tsv", "other": path}
    write(tmp_path, finished_record(entities, tacs=tables), entities)
    (record,) = find_records(tmp_path)
    assert record.tacs == {"Centiloid": "sub-1/pet/x_tacs.tsv"}
