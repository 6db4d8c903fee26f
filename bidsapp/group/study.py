"""Analysis of a study: change, cohort, sites, contradictions, cut-offs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bidsapp.group.amyloid_tau import AmyloidTau, StatusRule, amyloid_tau
from bidsapp.group.cohort_model import cohort_model
from bidsapp.group.courses import course_groups, treated_years
from bidsapp.group.cutoffs import CutOffs, cutoffs
from bidsapp.group.duplicates import Finding, duplicates, scan_name
from bidsapp.group.implausible import implausible, shifted_dates
from bidsapp.group.longitudinal import (
    by_reference,
    change_rows,
    other_references,
    slope_rows,
)
from bidsapp.group.outliers import Score, scores
from bidsapp.group.ratings import without_rejected
from bidsapp.group.sites import site_rows
from bidsapp.group.tables import Row, Table, columns_of, with_flags
from bidsapp.group.visits import Visits, all_visits
from bidsapp.grouping import grouped
from bidsapp.plain import sentence
from bidsapp.record import ScanRecord
from bidsapp.settings import StudyOptions


@dataclass(frozen=True)
class Study:
    """All results of a cohort.

    Attributes
    ----------
    rows : of ``group_centiloid.tsv``, with the flags of ``findings``
    counted : the same as the statistics see them: rejected scans, where they are left out, have no
        result
    visits : the scans of each participant that are compared
    change, slopes, model, sites : rows of the tables of these names
    findings : duplicates and contradictions, by index
    scores : robust z-scores of the quality numbers
    cutoffs : of the cohort, beside the published ones
    amyloid_tau : participants by amyloid and tau
    references : change, slopes and model by every other reference region of the run
    course_groups : value of every row by the columns of participants.tsv that colour the charts
    treated_years : years since treatment began, of every row; None where that is not known
    """

    rows: list[Row]
    counted: list[Row]
    visits: list[Visits]
    change: list[Row]
    slopes: list[Row]
    model: list[Row]
    findings: list[Finding]
    scores: list[Score]
    sites: list[Row]
    cutoffs: CutOffs
    amyloid_tau: AmyloidTau
    references: dict[str, ByReference]
    course_groups: dict[str, list[str | None]]
    treated_years: list[float | None]

    def with_references(self, table: str) -> list[Row]:
        """Rows of a table by the reference region that is reported, then by all others.

        Parameters
        ----------
        table : ``change``, ``slopes`` or ``model``

        Returns
        -------
        list of Row
        """
        every = (self, *self.references.values())
        return [row for reference in every for row in getattr(reference, table)]


@dataclass(frozen=True)
class ByReference:
    """Change of a cohort by one reference region: rows of the tables of these names.

    Attributes
    ----------
    change : pairs of visits
    slopes : participants
    model : cohort
    """

    change: list[Row]
    slopes: list[Row]
    model: list[Row]


def study(
    records: Sequence[ScanRecord],
    rows: Sequence[Row],
    options: StudyOptions,
) -> Study:
    """Analyse all scans together.

    Parameters
    ----------
    records : scans
    rows : of ``group_centiloid.tsv``, in the same order
    options : who are controls, A+ and T+, and whether scans that readers rejected are kept out of
        everything but the rows and the findings

    Returns
    -------
    Study
    """
    leave_out_rejected = options.leave_out_rejected
    courses = all_visits(rows)
    treated = [
        treated_years(record, row["years"]) for record, row in zip(records, rows, strict=True)
    ]
    findings = [
        *duplicates(records, rows), *implausible(rows, courses, treated), *shifted_dates(records)
    ]  # fmt: skip
    findings.sort(key=lambda finding: finding.order)
    marked = _flagged(rows, findings)
    counted = without_rejected(marked) if leave_out_rejected else marked
    courses = all_visits(counted) if leave_out_rejected else courses
    scored = scores(counted)
    return Study(
        rows=marked,
        counted=counted,
        visits=courses,
        change=change_rows(counted, courses),
        slopes=slope_rows(counted, courses),
        model=cohort_model(counted),
        findings=findings,
        scores=scored,
        sites=site_rows(counted, scored),
        cutoffs=cutoffs(counted, options.controls),
        amyloid_tau=amyloid_tau(counted, StatusRule.of_options(options)),
        references={
            name: _by_reference(by_reference(counted, records, name), courses)
            for name in (other_references(rows, records) if courses else ())
        },
        course_groups=course_groups(records),
        treated_years=treated,
    )


def _by_reference(rows: Sequence[Row], courses: Sequence[Visits]) -> ByReference:
    model = cohort_model(rows)
    return ByReference(
        change=[
            row
            for row in change_rows(rows, courses)
            if (row["suvr_first"], row["suvr_last"]) != (None, None)
        ],
        slopes=slope_rows(rows, courses),
        model=model if model[0]["n_scans"] else [],
    )


def study_tables(result: Study) -> list[Table]:
    """Tables of a study that have rows.

    Parameters
    ----------
    result : of `study`

    Returns
    -------
    list of Table
    """
    tables = {
        **{name: result.with_references(name) for name in ("change", "slopes", "model")},
        "findings": _finding_rows(result),
        "sites": result.sites,
        "cutoffs": result.cutoffs.rows,
        "amyloid_tau": result.amyloid_tau.rows,
        "amyloid_tau_counts": result.amyloid_tau.counts,
    }
    return [
        Table(f"group_{name}", columns_of("cohort_columns", name), rows)
        for name, rows in tables.items()
    ]


def _flagged(rows: Sequence[Row], findings: Sequence[Finding]) -> list[Row]:
    """Rows with the codes of the findings among their flags."""
    codes = grouped((finding.index, finding.flag.code) for finding in findings)
    return [with_flags(row, codes.get(index, [])) for index, row in enumerate(rows)]


def _finding_rows(result: Study) -> list[Row]:
    columns = ("participant_id", "session_id", "tracer", "rec", "run")
    return [
        {
            **{name: result.rows[finding.index][name] for name in columns},
            "code": finding.flag.code,
            "others": ";".join(scan_name(result.rows[index]) for index in finding.others),
            "message": sentence(finding.flag.message),
        }
        for finding in result.findings
    ]
