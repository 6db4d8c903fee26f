"""``--dry-run`` of a BIDS dataset: a table of the planned processing of every scan."""

from __future__ import annotations

from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import Plan, ScanPlan
from bidsapp.cli.listing import print_rows
from bidsapp.cli.logs import Progress
from bidsapp.errors import ExitCode, error_class

COLUMNS = ("scan", "", "tracer", "window (min)", "T1w", "what to look at")
_STYLES = {"run": None, "left out": "dim", "refused": "red"}


def print_plan(plan: Plan, progress: Progress) -> None:
    """Print one line per scan: its processing, or what is missing.

    Parameters
    ----------
    plan : of the dataset
    progress : where to
    """
    rows = [(cells, _STYLES[cells[1]]) for cells in plan_rows(plan)]
    print_rows(COLUMNS, rows, progress)
    progress.say("nothing was computed or written (--dry-run)")


def plan_rows(plan: Plan) -> list[tuple[str, ...]]:
    """Cells of every scan, in the order of their names.

    Parameters
    ----------
    plan : of the dataset

    Returns
    -------
    list of tuple of str
    """
    rows: list[tuple[str, ...]] = []
    for scan in plan.scans:
        notes = ", ".join(flag.code for flag in scan.flags) or "nothing"
        rows.append((scan.name, "run", *_planned_cells(scan), notes))
    for failure in plan.failures:
        cells = (failure.tracer or "n/a", "n/a", "n/a")
        if failure.planned is not None:
            cells = _planned_cells(failure.planned)
        message = failure.message.replace(f"{failure.pet.parent}/", "")
        rows.append((join_entities(failure.entities), "refused", *cells, message))
    for skip in plan.skipped:
        rows.append((join_entities(skip.entities), "left out", skip.tracer or "n/a", "n/a", "n/a",
                     skip.reason))  # fmt: skip
    return sorted(rows)


def _planned_cells(scan: ScanPlan) -> tuple[str, str, str]:
    start, end = scan.window.used_min
    window = f"{start:g} to {end:g}, {scan.window.coverage:.0%}"
    if scan.t1w is None:
        return scan.tracer, window, "none: by the PET itself"
    images = ", ".join(path.name for path in scan.t1w.raw)
    return scan.tracer, window, images


def plan_exit_code(plan: Plan) -> int:
    """Exit code that a run would have if every planned scan gave a result.

    Parameters
    ----------
    plan : of the dataset

    Returns
    -------
    int
        Exit code.
    """
    kinds = {failure.error_name for failure in plan.failures}
    if not kinds:
        return ExitCode.OK if plan.scans else ExitCode.NO_MATCH
    kind = error_class(min(kinds))
    return kind.exit_code if len(kinds) == 1 and kind and not plan.scans else ExitCode.SCAN_FAILED
