"""Frames as integrals: exact in themselves, near the truth, stated where nobody measured."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic_studies import (
    EARLY,
    FULL,
    STEP_MIN,
    convolve,
    decay_factor,
    feng,
    frame_means,
    schedule,
    two_tissue,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsapp.core.kinetics.curves import Curve, Timeline, bridged
from bidsapp.core.kinetics.weights import frame_weights
from bidsapp.errors import BadDataError

T = np.arange(0, 141, STEP_MIN)
REFERENCE = 0.1 * convolve(feng(T), 0.12)


@pytest.mark.parametrize(
    ("durations", "tolerance"),
    [(FULL, 2e-3), ([60] * 5 + [600] * 9, 7e-3)],
    ids=["fine", "ten-minutes"],
)
@pytest.mark.parametrize("theta", [0.01, 0.06, 0.3])
def test_convolution_over_frames(durations, tolerance, theta):
    start, end = schedule((0.0, durations))
    curve = Curve(Timeline.of(start, end), frame_means(REFERENCE, start, end))
    wanted = frame_means(convolve(REFERENCE, theta), start, end)
    late = start >= 300
    found = curve.convolved(np.array([theta]))[0]
    np.testing.assert_allclose(found[late], wanted[late], rtol=tolerance)


def test_integrals_over_frames():
    start, end = schedule((0.0, FULL))
    curve = Curve(Timeline.of(start, end), frame_means(REFERENCE, start, end))
    integral = np.concatenate([[0], np.cumsum((REFERENCE[1:] + REFERENCE[:-1]) / 2 * STEP_MIN)])
    late = start >= 60
    np.testing.assert_allclose(
        curve.integral_means[late], frame_means(integral, start, end)[late], rtol=2e-3
    )
    # mid-frame values would be wrong by more than that
    middle = np.interp((start + end) / 120, T, integral)
    assert np.abs(middle[late] / frame_means(integral, start, end)[late] - 1).max() > 4e-3


@given(
    st.lists(st.tuples(st.floats(5, 900), st.floats(0, 1e5)), min_size=2, max_size=30),
    st.floats(0.004, 0.6),
)
@settings(max_examples=40, deadline=None)
def test_any_curve_keeps_its_means_and_its_balance(frames, theta):
    durations, means = np.array(frames).T
    end = np.cumsum(durations)
    curve = Curve(Timeline.of(end - durations, end), means)
    scale = curve.integral[-1] + 1e-9
    balance = np.diff(curve.integral) / curve.timeline.length_min
    np.testing.assert_allclose(balance, means, rtol=1e-6, atol=1e-9 * scale)
    assert (curve.edges >= -1e-9 * scale).all()
    # what came in is what was washed out and what is left: the convolution is below the integral
    washed = curve.convolved(np.array([theta]))[0]
    assert (washed >= -1e-9 * scale).all()
    assert (washed <= curve.integral_means + 1e-6 * scale).all()


def test_break_is_bridged_near_the_truth():
    start, end = schedule((0.0, EARLY), (90.0, [300] * 4))
    timeline = Timeline.of(start, end)
    assert timeline.gaps_min == [(30.0, 90.0)]
    means = frame_means(REFERENCE, start, end)
    curve = bridged(timeline, means, (end - start))
    np.testing.assert_array_equal(curve.means[timeline.frame], means)
    edges = 60 * timeline.edges_min
    truth = frame_means(REFERENCE, edges[:-1], edges[1:])
    missing = ~timeline.measured
    assert missing.sum() == 12
    np.testing.assert_allclose(curve.means[missing], truth[missing], rtol=0.01)
    assert curve.means[missing].sum() == pytest.approx(truth[missing].sum(), rel=0.005)
    straight = np.interp(
        (timeline.edges_min[1:] + timeline.edges_min[:-1]) / 2, (start + end) / 120, means
    )
    assert straight[missing].sum() > 1.08 * truth[missing].sum()  # what a line would have done


def test_break_of_a_reference_that_is_no_single_tissue():
    """Grey and white folia together, and a tissue with slow binding of its own."""
    plasma = feng(T)
    start, end = schedule((0.0, EARLY), (90.0, [300] * 4))
    timeline = Timeline.of(start, end)
    edges = 60 * timeline.edges_min
    for reference in (
        0.06 * convolve(plasma, 0.12) + 0.03 * convolve(plasma, 0.05),
        two_tissue(plasma, 0.1, 0.15, 0.05, 0.02),
    ):
        curve = bridged(timeline, frame_means(reference, start, end), end - start)
        truth = frame_means(reference, edges[:-1], edges[1:])
        missing = ~timeline.measured
        assert curve.means[missing].sum() == pytest.approx(truth[missing].sum(), rel=0.015)


def test_late_start_rises_from_zero():
    start, end = schedule((1.5, [30] * 3 + [60] * 7))
    curve = bridged(Timeline.of(start, end), np.full(10, 8.0), np.ones(10))
    assert curve.timeline.gaps_min == []
    assert curve.means[0] == pytest.approx(4.0)
    assert curve.edges[0] == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([0, 60, 50], [60, 120, 110]),
        ([0, 60], [60, 60]),
        ([0, 10], [60, 70]),
        ([], []),
    ],
)
def test_contradicting_frames_are_refused(start, end):
    with pytest.raises(BadDataError, match="check FrameTimes"):
        Timeline.of(np.array(start, float), np.array(end, float))


def test_rounded_frame_times_leave_no_gap():
    start = np.array([0.0, 59.6, 120.4, 180.0])
    timeline = Timeline.of(start, np.array([60.0, 120.0, 179.8, 240.0]))
    assert timeline.gaps_min == [] and len(timeline.edges_min) == 5


def test_pauses_between_frames_are_no_breaks():
    start, end = schedule(
        *[(float(m), [50]) for m in (0, 1, 2, 4, 5)], (10.0, [240]), (15.0, [240])
    )
    timeline = Timeline.of(start, end)
    assert timeline.gaps_min == [
        (pytest.approx(2 + 50 / 60), 4.0),
        (pytest.approx(5 + 50 / 60), 10),
    ]
    assert (~timeline.measured).sum() == 6  # pauses are bridged all the same


def test_weights_are_inverse_variances():
    rng = np.random.default_rng(3)
    start, end = schedule((0.0, FULL))
    activity = frame_means(REFERENCE, start, end)
    factor = decay_factor(start, end)
    weights = frame_weights(start, end, activity, factor)
    assert weights.mean() == pytest.approx(1)
    # counts of many scans, decay-corrected as a scanner does
    counts = rng.poisson(40 * activity * (end - start) / factor, (4000, len(start)))
    spread = (counts * factor / (end - start)).var(axis=0)
    late = start >= 60
    ratio = (weights * spread)[late]
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.12)
