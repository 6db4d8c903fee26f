"""The Centiloid scale: a line from SUVR to Centiloid, fitted for one tracer and one pipeline.

Centiloid 0 is the mean of 34 young controls, 100 that of 45 typical Alzheimer patients, measured
with PiB by the standard pipeline (Klunk et al. 2015, doi 10.1016/j.jalz.2014.07.003).  The lines
themselves, and what is known of their uncertainty, are data (``bidsapp/data/tracers.toml``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Anchors:
    """PiB SUVRs of the two groups that define the scale, for one reference region.

    Attributes
    ----------
    young_mean, young_sd, young_n : float, float, int
        Of the young controls: 0 Centiloid.
    patients_mean, patients_sd, patients_n : float, float, int
        Of the typical Alzheimer patients: 100 Centiloid.
    """

    young_mean: float
    young_sd: float
    young_n: int
    patients_mean: float
    patients_sd: float
    patients_n: int

    @property
    def slope(self) -> float:
        """Centiloid per unit of PiB SUVR."""
        return 100 / (self.patients_mean - self.young_mean)

    @property
    def intercept(self) -> float:
        """Centiloid at a PiB SUVR of zero."""
        return -self.slope * self.young_mean

    def pib_suvr(self, value: float) -> float:
        """PiB SUVR of a Centiloid.

        Parameters
        ----------
        value : Centiloid

        Returns
        -------
        float
        """
        return (value - self.intercept) / self.slope


@dataclass(frozen=True)
class Pairs:
    """Paired scans behind the line of a tracer: SUVR = ``gain`` * PiB SUVR + ``offset``.

    Attributes
    ----------
    gain, offset : float
    residual_sd : float
        Standard deviation of the tracer's SUVR about the line.
    covariance : (var gain, cov gain offset, var offset)
        Of the coefficients.
    spread : (float, float)
        Residual standard deviation at 0 and at 100 Centiloid, widened by what so few pairs leave
        open; SUVR (`bidsapp.core.statistics.regression.Spread`).
    full_at : float or None
        Centiloid beyond which it grows no more; None for no end.
    """

    gain: float
    offset: float
    residual_sd: float
    covariance: tuple[float, float, float]
    spread: tuple[float, float]
    full_at: float | None = None


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
    suvr_range : (float, float) or None
        SUVRs of the people it was fitted on.
    anchors : Anchors or None
        Groups that define 0 and 100 for this reference region; without them the uncertainty of
        the scale is not known.
    pairs : Pairs or None
        Paired scans with PiB; None for PiB itself.
    """

    slope: float
    intercept: float
    reference_region: str
    source: str
    doi: str
    n: int
    r2: float | None = None
    suvr_range: tuple[float, float] | None = None
    anchors: Anchors | None = None
    pairs: Pairs | None = None


def centiloid(suvr: float, equation: Equation) -> float:
    """Centiloid of an SUVR made with the reference region of ``equation``.

    Parameters
    ----------
    suvr : ratio of the cortical target to the reference region
    equation : of that reference region

    Returns
    -------
    float
        Centiloid.
    """
    return equation.slope * suvr + equation.intercept
