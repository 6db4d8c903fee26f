"""Choice and mean of the frames of a static image.

Times are seconds after injection; a window is a pair (start, end). A frame is weighted by the
seconds that it overlaps the window, although its image is the mean over all of it:
`FrameChoice.outside` is how much of the mean is outside the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bidsapp.errors import BadDataError

Window = tuple[float, float]

# Frame times of real headers are rounded: less overlap of neighbours does not contradict.
_ROUNDING_S = 1.0
# A frame with less of its time inside the window does not widen the span that is reported.
_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class WindowRule:
    """Tolerances for a scan outside its tracer's window.

    Attributes
    ----------
    tolerance_s : float
        Edges that are off by less raise no flag, seconds.
    min_coverage : float
        Smallest part of the window that must have been scanned.
    max_outside : float
        Largest part of the averaged time that may lie outside the window.
    """

    tolerance_s: float
    min_coverage: float
    max_outside: float


@dataclass(frozen=True)
class FrameChoice:
    """The part of a scan that is averaged, and its relation to the tracer's window.

    Attributes
    ----------
    weights : tuple of float, one per frame
        Seconds of the frame that count.
    window_used_start_s, window_used_end_s : float
        Time span of the frames that enter the mean; of the whole scan when none does.
    coverage : float
        Part of the tracer's window inside the frames that count, 0 to 1.
    outside : float
        Part of the averaged time outside the tracer's window, 0 to 1; 1 when nothing counts.
    late_s : float
        Middle of the averaged time minus middle of the tracer's window, s.
    """

    weights: tuple[float, ...]
    window_used_start_s: float
    window_used_end_s: float
    coverage: float
    outside: float
    late_s: float


def choose_frames(
    start_s: Sequence[float],
    duration_s: Sequence[float],
    window_s: Window,
    *,
    average_over: Window | None = None,
) -> FrameChoice:
    """Weigh frames by their overlap with the uptake window.

    Parameters
    ----------
    start_s, duration_s : start (s after injection) and duration (s) of each frame
    window_s : the tracer's window, s after injection
    average_over : another window to average over (a user's, or `nearest_window`); what is said
        about the choice still refers to ``window_s``

    Returns
    -------
    FrameChoice
        All weights are zero when no frame overlaps.

    Raises
    ------
    BadDataError
        The frame times contradict each other.
    """
    start, duration = _checked(start_s, duration_s)
    weights = _overlap(start, duration, average_over or window_s)
    inside = _overlap(start, duration, window_s)
    total = float(weights.sum())
    used = _described(weights, duration)
    end, middle = start + duration, start + duration / 2
    mean_time = float(weights @ middle / total) if total else float(middle.mean())
    return FrameChoice(
        weights=tuple(weights.tolist()),
        window_used_start_s=float(start[used].min()),
        window_used_end_s=float(end[used].max()),
        coverage=min(1.0, float(inside[weights > 0].sum()) / (window_s[1] - window_s[0])),
        outside=float(weights @ (1 - inside / duration) / total) if total else 1.0,
        late_s=mean_time - (window_s[0] + window_s[1]) / 2,
    )


def nearest_window(
    start_s: Sequence[float], duration_s: Sequence[float], window_s: Window
) -> Window:
    """Window of the same length within the scan that is nearest to the requested one.

    For scans outside their tracer's window that a user wants to see nevertheless; all of the
    scan when it is shorter than the window.

    Parameters
    ----------
    start_s, duration_s : of the frames; starts after injection
    window_s : wanted, s after injection

    Returns
    -------
    (float, float)
    """
    start, duration = _checked(start_s, duration_s)
    first, last = float(start.min()), float((start + duration).max())
    length = min(window_s[1] - window_s[0], last - first)
    begin = min(max(window_s[0], first), last - length)
    return begin, begin + length


def refusal(choice: FrameChoice, window_s: Window, rule: WindowRule) -> str | None:
    """Reason why the frames do not cover the tracer's window, None if they do.

    Parameters
    ----------
    choice : frames chosen for ``window_s``
    window_s : the tracer's window, s after injection
    rule : limits

    Returns
    -------
    str or None
        One sentence.
    """
    if choice.coverage < rule.min_coverage:
        what = f"cover {choice.coverage:.0%} of it, but at least {rule.min_coverage:.0%} is needed"
    elif choice.outside > rule.max_outside:
        what = (
            f"are outside it for {choice.outside:.0%} of their time, but at most "
            f"{rule.max_outside:.0%} is allowed"
        )
    else:
        return None
    return (
        f"the tracer's window is {in_minutes(window_s)} after injection; the frames at "
        f"{in_minutes((choice.window_used_start_s, choice.window_used_end_s))} {what}"
    )


def off_window_s(choice: FrameChoice, window_s: Window) -> tuple[float, float]:
    """Seconds of the tracer's window that are missing, and of the mean outside it.

    Parameters
    ----------
    choice : frames chosen
    window_s : the tracer's window, s after injection

    Returns
    -------
    (float, float)
    """
    missing = (1 - choice.coverage) * (window_s[1] - window_s[0])
    return missing, choice.outside * sum(choice.weights)


def in_minutes(window_s: Window) -> str:
    """Write a window for people.

    Parameters
    ----------
    window_s : start and end, s

    Returns
    -------
    str

    >>> in_minutes((5400.0, 6600.0))
    '90 to 110 min'
    """
    return f"{window_s[0] / 60:.4g} to {window_s[1] / 60:.4g} min"


def average(
    frames: Iterable[NDArray[np.floating]],
    weights: Sequence[float],
    *,
    groups: Sequence[int] | None = None,
    factors: Sequence[float] | None = None,
) -> list[NDArray[np.float32]]:
    """Time-weighted means of the frames.

    Parameters
    ----------
    frames : iterable of T arrays of shape (X, Y, Z)
        Activity, all frames decay-corrected to one time, or see ``factors``. Read once, in order.
    weights : T numbers, seconds
    groups : T numbers from 0 on
        Which mean a frame belongs to; None makes one mean of all. Every group must have a weight.
    factors : T numbers that correct each frame for decay (`bidsapp.core.frames.decay`)

    Returns
    -------
    list of ndarray, shape (X, Y, Z), float32
        One mean per group, in the units of ``frames``; a voxel that is not finite in a frame that
        counts stays so.

    Raises
    ------
    BadDataError
        The numbers of frames differ, or no frame counts.
    """
    owner = [0] * len(weights) if groups is None else list(groups)
    totals = [0.0] * (max(owner) + 1)
    for group, weight in zip(owner, weights, strict=True):
        totals[group] += weight
    if min(totals) <= 0:
        raise BadDataError("no frame lies in the uptake window; check FrameTimesStart")
    means: dict[int, NDArray[np.float64]] = {}
    n_frames = 0
    for index, frame in enumerate(frames):
        n_frames += 1
        if index < len(weights) and weights[index] > 0:
            group = owner[index]
            share = weights[index] / totals[group] * (1.0 if factors is None else factors[index])
            part = share * frame.astype(np.float64)
            means[group] = means[group] + part if group in means else part
    if n_frames != len(weights):
        raise BadDataError(
            f"FrameTimesStart of the sidecar has {len(weights)} frames and the image {n_frames}; "
            "correct the sidecar"
        )
    return [means[group].astype(np.float32) for group in range(len(totals))]


def weighted_mean(
    images: Iterable[NDArray[np.floating]], seconds: Sequence[float]
) -> NDArray[np.float32]:
    """Time-weighted mean of images on one grid, each with voxels that were not measured.

    At the end of the field of view a moving head is measured in some frames only. Their mean is
    taken for that of all frames if they have half of the time: activity changes little meanwhile.

    Parameters
    ----------
    images : iterable of arrays of shape (...)
        NaN where not measured.
    seconds : time that each image stands for

    Returns
    -------
    ndarray, shape (...), float32
        Over the images that measured a voxel; NaN where these have less than half of the time. A
        single image is returned unchanged.

    Raises
    ------
    ValueError
        There is no image.
    """
    total: NDArray[np.float64] | None = None
    for image, weight in zip(images, seconds, strict=True):
        if len(seconds) == 1:
            return image.astype(np.float32, copy=False)
        if total is None:
            total, measured = np.zeros(image.shape), np.zeros(image.shape)
        known = np.isfinite(image)
        total += weight * np.where(known, image, 0.0)
        measured += weight * known
    if total is None:
        raise ValueError("a mean of no images")
    enough = measured >= 0.5 * float(sum(seconds))
    mean = np.where(enough, total, np.nan) / np.where(enough, measured, 1.0)
    return mean.astype(np.float32)


def drift_per_min(
    start_s: ArrayLike, end_s: ArrayLike, values: ArrayLike
) -> tuple[float, float] | None:
    """Slope of a value over the frames, by weighted linear regression.

    Parameters
    ----------
    start_s, end_s : of the frames; longer ones weigh more
    values : the number by frame

    Returns
    -------
    (change per minute, its standard error), or None with fewer than three frames.
    """
    start, end, measured = (np.asarray(each, np.float64) for each in (start_s, end_s, values))
    known = np.isfinite(measured)
    if known.sum() < 3:
        return None
    start, end, measured = start[known], end[known], measured[known]
    weight, middle = end - start, (start + end) / 120
    middle = middle - np.average(middle, weights=weight)
    spread = float((weight * middle**2).sum())
    slope = float((weight * middle * measured).sum()) / spread
    left = measured - np.average(measured, weights=weight) - slope * middle
    variance = float((weight * left**2).sum()) / (len(measured) - 2)
    return slope, float(np.sqrt(variance / spread))


def outlying_frame(values: Sequence[float]) -> tuple[int, float] | None:
    """Find the frame whose value deviates most from those of the others.

    Parameters
    ----------
    values : a ratio measured in every frame

    Returns
    -------
    (int, float) or None
        Index, and ratio to the median of the others minus one; None with fewer than two values.
    """
    ratios = np.asarray(values, np.float64)
    usable = np.flatnonzero(np.isfinite(ratios) & (ratios > 0))
    if len(usable) < 2:
        return None
    deviations = [
        float(ratios[index] / np.median(ratios[usable[usable != index]]) - 1) for index in usable
    ]
    largest = int(np.argmax(np.abs(deviations)))
    return int(usable[largest]), deviations[largest]


def _checked(
    start_s: Sequence[float], duration_s: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    start, duration = np.asarray(start_s, np.float64), np.asarray(duration_s, np.float64)
    if start.shape != duration.shape or start.ndim != 1 or not start.size:
        raise BadDataError(
            f"FrameTimesStart has {start.size} and FrameDuration {duration.size} values; "
            "give one of each per frame"
        )
    if not (np.isfinite(start).all() and np.isfinite(duration).all() and (duration > 0).all()):
        raise BadDataError("FrameDuration or FrameTimesStart contains no time; correct the sidecar")
    order = np.argsort(start, kind="stable")
    clash = (start + duration)[order][:-1] > start[order][1:] + _ROUNDING_S
    if clash.any():
        raise BadDataError(
            f"FrameTimesStart and FrameDuration make frame {int(order[1:][clash][0]) + 1} begin "
            "before the one before it ends; correct the sidecar"
        )
    return start, duration


def _overlap(
    start: NDArray[np.float64], duration: NDArray[np.float64], window: Window
) -> NDArray[np.float64]:
    begin, end = np.maximum(start, window[0]), np.minimum(start + duration, window[1])
    common: NDArray[np.float64] = np.maximum(end - begin, 0.0)
    return common


def _described(weights: NDArray[np.float64], duration: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames whose span is reported: those mainly used, else any used, else all."""
    for used in (weights >= _LEAST_SHARE * duration, weights > 0):
        if used.any():
            return used
    return np.ones(len(weights), dtype=bool)
