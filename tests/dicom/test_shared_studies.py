"""The development studies against their stated truth (README of the data describes the traps)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bidsapp.dicom.convert import ConversionReport, convert
from bidsapp.dicom.decision_table import format_table
from bidsapp.settings import DicomInput

pytestmark = pytest.mark.slow


@dataclass
class Study:
    source: Path
    bids: Path
    report: ConversionReport

    def one(self, pattern: str) -> Path:
        (found,) = self.bids.glob(pattern)
        return found

    def sidecar(self, tracer: str, run: str = "") -> dict:
        return json.loads(self.one(f"sub-*/ses-*/pet/*_trc-{tracer}{run}_pet.json").read_text())


@pytest.fixture(scope="module")
def converted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    source, bids = shared_data / "dicom", tmp_path_factory.mktemp("converted") / "bids"
    report = convert(DicomInput(source), bids, nprocs=2, progress=lambda text: None)
    return Study(source, bids, report)


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> dict:
    return json.loads((shared_data / "dicom_truth.json").read_text())


def test_two_people_three_injections_six_images(converted: Study) -> None:
    assert converted.report.errors == []
    assert converted.report.n_converted == 6
    images = sorted(path.name.split("_", 1)[1] for path in converted.bids.rglob("*.nii.gz"))
    assert images == [
        "ses-01_T1w.nii.gz",
        "ses-01_T1w.nii.gz",
        "ses-01_trc-FBB_pet.nii.gz",
        "ses-01_trc-FBP_pet.nii.gz",
        "ses-02_trc-FMM_run-1_pet.nii.gz",
        "ses-02_trc-FMM_run-2_pet.nii.gz",
    ]
    assert len(list(converted.bids.glob("sub-*"))) == 2


def test_every_other_series_is_in_the_table_with_its_reason(converted: Study) -> None:
    skipped = {row.description: row for row in converted.report.rows if row.decision == "skipped"}
    assert set(skipped) == {"gre_field_mapping", "AX FSE T2", "PET FBB NAC", "PET FBB MIP"}
    assert "lacks ATTN" in skipped["PET FBB NAC"].reason
    assert "MIP" in skipped["PET FBB MIP"].reason
    assert "gre_field_mapping" in format_table(converted.report.rows)


@pytest.mark.parametrize(
    ("name", "tracer", "run"),
    [
        ("ALPHA static", "FBB", ""),
        ("ALPHA dual-window", "FMM", "_run-1"),
        ("ALPHA dual-window", "FMM", "_run-2"),
        ("BETA static", "FBP", ""),
    ],
)
def test_times_are_the_true_ones(
    converted: Study, truth: dict, name: str, tracer: str, run: str
) -> None:
    true, found = truth[name], converted.sidecar(tracer, run)
    part = {"_run-1": "early_frame_", "_run-2": "late_frame_"}.get(run, "frame_")
    durations = true[f"{part}durations_s"]
    key = "late_frame_starts_s" if run else "frame_starts_after_injection_s"
    starts = [sum(durations[:i]) for i in range(len(durations))] if run == "_run-1" else true[key]
    assert found["FrameDuration"] == durations
    assert found["FrameTimesStart"] == starts
    assert found["ScanStart"] == starts[0]
    assert found["InjectionStart"] == 0
    assert found["TimeZero"] == f"{datetime.fromisoformat(true['injection']):%H:%M:%S}"
    admin = true["decay_correction"].startswith("ADMIN")
    assert found["ImageDecayCorrected"] is True
    assert found["ImageDecayCorrectionTime"] == (0 if admin else starts[0])
    assert true["tracer"] in found["TracerName"]
    assert found["CentiPET"]["Sources"]["ImageDecayCorrectionTime"].endswith(
        "confirmed by (0054,1321) DecayFactor"
    )
    assert set(found) - {"CentiPET"} == set(found["CentiPET"]["Sources"])


def test_the_validator_finds_no_error(converted: Study) -> None:
    command = shutil.which("bids-validator-deno")
    assert command, "install the test extra: bids-validator-deno is missing"
    result = subprocess.run(
        [command, "--format", "json", str(converted.bids)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    issues = json.loads(result.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_nothing_of_a_patient_is_left(converted: Study) -> None:
    """Names, identifiers, birth dates, scan dates and the name hidden in a free-text tag."""
    secrets = ["alpha", "beta^", "cpt-", "19510704", "19480229", "gagoski", "nobody_0001"]
    secrets += ["20210216", "20210302", "2021-03-02", "20220405", "20200203", "20200204", "2020-01"]
    for path in converted.bids.rglob("*"):
        assert not any(
            secret in str(path.relative_to(converted.bids)).lower() for secret in secrets
        )
        if path.is_dir():
            continue
        image = path.name.endswith(".nii.gz")
        content = bytes(nib.load(path).header.binaryblock) if image else path.read_bytes()
        text = content.decode("latin-1").lower()
        assert not [secret for secret in secrets if secret in text], path
    table = format_table(converted.report.rows).lower()
    assert not [secret for secret in secrets if secret in table]


def test_every_voxel_is_that_of_the_dicom_and_where_it_was(converted: Study) -> None:
    """Every slice of every frame, values and place, by an own reading of the tags."""
    folder = converted.source / "ALPHA" / "PET_20220405" / "dyn_late"
    image = nib.load(converted.one("sub-*/ses-02/pet/*run-2_pet.nii.gz"))
    checked = 0
    for start, data in _slices(folder.iterdir()):
        frame = [5400, 5700, 6000, 6300].index(start)
        checked += _slice_agrees(np.asanyarray(image.dataobj[..., frame]), image.affine, data)
    assert checked == 224


def test_slices_beyond_the_gap_stay_where_they_were(converted: Study) -> None:
    row = next(row for row in converted.report.rows if row.files == 175)
    assert "1 missing slice interpolated" in row.reason
    path = converted.bids / f"{row.target}.nii.gz"
    image = nib.load(path)
    assert image.shape[2] == 176
    volume = np.asanyarray(image.dataobj)
    files = sorted((converted.source / "BETA").glob("M1*"))
    checked = sum(
        _slice_agrees(volume, image.affine, pydicom.dcmread(file))
        for file in files[::9] + files[-1:]
    )
    assert checked >= 20


def _slices(paths: Iterator[Path]) -> Iterator[tuple[int, pydicom.Dataset]]:
    for path in sorted(paths):
        data = pydicom.dcmread(path)
        item = data.RadiopharmaceuticalInformationSequence[0]
        times = (data.AcquisitionTime, item.RadiopharmaceuticalStartTime)
        clocks = [datetime.strptime(str(text)[:6], "%H%M%S") for text in times]
        yield int((clocks[0] - clocks[1]).total_seconds()), data


def _slice_agrees(volume: np.ndarray, affine: np.ndarray, data: pydicom.Dataset) -> bool:
    cosines = np.array(data.ImageOrientationPatient, float)
    down, along = (float(value) for value in data.PixelSpacing)
    rows, columns = np.mgrid[0 : data.Rows, 0 : data.Columns]
    world = np.array(data.ImagePositionPatient, float) + (
        columns[..., None] * along * cosines[:3] + rows[..., None] * down * cosines[3:]
    )
    world[..., :2] *= -1
    index = world @ np.linalg.inv(affine)[:3, :3].T + np.linalg.inv(affine)[:3, 3]
    assert np.abs(index - np.rint(index)).max() < 0.02
    values = volume[tuple(np.moveaxis(np.rint(index).astype(int), -1, 0))]
    expected = data.pixel_array * float(data.get("RescaleSlope", 1))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-4)
    return True


def test_a_second_run_changes_nothing(converted: Study) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in converted.bids.rglob("*.*") if path.is_file()
    }
    report = convert(
        DicomInput(converted.source), converted.bids, nprocs=2, progress=lambda text: None
    )
    after = {
        path: path.stat().st_mtime_ns for path in converted.bids.rglob("*.*") if path.is_file()
    }
    assert report.errors == [] and report.n_converted == 6
    raw = [path for path in before if "code" not in path.parts]
    assert len(raw) >= 15
    assert {path: after[path] for path in raw} == {path: before[path] for path in raw}
    assert set(after) == set(before)


def test_dry_run_writes_nothing_and_names_the_same_targets(
    converted: Study, tmp_path: Path
) -> None:
    report = convert(DicomInput(converted.source, dry_run=True), tmp_path / "bids", nprocs=1)
    assert not (tmp_path / "bids").exists()
    assert [row.target for row in report.rows] == [row.target for row in converted.report.rows]
    assert report.n_converted == 0
