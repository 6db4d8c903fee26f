"""Differences of location between groups, robust to outliers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def shift(values: ArrayLike, others: ArrayLike, level: float) -> tuple[float, float, float] | None:
    """Shift of ``values`` from ``others`` with its interval: (estimate, low, high).

    Median of all differences (Hodges & Lehmann 1963), with the interval of the rank sum test
    (Moses; normal approximation). None when the groups are too small for an interval of this level.

    Parameters
    ----------
    values, others : shapes (N,) and (M,)
    level : of the interval, for example 0.95

    Returns
    -------
    tuple of float or None
    """
    a, b = np.asarray(values, np.float64), np.asarray(others, np.float64)
    pairs = a.size * b.size
    z = float(stats.norm.ppf(0.5 + level / 2))
    cut = math.floor(pairs / 2 - z * math.sqrt(pairs * (a.size + b.size + 1) / 12))
    if cut < 1:
        return None
    differences = np.sort(np.subtract.outer(a, b), axis=None)
    return float(np.median(differences)), float(differences[cut - 1]), float(differences[-cut])
