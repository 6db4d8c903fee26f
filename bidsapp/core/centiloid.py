"""The Centiloid scale: a line from SUVR to Centiloid, fitted for one tracer and one pipeline.

Centiloid 0 is the mean of 34 young controls, 100 that of 45 typical Alzheimer patients, measured
with PiB by the standard pipeline (Klunk et al. 2015, doi 10.1016/j.jalz.2014.07.003).  The lines
themselves are data (``bidsapp/data/tracers.toml``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Equation:
    """Centiloid = ``slope`` * SUVR + ``intercept``.

    Attributes
    ----------
    slope : float
        Centiloid per unit of SUVR.
    intercept : float
        Centiloid.
    reference_region : str
        Key of the reference region the SUVR must have been made with (``wc``).
    source, doi : str
        Publication the line was taken from.
    n : int
        Number of people it was fitted on.
    r2 : float or None
        Squared correlation with PiB; None for PiB itself, which defines the scale.
    """

    slope: float
    intercept: float
    reference_region: str
    source: str
    doi: str
    n: int
    r2: float | None = None


def centiloid(suvr: float, equation: Equation) -> float:
    """Centiloid of an SUVR made with the reference region of ``equation``."""
    return equation.slope * suvr + equation.intercept


def pib_line(young: Sequence[float], alzheimer: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept that put the means of two anchor groups at 0 and 100.

    Parameters
    ----------
    young, alzheimer : SUVR with PiB of the young controls and of the Alzheimer patients

    Returns
    -------
    slope, intercept : float
        Level 1 of Klunk et al. 2015.
    """
    zero, hundred = float(np.mean(young)), float(np.mean(alzheimer))
    slope = 100 / (hundred - zero)
    return slope, -slope * zero


def paired_line(
    pib: Sequence[float], other: Sequence[float], scale: tuple[float, float]
) -> tuple[float, float]:
    """Slope and intercept of another tracer, from people scanned with both.

    Parameters
    ----------
    pib, other : SUVR of the same people with PiB and with the other tracer
    scale : slope and intercept of the PiB line (`pib_line`)

    Returns
    -------
    slope, intercept : float
        Level 2 of Klunk et al. 2015: the other tracer's SUVR is regressed on that of PiB, the
        line is inverted, and what it predicts for PiB is put on the Centiloid scale.
    """
    gain, offset = np.polyfit(np.asarray(pib), np.asarray(other), 1)
    return float(scale[0] / gain), float(scale[1] - scale[0] * offset / gain)
