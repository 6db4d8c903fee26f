"""Times stated by a user, and sidecars that count in other units or on other clocks than BIDS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from raw_sidecar import PET_SIDECAR

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.pet_metadata import PetTiming, read_timing, suv_factor
from bidsapp.bids.planning import make_plan
from bidsapp.bids.stated import Metadata, in_sidecar, read_metadata
from bidsapp.cli.parser import parse
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.settings import Filters, Processing

PET = Path("pet.nii")
FBP = (3000.0, 3600.0)


def timing(sidecar: dict[str, Any], n_frames: int = 2, **options: Any) -> PetTiming:
    return read_timing(sidecar, PET, n_frames, **options)


def codes(found: PetTiming) -> list[str]:
    return [finding.code for finding in found.findings]


# --------------------------------------------------------------------------------- other units

IN_MS = {  # as a public dataset of 551 florbetapir scans has it
    **PET_SIDECAR,
    "TracerName": "AV-45 florbetapir",
    "FrameDurationUnits": "ms",
    "FrameDuration": [600000, 0],
    "FrameTimesStart": [0, 600000],
    "ScanStart": 0,
    "InjectionStart": -3000000,
    "ImageDecayCorrectionTime": 0,
    "InjectedRadioactivity": 7,
    "InjectedRadioactivityUnits": "mSV",
    "RadionuclideTotalDose": 350760000.0,
}


def test_milliseconds_that_fit_the_window_are_read_and_empty_frames_dropped() -> None:
    found = timing(IN_MS, 1, window_s=FBP)
    assert (found.frame_start_s, found.frame_duration_s) == ((3000,), (600,))
    assert found.decay_reference_s == 3000
    assert codes(found) == ["frame-times", "frame-times", "dose"]
    assert suv_factor(IN_MS, 70.0) == pytest.approx(70e3 / 350.76e6)


def test_the_end_of_the_last_frame_among_the_starts_is_dropped() -> None:
    """As a public dataset made of list mode has it."""
    found = timing({**PET_SIDECAR, "FrameTimesStart": [5400, 6000, 6600]})
    assert found.frame_start_s == (5400, 6000) and codes(found) == ["frame-times"]
    found = timing({**PET_SIDECAR, "FrameTimesStart": [5400, 6600], "FrameDuration": 1200}, 1)
    assert found.frame_start_s == (5400,)
    with pytest.raises(BadDataError, match="3 values but the image has 2 frames"):
        timing({**PET_SIDECAR, "FrameTimesStart": [5400, 6000, 6900]})


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"FrameDuration": [600000, 300000], "FrameTimesStart": [3000, 3600]}, 3000),
        (
            {"FrameDuration": [10, 5], "FrameTimesStart": [50, 60], "FrameDurationUnits": "min"},
            3000,
        ),
        ({"FrameDuration": [600, 300], "FrameTimesStart": [0, 600], "FrameDurationUnits": "s"}, 0),
    ],
)
def test_only_what_counts_in_the_unit_is_scaled(change: dict[str, Any], first: float) -> None:
    plain = {"InjectionStart": 0, "ScanStart": None, "ImageDecayCorrectionTime": 0}
    sidecar = {k: v for k, v in {**IN_MS, **plain, **change}.items() if v is not None}
    found = timing(sidecar, window_s=FBP)
    assert found.frame_start_s[0] == first and found.frame_duration_s == (600, 300)


def test_a_unit_in_which_nothing_fits_is_refused() -> None:
    for change in (
        {"FrameDurationUnits": "fortnights"}, {"InjectionStart": -9000000},
        {"FrameDuration": [0, 0]}, {"InjectionStart": "n/a"},
        {"InjectionStart": -2650000},  # less than half of the scan in the window
    ):  # fmt: skip
        with pytest.raises(BadDataError, match=r"pet\.nii: FrameDurationUnits"):
            timing({**IN_MS, **change}, 1, window_s=FBP)


# -------------------------------------------------------------------------- moment of correction


@pytest.mark.parametrize(
    ("value", "meant"),
    [(43260, 5400), (37860, 0), (1614686460 // 86400 * 86400 + 43260, 5400)],
    ids=["scan", "injection", "Unix time"],
)
def test_a_time_of_day_as_moment_of_decay_correction_is_read_as_such(
    value: int, meant: float
) -> None:
    """Scan at 12:01, injection at 10:31; activity would be 54 times too high."""
    sidecar = {**PET_SIDECAR, "TimeZero": "10:31:00", "ImageDecayCorrectionTime": value}
    found = timing(sidecar)
    assert found.decay_reference_s == meant and codes(found) == ["decay-correction"]


@pytest.mark.parametrize("value", [1.6e9, -5e4, 5e4, 1e300])
def test_an_impossible_moment_of_decay_correction_costs_this_scan_only(value: float) -> None:
    for sidecar in (PET_SIDECAR, {**PET_SIDECAR, "TimeZero": None}):
        with pytest.raises(BadDataError, match="ImageDecayCorrectionTime"):
            timing({**sidecar, "ImageDecayCorrectionTime": value})


def test_a_clock_that_contradicts_the_frames_is_told() -> None:
    assert codes(timing({**PET_SIDECAR, "AcquisitionTime": "11:30:01"})) == []
    for acquired, side in (("12:30:00", "after"), ("10:30:00", "before")):
        (flag,) = timing({**PET_SIDECAR, "AcquisitionTime": acquired}).findings
        assert flag.code == "clocks" and f"3600 s {side}" in flag.message
    assert codes(timing({**PET_SIDECAR, "AcquisitionTime": "00:00:00"})) == []


@pytest.mark.parametrize(
    ("dose", "unit", "n_remarks"),
    [(300, "MBq", 0), (8.15, "mCi", 0), (8.15, "MBq", 1), (7, "mSV", 1), (0.3, "GBq", 0)],
)
def test_doses_that_are_hardly_in_their_unit_are_told(
    dose: float, unit: str, n_remarks: int
) -> None:
    change = {"InjectedRadioactivity": dose, "InjectedRadioactivityUnits": unit}
    assert codes(timing({**PET_SIDECAR, **change})) == ["dose"] * n_remarks


# -------------------------------------------------------------------------------------- stated


def test_stated_times_count_from_the_injection() -> None:
    stated = {"FrameTimesStart": [3000, 3300], "FrameDuration": [300, 300]}
    found = timing(in_sidecar({**IN_MS, "ImageDecayCorrectionTime": 0}, stated))
    assert found.frame_start_s == (3000, 3300) and found.frame_duration_s == (300, 300)
    assert found.decay_reference_s == 3000  # the start of the scan, as before
    moved = timing(in_sidecar(PET_SIDECAR, {"ScanStart": 3000}))
    assert moved.frame_start_s == (3000, 3600) and moved.decay_reference_s == 3000
    own = {"TimeZero": "09:00:00", "InjectionStart": 60, "ScanStart": 3060}
    assert timing(in_sidecar(PET_SIDECAR, own)).frame_start_s == (3000, 3600)


@pytest.mark.parametrize("zero", ["TimeZero", "AcquisitionTime", "frames alone"])
@pytest.mark.parametrize("key", ["InjectionTime", "TimeZero"])
def test_a_stated_injection_goes_onto_the_clock_of_the_sidecar(zero: str, key: str) -> None:
    sidecar = {**PET_SIDECAR, "AcquisitionTime": "11:32:00"}  # less than TimeZero
    if zero != "TimeZero":  # as dcm2niix leaves it
        sidecar |= {"ScanStart": 0, "FrameTimesStart": [0, 600], "ImageDecayCorrectionTime": 0}
        sidecar |= {"AcquisitionTime": "11:30:00.500"}
        del sidecar["TimeZero"], sidecar["InjectionStart"]
    if zero == "frames alone":
        del sidecar["ScanStart"]
    found = timing(in_sidecar(sidecar, {key: "09:58:00"}))
    half = 0 if zero == "TimeZero" else 0.5
    assert found.frame_start_s == (5520 + half, 6120 + half)
    assert found.decay_reference_s == 5520 + half


def test_an_injection_without_any_clock_of_the_scan_is_refused() -> None:
    sidecar = {k: v for k, v in PET_SIDECAR.items() if k != "TimeZero"}
    with pytest.raises(BadDataError, match="ScanStart and FrameTimesStart"):
        in_sidecar(sidecar, {"InjectionTime": "09:58:00"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"FrameTimesStart": "soon"}, "not a list of seconds"),
        ({"FrameDuration": []}, "not a list of seconds"),
        ({"FrameDuration": [True]}, "not a list of seconds"),
        ({"ScanStart": 1e9}, "not a number of seconds"),
        ({"ScanStart": 0, "FrameTimesStart": [5400]}, "both count from TimeZero"),
        ({"InjectionStart": 60}, "without its TimeZero"),
        ({"FrameStart": [0]}, "FrameStart, which is not among"),
        ({"FrameTimesStart": ["0"]}, "not a list of seconds"),
        ({"TimeZero": "10"}, "TimeZero of"),
        ({"TimeZero": "10:00:00", "InjectionStart": "5"}, "not a number of seconds"),
        ({"InjectionTime": "10 past ten"}, "expected hh:mm:ss"),
        ({"InjectionTime": 10}, "InjectionTime that is not text"),
        ({"InjectedRadioactivity": "300"}, "not a number above 0"),
        (5, "expected objects by selector"),
    ],
)
def test_what_cannot_be_stated_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "said.json"
    path.write_text(json.dumps({"sub-1": content}))
    with pytest.raises(BadDataError, match=said):
        read_metadata(path)
    path.write_text("{")
    with pytest.raises(NoInputError, match="cannot be read as JSON"):
        read_metadata(path)


def test_a_bids_dataset_takes_what_is_stated_and_flags_it(raw: Any, tmp_path: Path) -> None:
    times = ("ScanStart", "InjectionStart", "FrameTimesStart", "FrameDuration", "TimeZero")
    raw.pet("sub-1_trc-FBB", **dict.fromkeys(times))
    raw.pet("sub-2_trc-FBB")
    said = tmp_path / "said.json"
    values = {"FrameTimesStart": [5400], "FrameDuration": [1200]}
    said.write_text(json.dumps({"sub-1_trc-FBB_pet": values}))
    words = [str(raw.root), str(tmp_path / "out"), "participant", "--dicom-metadata", str(said)]
    assert parse(words).processing.dicom_metadata == said
    dataset = read_dataset(raw.root, Filters())
    plan = make_plan(dataset, Processing(pet_only=True))
    assert [scan.participant for scan in plan.scans] == ["2"] and len(plan.failures) == 1
    stated = replace(dataset, stated=read_metadata(said))
    first, second = make_plan(stated, Processing(pet_only=True)).scans
    assert first.metadata.frame_start_s == (5400,) and first.metadata.frame_duration_s == (1200,)
    (flag,) = [flag for flag in first.flags if flag.code == "stated"]
    assert "FrameDuration, FrameTimesStart: stated by the user" in flag.message
    assert "stated" not in {flag.code for flag in second.flags}


def test_a_tracer_stated_of_an_image_overrides_that_of_the_console(raw: Any) -> None:
    for label in ("1", "2"):
        raw.t1w(f"sub-{label}")
        raw.pet(f"sub-{label}_trc-FBB", Radiopharmaceutical="FDG -- fluorodeoxyglucose")
    dataset = read_dataset(raw.root, Filters())
    for selector, n_scans in (("sub-1_trc-FBB_pet", 1), ("sub-1", 0), ("*", 0)):
        stated = Metadata({selector: {"Tracer": "florbetaben"}})
        plan = make_plan(replace(dataset, stated=stated), Processing())
        assert [scan.participant for scan in plan.scans] == ["1"] * n_scans
        assert all("or state Tracer of this image" in lost.message for lost in plan.failures)


def test_what_is_not_stated_stays() -> None:
    assert in_sidecar(PET_SIDECAR, Metadata().merged("*", "sub-1")) == PET_SIDECAR
    changed = in_sidecar(IN_MS, {"Tracer": "FBP"})
    assert (changed["FrameDurationUnits"], changed["TracerName"]) == ("ms", "FBP")
    in_ms = PET_SIDECAR | {"FrameDurationUnits": "ms", "FrameDuration": [600000, 600000]}
    found = timing(in_sidecar(in_ms, {"FrameDuration": [600, 600]}))
    assert (found.frame_start_s, found.frame_duration_s) == ((5400, 6000), (600, 600))


def test_a_clock_stated_for_one_scan_replaces_that_for_all() -> None:
    of_all = {"TimeZero": "10:00:00", "InjectionStart": 30, "AttenuationCorrection": "CT"}
    own = {"InjectionTime": "09:58:00"}
    stated = Metadata({"*": of_all, "sub-1": own, "sub-2": {"Tracer": "FBP"}})
    assert stated.merged("*", "sub-1") == {"AttenuationCorrection": "CT", **own}
    assert stated.merged("*", "sub-2") == {**of_all, "Tracer": "FBP"}


def test_a_name_that_no_image_has_is_told(raw, tmp_path):
    for label in ("01", "02"):
        raw.t1w(f"sub-{label}")
        raw.pet(f"sub-{label}_trc-FBB")
    there = ["*", "sub-01", "sub-02", "sub-01_trc-FBB_pet", "sub-02_T1w", "1.2.840.113619.2.1"]
    lost = ["sub-1", "01", "sub-01_trc-FBP_pet", "sub-01_trc-FBB"]
    path = tmp_path / "stated.json"
    path.write_text(json.dumps({key: {"BodyPart": "BRAIN"} for key in [*there, *lost]}))
    for participants, missing in (((), lost), (("02",), lost[:2])):
        dataset = read_dataset(raw.root, Filters(participant=participants))
        (sentence,) = replace(dataset, stated=read_metadata(path)).unused_statements()
        assert f"is named {', '.join(missing[:3])}" in sentence
        assert ("and 1 more" in sentence) == (len(missing) > 3)
