"""The phantom's DICOM says what the phantom is, in the words real scanners use."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bidsapp.demo import dicom_writer as dw

pytestmark = pytest.mark.slow  # a whole head, and hundreds of files of it

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def files_of(dicom_study: Path, series: dw.Series) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((dicom_study / series.folder).iterdir())]


def slice_to_world(file: pydicom.Dataset) -> np.ndarray:
    """4 x 4: column, row, 0 -> RAS mm, by the equation of the standard (PS3.3 C.7.6.2.1.1)."""
    matrix = np.eye(4)
    matrix[:3, 0] = np.array(file.ImageOrientationPatient[:3]) * file.PixelSpacing[1]
    matrix[:3, 1] = np.array(file.ImageOrientationPatient[3:]) * file.PixelSpacing[0]
    matrix[:3, 3] = file.ImagePositionPatient
    return LPS_TO_RAS @ matrix


@pytest.fixture(scope="module")
def converted(dicom_study, tmp_path_factory) -> Path:
    """What dcm2niix makes of the study, named by series number."""
    out = tmp_path_factory.mktemp("nifti")
    flags = "-b y -ba o -g i -z i -w 1 -f %s"
    subprocess.run(
        ["dcm2niix", *flags.split(), "-o", out, dicom_study], check=True, capture_output=True
    )
    return out


def at_world_of(image: nib.Nifti1Image, index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Voxels of ``image`` at the places that voxels ``index`` (N, 3) have under ``affine``."""
    to_image = np.linalg.inv(image.affine) @ affine
    found = index @ to_image[:3, :3].T + to_image[:3, 3]
    assert np.abs(found - np.rint(found)).max() < 1e-2  # the grids are one grid
    return np.asarray(image.dataobj)[tuple(np.rint(found).astype(int).T)]


@pytest.mark.parametrize("series, name", [(dw.T1W_SERIES, "t1w"), (dw.PET_SERIES, "pet")])
def test_dcm2niix_finds_every_voxel_at_its_place(phantom, converted, series, name):
    volume = getattr(phantom, name)
    image = nib.load(converted / f"{series.number}.nii.gz")
    index = np.random.default_rng(1).integers(0, volume.data.shape[:3], (20000, 3))
    ours = volume.data[tuple(index.T)]
    step = 0.5 if name == "t1w" else ours.max() / 32767
    assert np.abs(at_world_of(image, index, volume.affine) - ours).max() <= step * 1.01


def test_one_file_a_slice_each_with_a_number_of_its_own(phantom, dicom_study):
    uids = defaultdict(set)
    for series in (dw.LOCALIZER_SERIES, dw.T1W_SERIES, dw.PET_SERIES, dw.NAC_SERIES):
        files = files_of(dicom_study, series)
        for level in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"):
            uids[level].update(file[level].value for file in files)
        assert [file.InstanceNumber for file in files] == list(range(1, len(files) + 1))
    counts = [len(uids[level]) for level in sorted(uids)]
    slices = 9 + phantom.t1w.data.shape[2] + phantom.pet.data.shape[2] * (4 + 1)
    assert dict(zip(sorted(uids), counts, strict=True)) == {
        "PatientID": 1,
        "StudyInstanceUID": 2,
        "SeriesInstanceUID": 4,
        "SOPInstanceUID": slices,
    }


def test_localiser_shows_the_same_head_in_three_planes(phantom, dicom_study):
    files = files_of(dicom_study, dw.LOCALIZER_SERIES)
    normals = {tuple(np.abs(np.rint(slice_to_world(f)[:3, :2].sum(axis=1)))) for f in files}
    assert len(normals) == 3
    for file in files[1::3]:  # the middle slice of each plane
        rows, columns = np.mgrid[40:150:10, 40:150:10].reshape(2, -1)
        points = slice_to_world(file) @ np.stack([columns, rows, 0 * rows, 1 + 0 * rows])
        index = np.rint(np.linalg.inv(phantom.t1w.affine) @ points)[:3].astype(int)
        inside = ((index.T >= 0) & (phantom.t1w.data.shape > index.T)).all(axis=1)
        there = phantom.t1w.data[tuple(index[:, inside])]
        shown = file.pixel_array[rows[inside], columns[inside]]
        assert np.corrcoef(shown, there)[0, 1] > 0.9


def test_times_and_decay_agree_with_each_other(dicom_study):
    files = files_of(dicom_study, dw.PET_SERIES)
    item = files[0].RadiopharmaceuticalInformationSequence[0]
    injected = pydicom.valuerep.DT(item.RadiopharmaceuticalStartDateTime)
    rate = np.log(2) / float(item.RadionuclideHalfLife)
    slices = files[0].NumberOfSlices
    for frame in range(4):
        for file in (files[frame * slices], files[(frame + 1) * slices - 1]):
            begun = pydicom.valuerep.DT(file.AcquisitionDate + file.AcquisitionTime)
            series = pydicom.valuerep.DT(file.SeriesDate + file.SeriesTime)
            assert (begun - injected).total_seconds() == 5400 + 300 * frame
            # by sums over milliseconds: the mean of the decaying activity over the frame
            t = (begun - series).total_seconds() + (np.arange(300_000) + 0.5) / 1000
            mean = np.exp(-rate * t).mean()
            assert file.DecayFactor == pytest.approx(1 / mean, rel=1e-6)
            assert file.FrameReferenceTime == pytest.approx(-1000 * np.log(mean) / rate, rel=1e-6)
            assert file.ActualFrameDuration == 300_000


def test_decay_tags_are_those_of_a_real_scanner(dicom_study, shared_data):
    """Same isotope, same frames: then the real and the phantom's numbers are the same."""
    real = sorted((shared_data / "dicom/ALPHA/PET_20210302/PET_AC_4x5min").iterdir())
    ours = files_of(dicom_study, dw.PET_SERIES)
    for frame in range(4):
        a = pydicom.dcmread(real[frame * len(real) // 4], stop_before_pixels=True)
        b = ours[frame * len(ours) // 4]
        assert b.FrameReferenceTime == pytest.approx(a.FrameReferenceTime, rel=1e-5)
        assert b.DecayFactor == pytest.approx(a.DecayFactor, rel=1e-5)


@pytest.mark.parametrize(
    "series, real",
    [
        (dw.PET_SERIES, "PET_20210302/PET_AC_4x5min"),
        (dw.NAC_SERIES, "PET_20210302/PET_NAC"),
        (dw.T1W_SERIES, "MR_20210216/t1_mprage"),
    ],
)
def test_headers_have_what_real_headers_have(dicom_study, shared_data, series, real):
    # left out on purpose: windows for viewers, coil and gradient details, procedure steps
    viewer = {
        "WindowCenter",
        "WindowWidth",
        "WindowCenterWidthExplanation",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
    }
    scanner = {
        "InstanceCreationDate",
        "InstanceCreationTime",
        "InstitutionAddress",
        "StationName",
        "PerformingPhysicianName",
        "AngioFlag",
        "NumberOfPhaseEncodingSteps",
        "EchoTrainLength",
        "PercentSampling",
        "PercentPhaseFieldOfView",
        "DeviceSerialNumber",
        "TransmitCoilName",
        "AcquisitionMatrix",
        "VariableFlipAngleFlag",
        "SAR",
        "dBdt",
        "SpacingBetweenSlices",
    }
    theirs = pydicom.dcmread(
        sorted((shared_data / "dicom/ALPHA" / real).iterdir())[0], stop_before_pixels=True
    )
    expected = {
        element.keyword
        for element in theirs
        if not element.tag.is_private
        and element.keyword
        and not element.keyword.startswith("PerformedProcedure")
    }
    ours = files_of(dicom_study, series)[0]
    absent = expected - {element.keyword for element in ours} - viewer - scanner
    # a series without attenuation correction that still names a mu-map is a trap, not a habit
    correction = {"AttenuationCorrectionMethod", "ScatterCorrectionMethod"}
    assert absent <= (correction if series is dw.NAC_SERIES else set())


def test_only_one_pet_is_corrected_for_attenuation(dicom_study):
    corrected = files_of(dicom_study, dw.PET_SERIES)[0]
    raw = files_of(dicom_study, dw.NAC_SERIES)[0]
    assert "ATTN" in corrected.CorrectedImage and "ATTN" not in raw.CorrectedImage
    assert "AttenuationCorrectionMethod" in corrected and "AttenuationCorrectionMethod" not in raw


def test_dcm2niix_reads_the_bids_values(converted):
    pet = json.loads((converted / f"{dw.PET_SERIES.number}.json").read_text())
    assert pet["TracerName"] == "Florbetaben"
    assert pet["Units"] == "Bq/mL"
    assert pet["InjectedRadioactivity"] == 300 and pet["InjectedRadioactivityUnits"] == "MBq"
    assert pet["FrameTimesStart"] == [0, 300, 600, 900] and pet["FrameDuration"] == [300] * 4
    assert pet["ImageDecayCorrected"] is True and pet["ImageDecayCorrectionTime"] == 0
    assert not [key for key in pet if key.startswith("Patient") and key != "PatientPosition"]
    t1w = json.loads((converted / f"{dw.T1W_SERIES.number}.json").read_text())
    assert t1w["MRAcquisitionType"] == "3D" and t1w["InversionTime"] == 0.9
