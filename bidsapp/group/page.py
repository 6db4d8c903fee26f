"""The group page: a table of all scans, and figures of the study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bidsapp import __version__
from bidsapp.data import read_table
from bidsapp.data.literature import scale
from bidsapp.group import charts
from bidsapp.group.courses import courses, gaps
from bidsapp.group.cutoff_chart import cutoff_histogram
from bidsapp.group.longitudinal import summary
from bidsapp.group.outliers import outliers
from bidsapp.group.study import Study
from bidsapp.group.tables import Row
from bidsapp.group.visits import FIRST_LAST
from bidsapp.io.tsv import cell
from bidsapp.report.figure import Figure
from bidsapp.report.methods import Methods
from bidsapp.report.render import render_page

GROUPINGS = {"tracer": "tracer", "site": "site", "session_id": "session"}
_MOST_EXPLORED = 40  # columns
_ALWAYS = ("participant_id", "tracer", "centiloid", "suvr_wc", "status", "flags", "reason")
_MOST_LISTED = 200
_MOST_KEPT = 12  # columns to group by where there are more rows
_MOST_WHOLE_ROWS = 2500  # with all columns in the page, which stays below 6 MB


def group_figures(study: Study) -> list[Figure]:
    """Draw the figures of a study.

    A grouping with one group only is left out, except for the tracer.

    Parameters
    ----------
    study : of `bidsapp.group.study.study`

    Returns
    -------
    list of Figure
    """
    rows = study.counted
    figures: list[Figure | None] = [
        charts.distribution(rows, column, by)
        for column, by in GROUPINGS.items()
        if column == "tracer" or len({row[column] for row in rows}) > 1
    ]
    figures.append(charts.agreement(rows))
    figures.append(charts.outlier_strips(rows, study.scores, _labels()))
    over_time = courses(rows, study.visits)
    figures.append(charts.spaghetti(rows, over_time))
    for name, values in study.course_groups.items():
        figures.append(charts.spaghetti(rows, over_time, (name, values)))
    if since := courses(rows, study.visits, study.treated_years):
        figures.append(charts.spaghetti(rows, since, treated=True))
    figures.append(cutoff_histogram(study.cutoffs))
    return [figure for figure in figures if figure is not None]


def group_page(
    study: Study,
    warnings: Sequence[str],
    figures: Sequence[Figure],
    methods: Methods,
) -> str:
    """Return the page of a study.

    Parameters
    ----------
    study : of `bidsapp.group.study.study`
    warnings : sentences about the cohort as a whole
    figures : of `group_figures`
    methods : text about the study, to paste

    Returns
    -------
    str
    """
    rows = study.rows
    by_name = {figure.name: figure for figure in figures}
    missing = gaps(study.counted)
    far = outliers(study.scores)
    return render_page(
        "group.html",
        ("ratings.js", "explore.js", "group.js"),
        ("page.css", "chart.css", "group.css", "print.css"),
        rows=rows,
        distribution=by_name.get("distribution-tracer"),
        agreement=by_name.get("agreement"),
        strips=by_name.get("outliers"),
        spaghetti=[figure for name, figure in by_name.items() if name.startswith("longitudinal")],
        histogram=by_name.get("cutoffs"),
        groups=charts.groups(study.counted, "tracer"),
        n_doubtful=len(_doubtful(rows)),
        n_left_out=len(rows) - sum(a is b for a, b in zip(rows, study.counted, strict=True)),
        outliers=far[:_MOST_LISTED],
        n_outliers=len(far),
        **_longitudinal(study),
        sites=study.sites if len(study.sites) > 1 else [],
        findings=[(rows[finding.index], finding) for finding in study.findings[:_MOST_LISTED]],
        n_findings=len(study.findings),
        cutoffs=study.cutoffs.rows if study.cutoffs.values else [],
        tau=study.amyloid_tau,
        without=[row for row in rows if row["status"] != "ok"],
        missing=missing[:_MOST_LISTED],
        n_missing=len(missing),
        labels=_labels(),
        digits={name: row["digits"] for name, row in read_table("qc").items()},
        scale=scale(),
        warnings=warnings,
        methods=methods,
        data=_data(rows, study.counted),
        whole=len(rows) <= _MOST_WHOLE_ROWS,
        version=__version__,
    )


def _longitudinal(study: Study) -> dict[str, Any]:
    """What the section about change shows: reliable changes and slopes, the largest first."""
    ends = [row for row in study.change if row["pair"] == FIRST_LAST]
    judged = [row for row in ends if row["reliable_change"] is not None]
    reliable = [row for row in judged if row["reliable_change"] != "no"]
    slopes = [row for row in study.slopes if row["slope"] is not None]
    return {
        "changes": sorted(reliable, key=lambda row: -abs(row["change"]))[:_MOST_LISTED],
        "n_changes": len(reliable),
        "n_judged": len(judged),
        "n_pairs": len(ends),
        "n_mismatched": sum(row["flags"] is not None for row in ends),
        "counts": summary(study.change),
        "slopes": sorted(slopes, key=lambda row: -abs(row["slope"]))[:_MOST_LISTED],
        "n_slopes": len(slopes),
        "model": study.model,
    }


def _labels() -> dict[str, str]:
    """Quality columns in words."""
    known = {name: row["label"] for name, row in read_table("qc").items()}
    return known | {
        "least_coverage": "Least coverage of a region",
        "reference_difference_sds": "Disagreement of reference regions",
        "noise_percent": "Noise of the SUVR, %",
    }


def _explored(rows: Sequence[Row]) -> dict[str, str]:
    """Columns by which scans differ, with their words: our own, then those of the raw tables."""
    columns = read_table("group_columns")["centiloid"]
    named = read_table("group_columns")["page"]["explored"] | {
        name: name for name in rows[0] if name not in columns
    }
    differing = [name for name in named if len({row[name] for row in rows} - {None, ""}) > 1]
    return {name: named[name] for name in differing[:_MOST_EXPLORED]}


def _doubtful(rows: Sequence[Row]) -> list[int]:
    """Places of the rows whose Centiloid has no band, because a flag puts it in doubt."""
    return [
        index for index, row in enumerate(rows)
        if row["centiloid"] is not None and row["band"] is None
    ]  # fmt: skip


def _data(rows: Sequence[Row], counted: Sequence[Row]) -> dict[str, Any]:
    """The whole table as text, cell by cell as in the TSV, for the script of the page.

    Of very many scans the page holds only the columns that it shows at first.
    """
    shown = {
        name: head
        for name, head in read_table("group_columns")["page"]["shown"].items()
        if name in _ALWAYS or any(row[name] not in (None, "") for row in rows)
    }
    explored = _explored(rows)
    columns = list(rows[0])
    if len(rows) > _MOST_WHOLE_ROWS:
        columns = list(dict.fromkeys([*shown, "record", *list(explored)[:_MOST_KEPT]]))
        explored = {name: words for name, words in explored.items() if name in columns}
    known = scale()
    return {
        "explored": list(explored.items()),
        "doubtful": _doubtful(rows),
        "left_out": [index for index, row in enumerate(rows) if row is not counted[index]],
        "scale": {"low": known.low, "high": known.high},
        "columns": columns,
        "shown": list(shown.items()),
        "rows": [[cell(row[name]) for name in columns] for row in rows],
    }
