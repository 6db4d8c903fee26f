"""Contrast of white matter and cortex in a gradient echo, by its acquisition parameters.

Names of series are typed by people; flip angle and inversion time determine the contrast.
Relaxation times: Rooney et al. (2007), doi:10.1002/mrm.21122, table 2.
"""

from __future__ import annotations

import math

_PROTON_HZ_PER_T = 42.577e6
_WHITE_DENSITY, _GREY_DENSITY = 0.70, 0.82  # protons, relative to water


def tissue_t1_s(field_t: float) -> tuple[float, float]:
    """T1 of white matter and cortex in s at a field in T.

    Parameters
    ----------
    field_t : of the magnet, T

    Returns
    -------
    (float, float)
    """
    frequency = _PROTON_HZ_PER_T * field_t
    return 0.00071 * frequency**0.382, 0.00116 * frequency**0.376


def inverted_contrast(inversion_s: float, repetition_s: float, field_t: float) -> float:
    """White over grey signal at a time after an inversion, magnitudes; a T1w has more than 1.

    Parameters
    ----------
    inversion_s : from the inversion to the centre of k-space
    repetition_s : from one inversion to the next
    field_t : field in T

    Returns
    -------
    float
    """
    white, grey = (
        density * abs(1 - 2 * math.exp(-inversion_s / t1) / (1 + math.exp(-repetition_s / t1)))
        for density, t1 in zip((_WHITE_DENSITY, _GREY_DENSITY), tissue_t1_s(field_t), strict=True)
    )
    return white / max(grey, 1e-6)


def spoiled_contrast(flip_deg: float, repetition_s: float, field_t: float) -> float:
    """White over grey signal of a spoiled gradient echo in steady state (Ernst); T1w above 1.

    Parameters
    ----------
    flip_deg : flip angle
    repetition_s : repetition time
    field_t : of the magnet, T

    Returns
    -------
    float
    """
    cosine = math.cos(math.radians(flip_deg))
    white, grey = (
        density * -math.expm1(-repetition_s / t1) / (1 - cosine * math.exp(-repetition_s / t1))
        for density, t1 in zip((_WHITE_DENSITY, _GREY_DENSITY), tissue_t1_s(field_t), strict=True)
    )
    return white / grey
