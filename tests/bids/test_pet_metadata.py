import math
from pathlib import Path

import numpy as np
import pytest

from bidsapp.bids.pet_metadata import (
    activity_unit,
    check_decay,
    clock_seconds,
    common_decay_factors,
    missing_keys,
    read_timing,
    suv_factor,
)
from bidsapp.bids.sidecar_times import settled_frames
from bidsapp.core.frames.decay import decay_factors, moments_within
from bidsapp.errors import BadDataError

PET = Path("sub-01_pet.nii.gz")


def test_times_count_from_the_injection_not_from_time_zero(pet_sidecar):
    shifted = pet_sidecar | {
        "TimeZero": "11:30:00",
        "ScanStart": 0,
        "InjectionStart": -5400,
        "FrameTimesStart": [0, 600],
        "ImageDecayCorrectionTime": 0,
    }
    one, other = read_timing(pet_sidecar, PET, 2), read_timing(shifted, PET, 2)
    assert one == other
    assert one.frame_start_s == (5400, 6000)
    assert one.decay_reference_s == 5400
    assert one.injection_clock_s == 10 * 3600


def test_on_another_clock_every_time_moves(pet_sidecar):
    own_starts = read_timing(pet_sidecar, PET, 2).followed_by(
        read_timing(pet_sidecar | {"ImageDecayCorrectionTime": 6000}, PET, 2)
    )
    moved = own_starts.shifted(90.0)
    assert moved.frame_start_s == (5490, 6090) * 2 and moved.decay_reference_s == 5490
    assert own_starts.frame_reference_s == (5400, 5400, 6000, 6000)
    assert moved.frame_reference_s == (5490, 5490, 6090, 6090)
    assert (own_starts.injection_clock_s, moved.injection_clock_s) == (36000, 35910)
    assert moved.shifted(-90.0) == own_starts


def test_injection_before_midnight(pet_sidecar):
    sidecar = pet_sidecar | {"TimeZero": "00:10:00", "InjectionStart": -1800, "ScanStart": 3600}
    assert read_timing(sidecar, PET, 2).injection_clock_s == 23 * 3600 + 40 * 60


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("FrameTimesStart", None, "missing"),
        ("FrameTimesStart", 5400, "list"),
        ("FrameTimesStart", ["5400", "90 min"], "list"),
        ("FrameTimesStart", [5400, math.nan], "list"),
        ("FrameTimesStart", [5400, True], "list"),
        ("FrameTimesStart", [5400], "1 values but the image has 2 frames"),
        ("FrameDuration", [600, 600, 600], "3 values but the image has 2 frames"),
        ("FrameDuration", {"a": 1}, "list"),
        ("InjectionStart", None, "missing"),
        ("InjectionStart", "n/a", "number"),
        ("InjectionStart", False, "number"),
        ("ScanStart", 7000, "before ScanStart"),
        ("Units", 3, "text"),
        ("Units", None, "missing"),
        ("ImageDecayCorrected", "DECY", "true or false"),
        ("ImageDecayCorrected", None, "missing"),
        ("ImageDecayCorrectionTime", None, "missing"),
    ],
)
def test_a_wrong_field_is_named(pet_sidecar, field, value, hint):
    sidecar = {k: v for k, v in (pet_sidecar | {field: value}).items() if v is not None}
    with pytest.raises(BadDataError) as caught:
        read_timing(sidecar, PET, 2)
    assert field in str(caught.value)
    assert hint in str(caught.value)
    assert str(PET) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_decay_correction_there_is_no_reference_time(pet_sidecar):
    sidecar = {k: v for k, v in pet_sidecar.items() if k != "ImageDecayCorrectionTime"}
    timing = read_timing(sidecar | {"ImageDecayCorrected": False}, PET, 2)
    assert (timing.decay_corrected, timing.decay_reference_s) == (False, None)


@pytest.mark.parametrize(
    "text",
    ["", None, "10:00", "24:00:00", "10:60:00", "10:00:60", "10:00:-1", "ten", 36000, "10:00:0:0"],
)
def test_what_is_no_clock_time(text):
    assert clock_seconds(text) is None


def codes(timing):
    return [finding.code for finding in timing.findings]


FROM_SCAN = {"FrameTimesStart": [0, 600], "ScanStart": 5400}


@pytest.mark.parametrize(
    "proof", [{"AcquisitionTime": "11:30:00.000"}, {"ConversionSoftware": "dcm2niix"}]
)
def test_frame_times_that_count_from_the_scan_are_read_so_where_it_is_proven(pet_sidecar, proof):
    timing = read_timing(pet_sidecar | FROM_SCAN | proof, PET, 2)
    assert timing.frame_start_s == (5400, 6000)
    assert codes(timing) == ["frame-times"]


@pytest.mark.parametrize("proof", [{}, {"AcquisitionTime": "10:00:00"}])
def test_frame_times_that_count_from_who_knows_where_are_refused(pet_sidecar, proof):
    with pytest.raises(BadDataError, match="before ScanStart"):
        read_timing(pet_sidecar | FROM_SCAN | proof, PET, 2)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("FrameDuration", [600_000, 600_000], "not in ms"),
        ("FrameDuration", [600, 0], "cannot be seconds"),
        ("InjectionStart", 6600, "after the scan has ended"),
        ("InjectionStart", -80000, "h before it"),
        ("Units", "CNTS", "counts are not activity"),
    ],
)
def test_what_cannot_be_is_refused(pet_sidecar, field, value, hint):
    with pytest.raises(BadDataError, match=hint):
        read_timing(pet_sidecar | {field: value}, PET, 2)


def test_durations_in_minutes_are_recognised(pet_sidecar):
    times = {"FrameTimesStart": [5400, 5700, 6000], "FrameDuration": [5, 5, 5]}
    with pytest.raises(BadDataError, match="in minutes"):
        read_timing(pet_sidecar | times, PET, 3)


@pytest.mark.parametrize("ends", [[5700, 6000, 6600], [300, 600, 1200]])
def test_ends_of_frames_are_read_as_such_where_lengths_would_overlap(pet_sidecar, ends):
    times = {"FrameTimesStart": [5400, 5700, 6000], "FrameDuration": ends}
    timing = read_timing(pet_sidecar | times, PET, 3)
    assert timing.frame_duration_s == (300, 300, 600)
    (finding,) = timing.findings
    assert (
        finding.code == "frame-times" and "has the end of each of the 3 frames" in finding.message
    )


GROWING = (60.0, 120.0, 300.0, 600.0), (5400.0, 5460.0, 5580.0, 5880.0)


@pytest.mark.parametrize("scan_start", [5400, None])
@pytest.mark.parametrize("convention", [0, 1])
def test_moments_within_frames_are_not_their_starts(pet_sidecar, convention, scan_start):
    lengths, starts = GROWING
    moments = [
        start + moments_within(length, 6586.2)[convention]
        for start, length in zip(starts, lengths, strict=True)
    ]
    times = {"FrameTimesStart": moments, "FrameDuration": list(lengths), "ScanStart": scan_start}
    timing = read_timing(pet_sidecar | times, PET, 4, None, 6586.2)
    assert timing.frame_start_s == pytest.approx(starts, abs=1e-6)
    assert codes(timing) == ["frame-times"] and "a time within" in timing.findings[0].message


@pytest.mark.parametrize("convention", [0, 1])
def test_moments_that_count_from_the_scan_need_a_proof_as_starts_do(pet_sidecar, convention):
    lengths, starts = GROWING
    moments = [
        start - 5400 + moments_within(length, 6586.2)[convention]
        for start, length in zip(starts, lengths, strict=True)
    ]
    times = {"FrameTimesStart": moments, "FrameDuration": list(lengths), "ScanStart": 5400}
    with pytest.raises(BadDataError, match="before ScanStart at 5400 s"):
        read_timing(pet_sidecar | times, PET, 4, None, 6586.2)
    proven = pet_sidecar | times | {"ConversionSoftware": "dcm2niix"}
    timing = read_timing(proven, PET, 4, None, 6586.2)
    assert timing.frame_start_s == pytest.approx(starts, abs=1e-6)
    assert codes(timing) == ["frame-times", "frame-times"]


def test_moments_of_equal_frames_are_shown_by_the_start_of_the_scan(pet_sidecar):
    times = {"FrameTimesStart": [5700, 6300]}
    timing = read_timing(pet_sidecar | times, PET, 2, None, 6586.2)
    assert timing.frame_start_s == (5400, 6000)  # not by the mean of decay, 1.6 s earlier
    later = read_timing(pet_sidecar | times | {"ScanStart": 5500}, PET, 2)
    assert later.frame_start_s == (5700, 6300) and codes(later) == ["frame-times"]


@pytest.mark.parametrize(
    ("moment", "start"),
    [(594.5, 5400), (600, 6000)],  # the middle may be where the end of a longer scan begins
)
def test_the_moment_of_one_frame_is_shown_by_decay_alone(pet_sidecar, moment, start):
    mean = moments_within(1200, 6586.2)[0]
    assert mean == pytest.approx(593.7, abs=0.05)
    times = {"FrameTimesStart": 5400 + moment, "FrameDuration": 1200}
    timing = read_timing(pet_sidecar | times, PET, 1, None, 6586.2)
    assert timing.frame_start_s[0] == pytest.approx(start, abs=1)


@pytest.mark.parametrize(
    ("listed", "starts"),
    [([86399, 599, 1199], (-34, 566, 1166)), ([0, 600, -85200], (-33, 567, 1167))],
)
def test_starts_that_jump_by_a_day_follow_each_other(pet_sidecar, listed, starts):
    times = {"FrameTimesStart": listed, "FrameDuration": [600, 600, 600], "ScanStart": None}
    timing = read_timing(pet_sidecar | times | {"InjectionStart": 33}, PET, 3)
    assert timing.frame_start_s == pytest.approx(starts)
    assert "frame-times" in codes(timing)


@pytest.mark.parametrize("listed", [[5400, 1e8], [5400, 86400 + 7000]])
def test_starts_that_jump_elsewhere_are_refused(pet_sidecar, listed):
    with pytest.raises(BadDataError, match="more than 12 h"):
        read_timing(pet_sidecar | {"FrameTimesStart": listed}, PET, 2)


def test_numbers_and_truth_values_in_text_are_read(pet_sidecar):
    text = {"FrameTimesStart": ["5400", "6000"], "InjectionStart": "0", "ScanStart": "5400.0"}
    timing = read_timing(pet_sidecar | text | {"ImageDecayCorrected": "True"}, PET, 2)
    assert timing.decay_corrected is True and timing.frame_start_s == (5400, 6000)
    (finding,) = timing.findings
    assert finding.code == "sidecar-text"
    assert finding.message.startswith(
        "FrameTimesStart, ScanStart, InjectionStart, ImageDecayCorrected: given as text"
    )


def test_times_of_day_are_read_where_one_is_time_zero(pet_sidecar):
    text = {"TimeZero": "10:00:00", "ScanStart": "11:30:00", "InjectionStart": "10:00:00"}
    timing = read_timing(pet_sidecar | text, PET, 2)
    assert timing.frame_start_s == (5400, 6000) and codes(timing) == ["sidecar-text"]
    night = {"TimeZero": "23:00:00", "ScanStart": "00:30:00", "InjectionStart": "23:00:00"}
    assert read_timing(pet_sidecar | night, PET, 2).frame_start_s == (5400, 6000)
    with pytest.raises(BadDataError, match="ScanStart must be a number"):
        read_timing(pet_sidecar | {"ScanStart": "01:30:00"}, PET, 2)


def test_one_duration_is_that_of_all_frames_where_it_takes_from_one_to_the_next(pet_sidecar):
    timing = read_timing(pet_sidecar | {"FrameDuration": 600}, PET, 2)
    assert timing.frame_duration_s == (600, 600)
    assert timing.findings[0].message.startswith(
        "The 2 frames were assumed to be equally long, 600 s"
    )
    for duration in (300, "10 min", [600]):
        with pytest.raises(BadDataError, match="FrameDuration"):
            read_timing(pet_sidecar | {"FrameDuration": duration}, PET, 2)


def test_frames_with_pauses_stay_where_they_are(pet_sidecar):
    # the second by chance as far apart as the middles of frames would be
    for starts in ([5400, 6000, 7200], [5400, 5850, 6450]):
        times = {"FrameTimesStart": starts, "FrameDuration": [300, 600, 600]}
        timing = read_timing(pet_sidecar | times, PET, 3, None, 6586.2)
        assert timing.frame_start_s == tuple(starts) and codes(timing) == []
    two = {"FrameTimesStart": [5400, 5850], "FrameDuration": [300, 600], "ScanStart": None}
    assert read_timing(pet_sidecar | two, PET, 2, None, 6586.2).frame_start_s == (5400, 5850)


@pytest.mark.parametrize("nothing", [None, [], "n/a"])
def test_one_frame_of_which_no_start_is_listed_begins_with_the_scan(pet_sidecar, nothing):
    sidecar = pet_sidecar | {"FrameTimesStart": nothing, "FrameDuration": 1200}
    assert read_timing(sidecar, PET, 1).frame_start_s == (5400,)
    unlisted = {k: v for k, v in sidecar.items() if k != "FrameTimesStart"}
    assert missing_keys(unlisted) == missing_keys(unlisted | {"FrameDuration": [1200]}) == []


@pytest.mark.parametrize(
    ("starts", "durations"),
    [
        ([0, 300], [300, 600]),
        ([5400, 5700, 6000], [600, 600, 600]),
        ([0, 300, 600], [300, 500, 800]),
    ],
)
def test_lengths_that_may_be_lengths_stay(starts, durations):
    sidecar = {"FrameTimesStart": starts, "FrameDuration": durations}
    assert settled_frames(sidecar, len(starts)) == (sidecar, [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ScanStart": 5000}, "frame-times"),
        ({"InjectedRadioactivity": 3.678e8}, "dose"),
        ({"Units": "SUV"}, "units"),
        ({"ModeOfAdministration": "Bolus-Infusion"}, "infusion"),
        ({"TimeZero": "ten"}, "sidecar-incomplete"),
        ({"DecayCorrectionFactor": [1, 1]}, "decay-correction"),
        ({"DecayCorrectionFactor": [3.0, 1.5]}, "decay-correction"),
        ({"DecayCorrectionFactor": [1.03, 1.1, 1.17]}, "decay-correction"),
        ({"DecayFactor": ["1.03", "1.1"]}, "decay-correction"),
        ({"DecayCorrectionFactor": [0, 1.1]}, "decay-correction"),
        ({"DecayFactor": list(decay_factors((5400, 6000), (600, 600), 6586.2, 0))},
         "decay-correction"),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_told(pet_sidecar, change, code):
    sidecar = pet_sidecar | change
    timing = check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2)
    assert codes(timing) == [code]
    assert timing.frame_start_s == (5400, 6000)


@pytest.mark.parametrize("nothing", ["n/a", "", None, math.nan])
def test_a_scan_start_that_says_nothing_is_none(pet_sidecar, nothing):
    timing = read_timing(pet_sidecar | {"ScanStart": nothing}, PET, 2)
    assert timing == read_timing(pet_sidecar, PET, 2)


@pytest.mark.parametrize("nothing", ["n/a", None, math.nan, [], [1.8]])
def test_factors_that_nobody_gives_need_no_word(pet_sidecar, nothing):
    sidecar = pet_sidecar | {"DecayCorrectionFactor": nothing}
    assert check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2).findings == ()


def test_a_complete_sidecar_needs_no_word(pet_sidecar):
    factors = decay_factors((0, 600), (600, 600), 6586.2, 0)
    sidecar = pet_sidecar | {"DecayCorrectionFactor": [round(f, 5) for f in factors]}
    timing = check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2)
    assert timing.findings == () and common_decay_factors(timing, 6586.2) is None


def test_missing_keys_are_named_once(pet_sidecar):
    del pet_sidecar["InjectedMass"], pet_sidecar["ScanStart"]
    (finding,) = read_timing(pet_sidecar, PET, 2).findings
    assert "InjectedMass, ScanStart" in finding.message


def test_a_static_image_may_have_numbers_for_lists(pet_sidecar):
    sidecar = pet_sidecar | {"FrameTimesStart": 5400, "FrameDuration": 1200}
    assert read_timing(sidecar, PET, 1).frame_duration_s == (1200,)
    del sidecar["FrameTimesStart"]
    assert read_timing(sidecar, PET, 1).frame_start_s == (5400,)


def test_frames_corrected_to_their_own_starts_are_brought_to_one_time(pet_sidecar):
    """Activity that only decays is the same in all frames once corrected to one time."""
    own = decay_factors((0,), (600,), 6586.2, 0) * 2
    sidecar = pet_sidecar | {"DecayCorrectionFactor": list(own)}
    timing = check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2)
    assert codes(timing) == ["decay-correction"]
    at_start = np.exp2(-np.array([5400, 6000]) / 6586.2)
    same = at_start * common_decay_factors(timing, 6586.2)
    assert same[0] == pytest.approx(same[1], rel=1e-12)


def test_factors_of_an_image_that_is_said_not_to_be_corrected_are_refused(pet_sidecar):
    factors = decay_factors((0, 600), (600, 600), 6586.2, 0)
    sidecar = pet_sidecar | {"ImageDecayCorrected": False, "DecayCorrectionFactor": list(factors)}
    with pytest.raises(BadDataError, match="correct the wrong one"):
        check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2)


@pytest.mark.parametrize("factors", [[1.8, 1.8], [1.8]])
def test_one_factor_of_an_image_that_is_said_not_to_be_corrected_is_told(pet_sidecar, factors):
    sidecar = pet_sidecar | {"ImageDecayCorrected": False, "DecayCorrectionFactor": factors}
    timing = check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2)
    assert codes(timing) == ["decay-correction"] and not timing.decay_corrected
    assert "DecayCorrectionFactor is 1.8 though ImageDecayCorrected" in timing.findings[0].message


@pytest.mark.parametrize("factors", [[1, 1], [1.0], [1.0004, 1.0]])
def test_factors_of_one_say_not_corrected(pet_sidecar, factors):
    sidecar = pet_sidecar | {"ImageDecayCorrected": False, "DecayFactor": factors}
    assert check_decay(read_timing(sidecar, PET, 2), sidecar, 6586.2).findings == ()


@pytest.mark.parametrize("unit", ["mBq/mL", "mbq/ml", "mBqml", "mBq·mL⁻¹"])
def test_millibecquerels_are_read_as_mega_and_told(pet_sidecar, unit):
    timing = read_timing(pet_sidecar | {"Units": unit}, PET, 2)
    assert timing.units == "MBq/mL" and codes(timing) == ["unit-prefix"]
    assert f"Units is {unit!r}" in timing.findings[0].message


@pytest.mark.parametrize(
    ("unit", "read"),
    [("MBq/mL", "MBq/mL"), ("MBQML", "MBq/mL"), ("kbq/ml", "kBq/mL"), ("KBQ/ML", "kBq/mL"),
     ("uci/ml", "uCi/mL"), ("NCI/CC", "nCi/mL"), ("mCi/mL", "mCi/mL")],
)  # fmt: skip
def test_letters_that_leave_no_doubt_need_no_word(pet_sidecar, unit, read):
    timing = read_timing(pet_sidecar | {"Units": unit}, PET, 2)
    assert timing.units == read and timing.findings == ()


@pytest.mark.parametrize(
    ("change", "code", "factor"),
    [
        ({"InjectedRadioactivity": "300"}, [], 80 / 3e5),
        ({"InjectedRadioactivity": [300]}, [], 80 / 3e5),
        ({"InjectedRadioactivityUnits": "mBq"}, ["unit-prefix"], 80 / 3e5),
        ({"InjectedRadioactivity": 8, "InjectedRadioactivityUnits": "µCi"}, ["dose"], None),
        ({"InjectedRadioactivity": 8000, "InjectedRadioactivityUnits": "µCi"}, [], 80 / 2.96e5),
        ({"InjectedRadioactivity": "300 MBq"}, ["dose"], None),
        ({"InjectedRadioactivity": [150, 150]}, ["dose"], None),
        ({"InjectedRadioactivity": "n/a"}, [], None),
        (
            {"InjectedRadioactivity": 666, "InjectedMass": 666, "SpecificRadioactivity": 666},
            ["dose"],
            None,
        ),
        ({"InjectedRadioactivity": 300, "InjectedMass": 300}, [], 80 / 3e5),
    ],
)
def test_a_dose_is_read_or_told(pet_sidecar, change, code, factor):
    sidecar = pet_sidecar | change
    assert codes(read_timing(sidecar, PET, 2)) == code
    assert suv_factor(sidecar, 80.0) == (factor and pytest.approx(factor, rel=1e-12))


@pytest.mark.parametrize(("value", "read"), [("F18", "F18"), (["F18"], "F18"), (18, "18")])
def test_a_radionuclide_is_read_in_any_type(pet_sidecar, value, read):
    assert read_timing(pet_sidecar | {"TracerRadionuclide": value}, PET, 2).radionuclide == read


@pytest.mark.parametrize(
    ("text", "factor"),
    [("Bq/mL", 1), ("BQML", 1), ("Bq/cc", 1), ("kBq/ml", 1e3), ("nCi/cc", 37), ("Bq mL-1", 1),
     ("kBq.mL-1", 1e3), ("Bq·mL⁻¹", 1), ("Bq per mL", 1), ("Bq/cm³", 1), ("µCi/mL", 3.7e4),
     ("μCi/cc", 3.7e4), ("mCi/mL", 3.7e7), ("GBq/mL", 1e9), ("Bq/L", None), ("MLML", None),
     ("g/mL", None), ("SUV", None), ("Bq", None), ("", None)],
)  # fmt: skip
def test_units_of_activity(text, factor):
    assert activity_unit(text) == factor


@pytest.mark.parametrize("text", ["PROPCNTS", "raw counts", "Counts/voxel", "kcounts", "cnt"])
def test_counts_in_any_words_are_refused(pet_sidecar, text):
    with pytest.raises(BadDataError, match="counts are not activity"):
        read_timing(pet_sidecar | {"Units": text}, PET, 2)


@pytest.mark.parametrize("text", ["counts/s", "counts per second", "COUNTS_SEC", "cps", "SUVR"])
def test_rates_and_ratios_are_told(pet_sidecar, text):
    timing = read_timing(pet_sidecar | {"Units": text}, PET, 2)
    assert codes(timing) == ["units"] and timing.units == text


@pytest.mark.parametrize("text", ["BQML", "Bq·mL⁻¹", "bq per ml"])
def test_one_unit_has_one_spelling(pet_sidecar, text):
    assert read_timing(pet_sidecar | {"Units": text}, PET, 2).units == "Bq/mL"
