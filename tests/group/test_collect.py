"""The group level: every scan a row, from derivatives alone, quickly, whatever lies there."""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from synthetic_records import finished_record, write, write_cohort
from tsv_rows import table_rows

from bidsapp.errors import NoInputError, NoMatchError
from bidsapp.group.collect import one_at_a_time, run_group
from bidsapp.record import find_records
from bidsapp.settings import Filters


def table(folder, name="group_centiloid.tsv"):
    return table_rows(folder / name)


def write_scan(folder, sub, trc="FBB", content=None, **entities):
    entities = {"sub": sub, "trc": trc, **entities}
    write(folder, finished_record(entities) if content is None else content, entities)


@pytest.fixture
def cohort(tmp_path):
    write_scan(tmp_path, "02", ses="m24")
    write_scan(tmp_path, "02", ses="m00")
    write_scan(tmp_path, "01", "PIB", rec="acdyn", run="2")
    write_scan(tmp_path, "01", "PIB", rec="acdyn", run="10")
    write_scan(tmp_path, "03", content="{ torn")
    return tmp_path


def names(folder):
    return [
        (row["participant_id"], row["session_id"], row["tracer"], row["run"])
        for row in table(folder)
    ]


def test_one_sorted_row_per_scan_torn_ones_too(cohort):
    written = run_group(cohort, Filters())
    assert {path.name for path in written} >= {
        "group_centiloid.html", "group_centiloid.json", "group_centiloid.tsv",
        "group_regions.json", "group_regions.tsv",
    }  # fmt: skip
    assert names(cohort) == [
        ("sub-01", "n/a", "PIB", "2"),
        ("sub-01", "n/a", "PIB", "10"),
        ("sub-02", "ses-m00", "FBB", "n/a"),
        ("sub-02", "ses-m24", "FBB", "n/a"),
        ("sub-03", "n/a", "FBB", "n/a"),
    ]
    torn = table(cohort)[-1]
    assert torn["status"] == "failed" and torn["centiloid"] == "n/a"
    assert "cannot be read" in torn["reason"]
    assert len(table(cohort, "group_regions.tsv")) == 5 * 5


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(participant=("02",)), 2),
        (Filters(participant=("02",), session=("m24",)), 1),
        (Filters(tracer=("PIB",)), 2),
        (Filters(tracer=("Neuraceq",)), 3),
        (Filters(rec=("acdyn",)), 2),
        (Filters(run=("02",)), 1),
        (Filters(participant=("02", "3")), 2),
        (Filters(bids_filters={"pet": {"session": ["m00", "m24"]}}), 2),
        (Filters(bids_filters={"pet": {"session": None}}), 3),
        (Filters(bids_filters={"pet": {"run": "*"}}), 2),
        (Filters(bids_filters={"pet": {"run": 10, "datatype": "pet", "suffix": "pet"}}), 1),
        (Filters(bids_filters={"t1w": {"session": "m00"}}), 5),
    ],
)
def test_filters_are_honoured(cohort, filters, kept):
    run_group(cohort, filters)
    assert len(table(cohort)) == kept


def test_filters_that_leave_nothing_write_nothing(cohort):
    with pytest.raises(NoMatchError, match="none of the 5 scans"):
        run_group(cohort, Filters(participant=("99",)))
    assert not list(cohort.glob("group_*"))


def test_an_empty_folder_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(NoInputError, match="run the participant level first"):
        run_group(tmp_path, Filters())


def test_a_mixture_of_versions_is_told_in_the_log(cohort, caplog):
    entities = {"sub": "04", "trc": "FBB"}
    old = finished_record(entities)
    old["provenance"] = old["provenance"] | {"version": "0.0.1"}
    write(cohort, old, entities)
    with caplog.at_level(logging.WARNING):
        run_group(cohort, Filters())
    assert "1 of 6 scans were made by another version" in caplog.text
    assert "sub-04" in caplog.text
    assert "mixed-versions" in table(cohort)[-1]["flags"]


def test_a_second_run_gives_the_same_bytes_and_leaves_nothing_behind(cohort):
    def run():
        return {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in run_group(cohort, Filters())
        }

    first = run()
    assert {path: content for path, (content, _) in run().items()} == {
        path: content for path, (content, _) in first.items()
    }
    tables = [path for path in first if path.suffix == ".tsv"]
    assert tables and all(path.stat().st_mtime_ns == first[path][1] for path in tables)
    ours = {path.parent if path.parent.name == "figures" else path for path in first}
    people = {cohort / label for label in ("sub-01", "sub-02", "sub-03", "logs")}
    assert set(cohort.iterdir()) == ours | people


def test_numbers_of_the_table_are_those_of_the_records(cohort):
    run_group(cohort, Filters())
    for row, record in zip(table(cohort), find_records(cohort), strict=True):
        if record.centiloid is not None:
            content = json.loads((cohort / row["record"]).read_text())
            assert float(row["centiloid"]) == content["centiloid"]
            assert float(row["suvr_pons"]) == content["suvr"]["pons"]


def test_what_a_killed_group_run_left_half_written_is_removed(cohort):
    left = cohort / f".group_regions.tsv.{'0' * 32}.tmp"
    left.write_text("participant_id\tsess")
    os.utime(left, (1, 1))
    run_group(cohort, Filters())
    assert not left.exists()


def group_files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("group_*")}


def test_what_changed_since_the_last_run_is_as_if_that_had_never_been(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    write_cohort(old, 4)
    run_group(old, Filters())
    gone = "sub-00001/ses-m00/pet/sub-00001_ses-m00_trc-FBB_centiloid.json"
    (old / gone).unlink()
    table_file = old / "group_regions.tsv"
    table_file.write_bytes(table_file.read_bytes()[:-2] + b"7\n")
    (old / "group_qc.json").unlink()
    run_group(old, Filters())
    write_cohort(new, 4)
    (new / gone).unlink()
    run_group(new, Filters())
    assert group_files(old) == group_files(new)
    assert b"sub-00001" not in group_files(old)["group_regions.tsv"]


def test_a_table_that_has_no_row_any_more_goes(cohort):
    stale = [cohort / "group_curves.tsv", cohort / "group_curves.json"]
    for path in stale:
        path.write_text("of an earlier run")
    run_group(cohort, Filters())
    assert not any(path.exists() for path in stale)


def test_a_label_that_no_scan_has_is_told_beside_one_that_some_have(cohort, caplog):
    with caplog.at_level(logging.WARNING):
        run_group(cohort, Filters(session=("m00", "m99")))
    assert "--session-label m99: no PET has it" in caplog.text and "label m00" not in caplog.text


def test_a_second_run_waits_for_the_first(cohort, caplog):
    with ThreadPoolExecutor(1) as pool:
        with one_at_a_time(cohort):
            second = pool.submit(run_group, cohort, Filters())
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
        assert (cohort / "group_centiloid.tsv") in second.result()
    assert "another group run is processing" in caplog.text
