"""Records with odd values: their scans say so, and nobody else's row changes."""

from __future__ import annotations

import json

import pytest
from odd_values import damaged_records, whole_record
from synthetic_records import finished_record, write
from tsv_rows import table_rows

from bidsapp.bids.derivative_root import RAW_FACTS, write_root_files
from bidsapp.cli.verify import main as verify
from bidsapp.group.collect import run_group
from bidsapp.settings import Filters

# what is put where, and what becomes of the scan: a result without it, flagged, or none
ODD = {
    "qc.brain_ml": (10**400, "flagged"),
    "kinetics.models": ("SRTM", "flagged"),
    "kinetics.models.SRTM": (None, "ok"),
    "band.crossed": (24.4, "flagged"),
    "reference_agreement.difference": ("4", "flagged"),
    "longitudinal.t1w_sources": (7, "flagged"),
    "acq_time": ("1921-02-30", "flagged"),
    "frame_weights_s": ([60.0, "x"], "flagged"),
    "motion.translation_mm": ([[1.0], "x"], "flagged"),
    "pvc.suvr.rbv": ([1.9], "flagged"),
    "participant.age": ({"years": 70}, "flagged"),
    "centiloid": (10**400, "failed"),
    "suvr.wc": ("1.5", "failed"),
    "flags": ("window-off", "failed"),
    "provenance.outputs": (7, "failed"),
    "provenance.inputs": ([], "failed"),
    "provenance.version": ({}, "failed"),
    "calibration.calibrated": ("no", "failed"),
    "equation": (153.4, "failed"),
    "status": (True, "failed"),
}


def _rows(folder):
    return {row["participant_id"]: row for row in table_rows(folder / "group_centiloid.tsv")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    write_root_files(folder, folder)
    good = {"sub": "good", "trc": "FBB"}
    write(folder, finished_record(good), good)
    for number, (path, (value, _)) in enumerate(ODD.items()):
        entities = {"sub": f"odd{number}", "trc": "FBB"}
        record = whole_record(entities)
        *holders, name = path.split(".")
        at = record
        for holder in holders:
            at = at[holder]
        assert name in at
        at[name] = value
        write(folder, record, entities)
    return folder


def test_an_odd_value_costs_its_scan_at_most(dataset, capsys):
    run_group(dataset, Filters())
    rows = _rows(dataset)
    assert len(rows) == 1 + len(ODD)
    assert rows["sub-good"]["centiloid"] == repr(
        finished_record({"sub": "a", "trc": "FBB"})["centiloid"]
    )
    for number, (path, (_, fate)) in enumerate(ODD.items()):
        row = rows[f"sub-odd{number}"]
        assert row["status"] == ("failed" if fate == "failed" else "ok"), path
        assert ("record-damaged" in row["flags"]) == (fate == "flagged"), path
        assert (row["centiloid"] == "n/a") == (fate == "failed"), path
        if fate == "failed":
            named = "status" if path == "status" else path
            assert named in row["reason"] and "run the participant level again" in row["reason"]
    capsys.readouterr()
    assert verify([str(dataset)]) == 1
    printed = "".join(capsys.readouterr())
    assert "Traceback" not in printed and "cannot be recomputed" not in printed
    assert "group_centiloid.tsv: " not in printed  # is what the records give


@pytest.mark.parametrize(
    "name",
    ["sub-good_trc-FBB_copy-2_centiloid.json", "sub-other_trc-FBB_centiloid.json",
     "sub-_centiloid.json", "sub-good_trc-FBB_desc-old_centiloid.json"],
)  # fmt: skip
def test_a_record_under_a_foreign_name_is_no_result(tmp_path, name):
    entities = {"sub": "good", "trc": "FBB"}
    path = write(tmp_path, finished_record(entities), entities)
    path.with_name(name).write_text(path.read_text())
    run_group(tmp_path, Filters())
    rows = table_rows(tmp_path / "group_centiloid.tsv")
    assert sorted(row["status"] for row in rows) == ["failed", "ok"]
    (reason,) = [row["reason"] for row in rows if row["status"] == "failed"]
    assert name in reason and "at this place" in reason


def test_facts_of_the_raw_dataset_that_cannot_be_read_change_nothing(tmp_path):
    entities = {"sub": "good", "trc": "FBB"}
    write(tmp_path, finished_record(entities), entities)
    run_group(tmp_path, Filters())
    before = (tmp_path / "group_centiloid.tsv").read_bytes()
    for odd in ("[" * 100_000, json.dumps({"participants": [[], {}, 10**400], "session": 7}), ""):
        (tmp_path / RAW_FACTS).write_text(odd)
        run_group(tmp_path, Filters())
        assert (tmp_path / "group_centiloid.tsv").read_bytes() == before


@pytest.mark.slow
def test_many_odd_values_anywhere(tmp_path):
    fates = damaged_records(tmp_path, 60)
    assert sum(fates.values()) == 60 and min(fates.values()) > 3
