"""Decay of a radionuclide: its factors, and the moments that factors belong to.

A factor belongs to a moment of its frame, and reconstructions differ in which one they take: that
of the mean activity (DICOM PS3.3 C.8.9.4), the middle, or the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def decay_between(from_s: float, to_s: float, half_life_s: float) -> float:
    """Activity at one moment over that at another: below 1 where ``to_s`` is the later.

    Parameters
    ----------
    from_s, to_s : on one clock, s
    half_life_s : of the radionuclide, s

    Returns
    -------
    float
    """
    return math.exp(_rate(half_life_s) * (from_s - to_s))


def decay_factors(
    start_s: Sequence[float],
    duration_s: Sequence[float],
    half_life_s: float,
    reference_s: float,
) -> tuple[float, ...]:
    """Factors that correct measured activity for decay to a reference time.

    The activity of a frame is the mean over its duration of an exponential decay (for example
    Cherry, Sorenson & Phelps, Physics in Nuclear Medicine, 4th ed., eq. 4-15), so that
    ``factor = x / (1 - exp(-x)) * exp(k (start - reference))`` with ``x = k * duration`` and
    ``k = ln 2 / half-life``.

    Parameters
    ----------
    start_s, duration_s : start and duration of each frame, s
    half_life_s : of the radionuclide, s
    reference_s : time on the clock of ``start_s``, s

    Returns
    -------
    tuple of float
    """
    return tuple(
        _within(duration, half_life_s) * decay_between(start, reference_s, half_life_s)
        for start, duration in zip(start_s, duration_s, strict=True)
    )


def mean_decay_moment(duration_s: float, half_life_s: float | None) -> float:
    """Moment within a frame at which the activity equals its mean over the frame, s.

    Without a half-life this is the middle of the frame.

    Parameters
    ----------
    duration_s : of the frame
    half_life_s : of the radionuclide, None when it is not known

    Returns
    -------
    float
        Seconds after the start of the frame.
    """
    if half_life_s is None:
        return duration_s / 2
    return math.log(_within(duration_s, half_life_s)) / _rate(half_life_s)


def moments_within(duration_s: float, half_life_s: float | None) -> tuple[float, float, float]:
    """Moments of a frame that reconstructions use as its time, s: mean decay, middle, start.

    Parameters
    ----------
    duration_s : of the frame
    half_life_s : of the radionuclide, None when it is not known

    Returns
    -------
    (float, float, float)
        Seconds after the start of the frame.
    """
    return mean_decay_moment(duration_s, half_life_s), duration_s / 2, 0.0


def moments_by_convention(
    start_s: Sequence[float],
    duration_s: Sequence[float],
    factors: Sequence[float],
    half_life_s: float,
) -> list[list[float]]:
    """Moment that every frame is corrected to by its factor, by convention, s.

    Parameters
    ----------
    start_s, duration_s, factors : one value per frame; factors are positive
    half_life_s : of the radionuclide, s

    Returns
    -------
    Three lists in the order of `moments_within`, each of one moment per frame.
    """
    by_convention: list[list[float]] = [[], [], []]
    for start, duration, factor in zip(start_s, duration_s, factors, strict=True):
        before = math.log(factor) / _rate(half_life_s)
        for moments, within in zip(
            by_convention, moments_within(duration, half_life_s), strict=True
        ):
            moments.append(start + within - before)
    return by_convention


def spread(moments: Sequence[float]) -> float:
    """Range of the moments that frames are corrected to, s.

    Parameters
    ----------
    moments : of the frames, s

    Returns
    -------
    float
    """
    return max(moments) - min(moments)


def _within(duration_s: float, half_life_s: float) -> float:
    """Activity at the start of a frame over its mean over the frame."""
    lives = _rate(half_life_s) * duration_s
    return lives / -math.expm1(-lives) if lives else 1.0


def _rate(half_life_s: float) -> float:
    return math.log(2) / half_life_s
