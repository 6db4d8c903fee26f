"""Doses, second injections, equal dates, uncorrected images: nothing of it passes in silence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conversions import dry, injected, run, series_of, times_of
from dicom_studies import Mr, Pet, set_times, write
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from raw_sidecar import PET_SIDECAR

from bidsapp.dicom.convert import ConversionReport
from bidsapp.dicom.ecat import ecat_tags
from bidsapp.dicom.header import Header
from bidsapp.dicom.nifti_ecat import read_nifti_or_ecat
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import Series
from bidsapp.dicom.sidecar import dose_bq
from bidsapp.errors import BadDataError


def edited(change: Callable[[Dataset], None], pet: Pet | None = None) -> list[Dataset]:
    datasets = list((pet or Pet(frames=[(5400, 600)])).datasets())
    for data in datasets:
        change(data)
    return datasets


def decided(folder: Path, *series: Iterable[Dataset], **options: Any) -> ConversionReport:
    for number, datasets in enumerate(series):
        write(folder / "in" / str(number), iter(list(datasets)))
    return dry(folder / "in", **options)


def stating(dose: str) -> Header:
    """Header of an image with this RadionuclideTotalDose."""
    data = next(Pet(n_slices=1).datasets())
    injected(data).RadionuclideTotalDose = dose
    return series_of([data]).header


@pytest.mark.parametrize(
    ("written", "bq", "unit"),
    [
        ("301700000", 301.7e6, None),
        ("301.7", 301.7e6, "MBq"),
        ("8.15", 301.55e6, "mCi"),
        ("15", 555e6, "mCi"),
        ("301700", 301.7e6, "kBq"),
        ("8150", 301.55e6, "uCi"),
        ("0.3017", 301.7e6, "GBq"),
    ],
)
def test_a_dose_is_read_in_the_unit_in_which_it_is_one(
    written: str, bq: float, unit: str | None
) -> None:
    dose, _, doubt = dose_bq(stating(written))
    assert dose == pytest.approx(bq)
    assert (doubt is None) is (unit is None)
    assert unit is None or f"read as {unit}" in str(doubt)


def test_a_dose_in_no_unit_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"\(0018,1074\)"):
        dose_bq(stating("1e-6"))


def second(name: str) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        other = copy.deepcopy(injected(data))
        other.Radiopharmaceutical, other.RadiopharmaceuticalStartTime = name, "093000"
        del other.RadiopharmaceuticalStartDateTime
        data.RadiopharmaceuticalInformationSequence.append(other)

    return change


def test_a_second_radiopharmaceutical_is_told_or_refused(tmp_path: Path) -> None:
    (row,) = decided(tmp_path / "same", edited(second("Florbetaben"))).rows
    assert row.decision == "kept" and "(0054,0016)" in row.reason
    (row,) = decided(tmp_path / "other", edited(second("Fluorodeoxyglucose"))).rows
    assert row.decision == "error" and "different tracers" in row.reason

    def first_is_fdg(data: Dataset) -> None:
        second("Florbetaben")(data)
        injected(data).Radiopharmaceutical = "Fluorodeoxyglucose"

    (row,) = decided(tmp_path / "fdg", edited(first_is_fdg), tracer="FBB").rows
    assert row.decision == "error" and "InjectionTime" in row.reason


def test_visits_whose_dates_were_made_equal_stay_two_sessions(tmp_path: Path) -> None:
    pets = (Pet(frames=[(5400, 600)], method=m, description=m) for m in ("OSEM", "FBP3D"))
    first, again = (list(pet.datasets()) for pet in pets)
    rows = decided(tmp_path / "visits", first, again).rows
    sessions = {row.target.split("/")[1] for row in rows}
    assert sessions == {"ses-01", "ses-02"}
    assert all("dates had been made equal" in row.reason for row in rows)
    for data in again:  # one acquisition, reconstructed twice, in two studies
        data.FrameOfReferenceUID = first[0].FrameOfReferenceUID
    rows = decided(tmp_path / "twice", first, again).rows
    assert {row.target.split("/")[1] for row in rows} == {"ses-01"}
    assert all("_rec-" in row.target for row in rows)


@pytest.mark.parametrize(
    "method",
    ["NONE, 0.000000 cm-1,", "none", "Not corrected", "NAC", "non-attenuated", "w/o AC", "0"],
)
def test_a_method_of_none_is_no_attenuation_correction(tmp_path: Path, method: str) -> None:
    def change(data: Dataset) -> None:
        del data.CorrectedImage
        data.AttenuationCorrectionMethod = method

    (row,) = decided(tmp_path, edited(change)).rows
    assert row.decision == "skipped" and "(0054,1101)" in row.reason


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_ecat_without_calibration_is_refused(factor: float) -> None:
    subheaders = SimpleNamespace(subheaders=[{"scale_factor": 1.0}])
    ecat: Any = SimpleNamespace(
        header={"ecat_calibration_factor": factor}, get_subheaders=lambda: subheaders
    )
    with pytest.raises(BadDataError, match="ecat_calibration_factor"):
        ecat_tags(ecat, Path("scan.v"))


# ---------------------------------------------------------------------------- NIfTI and sidecar


def sidecar_times(folder: Path, content: dict[str, Any], *stated: datetime) -> TimeModel:
    image = nib.Nifti1Image(np.zeros((2, 2, 2, 2), np.float32), np.eye(4))
    nib.save(image, folder / "a.nii")
    (folder / "a.json").write_text(json.dumps(content))
    return times_of(Series("1", 0, tuple(read_nifti_or_ecat(folder / "a.nii"))), *stated)


SIDECAR = {"Modality": "PT", "RadionuclideHalfLife": 6586.2, **PET_SIDECAR}


def test_milliseconds_of_a_sidecar_are_read_where_they_fit(tmp_path: Path) -> None:
    in_ms = {"FrameDuration": [600000, 600000, 0], "FrameTimesStart": [0, 600000, 1200000],
             "ScanStart": 0, "InjectionStart": -5400000, "ImageDecayCorrectionTime": 0,
             "FrameDurationUnits": "ms"}  # fmt: skip
    times = sidecar_times(tmp_path, {**SIDECAR, **in_ms})
    assert times.frame_start_s == (5400, 6000) and times.frame_duration_s == (600, 600)
    assert (
        "FrameDurationUnits" in times.remarks[0].message
        and "zero length" in times.remarks[1].message
    )


def test_numbers_and_truth_values_in_text_are_read(tmp_path: Path) -> None:
    text = {"FrameTimesStart": ["5400", "6000"], "FrameDuration": "600", "InjectionStart": "0",
            "ScanStart": "5400", "ImageDecayCorrected": "true",
            "ImageDecayCorrectionTime": "5400"}  # fmt: skip
    times = sidecar_times(tmp_path, {**SIDECAR, **text})
    assert times.frame_start_s == (5400, 6000) and times.frame_duration_s == (600, 600)
    assert times.decay_reference_s == 5400 and "given as text" in times.remarks[0].message


@pytest.mark.parametrize("moments", [{"ScanStart": 5400}, {"ImageDecayCorrectionTime": 5400}, {}])
@pytest.mark.parametrize("scale", [1, 1000])
def test_what_else_counts_in_the_unit_of_the_frames_is_told_by_the_scan(
    tmp_path: Path, scale: int, moments: dict[str, float]
) -> None:
    """5400 s after the injection is the start of the first frame, 5.4 s is nothing."""
    content = {"FrameDuration": [600000, 600000], "FrameTimesStart": [5400000, 6000000],
               "InjectionStart": 0, "FrameDurationUnits": "ms",
               **{key: scale * value for key, value in moments.items()}}  # fmt: skip
    rest = {key: SIDECAR[key] for key in SIDECAR.keys() - {"ScanStart", "ImageDecayCorrectionTime"}}
    times = sidecar_times(tmp_path, {**rest, **content})
    assert times.frame_start_s == (5400, 6000)
    assert "FrameDurationUnits" in times.remarks[0].message
    if "ImageDecayCorrectionTime" in moments:
        assert times.decay_reference_s == 5400


@pytest.mark.parametrize(
    ("series", "starts", "references"),
    [
        ("11:30:00", [0, 600], [300, 900]),
        ("10:00:00", [0, 600], [5700, 6300]),
        ("10:00:00", [5400, 6000], None),
        ("10:00:00", [5400, 6000], [0, 0]),
    ],
)
def test_a_sidecar_with_the_time_of_the_series_alone(
    tmp_path: Path, series: str, starts: list[float], references: list[float] | None
) -> None:
    """As dcm2niix 1.0.20260416 writes it; starts and reference times count from SeriesTime."""
    content = {**SIDECAR, "SeriesTime": series, "FrameTimesStart": starts, "ScanStart": 0,
               "FrameReferenceTime": references, "DecayCorrection": "START"}  # fmt: skip
    for key in ("TimeZero", "InjectionStart", "ImageDecayCorrected", "ImageDecayCorrectionTime"):
        del content[key]
    content["RadionuclideTotalDose"] = 3e8
    times = sidecar_times(tmp_path, content, datetime(1900, 1, 1, 10, 0))
    assert times.frame_start_s == (5400, 6000)
    assert "SeriesTime" in times.remarks[0].message


def test_a_time_of_day_as_moment_of_decay_correction(tmp_path: Path) -> None:
    times = sidecar_times(tmp_path, {**SIDECAR, "ImageDecayCorrectionTime": 41400})
    assert times.decay_reference_s == 5400 and "time of day" in times.remarks[0].message


def test_pixels_compressed_with_loss_are_flagged_and_converted(tmp_path: Path) -> None:
    def lossy(data: Dataset) -> None:
        data.LossyImageCompression, data.LossyImageCompressionRatio = "01", "12"

    (row,) = decided(tmp_path, edited(lossy)).rows
    assert row.decision == "kept" and "(0028,2110) LossyImageCompression is 01" in row.reason


def test_a_frame_of_no_length_can_be_stated(tmp_path: Path) -> None:
    def empty(data: Dataset) -> None:
        if data.ImageIndex <= 9:
            data.ActualFrameDuration = "0"

    (row,) = decided(tmp_path / "asked", edited(empty, Pet())).rows
    assert row.decision == "error" and "state FrameDuration in a --dicom-metadata" in row.reason
    metadata = tmp_path / "stated.json"
    metadata.write_text(json.dumps({"FrameDuration": [300, 300, 300, 300]}))
    (row,) = decided(tmp_path / "stated", edited(empty, Pet()), metadata=metadata).rows
    assert row.decision == "kept", row.reason


def other_pixels(datasets: Iterable[Dataset]) -> list[Dataset]:
    """The same headers, instances and all, over another image."""
    made = [copy.deepcopy(data) for data in datasets]
    for data in made:
        pixels = np.frombuffer(data.PixelData, "<i2")
        data.PixelData = (20000 - pixels).astype("<i2").tobytes()
    return made


def renamed(datasets: Iterable[Dataset]) -> list[Dataset]:
    """A copy under UIDs of its own, as some archives make them."""
    made = [copy.deepcopy(data) for data in datasets]
    for number, data in enumerate(made):
        data.SeriesInstanceUID = f"{data.SeriesInstanceUID}.7"
        data.SOPInstanceUID = f"{data.SOPInstanceUID}.{number}"
    return made


def test_copies_count_once(tmp_path: Path) -> None:
    first = list(Pet(frames=[(5400, 600)]).datasets())
    rows = decided(tmp_path / "copies", first, first, renamed(first)).rows
    assert sorted(row.decision for row in rows) == ["kept", "skipped"]


@pytest.mark.parametrize(
    ("kind", "decisions"), [(Pet, ["kept", "kept"]), (Mr, ["kept", "skipped"])]
)
def test_series_of_the_same_headers_but_other_pixels_are_told_once(
    tmp_path: Path, kind: type[Pet | Mr], decisions: list[str]
) -> None:
    first = list(kind().datasets())
    twins = decided(tmp_path, first, renamed(other_pixels(first))).rows
    assert sorted(row.decision for row in twins) == decisions
    kept = [row.reason for row in twins if row.decision == "kept"]
    assert {reason.count("have the same headers but different pixels") for reason in kept} == {1}


@pytest.mark.parametrize("images", [Pet(frames=[(5400, 600)]), Mr()])
def test_two_images_under_one_identifier_are_refused(tmp_path: Path, images: Pet | Mr) -> None:
    first = list(images.datasets())
    (row,) = decided(tmp_path, first, other_pixels(first)).rows
    assert row.decision == "error" and "whose pixels differ" in row.reason


@pytest.mark.parametrize("studies", [False, True])
@pytest.mark.parametrize("images", [Pet(), Mr()])
def test_images_with_a_series_of_their_own_are_one(
    tmp_path: Path, images: Pet | Mr, studies: bool
) -> None:
    made = list(images.datasets())
    for data in made:
        data.SeriesInstanceUID = generate_uid()
        if studies:
            data.StudyInstanceUID = generate_uid()
    write(tmp_path / "in", iter(made))
    report = run(tmp_path / "in", tmp_path / "bids")
    (row,) = report.rows
    assert (row.decision, row.files) == ("kept", len(made)), row.reason
    assert "has a different (0020,000E) SeriesInstanceUID" in row.reason


def test_decay_factors_and_reference_times_outvote_acquisition_times(tmp_path: Path) -> None:
    """And factors that were not filled in outvote nothing."""
    pet = Pet(frames=[(0, 15), (15, 15), (30, 30), (60, 30), (90, 30)])
    made = list(pet.datasets())
    for number, data in enumerate(made):
        after = (0, 86, 172, 323, 475)[number // pet.n_slices]
        set_times(data, "Acquisition", pet.injection + timedelta(seconds=after))
    series = series_of(made)
    times = times_of(series)
    assert times.frame_start_s == pytest.approx((0, 15, 30, 60, 90), abs=0.01)
    assert any("DecayFactor, which agree" in remark.message for remark in times.remarks)
    for header in series.images:
        header.values["DecayFactor"] = ("1",)  # type: ignore[index]
    assert times_of(series).frame_start_s == pytest.approx((0, 86, 172, 323, 475))


def test_a_time_removed_soon_after_midnight_is_told_by_decay_factors() -> None:
    """000000 lies near the other frames there, but the factors say that it is none of them."""
    pet = Pet(injection=datetime(2021, 3, 2, 0, 0, 1), frames=[(600, 10), (610, 10)], n_slices=1)
    made = list(pet.datasets())
    made[0].AcquisitionTime = "000000"
    for data in made:
        data.FrameReferenceTime = "0"
    times = times_of(series_of(made))
    assert times.frame_start_s == pytest.approx((600, 610), abs=1e-3)
    assert any("(0008,0032) AcquisitionTime" in remark.message for remark in times.remarks)
