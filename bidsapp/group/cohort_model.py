"""The cohort as a whole: how Centiloids change per year, by linear mixed effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import fmean
from typing import Any

import numpy as np

from bidsapp.core.statistics.mixed_effects import INTERCEPT, YEARS, MixedFit, mixed_effects
from bidsapp.data import read_table
from bidsapp.data.tau import tau_tracers
from bidsapp.data.tracers import STANDARD_REFERENCE, tracers
from bidsapp.errors import BadDataError
from bidsapp.group.longitudinal import reference_of, suvr_of
from bidsapp.group.tables import Row
from bidsapp.group.visits import one_per_visit
from bidsapp.plain import sentence

_OWN_SLOPE_FAILED = "random-slope-left-out"
_CHOSEN_SEXES = ("F", "M")
_VALUES = {"CL": "Centiloid", "SUVR": "SUVR"}


@dataclass(frozen=True)
class CohortModel:
    """A fitted model of the cohort, or why there is none.

    Attributes
    ----------
    fit : None when there is none
    n_participants, n_scans : that it rests on
    flags : codes
    notes : sentences
    meanings : (meaning, unit) of each term, by name
    reference_region : of the values
    unit : of the values: ``CL``, or ``SUVR`` where no scan has a Centiloid
    """

    fit: MixedFit | None
    n_participants: int
    n_scans: int
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    meanings: Mapping[str, tuple[str, str]]
    reference_region: str = STANDARD_REFERENCE
    unit: str = "CL"


def cohort_model(rows: Sequence[Row]) -> CohortModel:
    """Fit Centiloids by years since the first scan, with intercept and slope of every participant.

    One scan counts of a session and a tracer (`bidsapp.group.visits.one_per_visit`), none of tau.
    SUVRs of several tracers have different ranges, so there is no model of these together.
    Age and sex at the first scan are fixed effects when every participant has them, the tracer
    when there are several. Participants with one visit tell of the intercept and are kept.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    CohortModel
    """
    limits = read_table("cohort")["model"]
    has_centiloid = any(row["centiloid"] is not None for row in rows)
    unit, value = ("CL", itemgetter("centiloid")) if has_centiloid else ("SUVR", suvr_of)
    regions = set(map(reference_of, rows))
    about = (regions.pop() if len(regions) == 1 else STANDARD_REFERENCE, unit)
    known = [
        place
        for place, row in enumerate(rows)
        if row["tracer"] not in tau_tracers()
        and value(row) is not None
        and row["years"] is not None
    ]
    scans = [rows[place] for place in one_per_visit(rows, known)]
    used = {str(row["tracer"]) for row in scans}
    visits: dict[str, set[float]] = {}
    for row in scans:
        visits.setdefault(row["participant_id"], set()).add(row["years"])
    again = sum(len(times) > 1 for times in visits.values())
    refusal = None
    if again < limits["participants"]:
        code, refusal = "too-few", (
            f"no mixed model: {again} participants have {_VALUES[unit]}s at two known times, "
            f"{limits['participants']} are needed"
        )  # fmt: skip
    elif unit == "SUVR" and len(used) > 1:
        code, refusal = "several-tracers", (
            f"no mixed model: SUVRs of {', '.join(sorted(used))} have different ranges; choose one "
            "by --tracer-label"
        )  # fmt: skip
    if refusal is not None:
        return CohortModel(None, len(visits), len(scans), (code,), (refusal,), {}, *about)
    slopes = sum(len(times) > 2 for times in visits.values()) >= limits["with_three"]
    flags, notes = [], []
    if not slopes:
        flags.append(_OWN_SLOPE_FAILED)
        notes.append(
            f"fewer than {limits['with_three']} participants have three visits, so all share one "
            "slope and its interval does not cover the spread of slopes between people"
        )
    fixed, meanings, left_out = _fixed(scans, unit)
    fit, remarks = _fitted(scans, [float(value(row) or 0.0) for row in scans], fixed, slopes=slopes)
    flags += remarks.keys()
    notes += [*left_out, *remarks.values()]
    about_fit = tuple(flags), tuple(notes), meanings
    return CohortModel(fit, len(visits), len(scans), *about_fit, *about)


def _fitted(
    scans: Sequence[Row], values: Sequence[float], fixed: dict[str, np.ndarray], *, slopes: bool
) -> tuple[MixedFit | None, dict[str, str]]:
    """The model, with slopes of every participant if it can be fitted so; remarks by their code."""
    people: dict[str, int] = {}
    groups = [people.setdefault(row["participant_id"], len(people)) for row in scans]
    years = [row["years"] for row in scans]
    remarks: dict[str, str] = {}
    for own_slopes in (True, False) if slopes else (False,):
        try:
            fit = mixed_effects(values, groups, years, fixed, slopes=own_slopes)
        except BadDataError as error:
            if own_slopes:
                more = "; fitted with one slope for all, whose interval is too narrow"
                remarks[_OWN_SLOPE_FAILED] = f"{error}{more}"
            else:
                remarks["not-converged"] = str(error)
            continue
        if fit.singular:
            remarks["singular"] = (
                "a spread between participants is zero at the maximum, so these data do not "
                "determine it"
            )
        return fit, remarks
    return None, remarks


def model_rows(model: CohortModel) -> list[dict[str, Any]]:
    """Rows of ``group_model.tsv``: fixed effects, then variances, or the reason for none.

    Parameters
    ----------
    model : of `cohort_model`

    Returns
    -------
    list of dict
    """
    unit = model.unit
    base = {
        "reference_region": model.reference_region,
        "n_participants": model.n_participants,
        "n_scans": model.n_scans,
        "flags": ";".join(model.flags) or None,
        "notes": " ".join(map(sentence, model.notes)) or None,
    }
    empty = dict.fromkeys(("estimate", "se", "ci_low", "ci_high", "freedom"))
    if model.fit is None:
        return [{"term": "none", "kind": "none", "meaning": None, "unit": None, **empty, **base}]
    fit = model.fit
    rows = [
        {
            "term": term.name, "kind": "fixed", "meaning": model.meanings[term.name][0],
            "unit": model.meanings[term.name][1], "estimate": term.estimate, "se": term.se,
            "ci_low": term.low, "ci_high": term.high, "freedom": fit.freedom, **base,
        }
        for term in fit.terms
    ]  # fmt: skip
    spreads = (
        ("intercept_sd", fit.intercept_sd, "Spread of participants at their first scan", unit),
        ("slope_sd", fit.slope_sd, "Spread of the participants' own slopes", f"{unit}/year"),
        ("correlation", fit.correlation, "Of a participant's intercept and slope", "unitless"),
        ("residual_sd", fit.residual_sd, "Spread of scans about the participant's line", unit),
    )
    rows += [
        {"term": name, "kind": "random", "meaning": meaning, "unit": unit, **empty,
         "estimate": value, **base}
        for name, value, meaning, unit in spreads if value is not None
    ]  # fmt: skip
    return rows


def _fixed(
    scans: Sequence[Row], unit: str
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, str]], list[str]]:
    """Columns of the fixed effects, their meanings, and sentences about what is left out."""
    first: dict[str, Row] = {}
    for row in scans:
        before = first.setdefault(row["participant_id"], row)
        if row["years"] < before["years"]:
            first[row["participant_id"]] = row
    first_scans = [first[row["participant_id"]] for row in scans]
    columns: dict[str, np.ndarray] = {}
    reference = ["at the first scan"]
    meanings = {YEARS: ("Change per year", f"{unit}/year")}
    notes = []
    ages = {name: row.get("age") for name, row in first.items()}
    known = [age for age in ages.values() if isinstance(age, int | float)]
    if known and len(known) < len(ages):
        unknown = len(ages) - len(known)
        notes.append(f"age is not known of {unknown} participants, so it is left out")
    elif known and max(known) > min(known):
        middle = round(fmean(known))
        columns["age"] = np.array([row["age"] - middle for row in first_scans], np.float64)
        meanings["age"] = ("Per year of age at the first scan", f"{unit}/year")
        reference.append(f"aged {middle} years")
    sexes = {row.get("sex") for row in first.values()}
    if sexes - {None} and not sexes <= set(_CHOSEN_SEXES):
        notes.append("sex is not known of all participants, or is not F or M, so it is left out")
    elif len(sexes) == 2:
        columns["sex_M"] = np.array([row["sex"] == "M" for row in first_scans], np.float64)
        meanings["sex_M"] = ("Men minus women", unit)
        reference.append("women")
    used = {str(row["tracer"]) for row in scans}
    codes = [code for code in tracers() if code in used]
    codes += sorted(used - set(codes))
    counts = {code: sum(row["tracer"] == code for row in scans) for code in codes}
    common = max(codes, key=lambda code: counts[code])
    for code in codes:
        if code != common:
            columns[f"tracer_{code}"] = np.array([row["tracer"] == code for row in scans], float)
            meanings[f"tracer_{code}"] = (f"{code} minus {common}", unit)
    if len(codes) > 1:
        reference.append(f"tracer {common}")
    meanings[INTERCEPT] = (f"Mean {_VALUES[unit]} {', '.join(reference)}", unit)
    return columns, meanings, notes
