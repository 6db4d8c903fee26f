"""The time model against generated truth: clocks, midnights, vendors' habits, contradictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from conversions import injected, series_of, times_of
from dicom_studies import C11_S, F18_S, Pet, decay_factor, set_times, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from bidsapp.dicom.inventory import take_inventory
from bidsapp.dicom.scan_times import FrameClock, ScanClock, TimeModel
from bidsapp.dicom.timing import time_model
from bidsapp.errors import BadDataError


def model_of(pet: Pet, *stated: datetime) -> TimeModel:
    """Through the real tags: data sets -> headers -> frames -> clock -> times."""
    return times_of(series_of(pet.datasets()), *stated)


@st.composite
def pets(draw: st.DrawFn) -> Pet:
    """Any clock, any schedule, any habit: scans before and after midnight, month and year ends."""
    injection = draw(
        st.datetimes(datetime(1999, 12, 31), datetime(2030, 1, 2)).map(
            lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
        )
    )
    if injection.time() == time():  # sharp midnight stands for a time that was removed
        injection += timedelta(milliseconds=1)
    dynamic = draw(st.booleans())
    first_ms = draw(st.integers(-60_000, 20_000) if dynamic else st.integers(600_000, 25_000_000))
    durations = draw(st.lists(st.integers(1_000, 900_000), min_size=1, max_size=6))
    if len(durations) == 1:  # a static scan of a second is refused
        durations[0] += 5_000
    if len(durations) == 1 and first_ms == 0:  # a single frame at the injection is told
        first_ms = 1
    if first_ms < 0:
        durations[-1] += -first_ms  # a scan that is over before the injection shows nothing
    gaps = draw(st.lists(st.integers(0, 600_000), min_size=6, max_size=6))
    frames, at = [], first_ms
    for duration, gap in zip(durations, gaps, strict=False):
        frames.append((at / 1000, duration / 1000))
        at += duration + gap
    first = injection + timedelta(seconds=frames[0][0])
    if first.minute == first.second and first.minute in (0, first.hour):  # as dummies are written
        injection += timedelta(seconds=1)
    if any((injection + timedelta(seconds=start)).time() == time() for start, _ in frames):
        injection += timedelta(milliseconds=1)
    half_life, nuclide = draw(st.sampled_from([(F18_S, "^18^Fluorine"), (C11_S, "^11^Carbon")]))
    return Pet(
        injection=injection,
        frames=frames,
        decay=draw(st.sampled_from(["START", "ADMIN"])),
        half_life=half_life,
        nuclide=nuclide,
        injection_tags=draw(st.sampled_from(["both", "datetime", "time"])),
        reference=draw(st.sampled_from(["start", "zero", "absent"])),
        n_slices=2,
    )


@given(pets())
@settings(max_examples=150)
def test_written_times_are_the_true_ones(pet: Pet) -> None:
    times = model_of(pet)
    assert abs((times.injection - pet.injection).total_seconds()) < 1e-3
    for found, (start, duration) in zip(
        zip(times.frame_start_s, times.frame_duration_s, strict=True), pet.frames, strict=True
    ):
        assert found == pytest.approx((start, duration), abs=1e-3)
    expected = 0.0 if pet.decay == "ADMIN" else pet.frames[0][0]
    assert times.decay_reference_s == pytest.approx(expected, abs=1e-3)
    assert times.remarks == ()


def siemens(data: Dataset, pet: Pet) -> None:
    """Both injection tags, and the private moment of decay correction."""
    block = data.private_block(0x0071, "SIEMENS MED PT", create=True)
    seconds = 0 if pet.decay == "ADMIN" else pet.frames[0][0]
    moment = pet.injection + timedelta(seconds=seconds)
    block.add_new(0x22, "DT", f"{moment:%Y%m%d%H%M%S.%f}")


def ge(data: Dataset, pet: Pet) -> None:
    """FrameReferenceTime 0; a frame counter; the injection in private tags, too."""
    data.FrameReferenceTime = "0"
    data.TemporalPositionIdentifier = (data.InstanceNumber - 1) // pet.n_slices + 1
    block = data.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x3B, "DT", f"{pet.injection:%Y%m%d%H%M%S.%f}")
    block.add_new(0x36, "LO", "Neuraceq")
    if pet.injection_tags == "none":
        del injected(data).RadionuclideCodeSequence


def philips(data: Dataset, pet: Pet) -> None:
    """One acquisition time for all frames, which FrameReferenceTime tells apart."""
    scan = pet.injection + timedelta(seconds=pet.frames[0][0])
    set_times(data, "Acquisition", scan)


def uih(data: Dataset, pet: Pet) -> None:
    """AcquisitionDateTime with a zone instead of date and time."""
    data.AcquisitionDateTime = data.AcquisitionDate + data.AcquisitionTime + "+0800"
    del data.AcquisitionDate, data.AcquisitionTime


def cti(data: Dataset, pet: Pet) -> None:
    """Consoles of CPS and CTI: times of day only, no FrameReferenceTime, no DecayFactor."""
    data.Manufacturer = "CPS"
    for keyword in ("AcquisitionDate", "FrameReferenceTime", "DecayFactor"):
        if keyword in data:
            delattr(data, keyword)
    item = injected(data)
    if "RadiopharmaceuticalStartTime" in item and "RadiopharmaceuticalStartDateTime" in item:
        del item.RadiopharmaceuticalStartDateTime


VENDORS = [siemens, ge, philips, uih, cti]


@pytest.mark.parametrize("vendor", VENDORS)
@given(pet=pets())
@settings(max_examples=15)
def test_times_in_the_habits_of_every_vendor(vendor: Callable[..., None], pet: Pet) -> None:
    if vendor is ge:
        pet = replace(pet, injection_tags="none")
    if vendor is philips:
        pet = replace(pet, reference="start")
    datasets = list(pet.datasets())
    for data in datasets:
        vendor(data, pet)
    times = times_of(series_of(datasets))
    assert abs((times.injection - pet.injection).total_seconds()) < 1e-3
    tolerance = 1e-3 if vendor is not philips else 2e-4 + 1e-3  # FrameReferenceTime: 0.1 ms
    for found, (start, duration) in zip(
        zip(times.frame_start_s, times.frame_duration_s, strict=True), pet.frames, strict=True
    ):
        assert found == pytest.approx((start, duration), abs=tolerance)
    expected = 0.0 if pet.decay == "ADMIN" else pet.frames[0][0]
    assert times.decay_reference_s == pytest.approx(expected, abs=1e-3)
    assert times.remarks == ()


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("ActualFrameDuration", ["", "0", "-300000", "1e12"]),
        ("DecayCorrection", ["STOP"]),
        ("RadionuclideHalfLife", ["-5", "1e9"]),
        ("DecayFactor", ["many"]),
    ],
)
def test_a_missing_or_impossible_tag_is_an_error_that_names_it(
    keyword: str, values: list[str]
) -> None:
    for value in values:
        datasets = list(Pet(n_slices=2).datasets())
        for data in datasets:
            holder = injected(data) if keyword.startswith("Radio") else data
            tag = tag_for_keyword(keyword)
            holder[tag] = RawDataElement(Tag(tag), "UT", len(value), value.encode(), 0, False, True)
        with pytest.raises(BadDataError, match=keyword):
            times_of(series_of(datasets))


@given(pets())
@settings(max_examples=30)
def test_a_missing_injection_is_refused_unless_stated(pet: Pet) -> None:
    pet = replace(pet, injection_tags="none")
    with pytest.raises(BadDataError, match=r"\(0018,1078\).*InjectionTime"):
        model_of(pet)
    of_day = pet.injection.replace(year=1900, month=1, day=1)
    for stated in (pet.injection, of_day):
        times = model_of(pet, stated)
        assert times.injection == pet.injection
        assert "stated" in times.sources["InjectionStart"]


def test_scan_after_midnight_with_only_a_time_of_injection() -> None:
    pet = Pet(
        injection=datetime(2020, 2, 28, 23, 24, 10),
        frames=[(3000, 600)],
        decay="ADMIN",
        injection_tags="time",
        reference="zero",
    )
    times = model_of(pet)
    assert times.injection == pet.injection
    assert times.scan_start_s == 3000
    assert "latest date" in times.sources["InjectionStart"]


def clock(**changes: object) -> ScanClock:
    """A plain static FBB scan of two frames."""
    scan = datetime(2021, 3, 2, 11, 34, 30)
    frames = tuple(
        FrameClock(scan + timedelta(seconds=at), 300.0, at + 149.6053, decay_factor(at, 300, F18_S))
        for at in (0, 300)
    )
    plain = ScanClock(
        frames=frames,
        series_start=scan,
        injection=datetime(2021, 3, 2, 10, 4, 30),
        injection_clock=timedelta(hours=10, minutes=4, seconds=30),
        decay_correction="START",
        decay_corrected=True,
        half_life_s=F18_S,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize("creator", ["GEMS_PETD_01", "SOMEBODY ELSE"])
def test_private_administration_time_of_ge_stands_in(creator: str, tmp_path: Path) -> None:
    pet = Pet(injection_tags="none", n_slices=2, manufacturer="GE MEDICAL SYSTEMS")
    datasets = list(pet.datasets())
    for data in datasets:
        block = data.private_block(0x0009, creator, create=True)
        block.add_new(0x3B, "DT", f"{pet.injection:%Y%m%d%H%M%S}.00")
    (series,) = take_inventory(write(tmp_path, iter(datasets))[0].parent, tmp_path / "x").series
    if creator == "SOMEBODY ELSE":
        with pytest.raises(BadDataError, match="InjectionTime"):
            times_of(series)
        return
    times = times_of(series)
    assert times.injection == pet.injection
    assert "(0009,103B)" in times.sources["InjectionStart"]


@pytest.mark.parametrize(("minutes", "told"), [(0, False), (10, False), (116, True)])
def test_private_administration_time_of_ge_that_contradicts_is_told(
    minutes: int, told: bool
) -> None:
    """An anonymiser may write 120000 into one of the two; dates may be shifted in one alone."""
    private = datetime(2020, 1, 1, 10, 4, 30) + timedelta(minutes=minutes)
    times = time_model(clock(injection_private=private))
    assert times.injection == datetime(2021, 3, 2, 10, 4, 30)
    assert any("(0009,103B)" in remark.message for remark in times.remarks) is told


def test_date_of_another_year_gives_way_to_the_time_of_day() -> None:
    times = time_model(clock(injection=datetime(2020, 3, 2, 10, 4, 30)))
    assert times.injection == datetime(2021, 3, 2, 10, 4, 30)
    (remark,) = times.remarks
    assert (
        "(0018,1078)" in remark.message
        and "(0018,1072)" in remark.message
        and "impossible" in remark.message
    )


def test_small_disagreement_of_injection_tags_is_told_with_both_values() -> None:
    times = time_model(clock(injection_clock=timedelta(hours=10, minutes=2)))
    assert times.injection == datetime(2021, 3, 2, 10, 4, 30)
    assert "10:04:30" in times.remarks[0].message and "10:02:00" in times.remarks[0].message


def test_large_disagreement_of_injection_tags_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"says 10:04:30 and .* 09:00:00"):
        time_model(clock(injection_clock=timedelta(hours=9)))


def test_impossible_injection_is_refused() -> None:
    with pytest.raises(BadDataError, match="impossible"):
        time_model(
            clock(injection=None, injection_clock=timedelta(hours=14, minutes=4, seconds=30))
        )


def test_stated_injection_after_the_scan_is_refused() -> None:
    with pytest.raises(BadDataError, match="stated injection"):
        time_model(clock(stated=datetime(2021, 3, 2, 13, 0)))


def test_admin_factor_that_belongs_to_another_injection_is_refused() -> None:
    wrong = tuple(
        replace(frame, decay_factor=decay_factor(5400 + 1200 + 300 * i, 300, F18_S))
        for i, frame in enumerate(clock().frames)
    )
    with pytest.raises(BadDataError, match=r"-1200 s from the injection"):
        time_model(clock(frames=wrong, decay_correction="ADMIN"))
    stated = datetime(2021, 3, 2, 10, 4, 30)
    times = time_model(clock(frames=wrong, decay_correction="ADMIN", stated=stated))
    assert times.decay_reference_s == pytest.approx(-1200, abs=0.1)
    assert "ADMIN would be 0 s" in times.remarks[0].message


def test_start_factor_that_points_at_the_injection_wins_with_both_values() -> None:
    late = tuple(
        replace(frame, decay_factor=decay_factor(5400 + 300 * i, 300, F18_S))
        for i, frame in enumerate(clock().frames)
    )
    times = time_model(clock(frames=late))
    assert times.decay_reference_s == 0
    assert "5400 s" in times.remarks[0].message


@pytest.mark.parametrize("within", [0.0, 150.0])
def test_factors_of_frame_start_and_middle_are_recognised(within: float) -> None:
    frames = tuple(
        replace(frame, decay_factor=2 ** ((300 * i + within) / F18_S))
        for i, frame in enumerate(clock().frames)
    )
    times = time_model(clock(frames=frames))
    assert times.decay_reference_s == 5400 and times.remarks == ()
    assert "confirmed" in times.sources["ImageDecayCorrectionTime"]


def test_unfilled_factors_are_not_evidence() -> None:
    frames = tuple(replace(frame, decay_factor=1.0) for frame in clock().frames)
    times = time_model(clock(frames=frames, decay_correction="ADMIN"))
    assert times.decay_reference_s == 0
    assert "no usable" in times.sources["ImageDecayCorrectionTime"]


def test_no_decay_correction() -> None:
    times = time_model(clock(decay_correction="NONE", decay_corrected=False))
    assert times.decay_reference_s is None


def test_decay_tags_that_contradict_each_other_are_refused() -> None:
    unproven = tuple(replace(frame, decay_factor=None) for frame in clock().frames)
    with pytest.raises(BadDataError, match="lacks DECY"):
        time_model(clock(decay_corrected=False, frames=unproven))
    with pytest.raises(BadDataError, match=r"DecayCorrection and .* are missing"):
        time_model(clock(decay_correction="", decay_corrected=None, frames=unproven))
    with pytest.raises(BadDataError, match="is 'YES'"):
        time_model(clock(decay_correction="YES"))


def test_factors_say_that_an_image_is_decay_corrected_where_no_other_tag_does() -> None:
    times = time_model(clock(decay_correction="", decay_corrected=None))
    assert times.decay_reference_s == 5400
    assert "confirmed by (0054,1321)" in times.sources["ImageDecayCorrectionTime"]
    assert (
        "according to (0054,1321) DecayFactor the image is decay-corrected"
        in times.remarks[0].message
    )


def test_same_acquisition_time_for_all_frames_falls_back_to_the_reference_time() -> None:
    scan = datetime(2021, 3, 2, 11, 34, 30)
    frames = tuple(replace(frame, start=scan) for frame in clock().frames)
    times = time_model(clock(frames=frames))
    assert times.frame_start_s == pytest.approx((5400, 5700), abs=1e-3)
    assert "FrameReferenceTime" in times.sources["FrameTimesStart"]
    without = tuple(replace(frame, reference_s=0.0, decay_factor=1.0) for frame in frames)
    with pytest.raises(BadDataError, match="tells them apart"):
        time_model(clock(frames=without))


def as_one_clock(data: Dataset) -> None:
    """No tag but the factors tells the frames apart."""
    data.FrameReferenceTime, data.AcquisitionTime = "0", "113430"
    data.TemporalPositionIdentifier = (data.InstanceNumber - 1) // 9 + 1


def test_decay_factors_prove_that_frames_follow_each_other() -> None:
    datasets = list(Pet().datasets())
    for data in datasets:
        as_one_clock(data)
    times = times_of(series_of(datasets))
    assert times.frame_start_s == (5400, 5700, 6000, 6300)
    assert "confirmed by (0054,1321)" in times.sources["FrameTimesStart"]
    paused = list(Pet(frames=[(5400, 300), (5800, 300), (6100, 300), (6400, 300)]).datasets())
    for data in paused:
        as_one_clock(data)
    with pytest.raises(BadDataError, match="tells them apart"):
        times_of(series_of(paused))


def test_a_date_time_at_midnight_sharp_is_a_date() -> None:
    midnight = datetime(2021, 3, 2)
    times = time_model(clock(injection=midnight))
    assert times.injection == datetime(2021, 3, 2, 10, 4, 30)
    assert "(0018,1072)" in times.sources["InjectionStart"]


def test_reference_time_that_contradicts_the_clock_is_told() -> None:
    first, second = clock().frames
    times = time_model(clock(frames=(first, replace(second, reference_s=480.0))))
    assert (
        "frame 2 starts 300 s" in times.remarks[0].message and "+30.4 s" in times.remarks[0].message
    )


def test_overlapping_frames_are_refused() -> None:
    first, second = clock().frames
    with pytest.raises(BadDataError, match="frame 2 is 60 s before the end of frame 1"):
        time_model(clock(frames=(replace(first, duration_s=360.0), second)))


@pytest.mark.parametrize("duration", [0.0, -300.0, 1e9])
def test_absurd_durations_are_refused(duration: float) -> None:
    first, second = clock().frames
    with pytest.raises(BadDataError, match=r"\(0018,1242\)"):
        time_model(clock(frames=(first, replace(second, duration_s=duration))))


def test_kinds_of_acquisition() -> None:
    assert model_of(Pet(n_slices=2)).kind == "static"
    early = [(0, 60), (60, 240), (300, 300)]
    assert model_of(Pet(frames=early, n_slices=2)).kind == "dynamic"
    assert model_of(Pet(frames=[*early, (5400, 600)], n_slices=2)).kind == "dual-window"


MIDNIGHT_PET = Pet(injection=datetime(2021, 12, 31, 22, 25), n_slices=2)  # frames from 23:55 on


@pytest.mark.parametrize(
    "missing",
    [
        ["AcquisitionDate"],
        ["AcquisitionDate", "SeriesDate"],
        ["AcquisitionDate", "SeriesDate", "StudyDate"],
        ["AcquisitionDate", "SeriesDate", "StudyDate", "SeriesTime"],
    ],
)
def test_frames_after_midnight_without_their_dates(missing: list[str]) -> None:
    datasets = list(MIDNIGHT_PET.datasets())
    for data in datasets:
        for keyword in missing:
            delattr(data, keyword)
    times = times_of(series_of(datasets))
    assert times.frame_start_s == (5400, 5700, 6000, 6300)
    assert f"{times.injection:%H:%M:%S}" == "22:25:00"
