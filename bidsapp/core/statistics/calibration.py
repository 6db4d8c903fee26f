"""Calibration of a pipeline: level 1 with PiB, level 2 with another tracer (Klunk et al. 2015).

`between_pipelines` relates two pipelines on the same scans, as is done for tau.

Level 1 finds the SUVRs of the two groups that define 0 and 100 Centiloid and compares a
laboratory's own Centiloids with the published ones of the same people. Level 2 relates the SUVRs of
a tracer to those of PiB in people who had both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs
from bidsapp.core.statistics.regression import (
    Agreement,
    Fit,
    Line,
    agreement,
    exchanged,
    ordinary,
    robust_z,
    spread,
    widened,
)
from bidsapp.errors import BadDataError

Float = NDArray[np.float64]

OUTLIER_Z = 6.0
# A residual is never thought smaller than this: tables are rounded, scans are noisy.
_LEAST_CL = 1.0
_LEAST_SUVR = 0.01
_FEWEST_IN_GROUP = 2
_LEAST_SLOPE = 1e-6  # below, rounding
# Fewer pairs determine a residual standard deviation, not its growth.
FEWEST_FOR_SPREAD = 12
# CL beyond which the residuals of pairs grow no more (tests/benchmarks/interval_coverage.py).
_FULL_AT = 50.0


@dataclass(frozen=True)
class Criterion:
    """A criterion of acceptance.

    Attributes
    ----------
    name : of the criterion
    value : measured
    lowest, highest : limits, both included
    """

    name: str
    value: float
    lowest: float
    highest: float

    @property
    def passed(self) -> bool:
        """Whether it is met; a value that is not a number never is."""
        return bool(self.lowest <= self.value <= self.highest)


@dataclass(frozen=True)
class Suspect:
    """Images that have to be checked.

    Attributes
    ----------
    people : participants
    code : of the flag
    message : the reason, one sentence
    """

    people: tuple[str, ...]
    code: str
    message: str


@dataclass(frozen=True)
class JudgedLine:
    """A line through people's values, and remarks about it.

    Attributes
    ----------
    line : what was regressed
    agreement : of the values by the line
    criteria : conditions of acceptance
    suspects : people to look at
    names : of the people, in the order of the arrays
    """

    line: Line
    agreement: Agreement
    criteria: tuple[Criterion, ...]
    suspects: tuple[Suspect, ...]
    names: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(criterion.passed for criterion in self.criteria)


@dataclass(frozen=True)
class Calibration(JudgedLine):
    """One equation, and the measurements behind it.

    ``line`` is at level 1 own on published Centiloid, at level 2 the tracer's SUVR on PiB's;
    ``agreement`` of own with published Centiloids, at level 2 of the tracer's with PiB's.

    Attributes
    ----------
    equation : with anchors and, at level 2, pairs
    x, y : what was regressed
    reference_cl, own_cl : Centiloids: published (level 1) or of PiB (level 2), and own
    young_ratio : at level 2, standard deviation of young controls' Centiloids over that with PiB;
        None without them
    """

    equation: Equation
    x: Float
    y: Float
    reference_cl: Float
    own_cl: Float
    young_ratio: float | None = None


@dataclass(frozen=True)
class Scheme:
    """Method and criteria of a calibration.

    Attributes
    ----------
    reference_region, source : for the equation
    limits : lowest and highest of each number of the line that has to lie between them
    fit : regression to use
    """

    reference_region: str
    source: str
    limits: Mapping[str, Sequence[float]]
    fit: Fit = ordinary


def anchors_of(young: Float, patients: Float) -> Anchors:
    """Anchors from the SUVRs of young controls and of patients.

    Parameters
    ----------
    young, patients : SUVRs, shape (N,) each

    Returns
    -------
    Anchors

    Raises
    ------
    BadDataError
        A group has fewer than two people, or patients do not exceed young controls.
    """
    for group, values in (("young controls", young), ("patients", patients)):
        if values.size < _FEWEST_IN_GROUP:
            raise BadDataError(
                f"{values.size} {group}: level 1 needs both groups; names must begin with YC and "
                "AD, or a column group must say young or AD"
            )
    if patients.mean() <= young.mean():
        raise BadDataError(
            "the patients' mean SUVR does not exceed that of the young controls: groups or images "
            "are mixed up"
        )
    return Anchors(
        young_mean=float(young.mean()),
        young_sd=float(young.std(ddof=1)),
        young_n=young.size,
        patients_mean=float(patients.mean()),
        patients_sd=float(patients.std(ddof=1)),
        patients_n=patients.size,
    )


def level1(
    suvr: Float,
    is_young: NDArray[np.bool_],
    published: Float,
    names: Sequence[str],
    scheme: Scheme,
    *,
    standard: Anchors | None,
    groups: Mapping[str, Sequence[float]],
) -> Calibration:
    """Calibrate a pipeline with the PiB scans that define the scale.

    A pipeline that claims to be the standard one is judged by the published line: its Centiloids
    must be the published ones. Any other has a line of its own, which makes its groups 0 and 100
    whatever it measures; then only the scatter can fail.

    Parameters
    ----------
    suvr : shape (N,), own SUVRs
    is_young : shape (N,), young controls; the others are typical patients
    published : shape (N,), Centiloids of the same people and reference region
    names : of the people
    scheme : with limits of slope, intercept (CL) and r2; the equation goes through the own anchors
    standard : published anchors to judge by; None for a pipeline that is not the standard one
    groups : limits of the published mean of the ``young`` controls and of the ``patients``, CL: the
        anchors of some of these people are not those of the scale

    Returns
    -------
    Calibration
    """
    anchors = anchors_of(suvr[is_young], suvr[~is_young])
    judge = standard or anchors
    own = judge.slope * suvr + judge.intercept
    line = scheme.fit(published, own)
    return Calibration(
        equation=Equation(
            slope=anchors.slope,
            intercept=anchors.intercept,
            reference_region=scheme.reference_region,
            source=scheme.source,
            doi="10.1016/j.jalz.2014.07.003",
            n=suvr.size,
            suvr_range=(float(suvr.min()), float(suvr.max())),
            anchors=anchors,
        ),
        line=line,
        agreement=agreement(published, own),
        criteria=(*_criteria(line, scheme.limits), *_groups(published, is_young, groups)),
        suspects=_suspects(published, own, published, names, _LEAST_CL),
        names=tuple(names),
        x=published,
        y=own,
        reference_cl=published,
        own_cl=own,
    )


def level2(
    pib: Float,
    suvr: Float,
    is_young: NDArray[np.bool_],
    names: Sequence[str],
    scheme: Scheme,
    *,
    anchors: Anchors,
) -> Calibration:
    """Calibrate a tracer by people who were scanned with it and with PiB.

    Parameters
    ----------
    pib, suvr : shape (N,), SUVRs with PiB and with the tracer
    is_young : shape (N,), young controls; may all be False
    names : of the people
    scheme : with limits of r2
    anchors : PiB SUVRs at 0 and 100 Centiloid, of the same pipeline

    Returns
    -------
    Calibration

    Raises
    ------
    BadDataError
        The tracer's SUVR is that of PiB, or does not rise with it.
    """
    if np.array_equal(pib, suvr):
        raise BadDataError("the SUVRs of the tracer are those of PiB: give its own")
    line = scheme.fit(pib, suvr)
    if line.slope < _LEAST_SLOPE:
        raise BadDataError(
            f"the tracer's SUVR does not rise with that of PiB (slope {line.slope:.3f}): people or "
            "tracers are mixed up"
        )
    slope = anchors.slope / line.slope
    intercept = anchors.intercept - slope * line.intercept
    of_pib, own = anchors.slope * pib + anchors.intercept, slope * suvr + intercept
    return Calibration(
        equation=Equation(
            slope=slope,
            intercept=intercept,
            reference_region=scheme.reference_region,
            source=scheme.source,
            doi="",
            n=suvr.size,
            r2=line.r2,
            suvr_range=(float(suvr.min()), float(suvr.max())),
            anchors=anchors,
            pairs=_pairs(scheme.fit, line, pib, suvr, of_pib / 100),
        ),
        line=line,
        agreement=agreement(of_pib, own),
        criteria=_criteria(line, scheme.limits),
        suspects=_suspects(pib, suvr, of_pib, names, _LEAST_CL / slope),
        names=tuple(names),
        x=pib,
        y=suvr,
        reference_cl=of_pib,
        own_cl=own,
        young_ratio=_ratio(own[is_young], of_pib[is_young]),
    )


@dataclass(frozen=True)
class PipelineLine(JudgedLine):
    """SUVRs of the standard pipeline from those of a laboratory, of the same scans.

    ``line`` is standard = slope * own + intercept; ``agreement`` of the SUVRs by the line with the
    standard ones.

    Attributes
    ----------
    own, standard : ndarray, shape (N,)
    """

    own: Float
    standard: Float


def between_pipelines(
    own: Float,
    standard: Float,
    names: Sequence[str],
    limits: Mapping[str, Sequence[float]],
    fit: Fit,
) -> PipelineLine:
    """Relate the SUVRs of two pipelines.

    Parameters
    ----------
    own, standard : shape (N,), SUVRs of the same scans by a laboratory and by the standard pipeline
    names : of the people
    limits : lowest and highest of each number of the line
    fit : regression to use

    Returns
    -------
    PipelineLine

    Raises
    ------
    BadDataError
        Both are the same numbers, or one falls where the other rises.
    """
    if np.array_equal(own, standard):
        raise BadDataError(
            "the SUVRs of both pipelines are the same numbers: give those of the standard one"
        )
    line = fit(own, standard)
    if line.slope < _LEAST_SLOPE:
        raise BadDataError(
            f"one pipeline's SUVR does not rise where the other's does (slope {line.slope:.3f}): "
            "people or columns are mixed up"
        )
    return PipelineLine(
        line=line,
        agreement=agreement(standard, line.at(own)),
        criteria=_criteria(line, limits),
        suspects=_suspects(own, standard, 100 * (standard - standard.min()), names, _LEAST_SUVR),
        names=tuple(names),
        own=own,
        standard=standard,
    )


def _pairs(fit: Fit, line: Line, pib: Float, suvr: Float, load: Float) -> Pairs:
    """What the equation rests on: errors of the line, and of people about it."""
    covariance = (line.slope_se**2, line.covariance, line.intercept_se**2)
    ends = (widened(line.residual_sd, pib.size - 2),) * 2
    full_at = None
    if pib.size >= FEWEST_FOR_SPREAD:
        spreads = spread(load, suvr - line.at(pib), _FULL_AT / 100)
        ends, full_at = (spreads.wide_at_zero, spreads.wide_at_one), _FULL_AT
        if fit is ordinary:  # its standard errors hold for residuals of one size (White 1980)
            design = np.stack([pib, np.ones_like(pib)])
            inverse = np.linalg.inv(design @ design.T)
            errors = inverse @ (design * spreads.variance) @ design.T @ inverse
            covariance = (float(errors[0, 0]), float(errors[0, 1]), float(errors[1, 1]))
    return Pairs(
        gain=line.slope,
        offset=line.intercept,
        residual_sd=line.residual_sd,
        covariance=covariance,
        spread=ends,
        full_at=full_at,
    )


def _criteria(line: Line, limits: Mapping[str, Sequence[float]]) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(name, float(getattr(line, name)), float(low), float(high))
        for name, (low, high) in limits.items()
    )


def _groups(
    published: Float, is_young: NDArray[np.bool_], limits: Mapping[str, Sequence[float]]
) -> tuple[Criterion, ...]:
    means = {"young": published[is_young].mean(), "patients": published[~is_young].mean()}
    return tuple(
        Criterion(f"published mean of {name}", float(means[name]), float(low), float(high))
        for name, (low, high) in limits.items()
    )


def _suspects(
    x: Float, y: Float, load_cl: Float, names: Sequence[str], least: float
) -> tuple[Suspect, ...]:
    """Outliers about a line that outliers do not bend, and pairs that look exchanged."""
    z = robust_z(x, y, load_cl / 100, least)
    suspects = [
        Suspect(
            pair,
            "exchanged",
            f"{pair[0]} and {pair[1]} look exchanged: each value would fit the other person; "
            "compare their images",
        )
        for pair in exchanged(x, y, z, names, OUTLIER_Z)
    ]
    named = {name for suspect in suspects for name in suspect.people}
    for name, value in zip(names, z, strict=True):
        if abs(value) > OUTLIER_Z and name not in named:
            suspects.append(
                Suspect(
                    (name,),
                    "outlier",
                    f"{name} lies {abs(value):.0f} standard deviations {_side(value)} the line of "
                    "the others: look at its images, their orientation and the tracer",
                )
            )
    return tuple(suspects)


def _side(value: float) -> str:
    return "above" if value > 0 else "below"


def _ratio(own: Float, pib: Float) -> float | None:
    if own.size < _FEWEST_IN_GROUP or pib.std() == 0:
        return None
    return float(own.std(ddof=1) / pib.std(ddof=1))
