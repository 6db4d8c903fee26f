"""Participants by amyloid and tau status: pairs of scans, and counts of A+ and T+."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bidsapp.bids.values import YEAR_DAYS
from bidsapp.data import read_table
from bidsapp.data.tau import tau_regions
from bidsapp.data.tracers import tau_tracers
from bidsapp.errors import UsageError
from bidsapp.group.scan_choice import one_per_visit, time_order
from bidsapp.group.tables import Row
from bidsapp.grouping import grouped
from bidsapp.plain import count
from bidsapp.settings import StudyOptions

CELLS = ("A+T+", "A+T-", "A-T+", "A-T-")
_WORDS = {"+": "positive", "-": "negative"}  # a cell that begins with a sign looks like a formula
_UNPAIRED = ("not-paired", "no-amyloid", "no-tau", "neither")


@dataclass(frozen=True)
class StatusRule:
    """Who is A+ and T+, strictly above, and which scans of a participant are taken together.

    Attributes
    ----------
    centiloid : cut-off of amyloid, CL
    region, centaurz : volume and cut-off of tau
    days : longest time between the scans
    """

    centiloid: float
    region: str
    centaurz: float
    days: float

    @classmethod
    def of_options(cls, options: StudyOptions) -> StatusRule:
        """Cut-offs and time given by the user, else those of the tables.

        Parameters
        ----------
        options : of the group level

        Returns
        -------
        StatusRule

        Raises
        ------
        UsageError
            The region is none of the tau volumes.
        """
        amyloid, tau = read_table("cohort")["amyloid_tau"], read_table("tau")["cutoff"]
        region, centaurz = options.tau_cutoff or (None, tau["centaurz"])
        if region is not None and region not in tau_regions():
            raise UsageError(f"--tau-cutoff {region}: give one of {', '.join(tau_regions())}")
        cutoff = options.amyloid_cutoff
        return cls(
            centiloid=amyloid["centiloid"] if cutoff is None else cutoff,
            region=region or tau["region"],
            centaurz=centaurz,
            days=options.pair_days or amyloid["days"],
        )

    @property
    def column(self) -> str:
        """Column of the tau values."""
        return f"centaurz_{self.region}"


@dataclass(frozen=True)
class AmyloidTau:
    """A cohort by amyloid and tau.

    Attributes
    ----------
    rule : StatusRule
    rows : of ``group_amyloid_tau.tsv``, one per participant; none in a cohort without tau
    counts : of ``group_amyloid_tau_counts.tsv``
    tracers : of the page: tau values by tracer
    """

    rule: StatusRule
    rows: tuple[dict[str, Any], ...]
    counts: tuple[dict[str, Any], ...]
    tracers: tuple[dict[str, Any], ...]

    @property
    def n(self) -> dict[str, int]:
        """Participants by status."""
        return {row["status"]: row["n"] for row in self.counts}

    @property
    def sentence(self) -> str:
        """For the methods text; empty in a cohort without tau."""
        if not self.rows:
            return ""
        numbers = ", ".join(f"{cell} {self.n[cell]}" for cell in CELLS)
        left = len(self.rows) - sum(self.n[cell] for cell in CELLS)
        return (
            f"Participants were A+ above {self.rule.centiloid:g} CL and T+ above a CenTauRz of "
            f"{self.rule.centaurz:g} in the {self.rule.region.replace('_', ' ')} volume, by their "
            f"first tau scan with an amyloid scan within {self.rule.days:g} days ({numbers}); "
            f"{left} had no such pair of scans."
        )


def amyloid_tau(rows: Sequence[Row], rule: StatusRule) -> AmyloidTau:
    """Cross the amyloid and the tau status of every participant.

    Of each the first tau scan that has an amyloid scan within the time counts, with the closest of
    these. Scans without a date go together only where they are of one session. Of several
    reconstructions or runs of a session one counts (`bidsapp.group.scan_choice.one_per_visit`).

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    rule : cut-offs and time

    Returns
    -------
    AmyloidTau
    """
    if not any(row["tracer"] in tau_tracers() and row["status"] != "skipped" for row in rows):
        return AmyloidTau(rule, (), (), ())
    people = grouped((row["participant_id"], row) for row in rows)
    participants = tuple(_participant(name, scans, rule) for name, scans in people.items())
    counts = tuple(_count(participants, status) for status in (*CELLS, *_UNPAIRED))
    return AmyloidTau(rule, participants, counts, _tracers(rows, rule))


def _participant(name: str, rows: Sequence[Row], rule: StatusRule) -> dict[str, Any]:
    amyloid, tau = (
        [rows[index] for index in one_per_visit(rows, (
            index for index, row in enumerate(rows) if row[column] is not None
        ))]
        for column in ("centiloid", rule.column)
    )  # fmt: skip
    pairs = [(t, a, *_apart(t, a)) for t in tau for a in amyloid]
    usable = [pair for pair in pairs if pair[3] and (pair[2] is None or pair[2] <= rule.days)]
    if usable:
        order = time_order(tau)
        t, a, days, how = min(
            usable, key=lambda pair: (order(pair[0]), pair[2] is None, pair[2] or 0)
        )
        return _row(name, rule, a, t) | {
            "status": f"A{_sign(a['centiloid'], rule.centiloid)}"
            f"T{_sign(t[rule.column], rule.centaurz)}",
            "days": days,
            "paired_by": how,
            "reason": None,
        }
    first = [min(scans, key=time_order(scans)) if scans else None for scans in (amyloid, tau)]
    status, reason = _why(rows, amyloid, tau, pairs, rule)
    lone = _row(name, rule, *first)
    return lone | {"status": status, "days": None, "paired_by": None, "reason": reason}


def _apart(tau: Row, amyloid: Row) -> tuple[float | None, str | None]:
    """Days between two scans, and by what they may be paired: dates, session, or nothing."""
    years = tau["years"], amyloid["years"]
    if None not in years:
        # rounded, so that scans 90 days apart are not 90.00000000000001
        return round(abs(years[0] - years[1]) * YEAR_DAYS, 6), "dates"
    return None, "session" if tau["session_id"] == amyloid["session_id"] else None


def _why(
    rows: Sequence[Row],
    amyloid: Sequence[Row],
    tau: Sequence[Row],
    pairs: Sequence[tuple[Row, Row, float | None, str | None]],
    rule: StatusRule,
) -> tuple[str, str]:
    """Why a participant has no pair of scans: kind and sentence."""
    lacking = []
    if not amyloid:
        lacking.append(_lacking(rows, "amyloid", "Centiloid"))
    if not tau:
        what = f"CenTauRz of the {rule.region.replace('_', ' ')} volume"
        lacking.append(_lacking(rows, "tau", what))
    if lacking:
        kind = "neither" if len(lacking) > 1 else "no-tau" if amyloid else "no-amyloid"
        return kind, " ".join(lacking)
    known = [days for _, _, days, _ in pairs if days is not None]
    if known:
        return "not-paired", (
            f"The closest amyloid and tau scans are {min(known):.0f} days apart, more than "
            f"{rule.days:g}."
        )
    return "not-paired", "The scans are of different sessions, and their dates are not known."


def _lacking(rows: Sequence[Row], target: str, what: str) -> str:
    """That there is no scan of a target, or none with the value."""
    n = sum((row["tracer"] in tau_tracers()) == (target == "tau") for row in rows)
    if n == 0:
        return f"No {target} scan."
    return f"{count(n, f'{target} scan')} without a {what}."


def _row(name: str, rule: StatusRule, amyloid: Row | None, tau: Row | None) -> dict[str, Any]:
    """A participant with the two scans that the status is read from."""
    a, t = amyloid or {}, tau or {}
    kind = "centiloid" if a.get("interval") == "pib" else "rescan"
    low, high = a.get(f"{kind}_low"), a.get(f"{kind}_high")
    crossed = None if low is None or high is None else low <= rule.centiloid <= high
    return {
        "participant_id": name,
        "amyloid": amyloid and _WORDS[_sign(a["centiloid"], rule.centiloid)],
        "tau": tau and _WORDS[_sign(t[rule.column], rule.centaurz)],
        "centiloid": a.get("centiloid"),
        "amyloid_cutoff": rule.centiloid,
        "cutoff_in_interval": None if crossed is None else "yes" if crossed else "no",
        "amyloid_tracer": a.get("tracer"),
        "amyloid_session": a.get("session_id"),
        "amyloid_flags": a.get("flags") or None,
        "centaurz": t.get(rule.column),
        "tau_region": rule.region,
        "tau_cutoff": rule.centaurz,
        "tau_tracer": t.get("tracer"),
        "tau_session": t.get("session_id"),
        "tau_flags": t.get("flags") or None,
        "longest_days": rule.days,
    }


def _sign(value: float, cutoff: float) -> str:
    return "+" if value > cutoff else "-"


def _count(rows: Sequence[Row], status: str) -> dict[str, Any]:
    members = [row for row in rows if row["status"] == status]
    return {
        "status": status,
        "n": len(members),
        "n_by_session": sum(row["paired_by"] == "session" for row in members),
        "n_flagged": sum(bool(row["amyloid_flags"] or row["tau_flags"]) for row in members),
        "n_near_cutoff": sum(row["cutoff_in_interval"] == "yes" for row in members),
    }


def _tracers(rows: Sequence[Row], rule: StatusRule) -> tuple[dict[str, Any], ...]:
    """Scans, medians and scans above the cut-off of every tau tracer with values."""
    by_tracer = []
    for code, tracer in tau_tracers().items():
        scans = [row for row in rows if row["tracer"] == code and row[rule.column] is not None]
        centaur = [value for row in scans if (value := row["centaur_universal"]) is not None]
        values = [row[rule.column] for row in scans]
        if scans:
            by_tracer.append({
                "name": tracer.name, "n": len(scans), "median": median(values),
                "low": min(values), "high": max(values),
                "above": sum(value > rule.centaurz for value in values),
                "centaur": median(centaur) if centaur else None,
            })  # fmt: skip
    return tuple(by_tracer)
