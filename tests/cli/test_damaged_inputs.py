"""Odd files and closed folders of one participant, odd files as options: the others are done."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from odd_values import damaged_options, damaged_sidecars
from synthetic_records import finished_record, write

from bidsapp.cli.main import main
from bidsapp.execution.engine import NodeFailure
from bidsapp.group.collect import run_group
from bidsapp.record import Status, find_records
from bidsapp.settings import Filters


@pytest.mark.parametrize("fails", [True, False])
def test_a_folder_that_is_lost_during_the_run_costs_its_participant(
    raw, tmp_path, monkeypatch, capsys, fails
):
    """Whether its scan has failed by then or not; a file in its place stops even root."""
    for label in ("1", "2"):
        raw.t1w(f"sub-{label}")
        raw.pet(f"sub-{label}_trc-FBB")
    out = tmp_path / "out"

    def lose(*arguments):
        shutil.rmtree(out / "sub-1")
        (out / "sub-1").write_text("no folder")
        broken = ("sub-1_trc-FBB", "sub-2_trc-FBB") if fails else ("sub-2_trc-FBB",)
        return {name: NodeFailure(name, "BadDataError", f"{name}: a fault") for name in broken}

    monkeypatch.setattr("bidsapp.cli.participant._run_workflow", lose)
    code = main([str(raw.root), str(out), "participant", "--work-dir", str(tmp_path / "w")])
    output = capsys.readouterr()
    assert code == 1
    assert "Traceback" not in output.out + output.err
    [record] = find_records(out)
    assert (record.name, record.status) == ("sub-2_trc-FBB", Status.FAILED)
    assert "sub-2_trc-FBB: a fault" in record.reason and (out / "sub-2.html").is_file()
    assert "sub-1" in output.out


def test_a_folder_that_is_lost_by_the_only_participant_ends_the_run(raw, tmp_path, monkeypatch):
    raw.pet("sub-1_trc-FBB")
    out = tmp_path / "out"

    def lose(*arguments):
        shutil.rmtree(out / "sub-1")
        (out / "sub-1").write_text("no folder")
        return {"sub-1_trc-FBB": NodeFailure("sub-1_trc-FBB", "BadDataError", "a fault")}

    monkeypatch.setattr("bidsapp.cli.participant._run_workflow", lose)
    work = str(tmp_path / "w")
    assert main([str(raw.root), str(out), "participant", "--work-dir", work, "--nprocs", "2"]) == 74


@pytest.fixture
def close(monkeypatch):
    """Make folders that cannot be listed; whoever runs the tests may be root, who can."""
    real, closed = os.scandir, set()

    def scandir(path="."):
        if isinstance(path, str | os.PathLike) and Path(path) in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return closed.add


def test_many_sidecars_with_odd_values(tmp_path):
    fates = damaged_sidecars(tmp_path, 40)
    assert sum(fates.values()) == 40 and min(fates.values()) > 3


@pytest.mark.slow
def test_many_option_files_with_odd_values(tmp_path):
    fates = damaged_options(tmp_path, 40)
    assert sum(fates.values()) == 40 and len(fates) > 2


def test_a_folder_that_cannot_be_read_costs_its_participant(
    raw, tmp_path, close, monkeypatch, capsys
):
    for label in ("1", "2", "3"):
        raw.t1w(f"sub-{label}")
        raw.pet(f"sub-{label}_trc-FBB")
    close(raw.root / "sub-2" / "anat")  # its T1w is there: no PET without one
    close(raw.root / "sub-3")
    monkeypatch.setattr("bidsapp.execution.engine.run", lambda *arguments, **options: [])
    monkeypatch.setattr("bidsapp.cli.participant.write_pages", lambda *arguments: [])
    out = tmp_path / "out"
    code = main([str(raw.root), str(out), "participant", "--work-dir", str(tmp_path / "w")])
    printed = capsys.readouterr().out
    assert code == 1
    assert "sub-2/anat cannot be read (Permission denied)" in printed.replace("\n", " ")
    assert "sub-3 cannot be read (Permission denied)" in printed.replace("\n", " ")
    fates = {record.entities["sub"]: record.status for record in find_records(out)}
    assert fates["1"] is Status.INCOMPLETE  # came to its steps
    assert fates["2"] is Status.FAILED and fates.get("3", Status.FAILED) is Status.FAILED


def test_a_closed_folder_of_results_is_told_and_the_others_are_in_the_tables(
    tmp_path, close, caplog
):
    for label in ("1", "2"):
        entities = {"sub": label, "trc": "FBB"}
        write(tmp_path, finished_record(entities), entities)
    close(tmp_path / "sub-2" / "pet")
    run_group(tmp_path, Filters())
    rows = (tmp_path / "group_centiloid.tsv").read_text().splitlines()
    assert len(rows) == 2 and rows[1].startswith("sub-1\t")
    assert "sub-2/pet cannot be read (Permission denied)" in caplog.text
