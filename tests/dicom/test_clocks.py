"""Clocks as anonymisers and consoles leave them: true times, or a word that names the tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from conversions import injected, series_of, times_of
from dicom_studies import F18_S, Pet
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from bidsapp.bids.stated import StatedTimes
from bidsapp.dicom.scan_times import FrameClock, ScanClock
from bidsapp.dicom.timing import time_model
from bidsapp.errors import BadDataError

STATIC = Pet(frames=[(5400, 600)], n_slices=2)
FOUR = Pet(n_slices=2)


def edited(pet: Pet, change: Callable[[Dataset, int], None]) -> list[Dataset]:
    """Data sets of a PET, changed; the second argument of ``change`` is the number of the frame."""
    datasets = list(pet.datasets())
    for data in datasets:
        change(data, (data.InstanceNumber - 1) // pet.n_slices)
    return datasets


def offset(minutes: int) -> str:
    """An offset from UTC as DICOM writes it."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def starts(pet: Pet) -> tuple[float, ...]:
    return tuple(float(start) for start, _ in pet.frames)


# -------------------------------------------------------------------------------------- zones


@pytest.mark.parametrize("zone", [-300, 60, 345, 570])  # min
@pytest.mark.parametrize("stated", [True, False], ids=["with 0201", "with 1072"])
def test_a_date_time_in_another_zone_is_the_moment_it_says(zone: int, stated: bool) -> None:
    """PS3.5: the suffix is the offset from UTC; times without one count in that of (0008,0201)."""

    def change(data: Dataset, frame: int) -> None:
        in_utc = FOUR.injection - timedelta(minutes=zone)
        injected(data).RadiopharmaceuticalStartDateTime = f"{in_utc:%Y%m%d%H%M%S}+0000"
        if stated:
            data.TimezoneOffsetFromUTC = offset(zone)
            del injected(data).RadiopharmaceuticalStartTime

    times = times_of(series_of(edited(FOUR, change)))
    assert times.injection == FOUR.injection and times.frame_start_s == starts(FOUR)
    assert bool(times.remarks) is not stated
    assert stated or "TimezoneOffsetFromUTC" in times.remarks[0].message


def test_a_zone_that_nothing_ties_to_the_other_times_is_told() -> None:
    def change(data: Dataset, frame: int) -> None:
        injected(data).RadiopharmaceuticalStartDateTime = "20210302090430+0000"
        del injected(data).RadiopharmaceuticalStartTime

    (remark,) = times_of(series_of(edited(FOUR, change))).remarks
    assert (
        "(0018,1078)" in remark.message
        and "UTC+00:00" in remark.message
        and "(0008,0201)" in remark.message
    )


def test_frames_across_the_end_of_summer_time() -> None:
    """Each image says in what zone its own times count."""

    def change(data: Dataset, frame: int) -> None:
        data.TimezoneOffsetFromUTC = "+0200" if frame < 2 else "+0100"
        if frame >= 2:
            moment = FOUR.injection + timedelta(seconds=FOUR.frames[frame][0], hours=-1)
            data.AcquisitionTime = f"{moment:%H%M%S}"

    datasets = edited(FOUR, change)
    assert times_of(series_of(datasets)).frame_start_s == starts(FOUR)


# ------------------------------------------------------------------- frames without their times


def without_acquisition(data: Dataset) -> None:
    for keyword in ("AcquisitionDate", "AcquisitionTime"):
        if keyword in data:
            delattr(data, keyword)


@pytest.mark.parametrize("pet", [STATIC, FOUR, replace(FOUR, frames=[(5400, 60), (5460, 300)])])
@pytest.mark.parametrize("decay", ["START", "ADMIN"])
def test_reference_times_count_from_the_series(pet: Pet, decay: str) -> None:
    """SeriesTime is the injection; a 10-min frame from 90 min has a reference time of 95 min."""
    pet = replace(pet, decay=decay)

    def change(data: Dataset, frame: int) -> None:
        without_acquisition(data)
        start, length = pet.frames[frame]
        data.SeriesTime = f"{pet.injection:%H%M%S}"
        data.FrameReferenceTime = str(round(1000 * (start + length / 2)))

    times = times_of(series_of(edited(pet, change)))
    assert times.frame_start_s == starts(pet)
    assert times.decay_reference_s == (0 if decay == "ADMIN" else pet.frames[0][0])
    assert "(0008,0032)" in times.remarks[0].message and "(0054,1300)" in times.remarks[0].message


@pytest.mark.parametrize("gone", [{0}, {1}, {3}, {0, 2}])
@pytest.mark.parametrize("way", ["reference", "durations"])
def test_frames_that_lost_their_time_lie_where_they_were(gone: set[int], way: str) -> None:
    def change(data: Dataset, frame: int) -> None:
        if frame in gone:
            without_acquisition(data)
        if way == "durations":  # and no decay factor either
            del data.FrameReferenceTime, data.DecayFactor

    times = times_of(series_of(edited(FOUR, change)))
    assert times.frame_start_s == pytest.approx(starts(FOUR), abs=1e-3)
    frames = ", ".join(str(number + 1) for number in sorted(gone))
    assert f"AcquisitionTime is missing in frame {frames};" in times.remarks[0].message


GROWING = [(5400, 60), (5460, 120), (5580, 300), (5880, 600)]
SHRINKING = [(5400, 600), (6000, 300), (6300, 120), (6420, 60)]


@pytest.mark.parametrize("frames", [GROWING, SHRINKING], ids=["growing", "shrinking"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["start", "middle", "end"])
@pytest.mark.parametrize("proof", [True, False], ids=["factors", "no factors"])
def test_the_reference_time_may_be_any_moment_of_a_frame(
    frames: list[tuple[float, float]], share: float, proof: bool
) -> None:
    pet = replace(FOUR, frames=frames)

    def change(data: Dataset, frame: int) -> None:
        data.AcquisitionTime = "113430"  # of the scan
        start, length = frames[frame]
        data.FrameReferenceTime = str(round(1000 * (start - frames[0][0] + share * length)))
        if not proof:
            del data.DecayFactor

    times = times_of(series_of(edited(pet, change)))
    assert times.frame_start_s == starts(pet)
    assert not (proof and times.remarks)


def test_pauses_that_the_factors_prove_are_kept() -> None:
    """Read as starts the frames would touch too little, read as ends they would overlap."""
    pet = replace(FOUR, frames=[(5400, 600), (6050, 300), (6400, 120), (6600, 60)])

    def change(data: Dataset, frame: int) -> None:
        data.AcquisitionTime = "113430"
        data.FrameReferenceTime = str(1000 * (pet.frames[frame][0] - 5400))

    assert times_of(series_of(edited(pet, change))).frame_start_s == starts(pet)


def test_times_that_contradict_the_reference_times_are_refused() -> None:
    def change(data: Dataset, frame: int) -> None:
        if frame == 1:
            without_acquisition(data)
        if frame == 3:
            data.AcquisitionTime = "121500"

    with pytest.raises(BadDataError, match=r"\(0008,0032\).*FrameTimesStart"):
        times_of(series_of(edited(FOUR, change)))


# ------------------------------------------------------------------------- zeros and dummies


def test_times_of_zero_are_removed_times() -> None:
    def all_zero(data: Dataset, frame: int) -> None:
        for kind in ("Study", "Series", "Acquisition"):
            setattr(data, f"{kind}Time", "000000")

    for pet in (STATIC, FOUR):
        with pytest.raises(BadDataError, match=r"\(0008,0032\).*000000"):
            times_of(series_of(edited(pet, all_zero)))

    def injection(data: Dataset, frame: int) -> None:
        injected(data).RadiopharmaceuticalStartDateTime = "20210302000000"
        injected(data).RadiopharmaceuticalStartTime = "000000"

    with pytest.raises(BadDataError, match=r"\(0018,1072\).*000000"):
        times_of(series_of(edited(FOUR, injection)))
    assert times_of(series_of(edited(FOUR, injection)), FOUR.injection).injection == FOUR.injection

    def acquisition(data: Dataset, frame: int) -> None:
        data.AcquisitionTime = "000000"

    times = times_of(series_of(edited(STATIC, acquisition)))
    assert times.frame_start_s == pytest.approx((5400,), abs=1e-3)
    assert "000000" in times.remarks[0].message


@pytest.mark.parametrize("keyword", ["AcquisitionDateTime", "SeriesDate", "AcquisitionDate"])
@pytest.mark.parametrize("value", ["00010101", "REMOVED", "00010101000000.000000"])
def test_a_dummy_costs_nothing_where_another_tag_is_good(keyword: str, value: str) -> None:
    times = times_of(series_of(edited(FOUR, lambda data, frame: setattr(data, keyword, value))))
    assert times.injection == FOUR.injection and times.frame_start_s == starts(FOUR)


@pytest.mark.parametrize("value", ["00010101", "REMOVED", "19000101000000", "20240101100430"])
def test_a_dummy_injection_gives_way_and_gives_no_date_away(value: str) -> None:
    def change(data: Dataset, frame: int) -> None:
        injected(data).RadiopharmaceuticalStartDateTime = value

    times = times_of(series_of(edited(FOUR, change)))
    assert times.injection == FOUR.injection
    assert not any(" h " in remark.message or "days" in remark.message for remark in times.remarks)

    def alone(data: Dataset, frame: int) -> None:
        change(data, frame)
        del injected(data).RadiopharmaceuticalStartTime

    with pytest.raises(BadDataError, match=r"\(0018,1078\)") as error:
        times_of(series_of(edited(FOUR, alone)))
    assert any(word in str(error.value) for word in ("impossible", "missing", "000000"))
    assert times_of(series_of(edited(FOUR, alone)), FOUR.injection).injection == FOUR.injection


def test_one_moment_for_a_single_frame_and_its_injection_is_told() -> None:
    (remark,) = times_of(series_of(replace(STATIC, frames=[(0, 600)]).datasets())).remarks
    assert "very start of the scan" in remark.message


# --------------------------------------------------------------------- the moment of correction


def bare(**changes: object) -> ScanClock:
    """A 10-min frame from 90 min after injection, without a decay factor."""
    scan = datetime(2021, 3, 2, 11, 34, 30)
    plain = ScanClock(
        (FrameClock(scan, 600.0),),
        series_start=scan,
        injection=datetime(2021, 3, 2, 10, 4, 30),
        decay_correction="START",
        decay_corrected=True,
        half_life_s=F18_S,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(("named", "meant"), [("START", 5400.0), ("ADMIN", 0.0)])
@pytest.mark.parametrize("off", [-5.001, -5.0, 0.0, 4.0, 5.0, 5.001, 300.0])
def test_without_factors_a_stated_moment_wins_where_it_differs(
    named: str, meant: float, off: float
) -> None:
    """Within 5 s it is the moment the name means; beyond, it is used and told."""
    injection = datetime(2021, 3, 2, 10, 4, 30)
    moment = injection + timedelta(seconds=meant + off)
    times = time_model(bare(decay_correction=named, decay_moment=moment))
    if abs(off) <= 5:
        assert times.decay_reference_s == meant and times.remarks == ()
        assert "no usable" in times.sources["ImageDecayCorrectionTime"]
    else:
        assert times.decay_reference_s == pytest.approx(meant + off)
        assert times.sources["ImageDecayCorrectionTime"].startswith("(0018,9701)")
        (remark,) = times.remarks
        assert (
            f"{meant:g} s after injection" in remark.message and "latter was used" in remark.message
        )


def test_a_moment_that_is_none_of_this_scan_is_ignored_and_told() -> None:
    for moment in (datetime(2021, 3, 2, 12, 1), datetime(1900, 1, 1), datetime(2050, 1, 1)):
        times = time_model(bare(decay_moment=moment))
        assert times.decay_reference_s == 5400
        assert "(0018,9701)" in times.remarks[0].message and "ignored" in times.remarks[0].message


# ------------------------------------------------------------------------------- stated times


def no_clock(data: Dataset, frame: int) -> None:
    for keyword in (
        *("AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime", "StudyDate"),
        *("StudyTime", "FrameReferenceTime"),
    ):
        if keyword in data:
            delattr(data, keyword)
    for keyword in ("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"):
        delattr(injected(data), keyword)


def test_a_pet_without_any_clock_goes_by_what_the_user_states() -> None:
    datasets = edited(FOUR, no_clock)
    with pytest.raises(BadDataError, match="FrameTimesStart in a --dicom-metadata"):
        times_of(series_of(datasets))
    stated = StatedTimes(frame_start_s=starts(FOUR), durations_s=(300.0,) * 4)
    times = times_of(series_of(datasets), stated=stated)
    assert times.frame_start_s == starts(FOUR) and times.frame_duration_s == (300,) * 4
    assert times.decay_reference_s == 5400
    assert "FrameTimesStart, FrameDuration: stated by the user" in times.remarks[0].message
    assert "stated" in times.sources["FrameTimesStart"] and "stated" in times.sources["ScanStart"]
    one = times_of(series_of(edited(STATIC, no_clock)), stated=StatedTimes(scan_start_s=5400.0))
    assert one.frame_start_s == (5400,)


def test_a_stated_start_moves_frames_that_the_headers_tell_apart() -> None:
    times = times_of(series_of(list(FOUR.datasets())), stated=StatedTimes(scan_start_s=5460.0))
    assert times.frame_start_s == (5460, 5760, 6060, 6360)
    assert "5400 s after the injection" in times.remarks[1].message


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (StatedTimes(frame_start_s=(5400.0,)), "has 1 values, but 4 frames"),
        (StatedTimes(durations_s=(300.0,)), "has 1 values, but 4 frames"),
        (StatedTimes(frame_start_s=(5400.0, 5500.0, 5600.0, 5700.0)), "before the end of frame 1"),
        (StatedTimes(scan_start_s=-3600.0), "after the start of the scan"),
        (StatedTimes(durations_s=(0.3,) * 4), "stated FrameDuration"),
        (StatedTimes(scan_start_s=5400.0), "state FrameTimesStart"),
    ],
)
def test_stated_times_that_cannot_be_are_refused(stated: StatedTimes, said: str) -> None:
    datasets = list(FOUR.datasets())
    if said == "state FrameTimesStart":
        datasets = edited(FOUR, no_clock)
        for data in datasets:
            del data.DecayFactor  # which would prove that the frames touch
    with pytest.raises(BadDataError, match=said):
        times_of(series_of(datasets), stated=stated)


# --------------------------------------------------------------------------------- all together


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Pet, list[Dataset], set[str]]:
    """A scan of a person whose tags went through an anonymiser; the tags it touched."""
    injection = draw(st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1)))
    injection = injection.replace(microsecond=1000 * draw(st.integers(1, 999)))
    durations = draw(st.lists(st.integers(10, 900), min_size=1, max_size=4))
    first = draw(st.integers(600, 20_000))
    frames = [(first + sum(durations[:i]), d) for i, d in enumerate(durations)]
    if injection.time() == time():
        injection += timedelta(milliseconds=1)
    pet = Pet(
        injection=injection,
        frames=frames,
        decay=draw(st.sampled_from(["START", "ADMIN"])),
        reference=draw(st.sampled_from(["start", "zero", "absent"])),
        injection_tags=draw(st.sampled_from(["both", "datetime", "time"])),
        n_slices=2,
    )
    zone = draw(st.sampled_from([None, 0, 60, -300, 330]))
    zoned = draw(st.booleans())  # date-times in UTC
    ways = draw(
        st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "AcquisitionDate",
                        "AcquisitionTime",
                        "SeriesDate",
                        "SeriesTime",
                        "StudyDate",
                    ),
                    *("StudyTime", "AcquisitionDateTime", "RadiopharmaceuticalStartDateTime"),
                    *("RadiopharmaceuticalStartTime", "FrameReferenceTime", "DecayFactor"),
                ]
            ),
            st.sampled_from(["missing", "zeroed", "dummy", "text", "shifted", "first"]),
            max_size=3,
        )
    )
    days = draw(st.integers(400, 9000))
    datasets = list(pet.datasets())
    for data in datasets:
        frame = (data.InstanceNumber - 1) // pet.n_slices
        data.AcquisitionDateTime = data.AcquisitionDate + data.AcquisitionTime
        if zone is not None and zoned:
            data.TimezoneOffsetFromUTC = offset(zone)
            moment = injection + timedelta(seconds=frames[frame][0], minutes=-zone)
            data.AcquisitionDateTime = f"{moment:%Y%m%d%H%M%S.%f}+0000"
            if "RadiopharmaceuticalStartDateTime" in injected(data):
                in_utc = injection - timedelta(minutes=zone)
                injected(data).RadiopharmaceuticalStartDateTime = f"{in_utc:%Y%m%d%H%M%S.%f}+0000"
        for keyword, way in ways.items():
            spoil(
                injected(data) if keyword.startswith("Radio") else data,
                keyword,
                way,
                days,
                frame,
            )
    return pet, datasets, set(ways)


def spoil(data: Dataset, keyword: str, way: str, days: int, frame: int) -> None:
    if keyword not in data or (way == "first" and frame):
        return
    text = str(data[keyword].value)
    if way in ("missing", "first"):
        delattr(data, keyword)
    elif keyword in ("FrameReferenceTime", "DecayFactor"):
        setattr(data, keyword, "0" if keyword.startswith("Frame") else "1")
    elif way == "shifted" and "Date" in keyword:
        day = datetime.strptime(text[:8], "%Y%m%d") - timedelta(days=days)
        setattr(data, keyword, f"{day:%Y%m%d}{text[8:]}")
    elif way == "zeroed":
        zero = (
            "000000" if keyword.endswith("Time") and "Date" not in keyword else text[:8] + "000000"
        )
        setattr(data, keyword, zero if "Time" in keyword else text)
    elif way == "dummy":
        setattr(data, keyword, "00010101" if "Date" in keyword else "000000")
    elif way == "text":
        setattr(data, keyword, "REMOVED")


@given(spoiled())
@settings(max_examples=150)
def test_true_times_or_a_word_that_names_the_tag(case: tuple[Pet, list[Dataset], set[str]]) -> None:
    pet, datasets, touched = case
    try:
        times = times_of(series_of(datasets))
    except BadDataError as error:
        assert "(0" in str(error), error
        assert touched, error  # an unspoiled scan is not refused
        return
    day = timedelta(days=1)  # the date may be gone
    apart = (times.injection - pet.injection + day / 2) % day - day / 2
    off = [
        apart.total_seconds(),
        *(a - b for a, (b, _) in zip(times.frame_start_s, pet.frames, strict=True)),
        *(a - b for a, (_, b) in zip(times.frame_duration_s, pet.frames, strict=True)),
        (times.decay_reference_s or 0.0) - (0.0 if pet.decay == "ADMIN" else pet.frames[0][0]),
    ]
    exact = max(map(abs, off)) <= 1e-3
    assert exact or any("(0" in remark.message for remark in times.remarks), (off, touched)
    if not touched:
        assert exact and times.remarks == ()
