"""Which scans are dynamic enough for reference-tissue models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class DynamicRule:
    """Times that a dynamic scan has to cover.

    Attributes
    ----------
    latest_start_min : float
        The first frame starts no later than this after injection: delivery must be seen.
    least_early_min, least_early_frames : float, int
        So many frames end within so many minutes after injection.
    least_end_min : float
        The last frame ends no earlier.
    longest_gap_min : float
        No break between two frames is longer.
    """

    latest_start_min: float
    least_early_min: float
    least_early_frames: int
    least_end_min: float
    longest_gap_min: float


def dynamic_refusal(start_s: ArrayLike, end_s: ArrayLike, rule: DynamicRule) -> str | None:
    """Reason why reference-tissue models cannot be fitted to a scan, None if they can.

    Parameters
    ----------
    start_s, end_s : start and end of every frame, seconds after injection, rising
    rule : limits

    Returns
    -------
    str or None
        One sentence.
    """
    start, end = np.asarray(start_s, float) / 60, np.asarray(end_s, float) / 60
    if end[-1] < rule.least_end_min - 1 / 60:
        return (
            f"the last frame ends {end[-1]:.1f} min after injection, earlier than "
            f"{rule.least_end_min:g} min"
        )
    start, end = start[end > 0], end[end > 0]  # earlier frames show no delivery
    if start[0] > rule.latest_start_min:
        return (
            f"the first frame starts {start[0]:.1f} min after injection, later than "
            f"{rule.latest_start_min:g} min"
        )
    early = int((end <= rule.least_early_min + 1 / 60).sum())
    if early < rule.least_early_frames:
        return (
            f"{early} frames end within {rule.least_early_min:g} min of the injection, fewer than "
            f"{rule.least_early_frames}"
        )
    gap = float((start[1:] - end[:-1]).max(initial=0.0))
    if gap > rule.longest_gap_min:
        return (
            f"a break of {gap:.0f} min lies between two frames, more than "
            f"{rule.longest_gap_min:g} min"
        )
    return None
