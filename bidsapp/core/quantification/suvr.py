"""Uptake ratios: the image, or the mean in the target volume, over the mean in a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regions.voi import VoiStatistics
from bidsapp.errors import BadDataError


def uptake_ratios(
    table: Mapping[str, VoiStatistics], *, target: str, references: Iterable[str]
) -> dict[str, float | None]:
    """Standardised uptake value ratio of the target volume for every reference region.

    Parameters
    ----------
    table : statistics by volume of interest (`bidsapp.core.regions.voi.measure`)
    target, references : names in ``table``

    Returns
    -------
    dict
        One entry per reference region; None when target or reference has no mean.

    Raises
    ------
    BadDataError
        A reference region contains no activity.
    """
    uptake = table[target].mean
    ratios: dict[str, float | None] = {}
    for name in references:
        reference = table[name].mean
        if reference is not None and reference <= 0:
            raise BadDataError(
                f"the mean uptake in the reference region {name} is {reference:g}; the PET image "
                "is empty there or was aligned wrongly, look at it"
            )
        ratios[name] = None if uptake is None or reference is None else uptake / reference
    return ratios


def ratio_image(image: NDArray[np.floating], reference_mean: float) -> NDArray[np.float32]:
    """Divide an image by the mean uptake of a reference region (same units); NaN stays NaN.

    Parameters
    ----------
    image : ndarray, any shape
    reference_mean : mean uptake of the reference region, units of ``image``

    Returns
    -------
    ndarray, shape of ``image``
    """
    return (image / np.float64(reference_mean)).astype(np.float32)


def centiloid_image(
    ratio: NDArray[np.floating], slope: float, intercept: float
) -> NDArray[np.float32]:
    """Put a ratio image on the Centiloid scale, voxel by voxel; NaN stays NaN.

    Parameters
    ----------
    ratio : ndarray, any shape
    slope, intercept : of the equation from SUVR to Centiloid

    Returns
    -------
    ndarray, shape of ``ratio``
        Centiloid.
    """
    return (ratio * np.float64(slope) + intercept).astype(np.float32)
