"""A job of BABS: one session of a DataLad dataset, whose other files are links to nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datalad_job import as_datalad_job, babs_arguments
from whole_app import run_centipet

pytestmark = pytest.mark.slow


@pytest.fixture
def raw_study(shared_data, tmp_path) -> Path:
    """sub-04 with two sessions, and sub-06."""
    raw, source = tmp_path / "raw", shared_data / "bids"
    raw.mkdir()
    for name in ("dataset_description.json", "participants.tsv", "participants.json"):
        shutil.copyfile(source / name, raw / name)
    for path in (path for path in (source / "sub-04").rglob("*") if path.is_file()):
        for session in ("A", "B"):
            name = path.name.replace("sub-04", f"sub-04_ses-{session}")
            target = raw / f"sub-04/ses-{session}" / path.parent.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copytree(source / "sub-06", raw / "sub-06")
    return raw


def test_a_session_is_done_and_can_be_zipped(raw_study, tmp_path):
    job = tmp_path / "job"
    as_datalad_job(raw_study, job, "sub-04/ses-A", "dataset_description.json", "participants.tsv")
    done = run_centipet(*babs_arguments(job, "04", "A"), cwd=job)
    assert done.returncode == 0, done.stdout + done.stderr
    out = job / "outputs/centipet"
    (record,) = out.rglob("*_centiloid.json")
    assert record.name == "sub-04_ses-A_trc-FBP_centiloid.json"
    assert 100 < json.loads(record.read_text())["centiloid"] < 200
    assert not any(path.is_symlink() for path in out.rglob("*"))  # 7z would leave them out
    texts = [path.read_text() for path in out.rglob("*.*") if path.suffix in (".json", ".tsv")]
    assert not any("MD5E" in text or "annex" in text for text in texts)
    assert {path.name for path in job.iterdir()} == {
        ".git", "inputs", "outputs", "ses-A_filter.json",
    }  # fmt: skip
