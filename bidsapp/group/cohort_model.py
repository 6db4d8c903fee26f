"""The cohort as a whole: how Centiloids change per year, by linear mixed effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean

import numpy as np

from bidsapp.core.statistics.mixed_effects import INTERCEPT, YEARS, MixedFit, mixed_effects
from bidsapp.data import read_table
from bidsapp.data.tracers import STANDARD_REFERENCE, tau_tracers, tracers
from bidsapp.errors import BadDataError
from bidsapp.group.longitudinal import reference_of, suvr_of
from bidsapp.group.scan_choice import one_per_visit
from bidsapp.group.tables import Row
from bidsapp.grouping import grouped
from bidsapp.plain import count
from bidsapp.plain import sentence as in_full

_OWN_SLOPE_FAILED = "random-slope-left-out"
_CHOSEN_SEXES = ("F", "M")
_VALUES = {"CL": "Centiloid", "SUVR": "SUVR"}
_NO_MODEL: list[Row] = [{"term": "none", "kind": "none"}]

Remark = tuple[str | None, str]  # code of a flag, if it is one, and a sentence


def cohort_model(rows: Sequence[Row]) -> list[Row]:
    """Fit Centiloids by years since the first scan, with intercept and slope of every participant.

    One scan counts of a session and a tracer (`group.scan_choice.one_per_visit`), none of tau.
    SUVRs of several tracers have different ranges, so there is no model of these together.
    Time counts from the first scan of these, not from one of tau or without a result. Age and sex
    at the first scan are fixed effects when every participant has them, the tracer
    when there are several. Participants with one visit inform the intercept and are kept.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    list of Row
        Of ``group_model.tsv``: fixed effects, then variances, or the reason for none.
    """
    limits = read_table("cohort")["model"]
    has_centiloid = any(row["centiloid"] is not None for row in rows)
    unit, value = ("CL", itemgetter("centiloid")) if has_centiloid else ("SUVR", suvr_of)
    valued = [
        index
        for index, row in enumerate(rows)
        if row["tracer"] not in tau_tracers() and value(row) is not None
    ]
    known = [index for index in valued if rows[index]["years"] is not None]
    scans = [rows[index] for index in one_per_visit(rows, known)]
    used = {str(row["tracer"]) for row in scans}
    people = grouped((row["participant_id"], row) for row in scans)
    shortest = read_table("cohort")["change"]["shortest_years"]
    visits = [  # of those who show a change: two tracers on one day say nothing about it
        len({row["session_id"] for row in of_person})
        for of_person in people.values()
        if np.ptp([row["years"] for row in of_person]) >= shortest
    ]
    terms: list[Row] = _NO_MODEL
    remarks: list[Remark] = []
    if len(visits) < limits["participants"]:
        what = f"{_VALUES[unit]}s at known times {shortest:g} years or more apart"
        who = f"{count(len(visits), 'participant')} with {what}"
        remarks.append(("too-few", f"no mixed model: {who}, {limits['participants']} are needed"))
    elif unit == "SUVR" and len(used) > 1:
        what = f"SUVRs of {', '.join(sorted(used))} have different ranges"
        remarks.append(("several-tracers", f"no mixed model: {what}; choose one by --tracer-label"))
    else:
        slopes = sum(n > 2 for n in visits) >= limits["with_three"]
        terms, remarks = _fitted(scans, unit, value, slopes=slopes)
        if not slopes:
            sentence = (
                f"fewer than {limits['with_three']} participants have three visits, so all share "
                "one slope and its interval does not cover the spread of slopes between people"
            )
            remarks.insert(0, (_OWN_SLOPE_FAILED, sentence))
    if undated := len(valued) - len(known):
        remarks.append((None, f"{count(undated, 'scan')} at an unknown time left out"))
    regions = set(map(reference_of, rows))
    about = {
        "reference_region": regions.pop() if len(regions) == 1 else STANDARD_REFERENCE,
        "n_participants": len(people),
        "n_scans": len(scans),
        "flags": ";".join(code for code, _ in remarks if code) or None,
        "notes": " ".join(in_full(note) for _, note in remarks) or None,
    }
    empty = dict.fromkeys(("meaning", "unit", "estimate", "se", "ci_low", "ci_high", "freedom"))
    return [{"term": None, "kind": None, **empty, **term, **about} for term in terms]


def _fitted(
    scans: Sequence[Row], unit: str, value: Callable[[Row], float | None], *, slopes: bool
) -> tuple[list[Row], list[Remark]]:
    """Terms of the model, with slopes of every participant if it can be fitted so; remarks."""
    fixed, meanings, left_out = _fixed(scans, unit)
    remarks: list[Remark] = [(None, note) for note in left_out]
    people: dict[str, int] = {}
    groups = [people.setdefault(row["participant_id"], len(people)) for row in scans]
    years = [row["years"] - first["years"] for row, first in zip(scans, _first(scans), strict=True)]
    values = [float(value(row) or 0.0) for row in scans]
    why: list[str] = []
    for own_slopes in (True, False) if slopes else (False,):
        try:
            fit = mixed_effects(values, groups, years, fixed, slopes=own_slopes)
        except BadDataError as error:
            why.append(str(error))
            continue
        if slopes and not own_slopes:
            more = "fitted with one slope for all, whose interval is too narrow"
            remarks.append((_OWN_SLOPE_FAILED, f"{why[0]}; {more}"))
        if fit.singular:
            zero = "a spread between participants, of intercepts, slopes or both, is zero"
            remarks.append(("singular", f"{zero} at the maximum; these data do not determine it"))
        return _terms(fit, meanings, unit), remarks
    return _NO_MODEL, [*remarks, ("not-fitted", why[-1])]


def _terms(fit: MixedFit, meanings: Mapping[str, tuple[str, str]], unit: str) -> list[Row]:
    """Fixed effects, then the spreads of participants and scans."""
    terms: list[Row] = [
        {
            "term": term.name, "kind": "fixed", "meaning": meanings[term.name][0],
            "unit": meanings[term.name][1], "estimate": term.estimate, "se": term.se,
            "ci_low": term.low, "ci_high": term.high, "freedom": term.freedom,
        }
        for term in fit.terms
    ]  # fmt: skip
    spreads = (
        ("intercept_sd", fit.intercept_sd, "Spread of participants at their first scan", unit),
        ("slope_sd", fit.slope_sd, "Spread of the participants' own slopes", f"{unit}/year"),
        ("correlation", fit.correlation, "Of a participant's intercept and slope", "unitless"),
        ("residual_sd", fit.residual_sd, "Spread of scans about the participant's line", unit),
    )
    return terms + [
        {"term": name, "kind": "random", "meaning": meaning, "unit": unit, "estimate": estimate}
        for name, estimate, meaning, unit in spreads
        if estimate is not None
    ]


def _first(scans: Sequence[Row]) -> list[Row]:
    """Of every scan the first one of its participant."""
    first: dict[str, Row] = {}
    for row in sorted(scans, key=itemgetter("years")):
        first.setdefault(row["participant_id"], row)
    return [first[row["participant_id"]] for row in scans]


def _fixed(
    scans: Sequence[Row], unit: str
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, str]], list[str]]:
    """Columns of the fixed effects, their meanings, and sentences about omissions."""
    first_scans = _first(scans)
    first = {row["participant_id"]: row for row in first_scans}
    columns: dict[str, np.ndarray] = {}
    reference = ["at the first scan"]
    meanings = {YEARS: ("Change per year", f"{unit}/year")}
    notes = []
    ages = {name: row.get("age") for name, row in first.items()}
    known = [age for age in ages.values() if isinstance(age, int | float)]
    if known and len(known) < len(ages):
        unknown = len(ages) - len(known)
        notes.append(f"age is not known of {count(unknown, 'participant')}, so it is left out")
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
