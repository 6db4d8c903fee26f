"""Field by field against pypet2bids, the converter of the PET-BIDS community.

It is no dependency of ours: ``pip install pypet2bids`` into an environment of its own and put the
folder of its ``dcm2niix4pet`` last on PATH.  Without it the test is skipped and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bidsapp.dicom.convert import convert
from bidsapp.settings import DicomInput

pytestmark = pytest.mark.slow

ABSENT = "(absent)"
CLOCK = "they count from the scan, we from the injection: the uptake window needs it"
PRIVACY = "free text, identifiers and places are left out of a raw dataset of ours"
REQUIRED = "required by BIDS; they leave it to the user, we say n/a or state our assumption"
NOT_BIDS = "no key of BIDS; the time model has used it"
# Every key in which the two may differ, and why.  A difference in another key fails the test.
EXPLAINED = {
    "TimeZero": CLOCK,
    "ScanStart": CLOCK,
    "InjectionStart": CLOCK,
    "FrameTimesStart": CLOCK,
    "ImageDecayCorrectionTime": CLOCK + "; after midnight theirs is 83400 s for ADMIN, ours 0",
    "TracerName": "theirs is the text of the tag, ours the name in the table of tracers",
    "TracerRadionuclide": "18Fluorine against F18, the form of the BIDS examples",
    "DecayCorrectionFactor": "rounded to five decimals by dcm2niix, ours as in the header",
    "ReconMethodName": "they add '3D' to what dcm2niix reads from (0054,1103)",
    "ReconMethodParameterLabels": "theirs is ['none', 'none'] when there is no parameter",
    "ReconMethodParameterUnits": "absent in theirs when there is no parameter",
    "ReconFilterSize": "a list of one number against the number",
    "AcquisitionMode": REQUIRED,
    "ModeOfAdministration": REQUIRED,
    "InjectedMass": REQUIRED,
    "InjectedMassUnits": REQUIRED,
    "SpecificRadioactivity": REQUIRED,
    "SpecificRadioactivityUnits": REQUIRED,
    "SeriesDescription": PRIVACY,
    "ProtocolName": PRIVACY,
    "SeriesNumber": PRIVACY,
    "SeriesTime": PRIVACY,
    "InstitutionName": PRIVACY,
    "InstitutionalDepartmentName": PRIVACY,
    "AttenuationCorrectionMethod": "the same text as AttenuationCorrection",
    "DecayCorrection": NOT_BIDS,
    "FrameReferenceTime": NOT_BIDS,
    "BidsGuess": NOT_BIDS,
    "ImageOrientationPatientDICOM": NOT_BIDS + "; the NIfTI affine has it",
    "ConversionSoftware": "they add themselves; we are in dataset_description.json",
    "ConversionSoftwareVersion": "they add themselves; we are in dataset_description.json",
    "CentiPET": "sources and remarks",
}
SCANS = {
    "*_trc-FBB_pet.json": "ALPHA/PET_20210302/PET_AC_4x5min",
    "*_trc-FMM_run-1_pet.json": "ALPHA/PET_20220405/dyn_early",
    "*_trc-FMM_run-2_pet.json": "ALPHA/PET_20220405/dyn_late",
    "*_trc-FBP_pet.json": "BETA",
}


@pytest.fixture(scope="module")
def converted(command: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bids = tmp_path_factory.mktemp("ours")
    assert convert(DicomInput(shared_data / "dicom"), bids, nprocs=2).errors == []
    return bids


@pytest.fixture(scope="module")
def command() -> str:
    found = shutil.which("dcm2niix4pet")
    if found is None:
        pytest.skip("PYPET2BIDS MISSING: put its dcm2niix4pet last on PATH")
    return found


def theirs(command: str, source: Path, folder: Path) -> dict:
    only_pet = folder / "dicom"
    only_pet.mkdir(parents=True)
    for path in source.glob("P0*" if source.name == "BETA" else "*"):
        shutil.copy(path, only_pet)
    search = os.pathsep.join([str(Path(command).parent), os.environ["PATH"]])
    subprocess.run(
        [command, str(only_pet), "-d", str(folder / "out"), "--silent", "--notrack"],
        env={"PATH": search, "HOME": str(folder)},
        capture_output=True,
        timeout=600,
        check=True,
    )
    (path,) = (folder / "out").rglob("*.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("pattern", SCANS)
def test_every_difference_is_explained(
    converted: Path, command: str, shared_data: Path, tmp_path: Path, pattern: str
) -> None:
    (side,) = converted.glob(f"sub-*/ses-*/pet/{pattern}")
    ours = json.loads(side.read_text())
    other = theirs(command, shared_data / "dicom" / SCANS[pattern], tmp_path)
    different = {
        key: (other.get(key, ABSENT), ours.get(key, ABSENT))
        for key in {*ours, *other}
        if other.get(key, ABSENT) != ours.get(key, ABSENT)
    }
    assert {key: value for key, value in different.items() if key not in EXPLAINED} == {}
    # The clocks differ by the injection alone.
    shift = ours["ScanStart"] - other["ScanStart"]
    assert [start + shift for start in other["FrameTimesStart"]] == ours["FrameTimesStart"]
    assert other["DecayCorrectionFactor"] == pytest.approx(ours["DecayCorrectionFactor"], abs=1e-5)
    assert len(set(ours) & set(other)) >= 25
