import math
from pathlib import Path

import pytest

from bidsapp.bids.pet_metadata import clock_seconds, read_timing
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


def test_injection_before_midnight(pet_sidecar):
    sidecar = pet_sidecar | {"TimeZero": "00:10:00", "InjectionStart": -1800, "ScanStart": 3600}
    assert read_timing(sidecar, PET, 2).injection_clock_s == 23 * 3600 + 40 * 60


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("FrameTimesStart", None, "missing"),
        ("FrameTimesStart", 5400, "list"),
        ("FrameTimesStart", ["5400", "6000"], "list"),
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
        ("ImageDecayCorrected", "true", "true or false"),
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


@pytest.mark.parametrize("text", ["", None, "10:00", "25:00:00", "ten", 36000, "10:00:00:00"])
def test_what_is_no_clock_time(text):
    assert clock_seconds(text) is None
