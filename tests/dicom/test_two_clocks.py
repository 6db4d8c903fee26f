"""Tags that say the same of a PET twice, and contradict each other or their unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conversions import injected, pet_sidecar, run
from dicom_studies import C11_S, Pet, set_times, write
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

STATIC = Pet(frames=((5400, 1200),), reference="absent")
DYNAMIC = Pet(reference="absent")
Edit = Callable[[Dataset, int], None]


def converted(tmp_path: Path, pet: Pet, edit: Edit, **stated: object) -> dict | str:
    """Sidecar of a PET whose data sets were edited, or why there is none."""
    datasets = list(pet.datasets())
    for number, data in enumerate(datasets):
        edit(data, number)
    write(tmp_path / "in", datasets)
    metadata = None
    if stated:
        metadata = tmp_path / "stated.json"
        metadata.write_text(json.dumps({"*": stated}))
    report = run(tmp_path / "in", tmp_path / "bids", metadata=metadata)
    if report.errors:
        (error,) = report.errors
        return error
    return pet_sidecar(tmp_path / "bids")


def flags(sidecar: dict | str) -> str:
    assert isinstance(sidecar, dict), sidecar
    return " ".join(flag["message"] for flag in sidecar["CentiPET"]["Flags"])


def date_time(hours: float) -> Edit:
    """(0008,002A) that lies some hours after (0008,0032)."""

    def edit(data: Dataset, _: int) -> None:
        own = datetime.strptime(data.AcquisitionDate + data.AcquisitionTime, "%Y%m%d%H%M%S.%f")
        data.AcquisitionDateTime = f"{own + timedelta(hours=hours):%Y%m%d%H%M%S.%f}"

    return edit


@pytest.mark.parametrize("hours", [-1, 1, 2.5])
@pytest.mark.parametrize("pet", [STATIC, DYNAMIC, replace(DYNAMIC, reference="start")])
def test_what_begins_with_the_series_counts(tmp_path: Path, pet: Pet, hours: float) -> None:
    """A date-time in UTC that does not say so, say."""
    sidecar = converted(tmp_path, pet, date_time(hours))
    assert "AcquisitionTime contradict each other; AcquisitionTime was used" in flags(sidecar)
    assert sidecar["FrameTimesStart"] == [start for start, _ in pet.frames]


def test_a_date_time_that_begins_with_the_series_counts(tmp_path: Path) -> None:
    def edit(data: Dataset, number: int) -> None:
        date_time(0)(data, number)
        set_times(data, "Acquisition", datetime(2021, 3, 2, 9, 34, 30))

    sidecar = converted(tmp_path, STATIC, edit)
    assert "AcquisitionDateTime was used" in flags(sidecar)
    assert sidecar["FrameTimesStart"] == [5400]


def test_clocks_of_which_neither_begins_with_the_series_are_refused(tmp_path: Path) -> None:
    def edit(data: Dataset, number: int) -> None:
        date_time(1)(data, number)
        data.SeriesTime = data.StudyTime = "170000"

    assert "SeriesTime does not tell which is right" in converted(tmp_path / "a", STATIC, edit)
    sidecar = converted(tmp_path / "b", STATIC, edit, ScanStart=5400)
    assert sidecar["FrameTimesStart"] == [5400] and "stated" in flags(sidecar)


def test_one_date_time_of_all_frames_is_that_of_the_series(tmp_path: Path) -> None:
    """Without reference times or factors it made frames that nothing tells apart."""

    def edit(data: Dataset, _: int) -> None:
        data.AcquisitionDateTime = "20210302113430"
        del data.DecayFactor

    sidecar = converted(tmp_path, DYNAMIC, edit)
    assert sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300] and flags(sidecar) == ""


@pytest.mark.parametrize("which", ["AcquisitionDateTime", "AcquisitionTime"])
def test_one_time_of_all_frames_may_be_wrong_too(tmp_path: Path, which: str) -> None:
    """The other one counts where it begins with the series: here it is an hour off."""

    def edit(data: Dataset, number: int) -> None:
        if which == "AcquisitionDateTime":
            data.AcquisitionDateTime = "20210302103430"
        else:
            date_time(0)(data, number)
            data.AcquisitionTime = "123430"

    sidecar = converted(tmp_path / "a", DYNAMIC, edit)
    assert sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert "contradict each other" in flags(sidecar)

    def wrong_in_frames(data: Dataset, number: int) -> None:
        if which == "AcquisitionDateTime":
            date_time(1)(data, number)
            data.AcquisitionTime = "113430"
        else:
            data.AcquisitionDateTime = "20210302113430"
            moment = datetime(2021, 3, 2, 12, 34, 30) + timedelta(minutes=5 * (number // 9))
            set_times(data, "Acquisition", moment)

    sidecar = converted(tmp_path / "b", replace(DYNAMIC, reference="start"), wrong_in_frames)
    assert sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert "contradict each other" in flags(sidecar)


@pytest.mark.parametrize("pet", [STATIC, DYNAMIC])
def test_one_time_of_day_everywhere_may_be_a_dummy(tmp_path: Path, pet: Pet) -> None:
    """25 min off is no zone: the uptake time would be wrong by as much."""

    def edit(data: Dataset, number: int) -> None:
        date_time(0)(data, number)
        data.AcquisitionTime = data.SeriesTime = data.StudyTime = "120000"

    assert "SeriesTime does not tell which is right" in converted(tmp_path / "a", pet, edit)

    def with_study(data: Dataset, number: int) -> None:
        edit(data, number)
        data.StudyTime = "115130"

    assert "AcquisitionTime was used" in flags(converted(tmp_path / "b", pet, with_study))


@pytest.mark.parametrize("pet", [STATIC, DYNAMIC])
@pytest.mark.parametrize(
    ("clock", "told"), [("120000", True), ("111111.00", True), ("113430", False), ("113000", False)]
)
def test_one_made_up_time_of_day_is_told(tmp_path: Path, pet: Pet, clock: str, told: bool) -> None:
    """Without any other time nothing says when the scan was, but nobody begins it so sharply."""

    def edit(data: Dataset, _: int) -> None:
        data.AcquisitionTime = data.SeriesTime = data.StudyTime = clock

    sidecar = converted(tmp_path, replace(pet, reference="start"), edit)
    assert ("apparently a dummy time" in flags(sidecar)) is told


def test_frames_that_begin_after_their_series_as_reference_times_say(tmp_path: Path) -> None:
    """One time of the acquisition in all frames, of which those of the first hour are left out."""

    def edit(data: Dataset, number: int) -> None:
        date_time(0)(data, number)
        data.AcquisitionTime = data.SeriesTime = data.StudyTime = "103430"
        data.FrameReferenceTime = str(1000 * (3600 + 150 + 300 * (number // 9)))

    sidecar = converted(tmp_path, DYNAMIC, edit)
    assert sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert "AcquisitionDateTime was used" in flags(sidecar)


@pytest.mark.parametrize("injected", [datetime(2021, 3, 2, 22, 20), datetime(2021, 3, 2, 22, 21)])
def test_one_date_of_frames_before_and_after_midnight(tmp_path: Path, injected: datetime) -> None:
    """Anonymisers write one; the third frame of the first scan is at midnight sharp."""

    def edit(data: Dataset, _: int) -> None:
        data.AcquisitionDate = "20210302"

    sidecar = converted(tmp_path, replace(DYNAMIC, injection=injected), edit)
    assert sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300]
    assert sidecar["TimeZero"] == f"{injected:%H:%M:%S}"
    assert "frames after midnight were assigned to the next day" in flags(sidecar)


def test_two_scans_of_a_day_are_not_made_one_over_midnight(tmp_path: Path) -> None:
    def edit(data: Dataset, number: int) -> None:
        if number >= 18:
            set_times(data, "Acquisition", datetime(2021, 3, 2, 23, 50 + 5 * (number >= 27)))

    assert "more than half a day apart" in converted(tmp_path, DYNAMIC, edit)


@pytest.mark.parametrize(("minutes", "words"), [(2, "that of the first was used"), (60, None)])
def test_injections_that_differ_between_images(
    tmp_path: Path, minutes: int, words: str | None
) -> None:
    def edit(data: Dataset, number: int) -> None:
        item = injected(data)
        moment = DYNAMIC.injection - timedelta(minutes=minutes * (number > 17))
        item.RadiopharmaceuticalStartTime = f"{moment:%H%M%S}"
        item.RadiopharmaceuticalStartDateTime = f"{moment:%Y%m%d%H%M%S}"

    sidecar = converted(tmp_path / "a", DYNAMIC, edit)
    if words:
        assert words in flags(sidecar) and sidecar["ScanStart"] == 5400
    else:
        assert "differs by more than 15 min between the images" in sidecar
        assert (
            converted(tmp_path / "b", DYNAMIC, edit, InjectionTime="10:04:30")["ScanStart"] == 5400
        )


@pytest.mark.parametrize(
    ("pet", "text", "unit"),
    [
        (STATIC, "109.77", "min"),
        (STATIC, "1.83", "h"),
        (STATIC, "6586200", "ms"),
        (replace(STATIC, half_life=C11_S, nuclide="^11^Carbon", tracer="PIB"), "20.4", "min"),
    ],
)
def test_a_half_life_is_read_in_the_unit_that_makes_one(
    tmp_path: Path, pet: Pet, text: str, unit: str
) -> None:
    def edit(data: Dataset, _: int) -> None:
        injected(data).RadionuclideHalfLife = text

    sidecar = converted(tmp_path, pet, edit)
    assert f"it was read as {unit}" in flags(sidecar)
    assert sidecar["RadionuclideHalfLife"] == pytest.approx(pet.half_life, rel=0.01)
    assert sidecar["ImageDecayCorrectionTime"] == 5400


def test_a_half_life_of_zero_stands_for_none(tmp_path: Path) -> None:
    def edit(data: Dataset, _: int) -> None:
        injected(data).RadionuclideHalfLife = "0"

    sidecar = converted(tmp_path, STATIC, edit)
    assert "means unknown" in flags(sidecar) and "RadionuclideHalfLife" not in sidecar
    assert sidecar["ImageDecayCorrectionTime"] == 5400


def test_a_text_in_place_of_a_number_that_nothing_rests_on_costs_no_scan(tmp_path: Path) -> None:
    keys = ("RadionuclidePositronFraction", "RadiopharmaceuticalVolume",
            "RadiopharmaceuticalSpecificActivity")  # fmt: skip

    def edit(data: Dataset, _: int) -> None:
        for holder, key in (
            (data, "DoseCalibrationFactor"),
            *((injected(data), key) for key in keys),
        ):
            tag = Tag(tag_for_keyword(key) or 0)
            holder._dict[tag] = RawDataElement(tag, "DS", 8, b"unknown ", 0, False, True)

    sidecar = converted(tmp_path, STATIC, edit)
    assert isinstance(sidecar, dict) and sidecar["InjectedRadioactivity"] == 301.7
    assert (
        not {keys[0], "InjectedVolume", "MolarActivity", "DoseCalibrationFactor"} & sidecar.keys()
    )


def test_a_text_in_place_of_what_another_tag_tells_costs_no_scan(tmp_path: Path) -> None:
    """AcquisitionTime orders and places the frames."""

    def edit(data: Dataset, _: int) -> None:
        for key in ("FrameReferenceTime", "InstanceNumber", "ImageIndex"):
            tag = Tag(tag_for_keyword(key) or 0)
            data._dict[tag] = RawDataElement(tag, "DS", 2, b"X ", 0, False, True)

    sidecar = converted(tmp_path, DYNAMIC, edit)
    assert isinstance(sidecar, dict) and sidecar["FrameTimesStart"] == [5400, 5700, 6000, 6300]


def test_a_half_life_of_no_tracer_is_refused(tmp_path: Path) -> None:
    def edit(data: Dataset, _: int) -> None:
        injected(data).RadionuclideHalfLife = "2.5"

    assert "which no tracer has" in converted(tmp_path, STATIC, edit)


@pytest.mark.parametrize(
    ("meaning", "code", "refused"),
    [
        ("Kohlenstoff-11", "C-105A1", "names C11"),
        ("", "40565003", "names C11"),
        ("", "C-131A3", "names Ga68"),
        ("Fluor", "C-111A1", None),
        ("", "77004003", None),
    ],
)
def test_nuclides_are_read_by_their_codes(
    tmp_path: Path, meaning: str, code: str, refused: str | None
) -> None:
    """Of both editions of SNOMED, where the meaning is none or in another language."""

    def edit(data: Dataset, _: int) -> None:
        (item,) = injected(data).RadionuclideCodeSequence
        item.CodeMeaning, item.CodeValue = meaning, code

    sidecar = converted(tmp_path, STATIC, edit)
    if refused:
        assert refused in sidecar
    else:
        assert "RadionuclideCodeSequence" in sidecar["CentiPET"]["Sources"]["TracerRadionuclide"]


def test_frame_durations_are_the_same_but_for_rounding(tmp_path: Path) -> None:
    def edit(data: Dataset, number: int) -> None:
        data.ActualFrameDuration = 300_000 + number % 2

    assert converted(tmp_path, DYNAMIC, edit)["FrameDuration"] == pytest.approx([300] * 4, abs=0.01)


def test_a_static_scan_of_a_second_is_refused(tmp_path: Path) -> None:
    """20 min in s, where DICOM counts in ms: the decay reference was wrong, too."""

    def edit(data: Dataset, _: int) -> None:
        data.ActualFrameDuration = 1200

    assert "static scan of 1.2 s" in converted(tmp_path / "a", STATIC, edit)
    sidecar = converted(tmp_path / "b", STATIC, edit, FrameDuration=[1200])
    assert sidecar["FrameDuration"] == [1200] and sidecar["ImageDecayCorrectionTime"] == 5400


@pytest.mark.parametrize("corrected", [("ATTN",), ("ATTN", "DECY")])
def test_factors_decide_whether_an_image_is_decay_corrected(
    tmp_path: Path, corrected: tuple[str, ...]
) -> None:
    def edit(data: Dataset, _: int) -> None:
        data.CorrectedImage = list(corrected)
        data.DecayCorrection = "NONE" if "DECY" in corrected else "START"

    def without(data: Dataset, number: int) -> None:
        edit(data, number)
        del data.DecayFactor

    sidecar = converted(tmp_path / "a", DYNAMIC, edit)
    assert sidecar["ImageDecayCorrectionTime"] == 5400
    assert "according to (0054,1321) DecayFactor the image is decay-corrected" in flags(sidecar)
    assert "correct one of the two" in converted(tmp_path / "b", DYNAMIC, without)


def test_pixels_of_a_transfer_syntax_of_its_own_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, data in enumerate(STATIC.datasets()):
        data.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"  # GE: big endian pixels
        data.save_as(
            folder / f"{number}", implicit_vr=False, little_endian=True, enforce_file_format=False
        )
    report = run(folder, tmp_path / "bids")
    assert "TransferSyntaxUID is not defined in DICOM" in report.errors[0]
