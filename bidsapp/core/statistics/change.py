"""Change between scans of one person: its error, whether it is reliable, the line through a course.

Only what differs between two scans makes a change where there is none; what the scans share
(scale, tracer) stretches a change but makes none. ``docs/longitudinal.md`` has the derivations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.uncertainty import ScanError, propagate
from bidsapp.errors import BadDataError

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Measured:
    """A value of one scan, and how it errs.

    Attributes
    ----------
    value : Centiloid or SUVR
    scan_sd : by what is new in every scan: noise of the image, position, physiology
    tracer_sd : by the line between tracer and PiB and by what the tracer sees in this person;
        counts only between different tracers
    pipeline_sd : of the pipeline; counts only between different pipelines
    """

    value: float
    scan_sd: float
    tracer_sd: float = 0.0
    pipeline_sd: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """A number of a person, and how sure it is.

    Attributes
    ----------
    value : of a change, last minus first; of a slope, per year
    sd : standard deviation, as an estimate of the true one
    """

    value: float
    sd: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the true one."""
        return self.value - Z95 * self.sd, self.value + Z95 * self.sd


@dataclass(frozen=True)
class Change(Estimate):
    """Change between two scans of a person.

    Attributes
    ----------
    limit : smallest change that 95 of 100 pairs without any change do not reach
    """

    limit: float

    @property
    def reliable(self) -> bool:
        """Whether the change exceeds the difference of two scans without true change."""
        return abs(self.value) > self.limit

    def rate(self, years: float) -> tuple[float, float, float]:
        """Change per year with its 95 % interval: (rate, low, high).

        Parameters
        ----------
        years : between the scans

        Returns
        -------
        (float, float, float)
            Rate, low and high end, CL per year.

        Raises
        ------
        BadDataError
            No time lies between the scans.
        """
        if not years > 0:
            raise BadDataError(f"no rate over {years:g} years: the scans must differ in time")
        low, high = self.interval
        return self.value / years, low / years, high / years


@dataclass(frozen=True)
class Slope(Estimate):
    """Line through the scans of a person; ``sd`` has the scale's part in it.

    Attributes
    ----------
    chi2, freedom : squared distances from the line in scan standard deviations, and their degrees
        of freedom
    widening : factor of the standard deviation because the scans scatter more about the line than
        expected from their own errors, 1 or more
    """

    chi2: float
    freedom: int
    widening: float


def change(
    first: Measured,
    last: Measured,
    relative_sd: float,
    *,
    same_tracer: bool = True,
    same_pipeline: bool = True,
) -> Change:
    """Compare two scans of a person (Jacobson & Truax 1991, with the error of each scan).

    Parameters
    ----------
    first, last : in order of time
    relative_sd : relative standard deviation of a change by what both scans share, from
        `scale_sd` (both scans by one tracer) or `anchor_sd` (by two)
    same_tracer, same_pipeline : what does not cancel if it differs is counted, twice

    Returns
    -------
    Change
    """
    parts = [first.scan_sd, last.scan_sd]
    if not same_tracer:
        parts += [first.tracer_sd, last.tracer_sd]
    if not same_pipeline:
        parts += [first.pipeline_sd, last.pipeline_sd]
    without_change = math.hypot(*parts)
    value = last.value - first.value
    return Change(
        value=value,
        sd=math.hypot(without_change, relative_sd * value),
        limit=Z95 * without_change,
    )


def anchor_sd(equation: Equation) -> float:
    """Relative standard deviation of any change by the two means that define 0 and 100.

    A change is 100 dP / (a - y): an error of the means stretches it by (s_a, s_y) / (a - y).
    Zero when the equation comes without its anchors.

    Parameters
    ----------
    equation : that makes the Centiloids

    Returns
    -------
    float
    """
    anchors = equation.anchors
    if anchors is None:
        return 0.0
    young = anchors.young_sd / math.sqrt(anchors.young_n)
    patients = anchors.patients_sd / math.sqrt(anchors.patients_n)
    return anchors.slope / 100 * math.hypot(young, patients)


def scale_sd(equation: Equation, error: ScanError) -> float:
    """Relative standard deviation of a change between two scans of a person by one tracer.

    The two means of the scale, the gain of the tracer's line, and the part of the tracer's own
    signal in this person that grows with the load.

    Parameters
    ----------
    equation : that makes the Centiloids
    error : constants of repeat scans and of the pipeline

    Returns
    -------
    float
    """
    if equation.anchors is None or equation.pairs is None:
        return anchor_sd(equation)
    gain = math.sqrt(equation.pairs.covariance[0]) / abs(equation.pairs.gain)
    own = [_tracer_sd(value, equation, error) for value in (0.0, 100.0)]
    grown = math.sqrt(max(own[1] ** 2 - own[0] ** 2, 0.0)) / 100
    return math.hypot(anchor_sd(equation), gain, grown)


def weighted_slope(
    years: ArrayLike, values: ArrayLike, sds: ArrayLike, relative_sd: float
) -> Slope:
    """Line of weighted least squares through the scans of a person.

    Weights are 1 / sd^2. The errors are known, so the standard error needs no scatter about the
    line; scatter beyond them widens it (Birge 1932, Phys Rev 40:207), smaller
    scatter does not narrow it.

    Parameters
    ----------
    years, values, sds : shape (N,), N >= 3
        ``sds`` by what is new in every scan.
    relative_sd : as for `change`

    Returns
    -------
    Slope

    Raises
    ------
    BadDataError
        Fewer than three scans, no time between them, or a standard deviation that is not positive.
    """
    t, y, sd = (np.asarray(numbers, np.float64) for numbers in (years, values, sds))
    if t.size < 3 or np.ptp(t) <= 0 or not (sd > 0).all():
        raise BadDataError(f"{t.size} scans: a slope needs three at different times, with errors")
    weights = sd**-2.0
    deviation = t - weights @ t / weights.sum()
    spread = float(weights @ deviation**2)
    value = float(weights * deviation @ y) / spread
    level = float(weights @ (y - value * t) / weights.sum())
    chi2 = float(weights @ (y - value * t - level) ** 2)
    freedom = t.size - 2
    widening = math.sqrt(max(1.0, chi2 / freedom))
    return Slope(
        value=value,
        sd=math.hypot(widening / math.sqrt(spread), relative_sd * value),
        chi2=chi2,
        freedom=freedom,
        widening=widening,
    )


def _tracer_sd(value: float, equation: Equation, error: ScanError) -> float:
    suvr = (value - equation.intercept) / equation.slope
    parts = propagate(suvr, equation, error, None)
    return 0.0 if parts is None else parts.components["tracer"]
