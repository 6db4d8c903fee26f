"""Bad input costs the scan it belongs to, with one sentence; the others are done."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tsv_rows import table_rows
from whole_app import run_centipet

pytestmark = pytest.mark.slow

GOOD = "sub-04"  # the quickest to process


def copy_of(source: Path, target: Path, *participants: str) -> Path:
    """A dataset of some of the development participants, writable."""
    target.mkdir()
    shutil.copy(source / "dataset_description.json", target)
    for participant in participants:
        shutil.copytree(source / participant, target / participant)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def truncate_t1w(folder: Path) -> None:
    image = next(folder.glob("anat/*.nii.gz"))
    image.write_bytes(image.read_bytes()[:50000])


def other_tracer(folder: Path) -> None:
    """An FDG scan under the name of florbetaben."""
    change_sidecar(folder, TracerName="[18F]FDG")


def truncate_pet(folder: Path) -> None:
    image = next(folder.glob("pet/*.nii.gz"))
    image.write_bytes(image.read_bytes()[:50000])


def early_scan(folder: Path) -> None:
    change_sidecar(folder, FrameTimesStart=[600.0], FrameDuration=[600.0], ScanStart=600.0)


def change_sidecar(folder: Path, **values: object) -> None:
    path = next(folder.glob("pet/*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BROKEN = {
    "t1w": (truncate_t1w, 66, "T1w.nii.gz"),
    "tracer": (other_tracer, 65, "FDG"),
    "image": (truncate_pet, 66, "pet.nii.gz"),
    "window": (early_scan, 65, "window"),
}


@pytest.fixture(scope="module")
def dataset(shared_data, tmp_path_factory) -> Path:
    """One good participant, and sub-06 broken in each of the ways."""
    raw = copy_of(shared_data / "bids", tmp_path_factory.mktemp("faults") / "bids", GOOD)
    for label, (spoil, _, _) in BROKEN.items():
        folder = raw / f"sub-{label}"
        shutil.copytree(shared_data / "bids/sub-06", folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        for path in [p for p in folder.rglob("*") if p.is_file()]:
            path.rename(path.with_name(path.name.replace("sub-06", f"sub-{label}")))
        spoil(folder)
    return raw


@pytest.fixture(scope="module")
def run(dataset):
    out = dataset.parent / "out"
    done = run_centipet(dataset, out, "participant", "-w", dataset.parent / "work", "--nprocs", 2)
    grouped = run_centipet(dataset, out, "group")
    return out, done, grouped


def test_the_good_scan_is_done_and_the_code_says_that_others_failed(run):
    out, done, _ = run
    assert done.returncode == 1, done.stdout + done.stderr
    rows = {row["participant_id"]: row for row in table_rows(out / "group_centiloid.tsv")}
    assert rows[GOOD]["status"] == "ok"
    assert float(rows[GOOD]["centiloid"]) > 50


@pytest.mark.parametrize("label", BROKEN)
def test_the_group_table_shows_the_failure(run, label):
    out, _, _ = run
    rows = {row["participant_id"]: row for row in table_rows(out / "group_centiloid.tsv")}
    row = rows[f"sub-{label}"]
    assert row["status"] == "failed"
    assert row["centiloid"] == row["suvr_wc"] == "n/a"
    assert BROKEN[label][2] in row["reason"]
    page = (out / f"sub-{label}.html").read_text()
    assert "failed" in page.lower()


@pytest.mark.parametrize("label", BROKEN)
def test_alone_it_ends_with_its_own_code_and_one_sentence(dataset, run, label):
    """Once more, where all were processed: what could be done of it is not done again."""
    _, code, word = BROKEN[label]
    done = run_centipet(
        dataset, run[0], "participant", "--participant-label", label,
        "-w", dataset.parent / "work",
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode == code, printed
    assert word in printed
    assert "Traceback" not in printed


def test_an_output_folder_that_cannot_be_written(dataset, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    done = run_centipet(dataset, blocker / "out", "participant")
    assert done.returncode == 73
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder(dataset, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    assert run_centipet(dataset, locked / "out", "participant").returncode == 73
