"""Uncertainty of a Centiloid: standard deviation by component, two intervals, probability.

Two quantities, each with an interval of its own: the Centiloid that this tracer would give on
average over many scans of this person at this time (``rescan``), and the one that PiB would give
by the standard pipeline, on a scale whose 0 and 100 are the means of all young controls and of all
typical patients, not only of the 34 and 45 scanned (``pib``). ``docs/uncertainty.md`` has the
derivation and says which components are shared by scans.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import optimize

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs, centiloid
from bidsapp.settings import Interval

COMPONENTS = (
    "anchors", "line", "tracer", "noise", "repeatability", "pipeline", "pipeline_bias",
    "resolution",
)  # fmt: skip

# What of it keeps each quantity from the Centiloid that was measured.
PARTS = {Interval.RESCAN: ("noise", "repeatability", "resolution"), Interval.PIB: COMPONENTS}

# What blur beyond that of scanners does: it draws a Centiloid towards 30, and people differ. CL per
# CL and mm^2, CL per mm^2, of twelve people whose PET was smoothed (docs/uncertainty.md).
_USUAL_FWHM_MM = 7.0
_TOWARDS_CL, _PULL, _SPREAD = 30.0, 0.001, 0.01

_Z95 = 1.959963984540054
_FARTHEST = 40  # doublings of a standard deviation: beyond, an end of an interval is nowhere


@dataclass(frozen=True)
class ScanError:
    """Errors between scans of one person, and between pipelines: constants as data.

    Attributes
    ----------
    repeatability : float
        Within-person coefficient of variation of an SUVR between two scans, 0.0194 for 1.94 %.
    pipeline_sd : float
        Standard deviation, over people, of the difference between this pipeline and the one that
        was calibrated, CL; zero for a pipeline with a calibration of its own.
    pipeline_bias_sd : float
        Standard deviation of the mean of that difference in a cohort, CL: people do not average
        it out.
    """

    repeatability: float
    pipeline_sd: float = 0.0
    pipeline_bias_sd: float = 0.0


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of a Centiloid.

    Attributes
    ----------
    value : Centiloid that was measured
    equation : that made it
    error : constants of repeat scans and of the pipeline
    noise : standard deviation of the SUVR by the noise of the image, relative to the SUVR
    fwhm_mm : blur of the image; 0 where the equation allows for it
    """

    value: float
    equation: Equation
    error: ScanError
    noise: float
    fwhm_mm: float = 0.0

    @property
    def components(self) -> dict[str, float]:
        """Standard deviations at the measured value by the names of `COMPONENTS`, CL."""
        return self._components(self.value)

    def sd(self, kind: Interval) -> float:
        """Standard deviation at the measured value, CL.

        Parameters
        ----------
        kind : of which quantity

        Returns
        -------
        float
        """
        return self.sd_at(self.value, kind)

    def sd_at(self, truth: float, kind: Interval) -> float:
        """Standard deviation of the Centiloid of a person whose true one is known, CL.

        Parameters
        ----------
        truth : Centiloid
        kind : of which quantity

        Returns
        -------
        float
        """
        components = self._components(truth)
        return math.hypot(*(components[name] for name in PARTS[kind]))

    def interval(self, kind: Interval) -> tuple[float, float] | None:
        """95 % interval: all true values that are compatible with the measured one, CL.

        The error grows with what is true, so a true value is tested with its own error
        (Neyman 1937); the interval reaches farther up than down.

        Parameters
        ----------
        kind : of which quantity

        Returns
        -------
        (float, float) or None
            None when the line of the tracer is so uncertain that an end is nowhere.
        """
        low, high = self._end(-1, kind), self._end(1, kind)
        return None if low is None or high is None else (low, high)

    def probability_above(self, cutoff: float, kind: Interval) -> float:
        """Probability that the true value is above a cut-off, 0 to 1.

        One minus the chance of measuring more if the truth were the cut-off: above 0.975 or below
        0.025 exactly when the interval does not hold it.

        Parameters
        ----------
        cutoff : Centiloid
        kind : of which quantity

        Returns
        -------
        float
        """
        return probability_above(self.value, self.sd_at(cutoff, kind), cutoff)

    def _components(self, truth: float) -> dict[str, float]:
        """Of a scan of a person whose true Centiloid is ``truth``."""
        slope, anchors, pairs = self.equation.slope, self.equation.anchors, self.equation.pairs
        assert anchors is not None
        signal = truth - self.equation.intercept  # slope times SUVR
        line, tracer = 0.0, 0.0
        if pairs is not None:
            line = _line(truth, slope, anchors, pairs)
            tracer = _tracer(truth, self.equation, self.error.repeatability)
        return {
            "anchors": _anchors(truth, anchors),
            "line": line,
            "tracer": tracer,
            "noise": abs(signal) * self.noise,
            "repeatability": abs(signal) * self.error.repeatability,
            "pipeline": self.error.pipeline_sd,
            "pipeline_bias": self.error.pipeline_bias_sd,
            "resolution": _resolution(truth, self.fwhm_mm),
        }

    def _end(self, sign: int, kind: Interval) -> float | None:
        def beyond(distance: float) -> float:
            return distance - _Z95 * self.sd_at(self.value + sign * distance, kind)

        step = _Z95 * self.sd(kind)
        if step == 0:
            return self.value
        for _ in range(_FARTHEST):
            if beyond(step) >= 0:
                return self.value + sign * float(optimize.brentq(beyond, 0.0, step, xtol=1e-9))
            step *= 2
        return None


def propagate(
    suvr: float,
    equation: Equation,
    error: ScanError,
    noise: float | None,
    fwhm_mm: float | None = None,
) -> Uncertainty | None:
    """Uncertainty of the Centiloid of one scan.

    Parameters
    ----------
    suvr : of the scan
    equation : that made the Centiloid
    error : constants of repeat scans and of the pipeline
    noise : standard deviation of the SUVR by the noise of this image, relative to the SUVR;
        None when it could not be measured, which counts as none
    fwhm_mm : blur of the image, None when it is not known or the equation was made with such images

    Returns
    -------
    Uncertainty or None
        None when the equation does not come with its anchors.
    """
    if equation.anchors is None:
        return None
    return Uncertainty(centiloid(suvr, equation), equation, error, noise or 0.0, fwhm_mm or 0.0)


def probability_above(value: float, sd: float, cutoff: float) -> float:
    """Probability that the true Centiloid is above a cut-off, 0 to 1.

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
    others = []
    for name, value in values.items():
        if name != main and value is not None and name in expected_sd:
            low, high = expected_sd[name]
            sd = at_load(low, high, centre)
            others.append((name, value - centre, (value - centre) / sd))
    return max(others, key=lambda item: abs(item[2]), default=None)


def at_load(at_zero: float, at_hundred: float, value: float, full_at: float | None = None) -> float:
    """Standard deviation at a Centiloid, from those at 0 and 100.

    As `bidsapp.core.statistics.regression.spread` fits it.

    Parameters
    ----------
    at_zero, at_hundred : standard deviations at 0 and 100 CL
    value : Centiloid
    full_at : beyond it, CL, it grows no more; None for no end

    Returns
    -------
    float
    """
    most = math.inf if full_at is None else full_at / 100
    load = min(max(value, 0.0) / 100, most) / min(most, 1.0)
    return math.sqrt(at_zero**2 + max(at_hundred**2 - at_zero**2, 0.0) * load**2)


def _resolution(value: float, fwhm_mm: float) -> float:
    """What the blur of an image does that was smoothed after the reconstruction."""
    beyond = max(fwhm_mm**2 - _USUAL_FWHM_MM**2, 0.0)
    return beyond * math.hypot(_PULL * (value - _TOWARDS_CL), _SPREAD)


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


def _tracer(value: float, equation: Equation, repeatability: float) -> float:
    """What the tracer sees in this person and PiB does not.

    The residuals of the paired scans hold that, and the scan-to-scan error of both scans, which is
    taken out: that of this scan is counted by itself, that of a PiB scan is not part of the truth.
    """
    anchors, pairs = equation.anchors, equation.pairs
    if anchors is None or pairs is None:
        return 0.0
    residual = abs(equation.slope) * at_load(*pairs.spread, value, pairs.full_at)
    scans = repeatability * math.hypot(value - equation.intercept, value - anchors.intercept)
    return math.sqrt(max(residual**2 - scans**2, 0.0))
