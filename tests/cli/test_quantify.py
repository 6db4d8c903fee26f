"""``centipet quantify``: plain images in, the same way as a BIDS dataset, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic_records import finished_record, write
from tsv_rows import table_rows

import bidsapp
from bidsapp.api.quantify import Quantified
from bidsapp.cli.main import main
from bidsapp.errors import BadDataError, CentipetError, NoInputError, UsageError
from bidsapp.record.stages import empty_record


@pytest.fixture
def lab(tmp_path):
    """Five pairs as a lab has them."""
    folder = tmp_path / "lab"
    folder.mkdir()
    for person in range(1, 6):
        for kind in ("pet", "t1"):
            image = nib.Nifti1Image(np.full((6, 7, 8), person, np.float32), np.eye(4))
            image.to_filename(folder / f"{kind}{person}.nii.gz")
    return folder


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command; gives exit code, standard output and error."""

    def _run(*arguments):
        work = ("-o", tmp_path / "out", "-w", tmp_path / "work", "--nprocs", "1")
        code = main(["quantify", *map(str, (*arguments, *work))])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    _run.out = tmp_path / "out"
    return _run


def table_of(lab, *rows):
    path = lab / "pairs.tsv"
    lines = [("participant", "pet", "t1w", "tracer", "window"), *rows]
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    return path


def good(person):
    return str(person), f"pet{person}.nii.gz", f"t1{person}.nii.gz", "FBB", "90 110"


def test_five_pairs_give_five_rows_and_pages(lab, run, fates):
    table = table_of(lab, *map(good, range(1, 6)))
    before = {path: path.read_bytes() for path in lab.iterdir()}
    code, out, err = run("--table", table)
    assert code == 0 and err == ""
    rows = table_rows(run.out / "group_centiloid.tsv")
    assert [row["participant_id"] for row in rows] == [f"sub-{i}" for i in range(1, 6)]
    assert {row["status"] for row in rows} == {"ok"} and {row["centiloid"] for row in rows} == {
        "75.2"
    }
    assert all((run.out / f"sub-{i}.html").is_file() for i in range(1, 6))
    assert "group_centiloid.tsv" in out
    assert before == {path: path.read_bytes() for path in lab.iterdir()}
    commands = {json.loads(path.read_text())["Command"] for path in run.out.glob("logs/*.json")}
    assert len(commands) == 1 and commands.pop().startswith("centipet quantify --table ")


def test_three_bad_rows_are_told_and_the_other_two_run(lab, run, fates):
    table = table_of(
        lab, good(1), ("2", "gone.nii.gz", "t12.nii.gz", "FBB", ""),
        ("3", "pet3.nii.gz", "", "XYZ", ""), ("4", "pet1.nii.gz", "t14.nii.gz", "FBB", ""), good(5),
    )  # fmt: skip
    code, _, err = run("--table", table)
    assert code == 1
    places = re.findall(r"^centipet quantify: pairs\.tsv, line (\d), column (\w+): ", err, re.M)
    assert places == [("3", "pet"), ("4", "tracer"), ("5", "pet")]
    rows = table_rows(run.out / "group_centiloid.tsv")
    assert [(row["participant_id"], row["status"]) for row in rows] == [
        ("sub-1", "ok"), ("sub-5", "ok"),
    ]  # fmt: skip
    assert "image-twice" in rows[0]["flags"] and "image-twice" not in rows[1]["flags"]


@pytest.mark.parametrize(("bad", "code"), [({}, 66), ({"tracer": "XYZ"}, 1)])
def test_without_a_good_row_nothing_is_made(lab, run, fates, bad, code):
    missing = ("1", "gone.nii.gz", "", "FBB", "")
    other = ("2", "gone.nii.gz", "", bad.get("tracer", "FBB"), "")
    assert run("--table", table_of(lab, missing, other))[0] == code
    assert not run.out.exists()


def test_a_scan_that_fails_costs_its_row_alone(lab, run, fates):
    fates["2"] = "BadDataError"
    assert run("--table", table_of(lab, good(1), good(2)))[0] == 1
    rows = table_rows(run.out / "group_centiloid.tsv")
    assert [row["status"] for row in rows] == ["ok", "failed"]


def test_a_dry_run_writes_nothing(lab, run):
    pair = (lab / "pet1.nii.gz", lab / "t11.nii.gz")
    code, out, _ = run(*pair, "--tracer", "FBB", "--dry-run", "--participant", "x_1")
    assert code == 0 and "window-assumed" in out and "sub-x1" in out
    assert "the mean of 90 to 110 min" in " ".join(out.split())
    assert not run.out.exists()


def test_a_window_that_the_tracer_does_not_have_names_the_option(lab, run):
    pair = lab / "pet1.nii.gz", lab / "t11.nii.gz"
    code, out, _ = run(*pair, "--tracer", "FBB", "--window", 0, 20, "--dry-run")
    assert code == 65 and "cover 0% of it" in out
    assert "(of centipet quantify: --window) if they are wrong" in " ".join(out.split())


def test_pair_in_a_folder_is_found_by_name_told_and_flagged(lab, run, fates):
    for person in range(2, 6):
        (lab / f"pet{person}.nii.gz").unlink()
        (lab / f"t1{person}.nii.gz").unlink()
    (lab / "pet1.nii.gz").rename(lab / "sub-7_fbb_pet.nii.gz")
    code, _, err = run(lab, "--tracer", "FBB")
    assert code == 0
    assert "PET: sub-7_fbb_pet.nii.gz" in err and "T1w: t11.nii.gz" in err
    (row,) = table_rows(run.out / "group_centiloid.tsv")
    assert row["participant_id"] == "sub-7" and "found-by-name" in row["flags"]
    assert "sub-7_trc-FBB" in run("--dicom-dir", lab, "--tracer", "FBB", "--dry-run")[1]
    (lab / "second_fbb_pet.nii").touch()
    code, _, err = run(lab, "--tracer", "FBB")
    assert code == 65 and "may each be the PET" in err


def test_the_participant_is_that_of_the_name(lab, run):
    pet = (lab / "pet1.nii.gz").rename(lab / "sub-A7_trc-FBB_pet.nii.gz")
    assert "sub-A7_trc-FBB" in run(pet, "--tracer", "FBB", "--dry-run")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tracer", "FBB"], "PET is missing"),
        (["p.nii"], "--tracer is missing"),
        (["p.nii", "--tracer", "FBB", "--window", "90"], "--window"),
        (["--table", "t.tsv", "--tracer", "FBB"], "--tracer: are given by the table"),
        (["p.nii", "--tracer", "FBB", "--dicom-dir", "x"], "--dicom-dir"),
        (["p.nii", "--tracer", "FBB", "--smooth", "-1"], "--smooth"),
        ([".", "t1.nii", "--tracer", "FBB"], "is a folder; give it alone"),
    ],
)
def test_usage_errors_are_told(run, arguments, said):
    code, _, err = run(*arguments)
    assert code == 64 and said in err
    assert not run.out.exists()


def test_somebody_elses_dataset_is_left_alone(lab, run, raw, capsys):
    before = sorted(raw.root.rglob("*"))
    command = ["quantify", str(lab / "pet1.nii.gz"), "--tracer", "FBB", "-o", str(raw.root)]
    assert main(command) == 73
    assert sorted(raw.root.rglob("*")) == before


def test_a_dataset_may_be_called_quantify(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["quantify", "out", "participant", "--dry-run"]) == 66
    assert "quantify: no such folder" in capsys.readouterr().err


def test_python_tells_the_same_faults(lab, tmp_path):
    with pytest.raises(NoInputError, match=r"gone\.nii"):
        bidsapp.quantify(lab / "gone.nii", tracer="FBB", output_dir=tmp_path / "out")
    with pytest.raises(BadDataError, match="--tracer: 'FDG' is not"):
        bidsapp.quantify(lab / "pet1.nii.gz", tracer="FDG", output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_python_gives_no_earlier_result_for_that_of_a_run_that_ended(lab, tmp_path):
    entities, out = {"sub": "01", "trc": "FBB"}, tmp_path / "out"
    write(out, finished_record(entities), entities)
    (tmp_path / "file").write_text("")
    pair = lab / "pet1.nii.gz", lab / "t11.nii.gz"
    given = {"tracer": "FBB", "window": (90, 110), "output_dir": out}
    with pytest.raises(CentipetError, match="file"):
        bidsapp.quantify(*pair, **given, work_dir=tmp_path / "file" / "work")
    with pytest.raises(UsageError, match="no result"):
        bidsapp.quantify(*pair, **given, dry_run=True)


def test_python_takes_no_array_for_an_image():
    with pytest.raises(UsageError, match="not ndarray"):
        bidsapp.segment(np.zeros((8, 8, 8), np.float32))


def test_the_package_is_imported_cheaply():
    code = "import sys, bidsapp; print('numpy' in sys.modules, 'nibabel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_table_of_regions_is_a_frame(monkeypatch):
    rows = [
        {"index": "2", "name": "a", "mean": "1.5"},
        {"index": "n/a", "name": "b", "mean": "n/a"},
    ]
    found = Quantified(
        {}, None, None, None, (), {"Toy": rows}, {}, Path(), empty_record({"sub": "1"}), Path()
    )
    frame = found.frame("Toy")
    assert frame.loc["a", "mean"] == 1.5 and frame["mean"].isna().tolist() == [False, True]
    with pytest.raises(UsageError, match="there is no atlas Other; the run had Toy"):
        found.frame("Other")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        found.frame("Toy")
