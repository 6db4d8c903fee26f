"""How much each frame of a dynamic study is to be believed."""

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
    half_life_s: float,
) -> NDArray[np.float64]:
    """Inverse variance of the frames' mean activity, up to a factor.

    A frame of duration D holds ``N = c A D exp(-lambda t)`` counts, with A the decay-corrected
    activity of the head, and a mean of N Poisson counts has the relative variance 1/N, so that
    ``var(A) ~ A exp(lambda t) / D`` and

        w = D exp(-lambda t) / A

    (Mazoyer, Huesman, Budinger & Knittel, J Comput Assist Tomogr 10:645, 1986; Gunn et al. 1997).
    Randoms, scatter and dead time are not in it: the raw data that would tell are not in an image.

    Parameters
    ----------
    start_s, end_s : ndarray, shape (T,)
        Seconds after injection.
    activity : ndarray, shape (T,)
        Mean decay-corrected activity of the head or of a large region in every frame.
    half_life_s : float
        Of the radionuclide.

    Returns
    -------
    ndarray, shape (T,)
        Mean 1.
    """
    start, end = np.asarray(start_s, float), np.asarray(end_s, float)
    middle = (start + end) / 2
    least = _LEAST_ACTIVITY * float(np.max(activity))
    counts = np.maximum(activity, least if least > 0 else 1.0)
    weights = (end - start) * np.exp(-np.log(2) / half_life_s * middle) / counts
    return np.asarray(weights / weights.mean(), dtype=np.float64)
