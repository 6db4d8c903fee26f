"""Enhanced multi-frame PET and MR: the same times, voxels and names as one file per slice."""

from __future__ import annotations

import copy
import random
from datetime import datetime, time, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conversions import pet_sidecar, run, series_of, times_of
from dicom_studies import Mr, Person, Pet, enhanced, write
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset


def only(bids: Path, pattern: str) -> nib.Nifti1Image:
    (path,) = bids.rglob(pattern)
    return nib.load(path)


@pytest.mark.parametrize("shuffled", [False, True])
def test_enhanced_pet_is_the_same_as_single_slices(tmp_path: Path, shuffled: bool) -> None:
    slices = list(Pet().datasets())
    write(tmp_path / "single", iter(slices))
    if shuffled:
        random.Random(1).shuffle(slices)
    write(tmp_path / "multi", iter([enhanced(slices)]))
    for kind in ("single", "multi"):
        assert run(tmp_path / kind, tmp_path / f"bids_{kind}").errors == []
    one, other = (only(tmp_path / f"bids_{kind}", "*_pet.nii.gz") for kind in ("single", "multi"))
    assert other.shape == (18, 20, 9, 4)
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
    np.testing.assert_allclose(one.get_fdata(), other.get_fdata(), rtol=1e-5)
    first, second = (pet_sidecar(tmp_path / f"bids_{kind}") for kind in ("single", "multi"))
    for key in ("TimeZero", "InjectionStart", "ScanStart", "FrameTimesStart", "FrameDuration",
                "ImageDecayCorrected", "ImageDecayCorrectionTime", "Units", "TracerName",
                "InjectedRadioactivity", "DecayCorrectionFactor"):  # fmt: skip
        assert first[key] == second[key], key
    assert "DecayCorrectionDateTime" in second["CentiPET"]["Sources"]["ImageDecayCorrectionTime"]


def test_single_images_and_their_multi_frame_copy_are_one_scan(tmp_path: Path) -> None:
    """Archives keep both; another reconstruction is no copy."""
    slices = list(Pet().datasets(study="1.2.3"))
    whole = enhanced(slices)
    whole.SeriesInstanceUID, whole.SeriesNumber = "1.2.3.9", 40
    write(tmp_path / "in" / "single", slices)
    write(tmp_path / "in" / "multi", [whole])
    broken = list(Pet().datasets(Person("Muster^Max", "MRN-4712"), study="1.2.4"))
    copy_of_broken = enhanced(broken)
    copy_of_broken.SeriesInstanceUID, copy_of_broken.SeriesNumber = "1.2.4.9", 41
    broken[0].PixelData = b"\0\0"
    write(tmp_path / "in" / "broken", [*broken, copy_of_broken])
    rows = {row.series: row for row in run(tmp_path / "in", tmp_path / "bids").rows}
    assert rows["40"].reason == "a copy of series 4" and rows["41"].decision == "kept"
    pixels = np.frombuffer(whole.PixelData, "<i2") // 2
    whole.PixelData = pixels.astype("<i2").tobytes()
    write(tmp_path / "other" / "multi", [whole])
    write(tmp_path / "other" / "single", slices)
    report = run(tmp_path / "other", tmp_path / "both")
    assert [row.decision for row in report.rows] == ["kept", "kept"]


def test_activity_is_taken_where_suv_stands_before_it(tmp_path: Path) -> None:
    """Both in (0040,9096) RealWorldValueMappingSequence, and no weight."""
    slices = list(Pet().datasets())
    whole = enhanced(slices)
    for group in whole.PerFrameFunctionalGroupsSequence:
        (activity,) = group.RealWorldValueMappingSequence
        suv = copy.deepcopy(activity)
        suv.RealWorldValueSlope *= 1e-3
        suv.MeasurementUnitsCodeSequence[0].CodeValue = "g/ml{SUVbw}"
        group.RealWorldValueMappingSequence = [suv, activity]
    write(tmp_path / "multi", [whole])
    write(tmp_path / "single", slices)
    for kind in ("multi", "single"):
        assert run(tmp_path / kind, tmp_path / f"bids_{kind}").errors == []
    one, other = (only(tmp_path / f"bids_{kind}", "*_pet.nii.gz") for kind in ("multi", "single"))
    np.testing.assert_allclose(one.get_fdata(), other.get_fdata(), rtol=1e-5)


def test_enhanced_mr_is_a_t1w(tmp_path: Path) -> None:
    write(tmp_path / "single", Mr().datasets())
    write(tmp_path / "multi", iter([enhanced(list(Mr().datasets()))]))
    (row,) = run(tmp_path / "multi", tmp_path / "bids_multi").rows
    assert (row.kind, row.decision, row.files) == ("T1w", "kept", 1)
    run(tmp_path / "single", tmp_path / "bids_single")
    one, other = (only(tmp_path / f"bids_{k}", "*_T1w.nii.gz") for k in ("single", "multi"))
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())


def test_legacy_converted_pet_keeps_the_tags_of_single_images(tmp_path: Path) -> None:
    """PS3.3 A.72: what enhanced images have no place for stands in unassigned attributes."""
    slices = list(Pet(decay="ADMIN").datasets())
    whole = enhanced(slices)
    for keyword in ("DecayCorrected", "AttenuationCorrected", "DecayCorrectionDateTime"):
        delattr(whole, keyword)
    del whole.RadiopharmaceuticalInformationSequence
    shared = Dataset()
    for keyword in ("Units", "CorrectedImage", "DecayCorrection",
                    "RadiopharmaceuticalInformationSequence"):  # fmt: skip
        setattr(shared, keyword, slices[0].get(keyword))
    groups = whole.SharedFunctionalGroupsSequence[0]
    groups.UnassignedSharedConvertedAttributesSequence = [shared]
    for data, frame in zip(slices, whole.PerFrameFunctionalGroupsSequence, strict=True):
        own = Dataset()
        for keyword in ("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration", "DecayFactor"):
            setattr(own, keyword, data.get(keyword))
        frame.UnassignedPerFrameConvertedAttributesSequence = [own]
        for keyword in ("FrameContentSequence", "RealWorldValueMappingSequence",
                        "PETFrameCorrectionFactorsSequence"):  # fmt: skip
            delattr(frame, keyword)
    write(tmp_path / "in", iter([whole]))
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == []
    found = pet_sidecar(tmp_path / "bids")
    assert found["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert found["ImageDecayCorrectionTime"] == 0


def test_an_enhanced_spin_echo_is_no_t1w(tmp_path: Path) -> None:
    whole = enhanced(list(Mr(description="3D brain").datasets()))
    whole.EchoPulseSequence, whole.InversionRecovery = "SPIN", "NO"
    write(tmp_path / "in", iter([whole]))
    (row,) = run(tmp_path / "in", tmp_path / "bids").rows
    assert row.decision == "skipped"


def test_pixels_that_nobody_can_lay_out_are_refused(tmp_path: Path) -> None:
    """One frame of the dynamic lacks a slice."""
    write(tmp_path / "in", iter([enhanced(list(Pet().datasets())[:-1])]))
    report = run(tmp_path / "in", tmp_path / "bids")
    assert "3 to 4 images" in report.errors[0]
    assert not list(tmp_path.rglob("*.nii.gz"))


@given(
    injection=st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(
        lambda t: t.replace(microsecond=0)
    ),
    first=st.integers(0, 20_000),
    durations=st.lists(st.integers(1, 900), min_size=1, max_size=5),
    decay=st.sampled_from(["START", "ADMIN"]),
)
@settings(max_examples=25)
def test_times_of_any_enhanced_pet(
    injection: datetime, first: int, durations: list[int], decay: str
) -> None:
    starts = [first + sum(durations[:i]) for i in range(len(durations))]
    # 000000 stands for a removed time
    assume(all((injection + timedelta(seconds=s)).time() != time(0) for s in (0, *starts)))
    pet = Pet(injection, list(zip(starts, durations, strict=True)), decay, n_slices=2)
    times = times_of(series_of([enhanced(list(pet.datasets()))]))
    assert times.injection == injection
    assert list(times.frame_start_s) == starts and list(times.frame_duration_s) == durations
    assert times.decay_reference_s == pytest.approx(0 if decay == "ADMIN" else first, abs=1e-3)
