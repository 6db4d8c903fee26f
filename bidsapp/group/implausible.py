"""Implausible pairs of scans of a participant: exchanged, misnamed or misdated."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from bidsapp.bids.values import YEAR_DAYS
from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.group.comparability import match
from bidsapp.group.duplicates import Finding
from bidsapp.group.longitudinal import centiloid_change
from bidsapp.group.tables import Row, on_two_calendars
from bidsapp.group.visits import CONSECUTIVE, Visits
from bidsapp.grouping import grouped
from bidsapp.plain import natural
from bidsapp.record import ScanRecord
from bidsapp.report.render import number


def implausible(
    rows: Sequence[Row], courses: Sequence[Visits], treated: Sequence[float | None] | None = None
) -> list[Finding]:
    """Contradictions between two visits of a participant; both scans are flagged.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    courses : of `bidsapp.group.visits.all_visits`
    treated : years since treatment began, of every row: a later fall is not a contradiction; None
        where it is known of nobody

    Returns
    -------
    list of Finding
    """
    limits = read_table("cohort")["implausible"]
    findings: dict[tuple[int, str], Finding] = {}
    for course in courses:
        for kind, i, j in course.pairs():
            if kind != CONSECUTIVE:
                continue
            first, last = course.indices[i], course.indices[j]
            on_treatment = treated is not None and (treated[last] or 0.0) > 0
            for flag in _contradictions(rows[first], rows[last], limits):
                if flag.code == "centiloid-fall" and on_treatment:
                    continue
                for index, other in ((first, last), (last, first)):
                    findings.setdefault((index, flag.code), Finding(index, flag, (other,)))
    return sorted(findings.values(), key=lambda finding: finding.order)


def shifted_dates(records: Sequence[ScanRecord]) -> list[Finding]:
    """Scans of participants some of whose dates were shifted; the shift is not disclosed.

    Parameters
    ----------
    records : scans

    Returns
    -------
    list of Finding
    """
    odd = on_two_calendars(records)
    indices = grouped(
        (record.entities["sub"], index)
        for index, record in enumerate(records)
        if record.entities["sub"] in odd and record.acquired is not None
    )
    flag = worded_flag("dates-shifted")
    return [
        Finding(index, flag, tuple(at for at in of_person if at != index))
        for of_person in indices.values()
        for index in of_person
    ]


def _contradictions(first: Row, last: Row, limits: dict[str, float]) -> list[Flag]:
    sessions = f"between {_session(first)} and {_session(last)}"
    years = _between(first["years"], last["years"])
    contradictions = [
        _brain(first, last, years, limits, sessions),
        _sex(first, last, sessions),
        _age(first, last, years, limits, sessions),
        *_course(first, last, years, limits, sessions),
        *_dates(first, last, years, limits),
    ]
    return [contradiction for contradiction in contradictions if contradiction is not None]


def _brain(
    first: Row, last: Row, years: float | None, limits: dict[str, float], sessions: str
) -> Flag | None:
    """The volume of the brain changes slowly, that of another person is another one."""
    before, after = first.get("brain_ml"), last.get("brain_ml")
    if not before or not after or first.get("t1w_source") == last.get("t1w_source"):
        return None
    percent = 100 * (after / before - 1)
    limit = limits["brain_percent"] + limits["brain_percent_per_year"] * abs(years or 0.0)
    if abs(percent) <= limit:
        return None
    return worded_flag(
        "brain-volume", percent=number(percent), sessions=sessions, limit=number(limit)
    )


def _sex(first: Row, last: Row, sessions: str) -> Flag | None:
    before, after = first.get("sex"), last.get("sex")
    if before is None or after is None or before == after:
        return None
    return worded_flag("sex-contradiction", before=before, after=after, sessions=sessions)


def _age(
    first: Row, last: Row, years: float | None, limits: dict[str, float], sessions: str
) -> Flag | None:
    older = _between(first.get("age"), last.get("age"))
    if older is None or older == 0:  # one age for all visits is that at the first of them
        return None
    if years is None:
        wrong, whose = older < 0, "of later visits"
    elif last["age"] >= limits["oldest_age"] and 0 < older < years:
        return None
    else:
        wrong, whose = abs(older - years) > limits["age_years"], f"{number(years)} years apart"
    if not wrong:
        return None
    return worded_flag("age-contradiction", years=number(older), sessions=sessions, whose=whose)


def _course(
    first: Row, last: Row, years: float | None, limits: dict[str, float], sessions: str
) -> list[Flag]:
    changed = centiloid_change(first, last, match(first, last))
    if changed is None:
        return []
    contradictions = []
    if changed.value < -max(changed.limit, limits["fall_cl"]):
        fall, error = number(-changed.value), number(changed.limit)
        contradictions.append(
            worded_flag("centiloid-fall", fall=fall, sessions=sessions, error=error)
        )
    if years is not None and years > 0 and changed.interval[0] / years > limits["rise_cl_per_year"]:
        rise, most = number(changed.value), number(limits["rise_cl_per_year"], 0)
        contradictions.append(
            worded_flag("centiloid-rise", rise=rise, sessions=sessions, most=most)
        )
    return contradictions


def _dates(first: Row, last: Row, years: float | None, limits: dict[str, float]) -> list[Flag]:
    contradictions = []
    labels = [str(row["session_id"] or "") for row in (first, last)]
    stems = [re.sub(r"\d+", "#", label) for label in labels]
    numbered = stems[0] == stems[1] and "#" in stems[0]  # m06 and m12, not screening and baseline
    in_order = natural(labels[0]) <= natural(labels[1])
    if years is not None and numbered and (years < 0 or not in_order):
        contradictions.append(worded_flag("visit-order", "labels", first=labels[0], last=labels[1]))
    if years is not None and abs(years) * YEAR_DAYS < limits["same_time_days"]:
        contradictions.append(worded_flag("same-time", first=labels[0], last=labels[1]))
    return contradictions


def _between(before: Any, after: Any) -> float | None:
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return None
    return float(after - before) if math.isfinite(after - before) else None


def _session(row: Row) -> str:
    return str(row["session_id"] or "the first scan")
