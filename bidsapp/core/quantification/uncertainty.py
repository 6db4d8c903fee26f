"""How sure a Centiloid is: standard deviation by component, interval, probability, agreement.

The quantity is the person's true Centiloid on the standard scale: what the standard pipeline would
find with PiB on average over many scans of this person at this time, on a scale whose 0 and 100
are the means of all young controls and of all typical patients, not only of the 34 and 45 scanned.
``docs/uncertainty.md`` has the derivation and says which components are shared by scans.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs

COMPONENTS = ("anchors", "line", "tracer", "noise", "repeatability", "pipeline")

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class ScanError:
    """What differs between scans of one person, and between pipelines: constants as data.

    Attributes
    ----------
    repeatability : float
        Within-person coefficient of variation of an SUVR between two scans, 0.0177 for 1.77 %.
    pipeline_sd : float
        Standard deviation of the difference between this pipeline and the one that was
        calibrated, CL; zero for a pipeline with a calibration of its own.
    """

    repeatability: float
    pipeline_sd: float


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviation of a Centiloid.

    Attributes
    ----------
    components : standard deviations by the names of `COMPONENTS`, CL
    """

    components: Mapping[str, float]

    @property
    def sd(self) -> float:
        """Of the Centiloid, CL."""
        return math.hypot(*self.components.values())

    def interval(self, value: float) -> tuple[float, float]:
        """95 % interval about a Centiloid, CL.

        Parameters
        ----------
        value : Centiloid

        Returns
        -------
        (float, float)
        """
        return value - _Z95 * self.sd, value + _Z95 * self.sd


def propagate(
    suvr: float, equation: Equation, error: ScanError, noise: float | None
) -> Uncertainty | None:
    """Uncertainty of the Centiloid of one scan.

    Parameters
    ----------
    suvr : of the scan
    equation : that made the Centiloid
    error : constants of repeat scans and of the pipeline
    noise : standard deviation of the SUVR by the noise of this image, relative to the SUVR;
        None when it could not be measured, which counts as none

    Returns
    -------
    Uncertainty or None
        None when the equation does not come with its anchors.
    """
    if equation.anchors is None:
        return None
    value = equation.slope * suvr + equation.intercept
    line, tracer = 0.0, 0.0
    if equation.pairs is not None:
        line = _line(value, equation.slope, equation.anchors, equation.pairs)
        tracer = _tracer(value, suvr, equation, error.repeatability)
    return Uncertainty(
        {
            "anchors": _anchors(value, equation.anchors),
            "line": line,
            "tracer": tracer,
            "noise": abs(equation.slope) * suvr * (noise or 0.0),
            "repeatability": abs(equation.slope) * suvr * error.repeatability,
            "pipeline": error.pipeline_sd,
        }
    )


def probability_above(value: float, sd: float, cutoff: float) -> float:
    """Probability that the true Centiloid lies above a cut-off, 0 to 1.

    Parameters
    ----------
    value : Centiloid measured
    sd : of ``value`` as an estimate of the truth, CL
    cutoff : Centiloid

    Returns
    -------
    float
    """
    if sd == 0:
        return float(value > cutoff)
    return 0.5 * math.erfc((cutoff - value) / (sd * math.sqrt(2)))


def largest_disagreement(
    values: Mapping[str, float | None], main: str, expected_sd: Mapping[str, tuple[float, float]]
) -> tuple[str, float, float] | None:
    """Reference region whose Centiloid differs most from that of the main one, for its kind.

    Parameters
    ----------
    values : Centiloid by reference region; None where there is none
    main : reference region of the Centiloid that is reported
    expected_sd : standard deviation of the difference from ``main`` at 0 and at 100 Centiloid, by
        reference region

    Returns
    -------
    (name, difference, standard deviations) or None
        None when there is nothing to compare.
    """
    centre = values.get(main)
    if centre is None:
        return None
    found = []
    for name, value in values.items():
        if name != main and value is not None and name in expected_sd:
            low, high = expected_sd[name]
            sd = at_load(low, high, centre)
            found.append((name, value - centre, (value - centre) / sd))
    return max(found, key=lambda item: abs(item[2]), default=None)


def at_load(at_zero: float, at_hundred: float, value: float) -> float:
    """Standard deviation at a Centiloid, from those at 0 and 100 (`core.regression.spread`).

    Parameters
    ----------
    at_zero, at_hundred : standard deviations at 0 and 100 CL
    value : Centiloid

    Returns
    -------
    float
    """
    load = max(value, 0.0) / 100
    return math.sqrt(at_zero**2 + max(at_hundred**2 - at_zero**2, 0.0) * load**2)


def _anchors(value: float, anchors: Anchors) -> float:
    """Standard errors of the two group means, through the line that they define."""
    load = value / 100
    young = anchors.young_sd / math.sqrt(anchors.young_n)
    patients = anchors.patients_sd / math.sqrt(anchors.patients_n)
    return anchors.slope * math.hypot((1 - load) * young, load * patients)


def _line(value: float, slope: float, anchors: Anchors, pairs: Pairs) -> float:
    """Standard error of the line between the tracer and PiB, at the PiB SUVR of this Centiloid."""
    pib = anchors.pib_suvr(value)
    gain, both, offset = pairs.covariance
    return abs(slope) * math.sqrt(max(pib**2 * gain + 2 * pib * both + offset, 0.0))


def _tracer(value: float, suvr: float, equation: Equation, repeatability: float) -> float:
    """What the tracer sees in this person and PiB does not.

    The residuals of the paired scans hold that, and the scan-to-scan error of both scans, which is
    taken out: that of this scan is counted by itself, that of a PiB scan is no part of the truth.
    """
    anchors, pairs = equation.anchors, equation.pairs
    if anchors is None or pairs is None:
        return 0.0
    residual = abs(equation.slope) * at_load(*pairs.spread, value)
    scans = repeatability * math.hypot(
        equation.slope * suvr, anchors.slope * anchors.pib_suvr(value)
    )
    return math.sqrt(max(residual**2 - scans**2, 0.0))
