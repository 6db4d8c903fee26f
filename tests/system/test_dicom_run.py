"""The DICOM studies of the development data, all the way to the group table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from agreement import PIB_SCALE
from whole_app import run_centipet, validator_errors

pytestmark = pytest.mark.slow

# What the studies are called in reference.tsv, by tracer (each tracer occurs once)
REFERENCE_ROW = {"FBB": "A1", "FMM": "A2", "FBP": "B1"}


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dicom_run")
    done = run_centipet(
        folder / "bids", folder / "out", "participant", "--dicom-dir", shared_data / "dicom",
        "--nprocs", 2, "-w", folder / "work",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_centipet(folder / "bids", folder / "out", "group")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_raw_and_derivatives_are_valid_bids(run):
    assert validator_errors(run / "bids") == {}
    assert validator_errors(run / "out") == {}


def test_suvr_agrees_with_the_standard_pipeline(run, shared_data):
    table = pd.read_csv(run / "out" / "group_centiloid.tsv", sep="\t", na_values="n/a")
    reference = pd.read_csv(shared_data / "reference.tsv", sep="\t").set_index("participant_id")
    done = table[table.status == "ok"].set_index("tracer")
    assert sorted(done.index) == sorted(REFERENCE_ROW)
    for tracer, row in REFERENCE_ROW.items():
        difference = done.suvr_wc[tracer] - reference.suvr_wc[row]
        assert abs(PIB_SCALE["wc"][0] * difference) < 5, (tracer, difference)


def test_early_part_of_the_dual_window_study_is_left_out_and_said(run):
    table = pd.read_csv(run / "out" / "group_centiloid.tsv", sep="\t")
    skipped = table[table.status == "skipped"]
    assert list(skipped.tracer) == ["FMM"]
    assert skipped.reason.str.len().min() > 20


def test_a_second_run_converts_nothing_and_changes_nothing(run, shared_data):
    raw = sorted(path for path in (run / "bids").rglob("*.nii.gz"))
    before = [(path.name, path.stat().st_mtime_ns) for path in raw]
    done = run_centipet(
        run / "bids", run / "out", "participant", "--dicom-dir", shared_data / "dicom",
        "--convert-only",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(path.name, path.stat().st_mtime_ns) for path in raw] == before
