"""Longitudinal change: tables of pairs of visits and of slopes, from the rows of the scans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from scipy import stats

from bidsapp.core.quality import Flag
from bidsapp.core.quantification.uncertainty import ScanError
from bidsapp.core.statistics.change import (
    Change,
    Estimate,
    Measured,
    Slope,
    anchor_sd,
    change,
    scale_sd,
    weighted_slope,
)
from bidsapp.data import REFERENCES, TARGET, read_table
from bidsapp.data.literature import accumulation, scale
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tracers import STANDARD_REFERENCE, repeatability, tracers
from bidsapp.group.comparability import Match, match
from bidsapp.group.tables import Row
from bidsapp.group.visits import CONSECUTIVE, Visits
from bidsapp.plain import sentence
from bidsapp.record import ScanRecord

_UNLIKELY = 0.01  # probability of so much scatter about a straight line


def change_rows(rows: Sequence[Row], courses: Iterable[Visits]) -> list[Row]:
    """Rows of ``group_change.tsv``: neighbouring visits, then first and last, of every person.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    courses : of `bidsapp.group.visits.all_visits`

    Returns
    -------
    list of dict
    """
    return [
        _pair_row(rows[course.indices[i]], rows[course.indices[j]], kind)
        for course in courses
        for kind, i, j in course.pairs()
    ]


def slope_rows(rows: Sequence[Row], courses: Iterable[Visits]) -> list[Row]:
    """Rows of ``group_slopes.tsv``: participants with Centiloids, or else SUVRs, of three visits.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    courses : of `bidsapp.group.visits.all_visits`

    Returns
    -------
    list of dict
    """
    slopes = []
    for course in courses:
        visits = [rows[index] for index in course.indices]
        scans = [row for row in visits if row["centiloid"] is not None]
        if len(scans) < 3:
            scans = [row for row in visits if suvr_of(row) is not None]
        if len(scans) > 2:
            slopes.append(_slope_row(course.participant, course.tracer, scans))
    return slopes


def by_reference(rows: Sequence[Row], records: Sequence[ScanRecord], name: str) -> list[Row]:
    """Rows as if ``name`` were the reference region that is reported.

    Where no equation belongs to it, there is an SUVR and no Centiloid. Repeatability, in per cent
    of the SUVR, is taken to be the same.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    records : of the same scans, in the same order
    name : of the reference region

    Returns
    -------
    list of Row
    """
    return [_by_reference(*pair, name) for pair in zip(rows, records, strict=True)]


def other_references(rows: Sequence[Row], records: Sequence[ScanRecord]) -> list[str]:
    """Names of the reference regions that were measured, except the one that is reported.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    records : scans

    Returns
    -------
    list of str
    """
    used = dict.fromkeys(name for record in records for name in record.reference_uptake)
    main = set(map(reference_of, rows))
    return [name for name in dict.fromkeys([*REFERENCES, *used]) if {name} != main]


def _by_reference(row: Row, record: ScanRecord, name: str) -> Row:
    suvr = row.get(f"suvr_{name}")
    if suvr is None and name in record.reference_uptake and row["status"] == "ok":
        target, mean = record.uptake(TARGET), record.reference_uptake[name].mean
        suvr = target / mean if target is not None and mean else None
    tracer = tracers().get(str(row["tracer"]))
    line = None if tracer is None else tracer.equations.get(name)
    centiloid = row.get(f"centiloid_{name}")
    slope = 1.0 if line is None or centiloid is None else abs(line.slope)
    main_suvr, main_noise, main_slope = suvr_of(row), row.get("sd_noise"), row.get("slope")
    noise = None
    if suvr is not None and main_suvr and main_slope and main_noise is not None:
        noise = slope * suvr * main_noise / (abs(main_slope) * main_suvr)
    return {
        **row,
        "reference_region": name,
        f"suvr_{name}": suvr,
        "centiloid": centiloid,
        "slope": slope,
        "sd_noise": noise,
        "sd_repeatability": None,
        "sd_line": None,
        "sd_tracer": None,
    }


def flag_columns(flags: Iterable[Flag]) -> dict[str, str | None]:
    """Columns ``flags`` (codes) and ``notes`` (sentences).

    Parameters
    ----------
    flags : of a row

    Returns
    -------
    dict
    """
    listed = list(flags)
    return {
        "flags": ";".join(flag.code for flag in listed) or None,
        "notes": " ".join(sentence(flag.message) for flag in listed) or None,
    }


def scan_error(row: Row) -> float | None:
    """Standard deviation of a Centiloid by errors that are independent between scans, CL.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    float or None
        None when it is not known.
    """
    slope, suvr = row.get("slope"), suvr_of(row)
    rescan_sd = row.get("sd_repeatability")
    if rescan_sd is None:
        if slope is None or suvr is None:
            return None
        rescan_sd = abs(slope) * suvr * repeatability()
    return math.hypot(rescan_sd, row.get("sd_noise") or 0.0)


def suvr_of(row: Row) -> float | None:
    """SUVR by the reference region that is reported.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    float or None
        None when it was not measured.
    """
    return row.get(f"suvr_{reference_of(row)}")


def reference_of(row: Row) -> str:
    """Name of the reference region that is reported.

    Parameters
    ----------
    row : of ``group_centiloid.tsv``

    Returns
    -------
    str
    """
    return row.get("reference_region") or STANDARD_REFERENCE


def centiloid_change(first: Row, last: Row, matched: Match) -> Change | None:
    """Change of the Centiloid; None when a scan has none or its error is not known.

    Parameters
    ----------
    first, last : rows of two scans of a person
    matched : of `match`

    Returns
    -------
    Change or None
    """
    measured = [_measured(row) for row in (first, last)]
    if measured[0] is None or measured[1] is None:
        return None
    same = first["tracer"] == last["tracer"]
    other = any(map(matched.has, ("other-pipeline", "other-method", "other-version")))
    return change(
        measured[0], measured[1], _relative(first, same), same_tracer=same, same_pipeline=not other
    )


def _measured(row: Row) -> Measured | None:
    scan = scan_error(row)
    if row["centiloid"] is None or scan is None:
        return None
    tracer = math.hypot(row.get("sd_line") or 0.0, row.get("sd_tracer") or 0.0)
    pipeline = math.hypot(row.get("sd_pipeline") or 0.0, row.get("sd_pipeline_bias") or 0.0)
    return Measured(row["centiloid"], scan, tracer, pipeline)


def _relative(row: Row, same: bool) -> float:
    """Relative error of a change by the scale; an unknown tracer has none that is known.

    The equation of a user's tracer, which is not at hand, is taken to be as unsure as any other.
    """
    tracer = tracers().get(str(row["tracer"]))
    if tracer is None:
        return 0.0
    equations = [known.equation for known in tracers().values() if known.equations]
    if tracer.equations:
        equations = [tracer.equations.get(reference_of(row), tracer.equation)]
    error = ScanError(repeatability())
    return max(scale_sd(equation, error) if same else anchor_sd(equation) for equation in equations)


def _pair_row(first: Row, last: Row, kind: str) -> dict[str, Any]:
    matched = match(first, last)
    years, flags = _time(first, last)
    difference = centiloid_change(first, last, matched)
    suvr = _suvr_change(first, last, matched)
    given: dict[str, Any] = {
        "participant_id": first["participant_id"],
        "pair": kind,
        "session_first": first["session_id"],
        "session_last": last["session_id"],
        "tracer": first["tracer"],
        "tracer_last": last["tracer"],
        "years": years,
        "reference_region": reference_of(first),
        "centiloid_first": first["centiloid"],
        "centiloid_last": last["centiloid"],
        **_estimate("change", difference),
        "reliable_limit": difference.limit if difference else None,
        "reliable_change": _verdict(difference),
        "marks_passed": _passed(first["centiloid"], last["centiloid"]),
        **dict.fromkeys(("rate", "rate_low", "rate_high", "accumulation")),
        "suvr_first": suvr_of(first),
        "suvr_last": suvr_of(last),
        **_estimate("suvr_change", suvr),
        "suvr_reliable_change": _verdict(suvr),
        "not_compared": ";".join(matched.unknown) or None,
        **flag_columns((*flags, *matched.flags)),
    }
    shortest = read_table("cohort")["change"]["shortest_years"]
    if difference and years is not None and years >= shortest:
        rate = difference.rate(years)
        given |= dict(zip(("rate", "rate_low", "rate_high"), rate, strict=True))
        given["accumulation"] = "yes" if rate[0] > accumulation()[0] else "no"
    return given


def _passed(first: float | None, last: float | None) -> str | None:
    """Published cut-offs between two Centiloids, in order, and the way they were passed."""
    if first is None or last is None:
        return None
    low, high = sorted((first, last))
    marks = sorted({mark.at for _, marks in scale().cutoffs for mark in marks})
    between = [f"{at:g} {'up' if last > first else 'down'}" for at in marks if low < at <= high]
    return ";".join(between if last > first else reversed(between)) or None


def _suvr_change(first: Row, last: Row, matched: Match) -> Change | None:
    """Change of the SUVR; None between tracers or reference regions, whose SUVRs are not alike."""
    if first["tracer"] != last["tracer"] or matched.has("other-reference"):
        return None
    before, after = map(_measured_suvr, (first, last))
    return None if before is None or after is None else change(before, after, 0.0)


def _measured_suvr(row: Row) -> Measured | None:
    suvr, slope = suvr_of(row), row.get("slope")
    if suvr is None:
        return None
    noise = (row.get("sd_noise") or 0.0) / abs(slope) if slope else 0.0
    return Measured(suvr, math.hypot(suvr * repeatability(), noise))


def _estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    names = (name, f"{name}_sd", f"{name}_low", f"{name}_high")
    values = (None,) * 4 if estimate is None else (estimate.value, estimate.sd, *estimate.interval)
    return dict(zip(names, values, strict=True))


def _verdict(change: Change | None) -> str | None:
    if change is None:
        return None
    if not change.reliable:
        return "no"
    return "increase" if change.value > 0 else "decrease"


def _time(first: Row, last: Row) -> tuple[float | None, tuple[Flag, ...]]:
    """Years between two scans, and why there is no rate."""
    times = (first["years"], last["years"])
    if None in times:
        return None, (worded_flag("time-unknown", "pair"),)
    years = times[1] - times[0]
    shortest = read_table("cohort")["change"]["shortest_years"]
    if years < 0:
        return years, (worded_flag("visit-order", "dates"),)
    if years < shortest:
        return years, (worded_flag("interval-short", years=shortest),)
    return years, ()


def _slope_row(participant: str, tracer: str | None, scans: Sequence[Row]) -> dict[str, Any]:
    matches = [match(a, b) for a, b in pairwise(scans)]
    flags = {flag.code: flag for match in matches for flag in match.flags}
    times = [row["years"] for row in scans]
    span = None if None in times else times[-1] - times[0]
    line = ratio = None
    if span is None:
        flags["time-unknown"] = worded_flag("time-unknown", "slope")
    elif span < read_table("cohort")["change"]["shortest_years"]:
        flags |= {flag.code: flag for flag in _time(scans[0], scans[-1])[1]}
    else:
        line = _line(times, [_measured(row) for row in scans], _relative(scans[0], True))
        same = not {"other-tracer", "other-reference"} & flags.keys()
        ratio = _line(times, [_measured_suvr(row) if same else None for row in scans], 0.0)
    shown = line or ratio
    if shown is not None and stats.chi2.sf(shown.chi2, shown.freedom) < _UNLIKELY:
        flags["not-straight"] = worded_flag("not-straight")
    return {
        "participant_id": participant,
        "tracer": tracer,
        "n_scans": len(scans),
        "session_first": scans[0]["session_id"],
        "session_last": scans[-1]["session_id"],
        "years": span,
        "reference_region": reference_of(scans[0]),
        **_estimate("slope", line),
        "chi2": shown and shown.chi2,
        "freedom": shown and shown.freedom,
        "widening": shown and shown.widening,
        "reliable_slope": _direction(line),
        **_estimate("suvr_slope", ratio),
        "suvr_reliable_slope": _direction(ratio),
        **flag_columns(flags.values()),
    }


def _line(
    years: Sequence[float], scans: Sequence[Measured | None], relative_sd: float
) -> Slope | None:
    known = [scan for scan in scans if scan is not None]
    if len(known) < len(scans):
        return None
    values, sds = [scan.value for scan in known], [scan.scan_sd for scan in known]
    return weighted_slope(years, values, sds, relative_sd)


def _direction(slope: Slope | None) -> str | None:
    if slope is None:
        return None
    low, high = slope.interval
    return "increase" if low > 0 else "decrease" if high < 0 else "no"


def summary(changed: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count reliable changes between neighbouring visits, for the page.

    Parameters
    ----------
    changed : of `change_rows`

    Returns
    -------
    dict
        Verdict -> count.
    """
    verdicts = [row["reliable_change"] for row in changed if row["pair"] == CONSECUTIVE]
    return {name: verdicts.count(name) for name in ("increase", "decrease", "no")}
