"""Frames of the uptake window: weights against an oracle of its own, means, decay, sentences."""

from fractions import Fraction

import numpy as np
import pytest

from bidsapp.core.frames.decay import decay_factors
from bidsapp.core.frames.frames import (
    WindowRule,
    average,
    choose_frames,
    drift_per_min,
    nearest_window,
    off_window_s,
    outlying_frame,
    refusal,
    weighted_mean,
)
from bidsapp.errors import BadDataError

RULE = WindowRule(tolerance_s=60.0, min_coverage=0.5, max_outside=0.5)
FBP, FBB, PIB = (3000.0, 3600.0), (5400.0, 6600.0), (3000.0, 4200.0)


def frames(data):
    """Last axis first."""
    return iter(np.moveaxis(np.asarray(data), -1, 0))


def minutes_inside(start, end, window):
    """Length of an intersection by its ends, as exact fractions."""
    first, last = max(Fraction(start), Fraction(window[0])), min(Fraction(end), Fraction(window[1]))
    return max(last - first, Fraction(0))


def schedule(seed):
    """A schedule as scanners make them: short frames first, breaks, odd starts."""
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:  # static, one to six frames around a window
        duration = rng.choice([60.0, 120.0, 300.0, 600.0, 1200.0], rng.integers(1, 7))
        start = float(rng.integers(1200, 7200)) + rng.choice([0, 0.25, 0.5])
    elif kind == 1:  # dynamic from the injection, with delay
        duration = np.repeat([5, 15, 30, 60, 180, 300, 600.0], rng.integers(1, 7, 7))
        start = float(rng.integers(-30, 60)) / 4
    elif kind == 2:  # two parts with a break
        duration = np.repeat([15, 60, 300.0], rng.integers(1, 6, 3))
        start = 0.0
    else:  # anything in eighths of a second
        duration = rng.integers(8, 8000, rng.integers(1, 40)) / 8
        start = rng.integers(0, 40000) / 8
    gap = np.zeros(len(duration))
    if kind == 2:
        gap[rng.integers(0, len(duration)) :] = float(rng.integers(600, 4800))
    if kind == 3:
        gap = np.cumsum(rng.integers(0, 200, len(duration)) / 8)
    return start + np.cumsum(duration) - duration + gap, duration


@pytest.mark.parametrize("window", [FBP, FBB, PIB])
def test_two_hundred_schedules_have_exact_weights(window):
    for seed in range(200):
        start, duration = schedule(seed)
        choice = choose_frames(start, duration, window)
        expected = [
            minutes_inside(s, Fraction(s) + Fraction(d), window)
            for s, d in zip(start.tolist(), duration.tolist(), strict=True)
        ]
        assert [Fraction(weight) for weight in choice.weights] == expected, seed
        total = sum(expected)
        assert choice.coverage == float(total / Fraction(window[1] - window[0])), seed
        used = [i for i, weight in enumerate(expected) if weight]
        if used:
            outside = sum(
                w * (1 - w / Fraction(d)) for w, d in zip(expected, duration.tolist(), strict=True)
            )
            assert choice.outside == pytest.approx(float(outside / total), abs=1e-12), seed
            middles = [Fraction(s) + Fraction(d) / 2 for s, d in zip(start, duration, strict=True)]
            mean = sum(w * m for w, m in zip(expected, middles, strict=True)) / total
            late = mean - Fraction(window[0] + window[1]) / 2
            assert choice.late_s == pytest.approx(float(late), abs=1e-9), seed
        else:
            assert (choice.coverage, choice.outside) == (0, 1), seed


def test_fractions_of_seconds_are_kept():
    choice = choose_frames([5399.25, 5699.75], [300.5, 900.0], FBB)
    assert choice.weights == (299.75, 900.0)


def test_the_four_usual_frames_fill_the_window():
    choice = choose_frames([5400, 5700, 6000, 6300], [300] * 4, FBB)
    assert choice.weights == (300, 300, 300, 300)
    assert (choice.window_used_start_s, choice.window_used_end_s) == FBB
    assert (choice.coverage, choice.outside, choice.late_s) == (1, 0, 0)
    assert refusal(choice, FBB, RULE) is None
    assert off_window_s(choice, FBB) == (0, 0)


def test_only_the_window_of_a_dynamic_scan_counts():
    start = np.arange(0, 5400, 300.0)
    choice = choose_frames(start, np.full(len(start), 300.0), PIB)
    assert [i for i, w in enumerate(choice.weights) if w] == [10, 11, 12, 13]
    assert (choice.window_used_start_s, choice.window_used_end_s) == PIB


def test_a_start_of_twelve_seconds_late_is_not_worth_a_flag():
    start = np.arange(5112, 6700, 300.0)  # the frame before touches the window by 12 s
    choice = choose_frames(start, np.full(len(start), 300.0), FBB)
    assert choice.weights[0] == 12
    assert choice.window_used_start_s == 5412
    assert off_window_s(choice, FBB) == pytest.approx((0.0, 0.0), abs=RULE.tolerance_s)


def test_what_is_missing_and_what_lies_outside():
    """By hand: 100 to 112 min of 90 to 110; a sixth of the frame, which counts ten minutes."""
    choice = choose_frames([6000], [720], FBB)
    assert off_window_s(choice, FBB) == pytest.approx((600.0, 100.0))


@pytest.mark.parametrize(
    ("start", "duration", "window", "word"),
    [
        ([1800], [600], FBP, "0%"),
        ([3000], [500], PIB, "42%"),
        ([2400], [1800], FBP, "67%"),
    ],
)
def test_beyond_the_limits_a_sentence_refuses(start, duration, window, word):
    sentence = refusal(choose_frames(start, duration, window), window, RULE)
    assert word in sentence and "min after injection" in sentence


@pytest.mark.parametrize(
    ("start", "duration", "window", "nearest"),
    [
        ([0], [1800], FBP, (1200, 1800)),  # too early: its last ten minutes
        ([7200, 7500], [300, 300], PIB, (7200, 7800)),  # short and late: all of it
        ([2400], [1800], FBP, FBP),
        ([3300], [3000], PIB, (3300, 4500)),
    ],
)
def test_nearest_window_lies_in_the_scan(start, duration, window, nearest):
    assert nearest_window(start, duration, window) == nearest
    choice = choose_frames(start, duration, window, average_over=nearest)
    assert sum(choice.weights) == nearest[1] - nearest[0]
    assert choice.late_s == pytest.approx(
        np.average(np.add(start, np.divide(duration, 2)), weights=choice.weights) - sum(window) / 2
    )


def test_off_window_choice_still_tells_its_distance_from_the_tracers_window():
    choice = choose_frames([0, 900], [900, 900], FBP, average_over=(1200, 1800))
    assert choice.coverage == 0 and choice.outside == 1
    assert choice.late_s == pytest.approx(-32.5 * 60)


def test_mean_weighs_frames_by_time_and_does_not_sum_them():
    data = np.stack([np.full((2, 3, 4), value) for value in (1.0, 4.0, np.nan)], axis=-1)
    (mean,) = average(frames(data), [100, 50, 0])
    assert mean.dtype == np.float32 and mean.shape == (2, 3, 4)
    assert mean == pytest.approx(2.0)


def test_mean_of_a_single_frame_is_the_frame():
    data = np.random.default_rng(0).random((3, 3, 3), dtype=np.float32)
    (mean,) = average([data], [600])
    np.testing.assert_array_equal(mean, data)


def test_mean_keeps_what_is_not_measured_unknown():
    data = np.ones((2, 2, 2, 2))
    data[0, 0, 0, 1] = np.nan
    (mean,) = average(frames(data), [1, 1])
    assert np.isnan(mean[0, 0, 0]) and np.isfinite(mean).sum() == 7


def test_frames_of_a_group_are_averaged_apart():
    data = np.stack([np.full((2, 2, 2), value) for value in (1.0, 4.0, 7.0, 100.0)], axis=-1)
    one, other = average(frames(data), [10, 30, 20, 0], groups=[0, 1, 0, 0], factors=[1, 0.5, 1, 1])
    assert one == pytest.approx((10 * 1 + 20 * 7) / 30)
    assert other == pytest.approx(2)


def test_images_that_measured_a_part_make_a_mean_while_they_have_half_the_time():
    images = np.array([[1.0, 1.0, np.nan, np.nan], [4.0, np.nan, 4.0, np.nan]])
    mean = weighted_mean(iter(images), [300, 200])
    np.testing.assert_allclose(mean, [2.2, 1.0, np.nan, np.nan])
    alone = images[1].astype(np.float32)
    np.testing.assert_array_equal(weighted_mean([alone], [5.0]), alone)


def test_decay_correction_gives_back_the_activity_at_the_reference():
    half_life, reference = 1221.84, 3000.0
    start, duration = np.array([3000.0, 3300.0, 3900.0]), np.array([300.0, 600.0, 10.0])
    fine = np.linspace(0, 1, 20001)
    times = start[:, None] + duration[:, None] * (fine[1:] + fine[:-1]) / 2
    measured = (1000.0 * 2 ** (-(times - reference) / half_life)).mean(axis=1)
    corrected = measured * decay_factors(start, duration, half_life, reference)
    np.testing.assert_allclose(corrected, 1000.0, rtol=1e-8)
    data = np.broadcast_to(measured, (2, 2, 2, 3))
    factors = decay_factors(start, duration, half_life, reference)
    (mean,) = average(frames(data), duration, factors=factors)
    assert mean == pytest.approx(1000.0, rel=1e-6)


@pytest.mark.parametrize(
    ("start", "duration", "word"),
    [
        ([0, 300], [300], "FrameDuration 1"),
        ([], [], "0"),
        ([0, 300], [300, 0], "no time"),
        ([0, np.nan], [300, 300], "no time"),
        ([0, 200, 600], [300, 300, 300], "frame 2"),
        ([0, 300, 500], [300, 300, 300], "frame 3"),
    ],
)
def test_contradicting_times_are_refused(start, duration, word):
    with pytest.raises(BadDataError, match=word):
        choose_frames(start, duration, FBP)


def test_frames_that_overlap_by_rounding_pass():
    assert sum(choose_frames([3000, 3299.6], [300, 300.4], FBP).weights) == pytest.approx(600.4)


def test_number_of_frames_must_agree_with_the_image():
    with pytest.raises(BadDataError, match="2 frames and the image 3"):
        average(frames(np.ones((2, 2, 2, 3))), [1, 1])
    with pytest.raises(BadDataError, match="no frame"):
        average(frames(np.ones((2, 2, 2, 2))), [0, 0])


def test_a_change_between_frames_is_told_with_its_error():
    start, end = np.array([5400.0, 5700, 6000, 6300]), np.array([5700.0, 6000, 6300, 6600])
    values = 80 + 0.3 * (start + end) / 120
    assert drift_per_min(start, end, values) == pytest.approx((0.3, 0), abs=1e-9)
    rng = np.random.default_rng(0)
    slopes = [drift_per_min(start, end, values + rng.normal(size=4)) for _ in range(3000)]
    found, errors = np.array(slopes).T
    assert found.mean() == pytest.approx(0.3, abs=0.01)
    assert np.sqrt((errors**2).mean()) == pytest.approx(found.std(), rel=0.1)


def test_two_frames_tell_no_change():
    assert drift_per_min([0, 300], [300, 600], [1, 2]) is None
    assert drift_per_min([0, 300, 600], [300, 600, 900], [1, 2, np.nan]) is None


@pytest.mark.parametrize("scaled", [0.9, 1.0, 1.3])
def test_the_frame_that_stands_out_is_found(scaled):
    assert outlying_frame([1.5, 1.5 * scaled, 1.5, 1.5]) == (
        (1, pytest.approx(scaled - 1)) if scaled != 1 else (0, 0.0)
    )


def test_a_lone_frame_stands_out_from_nothing():
    assert outlying_frame([1.5]) is None
    assert outlying_frame([1.5, np.nan, 0.0]) is None
    assert outlying_frame([1.5, np.nan, 1.2]) == (0, pytest.approx(0.25))
