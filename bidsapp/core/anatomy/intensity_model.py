"""Summary of the fitted mixture of T1w intensities, for a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.mixture import CLASS_OF, Mixture, evidence

Float = NDArray[np.float64]

TISSUES = ("GM", "WM", "CSF", "other")
BINS = 120


@dataclass(frozen=True)
class IntensityModel:
    """Histogram of the voxels of the T1w that may be brain, and the Gaussians of its tissues.

    Attributes
    ----------
    low : lower end of the histogram, bias-corrected intensity
    high : upper end of the histogram, bias-corrected intensity
    counts : voxels per bin of equal width
    tissue : of each Gaussian: ``GM``, ``WM``, ``CSF`` or ``other``
    mean : of each Gaussian, bias-corrected intensity
    sd : standard deviation of each Gaussian, bias-corrected intensity
    share : of each Gaussian in the voxels; shares add up to one
    """

    low: float
    high: float
    counts: tuple[int, ...]
    tissue: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    share: tuple[float, ...]


def intensity_model(
    intensity: Float, prior: NDArray[np.float32], mixture: Mixture, unit: float
) -> IntensityModel:
    """Summarise a fitted mixture.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
        Bias-corrected, in units of the mixture.
    prior : ndarray, shape (n, 4)
    mixture : Mixture
    unit : float
        Intensity of the T1w that the mixture calls one.

    Returns
    -------
    IntensityModel
    """
    share = evidence(intensity, prior, mixture).responsibilities().mean(axis=0, dtype=np.float64)
    high = float(np.percentile(intensity, 99.5)) * 1.1
    counts, _ = np.histogram(intensity, BINS, (0.0, high))
    return IntensityModel(
        low=0.0,
        high=high * unit,
        counts=tuple(counts.tolist()),
        tissue=tuple(TISSUES[k] for k in CLASS_OF),
        mean=tuple((mixture.mean * unit).tolist()),
        sd=tuple((np.sqrt(mixture.variance) * unit).tolist()),
        share=tuple(share.tolist()),
    )
