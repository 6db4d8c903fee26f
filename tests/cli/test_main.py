"""The whole command on tiny datasets; the image processing is a toy with real nipype nodes."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bidsapp.cli.command import SUB_COMMANDS
from bidsapp.cli.main import main
from bidsapp.core.grid.resample import itk_affine_text
from bidsapp.errors import ExitCode


@pytest.fixture
def run(raw, tmp_path, capsys):
    """Run centipet on the raw dataset; gives exit code, standard output and error."""

    def _run(*options, level="participant", bids=raw.root, out=tmp_path / "out", nprocs=1):
        arguments = [bids, out, level, "-w", tmp_path / "work", "--nprocs", nprocs, *options]
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    _run.out = tmp_path / "out"
    return _run


def record(run, name):
    participant = name.split("_")[0]
    return json.loads((run.out / participant / "pet" / f"{name}_centiloid.json").read_text())


@pytest.fixture
def two(raw):
    """Two participants with all they need."""
    for label in ("1", "2"):
        raw.t1w(f"sub-{label}")
        raw.pet(f"sub-{label}_trc-FBB")
    return raw


def listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_of_others_is_left_as_it_was(two, run, tmp_path):
    other = tmp_path / "fmriprep"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    for level, options in (("participant", []), ("participant", ["--dry-run"]), ("group", [])):
        code, _, err = run(*options, level=level, out=other)
        assert code == 73 and "not from CentiPET" in err
    assert listed(other) == ["dataset_description.json"]


def test_nothing_is_written_among_raw_data_through_a_link(two, run, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(two.root)
    before = listed(two.root)
    for options in ({"out": link / "out"}, {"bids": link, "out": two.root / "out"}):
        code, _, err = run(**options)
        assert code == 64 and "must not be written among the raw data" in err
    assert run("-w", link / "work")[0] == 64
    assert listed(two.root) == before
    (tmp_path / "results").mkdir()
    (two.root / "derivatives").symlink_to(tmp_path / "results")
    assert run("--dry-run", out=two.root / "derivatives" / "centipet")[0] == 0


def test_all_is_well(two, run, fates):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert record(run, "sub-1_trc-FBB")["centiloid"] == 75.2
    for label in ("1", "2"):
        assert f"sub-{label}_trc-FBB: derivatives written" in out
        assert (run.out / f"sub-{label}.html").is_file()
        assert re.search(rf"sub-{label}_trc-FBB +FBB +1\.500 +75\.2", out)
    assert "[2/2]" in out
    for name in ("dataset_description.json", "README.md", ".bidsignore", "logs/CITATION.md"):
        assert (run.out / name).is_file()
    assert len(list((run.out / "logs").glob("centipet_*.log"))) == 1


def test_another_participant_later_keeps_the_first(two, run, fates):
    assert run("--participant-label", "1")[0] == 0
    before = (run.out / "sub-1" / "pet" / "sub-1_trc-FBB_centiloid.json").read_bytes()
    code, out, _ = run("--participant_label", "sub-2")
    assert code == 0
    assert "sub-1" not in out
    assert (run.out / "sub-1" / "pet" / "sub-1_trc-FBB_centiloid.json").read_bytes() == before


def test_a_result_whose_image_was_withdrawn_is_told(raw, run, fates):
    raw.t1w("sub-1")
    for session in ("1", "2"):
        raw.pet(f"sub-1_ses-{session}_trc-FBB")
    code, out, _ = run()
    assert code == 0 and "no longer" not in out
    shutil.rmtree(raw.root / "sub-1" / "ses-2")
    _, out, _ = run()
    assert "no longer has the image of 1 result" in out
    assert "sub-1_ses-2_trc-FBB; remove" in out


@pytest.mark.parametrize(
    ("fate", "code"),
    [
        ("BadDataError", 65),
        ("NoInputError", 66),
        ("KeyError", 70),
        ("CannotCreateError", 73),
        ("StorageError", 74),
    ],
)
@pytest.mark.parametrize("nprocs", [1, 2])
def test_when_all_scans_fail_alike_the_code_is_theirs(two, run, fates, fate, code, nprocs):
    fates |= {"1": fate, "2": fate}
    assert run(nprocs=nprocs)[0] == code
    for label in ("1", "2"):
        written = record(run, f"sub-{label}_trc-FBB")
        assert written["status"] == "failed"
        assert written["error"] == (fate if fate != "KeyError" else "CentipetError")
        assert "\n" not in written["reason"]


def test_killed_workers_mean_try_again(two, run, fates):
    fates |= {"1": "killed", "2": "killed"}
    assert run(nprocs=2)[0] == 75
    assert record(run, "sub-1_trc-FBB")["error"] == "WorkerLostError"


def test_one_failure_of_two_is_code_1_and_the_other_finishes(two, run, fates):
    fates["1"] = "BadDataError"
    code, out, _ = run()
    assert code == 1
    assert record(run, "sub-1_trc-FBB")["reason"].endswith("BadDataError; do something")
    assert record(run, "sub-2_trc-FBB")["status"] == "ok"
    assert "failed (BadDataError)" in out
    assert (run.out / "sub-1.html").is_file()


@pytest.mark.parametrize("place", ["sub-1", "sub-1/pet", "sub-1/pet/sub-1_trc-FBB_centiloid.json"])
def test_whose_results_cannot_be_written_stops_nobody(two, run, fates, place):
    blocked = run.out / place
    blocked.parent.mkdir(parents=True)
    if blocked.suffix:
        blocked.mkdir()
        (blocked / "mine").touch()
    else:
        blocked.touch()
    code, out, err = run()
    assert code == 1
    assert "sub-1_trc-FBB_centiloid.json: cannot be written" in out + err
    assert record(run, "sub-2_trc-FBB")["status"] == "ok" and (run.out / "sub-2.html").is_file()
    assert run("--participant-label", "1")[0] == 74


def test_failures_of_different_kinds_are_code_1(two, run, fates):
    fates |= {"1": "BadDataError", "2": "NoInputError"}
    assert run()[0] == 1


def test_stop_on_first_crash_leaves_the_rest_incomplete(two, run, fates):
    fates["1"] = "BadDataError"
    fates["2"] = "BadDataError"
    assert run("--stop-on-first-crash")[0] == 1
    statuses = {record(run, f"sub-{label}_trc-FBB")["status"] for label in ("1", "2")}
    assert statuses == {"failed", "incomplete"}


@pytest.mark.parametrize(
    ("spoil", "code", "hint"),
    [
        (
            lambda raw: (raw.t1w("sub-2"), raw.pet("sub-2_trc-FBB", TracerName="FDG")),
            65,
            "FDG",
        ),
        (
            lambda raw: (raw.t1w("sub-2"), raw.pet("sub-2").write_bytes(b"x")),
            66,
            "cannot be read as NIfTI",
        ),
        (
            lambda raw: (
                raw.t1w("sub-2"),
                raw.pet("sub-2", ScanStart=0, FrameTimesStart=[0, 600]),
            ),
            65,
            "--allow-off-window",
        ),
    ],
)
def test_the_issue_s_failures(raw, run, fates, spoil, code, hint):
    spoil(raw)
    found, out, _ = run()
    assert found == code
    assert sum(hint in line for line in out.splitlines() if line.startswith("x ")) == 1
    (path,) = run.out.glob("sub-2/pet/*_centiloid.json")
    assert hint in json.loads(path.read_text())["reason"]
    # with somebody else at its side: that one finishes, and the group table has both
    raw.t1w("sub-1")
    raw.pet("sub-1")
    assert run()[0] == 1
    assert record(run, "sub-1")["status"] == "ok"
    assert run(level="group")[0] == 0
    table = (run.out / "group_centiloid.tsv").read_text().splitlines()
    status = table[0].split("\t").index("status")
    assert [line.split("\t")[status] for line in table[1:]] == ["ok", "failed"]


def test_a_scan_left_out_on_purpose_costs_nothing(raw, run, fates):
    raw.t1w("sub-1")
    raw.pet("sub-1_run-1", ScanStart=0, FrameTimesStart=[0], FrameDuration=[600])
    raw.pet("sub-1_run-2")
    assert run()[0] == 0
    assert record(run, "sub-1_run-1")["status"] == "skipped"


def test_codes_before_anything_is_computed(two, run, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    cases = [
        (run(bids=tmp_path / "empty"), 16, "dataset_description.json"),
        (run(level="subject"), 17, "subject"),
        (run("--participant-label", "99"), 18, "sub-99"),
        (run("--nonsense"), 64, "--nonsense"),
        (run(bids=tmp_path / "nowhere"), 66, "nowhere"),
        (run(out=tmp_path / "file" / "out"), 73, "cannot be written"),
        (run(level="group", out=tmp_path / "none"), 66, "participant level first"),
    ]
    for (code, _, err), expected, hint in cases:
        assert code == expected
        assert hint in err
        assert err.startswith("centipet: ")
        assert err.count("\n") == 1


def test_results_of_another_dataset_are_not_replaced_in_silence(two, run, fates, tmp_path):
    run()
    other = shutil.copytree(two.root, tmp_path / "other")
    (other / "sub-2").rename(other / "sub-3")
    for path in list((other / "sub-3").rglob("sub-2*")):
        path.rename(path.with_name(path.name.replace("sub-2", "sub-3")))
    sentence = f"the results of sub-1 there are those of {two.root} and will be replaced"
    assert sentence in plain(run("--dry-run", bids=other)[1])
    only_3 = ("--participant-label", "3", "--dry-run")
    assert "will be replaced" not in plain(run(*only_3, bids=other)[1])
    two.root.rename(tmp_path / "moved")
    assert "will be replaced" not in plain(run("--dry-run", bids=tmp_path / "moved")[1])


@pytest.mark.parametrize("option", ["--calibration", "--tau-calibration", "--tau-vois"])
def test_a_file_of_an_option_that_is_not_there_is_told_before_anything_is_written(two, run, option):
    for more in ((), ("--dry-run",)):
        code, _, err = run(option, "/nonexistent", *more)
        assert code == 66 and "/nonexistent" in err
    assert not (run.out / "dataset_description.json").exists()


def test_a_work_folder_that_cannot_be_made(two, run, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("-w", tmp_path / "file" / "work")
    assert code == 73
    assert "--work-dir" in err


def test_a_fault_of_ours_is_one_sentence_and_its_log(two, run, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("bidsapp.cli.participant.make_plan", broken)
    code, _, err = run()
    assert code == 70
    assert "please report it" in err
    assert err.count("\n") == 1
    (log,) = (run.out / "logs").glob("centipet_*.log")
    assert "Traceback" in log.read_text()


def test_boilerplate_only_writes_nothing(two, run):
    code, out, _ = run("--boilerplate-only")
    assert code == 0
    assert "Klunk" in out
    assert not run.out.exists()


def test_pages_anew(two, run, fates):
    run()
    for page in run.out.glob("*.html"):
        page.unlink()
    assert run("--reports-only", "--participant-label", "2")[0] == 0
    assert [page.name for page in run.out.glob("*.html")] == ["sub-2.html"]


def test_the_graph_is_written(two, run, fates):
    assert run("--write-graph")[0] == 0
    assert list((run.out / "logs").glob("*.dot"))


def test_clean_workdir_forgets(two, run, fates, tmp_path):
    run()
    (folder,) = (tmp_path / "work").iterdir()
    old = folder / "centipet-0.0.1-abc/centipet_wf/sub_1_wf/old"
    old.parent.mkdir(parents=True)
    old.touch()
    run()
    assert old.exists()
    run("--clean-workdir")
    assert not old.exists()


def test_a_participant_who_is_not_there_is_an_error_beside_those_who_are(two, run, fates):
    code, out, _ = run("--participant-label", "1", "7")
    assert code == 1
    assert "--participant-label 7:" in out and "has no sub-7, it has 1, 2" in plain(out)
    assert record(run, "sub-1_trc-FBB")["status"] == "ok"
    assert run("--participant-label", "1", "7", "--dry-run")[0] == 1
    code, _, err = run("--participant-label", "7", "8")
    assert code == 18 and "has no sub-7, it has 1, 2" in err and "has no sub-8" in err


def test_a_participant_without_pet_is_no_error(two, run, fates):
    two.t1w("sub-3")
    (two.root / "participants.tsv").write_text("participant_id\nsub-1\nsub-2\nsub-3\nsub-4\n")
    code, out, _ = run("--participant-label", "1", "3", "4")
    assert code == 0 and "sub-3, sub-4: no PET" in out


def test_later_levels_miss_participants_who_are_nowhere(two, run, fates):
    run("--participant-label", "1")
    for options in (("--participant-label", "1"), ("--participant-label", "1", "2")):
        code, _, _ = run(*options, level="group")
        assert code == 0  # 2 was never processed, which the tables say
    code, out, err = run("--participant-label", "1", "7", level="group")
    assert code == 1 and "has no sub-7, it has 1" in plain(out + err)
    code, _, err = run("--participant-label", "7", level="group")
    assert code == 18 and "has no sub-7, it has 1" in err
    code, out, _ = run("--reports-only", "--participant-label", "1", "7")
    assert code == 1 and "has no sub-7, it has 1" in plain(out)
    assert run("--reports-only", "--participant-label", "7")[0] == 18


def plain(text):
    """Text of a terminal in one line."""
    return " ".join(text.split())


def test_a_session_label_that_hits_nothing_is_told_and_the_rest_goes_on(raw, run, fates):
    raw.t1w("sub-1_ses-a")
    raw.pet("sub-1_ses-a_trc-FBB")
    code, out, _ = run("--session-label", "a", "b")
    assert code == 0 and "--session-label b: no PET has it" in out


def test_sigterm_ends_the_run_and_what_was_begun_stays_incomplete(two, tmp_path):
    # an engine that never ends stands for a long computation
    code = (
        "import sys, time\n"
        "from bidsapp.execution import engine\n"
        "engine.run = lambda *a, **k: (print('running', flush=True), time.sleep(60))\n"
        "from bidsapp.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, two.root, tmp_path / "out", "participant"],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert any("running" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    begin = time.perf_counter()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert time.perf_counter() - begin < 10
    path = tmp_path / "out" / "sub-1" / "pet" / "sub-1_trc-FBB_centiloid.json"
    assert json.loads(path.read_text())["status"] == "incomplete"


def test_what_is_logged_where(two, run, fates, capsys):
    two.t1w("sub-1_desc-preproc")
    two.t1w("sub-1_run-2")
    fates["2"] = "BadDataError"
    _, out, err = run()
    assert "sub-1_desc-preproc_T1w.nii.gz: not used" in err
    assert "sub-1_run-2" not in err
    assert "sub-1_run-2_T1w.nii.gz" in out
    assert "Traceback" not in out + err
    (log,) = (run.out / "logs").glob("centipet_*.log")
    text = log.read_text()
    for words in ("not used", "sub-1_run-2_T1w.nii.gz", "BadDataError; do something", "nipype"):
        assert words in text
    _, _, err = run("-vv")
    assert "[Node]" in err


def test_libraries_get_their_loggers_back(two, run, fates):
    before = {name: list(logging.getLogger(name).handlers) for name in ("bidsapp", "py.warnings")}
    run()
    assert {name: logging.getLogger(name).handlers for name in before} == before


@pytest.fixture
def conversion(monkeypatch, two, tmp_path):
    """Stands for the converter: reports what the test says; gives the options for the command."""
    from bidsapp.dicom.convert import ConversionReport

    def stand_in(converted=4, errors=(), bids_dir=two.root):
        report = ConversionReport(bids_dir, (), converted, list(errors))
        monkeypatch.setattr("bidsapp.dicom.convert.convert", lambda *_, **__: report)
        (tmp_path / "dicom").mkdir(exist_ok=True)
        return "--dicom-dir", tmp_path / "dicom"

    return stand_in


def test_dicom_is_converted_then_processed_where_it_went(run, fates, conversion, two, tmp_path):
    code, out, _ = run(*conversion(bids_dir=two.root), bids=tmp_path / "read-only")
    assert code == 0
    assert "sub-1_trc-FBB" in out


def test_a_series_that_failed_is_code_1_although_all_scans_are_well(run, fates, conversion):
    code, out, _ = run(*conversion(errors=["series 7 (PET): no injection time"]))
    assert code == 1
    assert "x series 7 (PET): no injection time" in out
    assert record(run, "sub-1_trc-FBB")["status"] == "ok"


def test_nothing_could_be_converted(run, conversion):
    assert run(*conversion(converted=0, errors=["series 7: broken"]))[0] == 65
    assert run(*conversion(converted=0))[0] == 66


@pytest.mark.parametrize("option", ["--convert-only", "--dry-run"])
def test_the_conversion_alone_writes_no_derivatives(run, conversion, option):
    assert run(*conversion(), option)[0] == 0
    assert run(*conversion(errors=["series 7: broken"]), option)[0] == 1
    assert not run.out.exists()


def test_a_transform_that_a_person_gives_belongs_to_one_head(two, run, tmp_path):
    path = tmp_path / "by_hand.txt"
    path.write_text(itk_affine_text(np.eye(4)))
    code, _, error = run("--initial-transform", path, "--dry-run")
    assert code == 64 and "there are 2 (" in error and "--participant-label" in error
    assert run("--initial-transform", path, "--dry-run", "--participant-label", "1")[0] == 0
    path.write_text("1 0 0 0\n")
    code, _, error = run("--initial-transform", path, "--dry-run", "--participant-label", "1")
    assert code == 65 and "contains no ITK transform" in error
    code, _, error = run("--initial-transform", path, "--pet-only")
    assert code == 64 and "--pet-only" in error


@pytest.mark.parametrize("name", SUB_COMMANDS)
def test_every_command_is_one_of_centipet(capsys, name):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert name in capsys.readouterr().out.split("\n")[0]
    assert main([name, "--no-such-option"]) == 64
    assert "--help" in capsys.readouterr().err


def test_a_dataset_may_be_called_like_a_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "out", "participant"]) == 66
    assert (
        "give the raw BIDS dataset, or plain images to centipet quantify" in capsys.readouterr().err
    )


def test_a_machine_that_allows_no_workers_is_told_in_one_line(two, run, monkeypatch):
    def no_more():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_more)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.setattr("gc.freeze", lambda: None)
    code, _, err = run(nprocs=2)
    assert code == ExitCode.TEMPORARY
    assert err.startswith("centipet: 2 worker processes cannot be started")
    assert "--nprocs 1" in err
    assert len(err.splitlines()) == 1


def test_a_current_folder_that_is_gone_is_one_sentence(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    plain = ["quantify", "pet.nii", "--tracer", "FBB", "-o", "out"]
    for argv in (["in", "out", "participant"], ["verify", "out"], plain):
        assert main(argv) == 66
        assert "the current folder no longer exists" in capsys.readouterr().err


MAINS = """
import json, os, sys
os.chmod(sys.argv[1], 0)
from bidsapp.cli.main import main
for argv in json.load(sys.stdin):
    print(main(argv), file=sys.stderr)
"""


def run_with_closed(folder, commands, cwd):
    """Exit codes and sentences of commands of a user who may not enter a folder."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    if drop and shutil.which(drop[0]) is None:
        pytest.skip("SETPRIV IS NOT INSTALLED: root may enter any folder")
    done = subprocess.run(
        [*drop, sys.executable, "-c", MAINS, str(folder)], cwd=cwd, input=json.dumps(commands),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    return list(zip(map(int, lines[1::2]), lines[::2], strict=True))


def test_a_folder_that_may_not_be_entered_is_one_sentence(raw, tmp_path):
    """Such a folder already refuses the question whether a file is in it."""
    raw.pet("sub-1_trc-FBB")
    dataset, out, closed = str(raw.root), str(tmp_path / "out"), tmp_path / "closed"
    closed.mkdir()
    run = [dataset, out, "participant", "--dry-run"]
    commands = [
        [f"{closed}/bids", out, "participant", "--dry-run"],
        [dataset, f"{closed}/out", "participant"],
        [dataset, f"{closed}/out", "group"],
        [*run, "--dicom-dir", f"{closed}/dicom"],
        [*run, "--atlas", f"X={closed}/atlas.nii.gz"],
        [*run, "--derivatives", f"freesurfer={closed}/subjects"],
        [*run, "--tau-vois", f"{closed}/vois"],
        ["quantify", f"{closed}/pet.nii.gz", "--tracer", "FBB", "--window", "90", "110", "-o", out],
        ["demo", f"{closed}/demo"],
    ]
    for code, sentence in run_with_closed(closed, commands, tmp_path):
        assert code == ExitCode.NO_INPUT
        assert f"{closed}/" in sentence and "(Permission denied); correct its perm" in sentence
    closed.chmod(0o700)
    commands = [run, ["verify", out], ["quantify", "pet.nii", "--tracer", "FBB", "-o", out]]
    for code, sentence in run_with_closed(closed, commands, closed):
        assert code == ExitCode.NO_INPUT
        assert "the current folder cannot be used (Permission denied)" in sentence
    closed.chmod(0o700)
