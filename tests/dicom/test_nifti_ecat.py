"""NIfTI with sidecars of old and new dcm2niix, and ECAT 7: the same times and names as DICOM."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from conversions import dry, pet_sidecar, run, times_of
from dicom_studies import F18_S, Mr, Person, Pet, decay_factor, enhanced, write
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sidecar import PET_SIDECAR
from whole_app import validator_errors

from bidsapp.data.tracers import Tracer, using_tracers
from bidsapp.dicom import inventory as reading
from bidsapp.dicom.inventory import take_inventory
from bidsapp.dicom.nifti_ecat import load_image, read_nifti_or_ecat
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import Series

FINE = Mr(shape=(60, 56), spacing=3.0)  # dcm2niix turns its axes, so all must have slices enough


def niix(dicom: Path, folder: Path, name: str, *flags: str) -> Path:
    """Convert with the dcm2niix that is installed, as people do."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [dcm2niix.bin, "-b", "y", "-z", "y", *flags, "-f", name, "-o", folder, dicom]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return folder / f"{name}.json"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person's MPRAGE and florbetaben PET as dcm2niix leaves them, with identity."""
    root = tmp_path_factory.mktemp("niix")
    FINE.write(root / "mr")
    Pet().write(root / "pet")
    niix(root / "mr", root / "in", "t1", "-ba", "n")
    niix(root / "pet", root / "in", "pet", "-ba", "n")
    return root / "in"


@pytest.fixture
def source(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "in"))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def as_2025(content: dict[str, Any]) -> None:
    """The sidecar as dcm2niix 1.0.20241211 and 1.0.20250506 wrote it (compared with both)."""
    for key in ("ScanStart", "ImageDecayCorrected", "ImageDecayCorrectionTime", "SeriesTime",
                "FrameTimesStart", "AttenuationCorrection", "ReconFilterType", "ReconFilterSize",
                "TracerRadionuclide"):  # fmt: skip
        content.pop(key, None)
    content["Radiopharmaceutical"] = content.pop("TracerName")
    content["DecayFactor"] = content.pop("DecayCorrectionFactor")[:1]
    content["InjectedRadioactivity"] *= 1e6  # and still called MBq
    content["Units"], content["TimeZero"] = "BQML", "11:34:30"
    content["ConversionSoftwareVersion"] = "v1.0.20250505"


def as_2021(content: dict[str, Any]) -> None:
    """As versions before PET-BIDS wrote it: DICOM's own names."""
    as_2025(content)
    content["RadionuclideTotalDose"] = content.pop("InjectedRadioactivity")
    del content["InjectedRadioactivityUnits"], content["TimeZero"]
    content["DecayFactor"] = [decay_factor(at, 300, F18_S) for at in (0, 300, 600, 900)]


@pytest.mark.parametrize("change", [lambda content: None, as_2025, as_2021],
                         ids=["2026", "2025", "2021"])  # fmt: skip
def test_sidecars_of_all_versions_give_the_same_times(
    source: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(source / "pet.json", change)
    stated = tmp_path / "stated.json"
    stated.write_text(json.dumps({"*": {"InjectionTime": "10:04:30"}}))
    report = run(source, tmp_path / "bids", metadata=stated)
    assert report.errors == [] and report.n_converted == 2
    found = pet_sidecar(tmp_path / "bids")
    assert found["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert found["FrameDuration"] == [300] * 4
    assert (found["TimeZero"], found["InjectionStart"]) == ("10:04:30", 0)
    assert found["ImageDecayCorrectionTime"] == 5400
    assert found["TracerName"] == "[18F]florbetaben" and found["Units"] == "Bq/mL"
    assert (found["InjectedRadioactivity"], found["InjectedRadioactivityUnits"]) == (301.7, "MBq")
    (image,) = (tmp_path / "bids").rglob("*_pet.nii.gz")
    np.testing.assert_array_equal(
        nib.load(image).get_fdata(), nib.load(source / "pet.nii.gz").get_fdata()
    )
    assert nib.load(image).header["descrip"] == b""


def test_the_person_is_the_one_of_the_dicom(source: Path, tmp_path: Path) -> None:
    """A folder that mixes DICOM with NIfTI: one participant."""
    stated = tmp_path / "stated.json"
    stated.write_text(json.dumps({"*": {"InjectionTime": "10:04:30"}}))
    (source / "t1.nii.gz").unlink()
    Mr().write(source / "dicom")
    report = run(source, tmp_path / "bids", metadata=stated)
    assert report.errors == [] and len({row.participant_id for row in report.rows}) == 1
    assert sorted(row.decision for row in report.rows) == ["kept", "kept"]


def test_images_beside_the_dicom_they_were_made_of_are_left_out(
    source: Path, tmp_path: Path
) -> None:
    """As people convert for a first look; anonymised or not."""
    edit(source / "t1.json", lambda c: [c.pop(key) for key in list(c) if key.startswith("Patient")])
    FINE.write(source / "dicom" / "mr")
    Pet().write(source / "dicom" / "pet")
    report = run(source, tmp_path / "bids")
    assert report.errors == [] and report.n_converted == 2
    skipped = [row for row in report.rows if row.decision == "skipped"]
    assert len(skipped) == 2
    assert all("whose DICOM files are here" in row.reason for row in skipped)


def test_an_injection_that_nobody_states_is_refused_in_words_of_the_sidecar(source: Path) -> None:
    (error,) = dry(source).errors
    assert "TimeZero and InjectionStart are missing" in error and "InjectionTime" in error


def pet_bids(content: dict[str, Any]) -> None:
    content |= {"TimeZero": "11:34:30", "ScanStart": 0, "InjectionStart": -5400}


def from_injection(content: dict[str, Any]) -> None:
    content |= {"TimeZero": "10:04:30", "ScanStart": 5400, "InjectionStart": 0}
    content |= {"FrameTimesStart": [5400, 5700, 6000, 6300], "ImageDecayCorrectionTime": 5400}
    del content["DecayCorrection"], content["AcquisitionTime"]
    content.pop("AcquisitionDateTime", None)


@pytest.mark.parametrize("change", [pet_bids, from_injection])
def test_a_complete_sidecar_needs_nothing_stated(
    source: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(source / "pet.json", change)
    edit(
        source / "pet.json",
        lambda content: content.update(
            InjectedMass=1.5, InjectedMassUnits="ug", Purity=math.nan, ReconFilterSize=math.nan
        ),
    )
    assert run(source, tmp_path / "bids").errors == []
    found = pet_sidecar(tmp_path / "bids")
    assert found["TimeZero"] == "10:04:30"
    assert found["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert found["ImageDecayCorrectionTime"] == 5400
    assert found["InjectedMass"] == 1.5
    sources = found["CentiPET"]["Sources"]
    assert sources["InjectedMass"] == "the sidecar of the image"
    assert sources["FrameDuration"] == "FrameDuration"
    assert "(0" not in json.dumps(found["CentiPET"])
    assert "Purity" not in found
    json.dumps(found, allow_nan=False)


def test_kilobecquerels_become_becquerels(source: Path, tmp_path: Path) -> None:
    def kilo(content: dict[str, Any]) -> None:
        pet_bids(content)
        content["Units"] = "kBq/ml"

    edit(source / "pet.json", kilo)
    assert run(source, tmp_path / "bids").errors == []
    (image,) = (tmp_path / "bids").rglob("*_pet.nii.gz")
    before = nib.load(source / "pet.nii.gz").get_fdata()
    np.testing.assert_allclose(nib.load(image).get_fdata(), 1000 * before, rtol=1e-6)
    assert pet_sidecar(tmp_path / "bids")["Units"] == "Bq/mL"


def test_units_that_are_refused_are_named_as_in_the_sidecar(source: Path, tmp_path: Path) -> None:
    def counts(content: dict[str, Any]) -> None:
        pet_bids(content)
        content["Units"] = "CNTS"

    edit(source / "pet.json", counts)
    (error,) = run(source, tmp_path / "bids").errors
    assert "Units is 'CNTS'" in error and "(0054,1001)" not in error


def test_keys_in_other_capitals_and_doubtful_units_are_read_and_told(
    source: Path, tmp_path: Path
) -> None:
    def written(content: dict[str, Any]) -> None:
        pet_bids(content)
        content |= {"Units": "mBq/ml", "InjectedRadioactivity": "301.7"}
        content["frameDuration"] = content.pop("FrameDuration")

    edit(source / "pet.json", written)
    report = run(source, tmp_path / "bids")
    assert report.errors == []
    found = pet_sidecar(tmp_path / "bids")
    assert (found["FrameDuration"], found["InjectedRadioactivity"]) == ([300] * 4, 301.7)
    messages = {flag["code"]: flag["message"] for flag in found["CentiPET"]["Flags"]}
    assert "pet.json spells frameDuration" in messages["sidecar-case"]
    assert "Units is 'mBq/ml'" in messages["unit-prefix"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(frameDuration=[1]), "and frameDuration is [1]"),
        (lambda c: c.pop("FrameDuration"), "FrameDuration is missing"),
        (lambda c: c.update(FrameDuration=[300, 300]), "FrameDuration is missing"),
        (lambda c: c.update(FrameTimesStart=[0, 100, 200, 300]), "before the end"),
        (lambda c: c.update(Units="CNTS"), "counts are not calibrated"),
        (lambda c: c.pop("InjectedRadioactivity"), "InjectedRadioactivity is missing"),
        (lambda c: c.update(InjectionStart=9000), "impossible"),
    ],
)  # fmt: skip
def test_what_a_sidecar_lacks_is_named(
    source: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    edit(source / "pet.json", pet_bids)
    edit(source / "pet.json", change)
    (error,) = dry(source).errors
    assert said in error and "(0018," not in error


def test_broken_files_stop_nothing(source: Path, tmp_path: Path) -> None:
    edit(source / "pet.json", pet_bids)
    (source / "a.nii").write_bytes(b"\x5c\x01" + b"\0" * 400)
    (source / "b.nii.gz").write_bytes(b"\x1f\x8bgarbage")
    (source / "c.v").write_bytes(b"MATRIX72v" + b"\0" * 100)
    (source / "notes.v").write_text("module adder; endmodule")
    shutil.copy(source / "t1.nii.gz", source / "d.nii.gz")
    (source / "d.json").write_text("{")
    report = run(source, tmp_path / "bids")
    assert report.n_converted == 2
    assert len(report.errors) == 1 and report.errors[0].startswith("4 files")


def test_any_sidecar_is_converted_or_refused_with_a_sentence(
    converted: Path, tmp_path: Path
) -> None:
    dice, source = random.Random(5), tmp_path / "in"
    values = [None, True, -1, 0, 1e300, float("nan"), 10**400, "", "n/a", "25:61:99", [], [0], {},
              [[1]], ["a"] * 4, [1, 2, None, 4], [-5, 5, 5, 5], "kBq/mL", "\0", 1e-300]  # fmt: skip
    for number in range(80):
        folder = source / f"sub-{number:03d}"
        folder.mkdir(parents=True)
        (folder / "pet.nii.gz").symlink_to(converted / "pet.nii.gz")
        content = json.loads((converted / "pet.json").read_text())
        pet_bids(content)
        content["StudyID"] = number
        for key in dice.sample(sorted(content), dice.randint(1, 4)):
            content[key] = dice.choice(values)
        (folder / "pet.json").write_text(json.dumps(content))
    report = dry(source)
    assert len(report.rows) == 80 and {row.decision for row in report.rows} >= {"kept", "error"}
    for row in report.rows:
        assert row.reason and "\n" not in row.reason and "unexpected" not in row.reason, row


def test_a_cut_image_is_an_error_not_a_file(source: Path, tmp_path: Path) -> None:
    edit(source / "pet.json", pet_bids)
    content = (source / "pet.nii.gz").read_bytes()
    (source / "pet.nii.gz").write_bytes(content[: len(content) // 2])
    report = run(source, tmp_path / "bids")
    assert report.n_converted == 1 and len(report.errors) == 1
    assert not list((tmp_path / "bids").rglob("*_pet.nii.gz"))
    (table,) = (tmp_path / "bids" / "code").rglob("*.tsv")
    assert "cannot be read as NIfTI" in table.read_text() and str(tmp_path) not in table.read_text()


def test_people_without_names_are_told_apart_by_their_folders(
    converted: Path, tmp_path: Path
) -> None:
    def anonymous(content: dict[str, Any]) -> None:
        for key in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID"):
            content.pop(key, None)

    source = tmp_path / "in"
    for name in ("one", "two", "sub-07/ses-b"):
        folder = Path(shutil.copytree(converted, source / name))
        for side in folder.glob("*.json"):
            edit(side, anonymous)
            edit(side, lambda content, name=name: content.update(StudyID=name))  # no copies
        edit(folder / "pet.json", pet_bids)
    report = dry(source)
    assert len({row.participant_id for row in report.rows}) == 3
    assert {row.target for row in report.rows if row.participant_id == "sub-07"} == {
        "sub-07/ses-b/pet/sub-07_ses-b_trc-FBB_pet",
        "sub-07/ses-b/anat/sub-07_ses-b_T1w",
    }
    table = tmp_path / "map.tsv"
    table.write_text("patient_id\tparticipant_id\nin/one\tsub-1\nin/two\t2\n")
    assert {row.participant_id for row in dry(source, label_map=table).rows} == {
        *("sub-1", "sub-2", "sub-07"),
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in sorted(source.rglob("*.*")):
            archive.write(path, path.relative_to(source))
    zipped = dry(tmp_path / "in.zip")
    assert zipped.errors == []
    assert len({row.participant_id for row in zipped.rows}) == 3
    assert "sub-07" in {row.participant_id for row in zipped.rows}


@pytest.mark.parametrize(
    ("sidecar", "modality"),
    [
        ({"EchoTime": 0.003, "RepetitionTime": 2.3}, "MR"),
        ({"SeriesDescription": "t1_mprage_sag"}, "MR"),
        ({"FrameDuration": [1200], "SeriesDescription": "PET with T1"}, "PT"),
        ({"SeriesDescription": "AX DIFF"}, "unknown"),
    ],
)
def test_a_sidecar_without_modality_tells_it_by_its_keys_and_names(
    tmp_path: Path, sidecar: dict, modality: str
) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "a.json").write_text(json.dumps(sidecar))
    headers = read_nifti_or_ecat(tmp_path / "a.nii")
    assert {header.text("Modality") for header in headers} == {modality}


def test_the_equalised_image_is_used_where_slices_are_missing(tmp_path: Path) -> None:
    replace(FINE, positions=[i for i in range(50) if i != 20]).write(tmp_path / "mr")
    niix(tmp_path / "mr", tmp_path / "in", "t1", "-ba", "n")
    report = run(tmp_path / "in", tmp_path / "bids")
    kept = [row for row in report.rows if row.decision == "kept"]
    assert len(report.rows) == 2 and len(kept) == 1
    (image,) = (tmp_path / "bids").rglob("*_T1w.nii.gz")
    assert nib.load(image).shape[2] >= 50


@given(
    injection=st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(
        lambda t: t.replace(microsecond=0)
    ),
    first=st.integers(0, 20_000),
    durations=st.lists(st.integers(1, 900), min_size=1, max_size=5),
    zero=st.integers(-40_000, 40_000),
    with_clock=st.booleans(),
)
@settings(max_examples=60)
def test_times_of_any_sidecar(
    tmp_path_factory: pytest.TempPathFactory,
    injection: datetime,
    first: int,
    durations: list[int],
    zero: int,
    with_clock: bool,
) -> None:
    """TimeZero may be anything; the times after the injection are the true ones."""
    starts = [first + sum(durations[:i]) for i in range(len(durations))]
    sidecar = {
        "Modality": "PT", "Units": "Bq/mL", "FrameDuration": durations,
        "TimeZero": f"{injection + timedelta(seconds=zero):%H:%M:%S}", "InjectionStart": -zero,
        "ScanStart": first - zero, "FrameTimesStart": [start - zero for start in starts],
        "ImageDecayCorrected": True, "ImageDecayCorrectionTime": first - zero,
    }  # fmt: skip
    if with_clock:
        sidecar["AcquisitionTime"] = f"{injection + timedelta(seconds=first):%H:%M:%S.%f}"
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, len(starts)), np.float32), np.eye(4)), path)
    (folder / "a.json").write_text(json.dumps(sidecar))
    times = volume_times(path)
    assert f"{times.injection:%H:%M:%S}" == f"{injection:%H:%M:%S}"
    assert times.frame_start_s == pytest.approx(starts, abs=1e-3)
    assert times.decay_reference_s == pytest.approx(first, abs=1e-3)
    alone = first == 0 and len(durations) == 1  # one frame from the injection on is told
    assert len(times.remarks) == alone


def volume_times(path: Path) -> TimeModel:
    return times_of(Series("1", 0, tuple(read_nifti_or_ecat(path))))


# ---------------------------------------------------------------------------------------- ECAT


def ecat(path: Path, frames: list[tuple[int, int]], orientation: int = 3, **header: Any) -> None:
    """Write an ECAT 7 file; voxel value = 100 frame + 9 x + 3 y + z, from left, front and head."""
    main = nib.ecat.EcatHeader(endianness=">")
    scan = int(datetime(2021, 3, 2, 11, 34, 30, tzinfo=UTC).timestamp())
    main["magic_number"], main["sw_version"], main["file_type"] = "MATRIX72v", 74, 7
    main["scan_start_time"], main["dose_start_time"] = scan, scan - 5400
    main["isotope_name"], main["isotope_halflife"] = "F-18", F18_S
    main["radiopharmaceutical"], main["data_units"] = "Florbetaben", "Bq/cc"
    main["patient_name"], main["patient_id"] = "Mustermann^Erika", "MRN-4711"
    main["dosage"], main["ecat_calibration_factor"] = 3.017e8, 2.0
    main["patient_orientation"], main["num_frames"], main["num_planes"] = (
        orientation,
        len(frames),
        30,
    )
    for key, value in header.items():
        main[key] = value
    shape, blocks = (3, 3, 30), 2  # of 512 bytes: sub-header, voxels
    content = bytearray(main.binaryblock)
    listing = [31 - len(frames), 2, 0, len(frames)]
    for number in range(len(frames)):
        at = 3 + number * (blocks + 1)
        listing += [0x1010001 + number, at, at + blocks, 1]
    content += struct.pack(f">{len(listing)}i", *listing).ljust(512, b"\0")
    grid = np.indices(shape)
    for number, (start, length) in enumerate(frames):
        sub = np.zeros((), nib.ecat.subhdr_dtype.newbyteorder(">"))
        sub["data_type"], sub["num_dimensions"], sub["scale_factor"] = 6, 3, 0.5
        for axis, size in zip("xyz", shape, strict=True):
            sub[f"{axis}_dimension"], sub[f"{axis}_pixel_size"] = size, 0.5
        sub["frame_start_time"], sub["frame_duration"] = start * 1000, length * 1000
        sub["decay_corr_fctr"], sub["corrections_applied"] = decay_factor(start, length, F18_S), 515
        voxels = 100 * number + 9 * grid[0] + 3 * grid[1] + grid[2]
        raw = voxels.astype(">i2").tobytes(order="F")
        content += sub.tobytes().ljust(512, b"\0")[:512] + raw.ljust(512 * blocks, b"\0")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(content))


FRAMES = [(0, 300), (300, 300), (600, 600)]


def test_ecat_comes_with_its_times_and_voxels(tmp_path: Path) -> None:
    ecat(tmp_path / "in" / "scan.v", FRAMES)
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == [] and report.n_converted == 1, report.rows
    found = pet_sidecar(tmp_path / "bids")
    assert found["FrameTimesStart"] == [5400, 5700, 6000]
    assert found["FrameDuration"] == [300, 300, 600]
    assert (found["TimeZero"], found["ImageDecayCorrectionTime"]) == ("10:04:30", 5400)
    assert found["InjectedRadioactivity"] == pytest.approx(301.7)
    assert "mustermann" not in json.dumps(found).lower()
    (path,) = (tmp_path / "bids").rglob("*_pet.nii.gz")
    image = nib.load(path)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    # The first stored voxel is the leftmost, foremost, highest one; calibration 2 x scale 0.5 = 1.
    assert image.get_fdata()[2, 2, 29, 1] == 100
    assert image.get_fdata()[0, 2, 29, 1] == 118


def test_ecat_is_corrected_to_the_start_of_its_scan(tmp_path: Path) -> None:
    """Also where the first frame of the file begins later."""
    ecat(tmp_path / "scan.v", [(1500, 300), (1800, 300)])
    times = volume_times(tmp_path / "scan.v")
    assert times.frame_start_s == (6900, 7200)
    assert times.decay_reference_s == 5400 and times.remarks == ()


def test_frames_of_ecat_that_are_stored_out_of_order_are_put_in_time(tmp_path: Path) -> None:
    ecat(tmp_path / "scan.v", FRAMES[::-1])
    assert volume_times(tmp_path / "scan.v").frame_start_s == (5400, 5700, 6000)
    assert load_image(tmp_path / "scan.v").get_fdata()[2, 2, 29].tolist() == [200, 100, 0]


@pytest.mark.parametrize(
    ("orientation", "header", "said"),
    [
        (8, {}, "head first and supine was assumed"),
        (2, {}, "only head first, supine"),
        (3, {"data_units": "ECAT counts/sec"}, "reconstruct with units"),
        (3, {"dose_start_time": 0}, "TimeZero and InjectionStart are missing"),
        (3, {"radiopharmaceutical": "FDG"}, "neither amyloid nor tau"),
    ],
)
def test_what_ecat_does_not_say_is_told(
    tmp_path: Path, orientation: int, header: dict[str, Any], said: str
) -> None:
    Pet().write(tmp_path / "in" / "dicom", Person("A^B", "1", "19500101"))
    ecat(tmp_path / "in" / "scan.v", FRAMES, orientation, **header)
    report = dry(tmp_path / "in")
    assert said in " ".join([*(row.reason for row in report.rows), *report.errors])


def test_the_validator_finds_no_error_in_what_comes_of_all_kinds(
    source: Path, tmp_path: Path
) -> None:
    edit(source / "pet.json", pet_bids)
    ecat(source / "ecat" / "scan.v", FRAMES, patient_id="OTHER", patient_name="X^Y")
    later = Pet(injection=datetime(2022, 1, 1, 9, 0))
    write(source / "multiframe", iter([enhanced(list(later.datasets()))]))
    report = run(source, tmp_path / "bids", shift_dates=True)
    assert report.errors == [] and report.n_converted == 4
    assert validator_errors(tmp_path / "bids") == {}


def test_processes_that_read_headers_know_the_tracers_of_the_user(
    tmp_path: Path, monkeypatch
) -> None:
    """Times in ms are refused when they miss the window of the tracer, in whichever process."""
    monkeypatch.setattr(reading, "_SERIAL_BELOW", 0)
    folder = tmp_path / "in"
    folder.mkdir()
    image = nib.Nifti1Image(np.ones((60, 60, 60, 2), np.float32), np.diag([3.0, 3, 3, 1]))
    image.to_filename(folder / "pet.nii.gz")
    times = {"FrameTimesStart": [5400000, 6000000], "FrameDuration": [600000, 600000]}
    content = PET_SIDECAR | times | {
        "TracerName": "QZ41", "Modality": "PT", "FrameDurationUnits": "ms", "ScanStart": 2400,
        "ImageDecayCorrectionTime": 2400,
    }  # fmt: skip
    (folder / "pet.json").write_text(json.dumps(content))
    own = Tracer("QZ41", "[18F]QZ41", (), "F18", 6586.2, (40.0, 60.0))
    remarks = {}
    for nprocs in (1, 2):
        with using_tracers([own]):
            inventory = take_inventory(folder, tmp_path / "unpacked", nprocs=nprocs)
        (found,) = inventory.series
        (remarks[nprocs],) = found.header.remarks
    assert remarks[1] == remarks[2] and "no reading" in remarks[1].message


def test_folders_may_have_names_that_are_no_text(source: Path, tmp_path: Path) -> None:
    """Latin-1 from an old archive."""
    folder = tmp_path / "input" / os.fsdecode(b"M\xfcller")
    shutil.copytree(source, folder)
    for suffix in (".nii.gz", ".json"):
        (folder / f"t1{suffix}").rename(folder / os.fsdecode(b"t1_\xfc" + suffix.encode()))
    report = run(tmp_path / "input", tmp_path / "bids")
    assert report.n_converted == 1  # the PET has no injection
    (error,) = report.errors
    assert "time of injection is unknown" in error
