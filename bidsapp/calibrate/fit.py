"""From SUVRs of people to equations: one per tracer and reference region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from bidsapp.calibrate.tables import Pair, Person, array, public_people
from bidsapp.core.quantification.centiloid import Anchors, Equation
from bidsapp.core.statistics.calibration import (
    Calibration,
    Scheme,
    Suspect,
    anchors_of,
    level1,
    level2,
)
from bidsapp.core.statistics.regression import Fit, deming, ordinary, spread
from bidsapp.data import REFERENCES, read_table
from bidsapp.data.calibrations import Key
from bidsapp.data.sentences import refused, worded
from bidsapp.data.tracers import anchors as published_anchors
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError


def regression(name: str, error_ratio: float = 1.0) -> Fit:
    """Regression by its name, ``ordinary`` or ``deming``.

    Parameters
    ----------
    name : ``ordinary`` or ``deming``
    error_ratio : variance of the errors of y over that of x, for ``deming``

    Returns
    -------
    Fit
    """
    return ordinary if name == "ordinary" else partial(deming, error_ratio=error_ratio)


def standard_anchors() -> dict[str, Anchors]:
    """Published anchors to all digits that the public table gives, by reference region.

    Returns
    -------
    dict
    """
    people = public_people()
    is_young = np.array([person.is_young for person in people])
    anchors = {}
    for name in REFERENCES:
        suvr = array(person.suvr[name] for person in people)
        anchors[name] = anchors_of(suvr[is_young], suvr[~is_young])
    return anchors


def fit_level1(
    people: Sequence[Person], *, standard: bool, source: str, fit: Fit
) -> dict[Key, Calibration]:
    """Equations for PiB, for every reference region that has SUVRs and published Centiloids.

    Parameters
    ----------
    people : with their published Centiloids
    standard : whether the pipeline claims to be the standard one
    source : for the equations
    fit : regression

    Returns
    -------
    dict
        By tracer and reference region.

    Raises
    ------
    BadDataError
        No reference region can be calibrated.
    """
    limits = read_table("calibration")["criteria"]["level1"]
    judges = standard_anchors() if standard else {}
    fits = {}
    for name in REFERENCES:
        usable = [person for person in people if name in person.suvr and name in person.cl]
        if not usable:
            continue
        fits["PIB", name] = level1(
            array(person.suvr[name] for person in usable),
            np.array([person.is_young for person in usable]),
            array(person.cl[name] for person in usable),
            [person.name for person in usable],
            Scheme(name, source, limits, fit),
            standard=judges.get(name),
            groups=read_table("calibration")["criteria"]["groups"],
        )
    if not fits:
        raise refused("suvr-table", "nobody-known")
    return fits


def fit_level2(
    pairs: Sequence[Pair],
    *,
    level1_anchors: Mapping[str, Anchors] | None,
    source: str,
    fit: Fit,
) -> dict[Key, Calibration]:
    """Equations of every tracer among the pairs, for every reference region both scans have.

    Parameters
    ----------
    pairs : people with PiB and another tracer
    level1_anchors : PiB SUVRs at 0 and 100 Centiloid of the same pipeline; None takes the line
        that the pairs' own PiB Centiloids follow, or else the published one
    source, fit : as in `fit_level1`

    Returns
    -------
    dict
        By tracer and reference region.

    Raises
    ------
    BadDataError
        There is no pair to calibrate with.
    """
    limits = read_table("calibration")["criteria"]["level2"]
    fits = {}
    for code in dict.fromkeys(pair.tracer for pair in pairs):
        for name in REFERENCES:
            alike = [pair for pair in pairs if pair.tracer == code and name in pair.other]
            measured = [pair for pair in alike if name in pair.pib]
            is_scale = name == "wc"  # of which a Centiloid is as good as an SUVR
            usable = [p for p in alike if name in p.pib or (is_scale and p.pib_cl is not None)]
            if not usable or (level1_anchors is not None and name not in level1_anchors):
                continue
            anchors = level1_anchors[name] if level1_anchors else _anchors(measured, name)
            item = level2(
                array(_pib_suvr(pair, name, anchors) for pair in usable),
                array(pair.other[name] for pair in usable),
                np.array([pair.is_young for pair in usable]),
                [pair.name for pair in usable],
                Scheme(name, source, limits, fit),
                anchors=anchors,
            )
            doubts = (*item.suspects, *_unlike_published(code, item.equation))
            fits[code, name] = replace(item, suspects=doubts)
    if not fits:
        raise BadDataError("no pair has the SUVRs of one reference region with both tracers")
    return fits


def _unlike_published(code: str, equation: Equation) -> tuple[Suspect, ...]:
    """Whether an equation is far from the published one: no smoothing changes it by half."""
    published = tracers()[code].equations.get(equation.reference_region)
    if published is None:
        return ()
    suvr = (100 - published.intercept) / published.slope
    value = equation.slope * suvr + equation.intercept
    if 50 < value < 150:
        return ()
    message = worded("suvr-table", "unlike-published", code=code, suvr=suvr, value=value)
    return (Suspect((), "unlike-published", message),)


def _pib_suvr(pair: Pair, name: str, anchors: Anchors) -> float:
    """SUVR of PiB: as measured, or that which makes the Centiloid that is known."""
    if name in pair.pib:
        return pair.pib[name]
    span = anchors.patients_mean - anchors.young_mean
    return anchors.young_mean + (pair.pib_cl or 0.0) / 100 * span


def disagreements(calibrations: Mapping[Key, Calibration]) -> dict[Key, tuple[float, float]]:
    """How far Centiloids of other reference regions lie from those of wc in these people.

    Standard deviation at 0 and at 100 Centiloid, by tracer and reference region.

    Parameters
    ----------
    calibrations : by tracer and reference region

    Returns
    -------
    dict
        By the same.
    """
    spreads = {}
    for (code, name), item in calibrations.items():
        main = calibrations.get((code, "wc"))
        if name == "wc" or main is None or main.names != item.names or len(item.names) < 12:
            continue
        grown = spread(main.own_cl / 100, item.own_cl - main.own_cl)
        spreads[code, name] = grown.at_zero, grown.at_one
    return spreads


def own_line(pairs: Iterable[Pair], code: str) -> tuple[float, float] | None:
    """Slope and intercept that the table's own Centiloids of a tracer follow, if it has them.

    Parameters
    ----------
    pairs : of the table
    code : of the tracer

    Returns
    -------
    (float, float) or None
    """
    paired = [p for p in pairs if p.tracer == code and p.other_cl is not None and "wc" in p.other]
    if len(paired) < 3:
        return None
    line = ordinary(array(p.other["wc"] for p in paired), array(p.other_cl or 0.0 for p in paired))
    return line.slope, line.intercept


def _anchors(pairs: Sequence[Pair], name: str) -> Anchors:
    """Anchors of the published scale, moved to the line of the pairs' own PiB Centiloids."""
    known = published_anchors()[name]
    stated = [pair for pair in pairs if pair.pib_cl is not None]
    if name != "wc" or len(stated) < 3 or len(stated) < len(pairs):
        return known
    line = ordinary(array(p.pib["wc"] for p in stated), array(p.pib_cl or 0.0 for p in stated))
    at_0, at_100 = -line.intercept / line.slope, (100 - line.intercept) / line.slope
    return replace(known, young_mean=at_0, patients_mean=at_100)
