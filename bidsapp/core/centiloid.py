"""The Centiloid scale: a line from SUVR to Centiloid, fitted for one tracer and one pipeline.

Centiloid 0 is the mean of 34 young controls, 100 that of 45 typical Alzheimer patients, measured
with PiB by the standard pipeline (Klunk et al. 2015, doi 10.1016/j.jalz.2014.07.003).  The lines
themselves are data (``bidsapp/data/tracers.toml``).
"""

from __future__ import annotations

from dataclasses import dataclass


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
