"""What is flagged of a scan that does not fit the window of its tracer."""

from dataclasses import replace

import pytest

from bidsapp.bids.windows import deviations
from bidsapp.core.frames.frames import WindowRule, choose_frames, refusal

RULE = WindowRule(tolerance_s=60.0, min_coverage=0.5, max_outside=0.5)
FBP, FBB, PIB = (3000.0, 3600.0), (5400.0, 6600.0), (3000.0, 4200.0)


@pytest.mark.parametrize(
    ("start", "duration", "window", "code", "words"),
    [
        ([5400], [600], FBB, "window-partial", "5.0 min early, which lowers"),
        ([6000], [900], FBB, "window-shifted", "late, which raises"),
        ([5100], [1800], FBB, "window-shifted", "averaged: 6.7 min of the mean are outside it; the "
                                               "middle is kept, so little effect"),
        ([3000], [1200], FBP, "window-shifted", "5.0 min late, which raises"),
        ([2400, 3000], [600, 600], PIB, "window-partial", "5.0 min early, which lowers"),
    ],
)  # fmt: skip
def test_deviations_tell_direction_size_and_effect(start, duration, window, code, words):
    choice = choose_frames(start, duration, window)
    assert refusal(choice, window, RULE) is None
    (flag,) = deviations(choice, window, RULE)
    assert flag.code == code and words in flag.message


def test_a_scan_of_the_window_has_none():
    assert deviations(choose_frames([5400, 5700, 6000, 6300], [300] * 4, FBB), FBB, RULE) == ()


def test_deviations_count_what_is_missing_and_what_lies_outside():
    """By hand: 100 to 112 min of 90 to 110; a sixth of the frame, which counts ten minutes."""
    (flag,) = deviations(choose_frames([6000], [720], FBB), FBB, RULE)
    assert flag.message.startswith(
        "the tracer's window is 90 to 110 min after injection, but frames at 100 to 112 min were "
        "averaged: 10.0 min of the window are missing and 1.7 min of the mean are outside it; the "
        "mean is taken 6.0 min late, "
    )


def test_a_deviation_as_large_as_the_tolerance_is_within_it():
    choice = choose_frames([0], [600], (0.0, 1200.0))
    for tolerance_s, number in ((601.0, 0), (600.0, 0), (599.0, 1)):
        rule = replace(RULE, tolerance_s=tolerance_s)
        assert len(deviations(choice, (0.0, 1200.0), rule)) == number
    choice = choose_frames([0], [1200], (0.0, 600.0))  # half outside: 300 s of the mean's 600
    for tolerance_s, number in ((301.0, 0), (300.0, 0), (299.0, 1)):
        rule = replace(RULE, tolerance_s=tolerance_s)
        assert len(deviations(choice, (0.0, 600.0), rule)) == number


def test_a_mean_taken_elsewhere_tells_how_far():
    choice = choose_frames([0, 900], [900, 900], FBP, average_over=(1200, 1800))
    (flag,) = deviations(choice, FBP, RULE)
    assert flag.code == "window-shifted" and "32.5 min early" in flag.message
