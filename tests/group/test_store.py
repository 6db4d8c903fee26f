"""A group run takes from the last one what did not change, and nothing else."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from synthetic_records import finished_record, write, write_cohort

from bidsapp.group import collect, store
from bidsapp.group.collect import run_group
from bidsapp.settings import Filters

STORE = "logs/group_store.json"


def results(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.glob("group_*"))
    }


def record(folder, label="00001"):
    return folder / f"sub-{label}/ses-m00/pet/sub-{label}_ses-m00_trc-FBB_centiloid.json"


def anew(folder):
    """What a run without the store of the last one writes."""
    (folder / STORE).unlink(missing_ok=True)
    run_group(folder, Filters())
    return results(folder)


@pytest.fixture
def study(tmp_path):
    write_cohort(tmp_path, 4)
    return tmp_path


@pytest.fixture
def counted(monkeypatch):
    """How many scans had their rows of regions made."""
    made = []
    original = collect.voi_rows
    monkeypatch.setattr(
        collect, "voi_rows", lambda records, tables: made.append(1) or original(records, tables)
    )
    return made


def age(folder):
    """Let two seconds pass since everything was written, without waiting."""
    store_file = folder / STORE
    digest, text, _ = store_file.read_text().split("\n")
    content = json.loads(text) | {"doubtful": {}}
    text = json.dumps(content, separators=(",", ":"))
    digest = store.hashlib.sha256(text.encode()).hexdigest()
    store_file.write_text(f"{digest}\n{text}\n")


def test_a_run_without_changes_makes_nothing(study, counted):
    first = run_group(study, Filters())
    before, times = results(study), {path: path.stat().st_mtime_ns for path in first}
    assert len(counted) == 4
    assert run_group(study, Filters()) == first
    assert len(counted) == 4
    assert results(study) == before
    assert {path: path.stat().st_mtime_ns for path in first} == times


def test_only_what_changed_is_made_and_comes_out_as_if_all_was(study, counted):
    run_group(study, Filters())
    entities = {"sub": "00009", "ses": "m00", "trc": "FBB"}
    write(study, finished_record(entities), entities)
    content = json.loads(record(study).read_text())
    record(study).write_text(json.dumps(content | {"tracer_name": "other"}))
    counted.clear()
    run_group(study, Filters())
    assert len(counted) == 2
    quick = results(study)
    counted.clear()
    assert anew(study) == quick and len(counted) == 5


def test_a_participant_that_went_away_leaves_no_row(study):
    run_group(study, Filters())
    record(study).unlink()
    run_group(study, Filters())
    quick = results(study)
    assert b"sub-00001" not in quick["group_centiloid.tsv"] + quick["group_regions.tsv"]
    assert quick == anew(study)


@pytest.mark.parametrize("name", ["group_regions.tsv", "group_qc.json"])
def test_a_result_that_was_edited_or_removed_is_made_again(study, name):
    run_group(study, Filters())
    good = results(study)
    path = study / name
    text = path.read_bytes()
    path.write_bytes(text[:-2] + b"7\n")
    run_group(study, Filters())
    assert results(study) == good
    path.unlink()
    run_group(study, Filters())
    assert results(study) == good


@pytest.mark.parametrize("harm", [
    lambda text: text[: len(text) // 2],
    lambda text: "[]",
    lambda text: text.replace('"doubtful"', '"trusted"'),
    lambda text: text.replace('"told":[]', '"told":["all is lost"]'),
])  # fmt: skip
def test_a_store_that_is_torn_or_edited_is_not_trusted(study, harm, counted, caplog):
    run_group(study, Filters())
    good = results(study)
    path = study / STORE
    assert harm(path.read_text()) != path.read_text()
    path.write_text(harm(path.read_text()))
    counted.clear()
    run_group(study, Filters())
    assert len(counted) == 4 and results(study) == good and "lost" not in caplog.text


def test_another_program_starts_anew(study, counted, monkeypatch):
    run_group(study, Filters())
    monkeypatch.setattr(store, "_code", lambda: "another")
    counted.clear()
    run_group(study, Filters())
    assert len(counted) == 4


def test_other_filters_are_another_question(study):
    run_group(study, Filters())
    run_group(study, Filters(participant=("00002",)))
    assert len((study / "group_centiloid.tsv").read_text().splitlines()) == 2
    run_group(study, Filters())
    assert len((study / "group_centiloid.tsv").read_text().splitlines()) == 5


def test_a_change_within_a_tick_of_the_clock_is_seen(study, monkeypatch):
    """All that the file system tells is the same: the content decides."""
    stamps = {}
    original = store.stamp_of
    monkeypatch.setattr(
        store, "stamp_of", lambda status: stamps.setdefault(status.st_size, original(status))
    )
    run_group(study, Filters())
    path = record(study)
    text = path.read_text()
    path.write_text(text.replace("Biograph mMR", "Biograph XYZ"))
    run_group(study, Filters())
    assert b"XYZ" in results(study)["group_centiloid.tsv"]


def test_a_change_with_the_old_time_put_back_is_seen(study):
    run_group(study, Filters())
    age(study)
    path = record(study)
    was, text = path.stat(), path.read_text()
    path.write_text(text.replace("Biograph mMR", "Biograph XYZ"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size and path.stat().st_mtime_ns == was.st_mtime_ns
    run_group(study, Filters())
    assert b"XYZ" in results(study)["group_centiloid.tsv"]


def test_tables_do_not_depend_on_when_files_were_written(study, tmp_path_factory):
    run_group(study, Filters())
    other = tmp_path_factory.mktemp("later")
    time.sleep(0.01)
    write_cohort(other, 4)
    run_group(other, Filters())
    assert results(other) == results(study)


def test_a_second_run_waits_for_the_first(study, caplog):
    with ThreadPoolExecutor(1) as pool:
        with store.one_at_a_time(study):
            second = pool.submit(run_group, study, Filters())
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
        assert (study / "group_centiloid.tsv") in second.result()
    assert "another group run is at work" in caplog.text
