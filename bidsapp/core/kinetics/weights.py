"""Weights of the frames of a dynamic study."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of the largest mean activity: a frame before the tracer arrived holds few counts, but scatter and
# randoms keep its variance from vanishing.
_LEAST_ACTIVITY = 0.02


def frame_weights(
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
    activity: NDArray[np.float64],
    decay_factor: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Inverse variance of the frames' mean activity, up to a factor.

    A frame of duration D holds ``N = c A D / f`` counts, with A the decay-corrected activity of the
    head and f the factor that corrected it, about exp(lambda t). A mean of N Poisson counts has the
    relative variance 1/N, so that ``var(A) ~ A f / D`` and

        w = D / (A f)

    (Mazoyer, Huesman, Budinger & Knittel, J Comput Assist Tomogr 10:645, 1986; Gunn et al. 1997).
    Randoms, scatter and dead time are not in it: an image does not contain the raw data they need.

    Parameters
    ----------
    start_s, end_s : ndarray, shape (T,)
        Seconds after injection.
    activity : ndarray, shape (T,)
        Mean decay-corrected activity of the head or of a large region in every frame.
    decay_factor : ndarray, shape (T,)
        What the measured activity was multiplied by to be decay-corrected.

    Returns
    -------
    ndarray, shape (T,)
        Mean 1.
    """
    least = _LEAST_ACTIVITY * float(np.max(activity))
    counts = np.maximum(activity, least if least > 0 else 1.0)
    weights = (np.asarray(end_s) - np.asarray(start_s)) / (counts * decay_factor)
    return np.asarray(weights / weights.mean(), dtype=np.float64)
