"""The end of a run: a table for the person, an exit code for the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bidsapp.errors import ExitCode, error_class
from bidsapp.logs import RUN_LOG, Progress
from bidsapp.report.records import ScanRecord, Status

_COLUMNS = ("scan", "tracer", "SUVR", "Centiloid", "flags", "page")


def print_summary(records: Sequence[ScanRecord], output_dir: Path, progress: Progress) -> None:
    """Print one line per scan: what came out, what to look at, and where its page is.

    The sentence of a failure was told when it happened and stands on the page.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        number = column in ("SUVR", "Centiloid")
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for record in records:
        cells = summary_cells(record, output_dir)
        RUN_LOG.info("%s", " | ".join(cells))
        table.add_row(*cells, style=None if record.status is Status.OK else "red")
    progress.console.print(table)


def summary_cells(record: ScanRecord, output_dir: Path) -> tuple[str, ...]:
    """Cells of one scan in the order of the columns."""
    suvr = record.suvr.get(record.reference_region or "")
    if record.status is Status.OK:
        notes = ", ".join(flag.code for flag in record.flags) or "none"
    else:
        notes = f"{record.status} ({record.error})" if record.error else str(record.status)
    return (
        record.name,
        record.tracer or "n/a",
        "n/a" if suvr is None else f"{suvr:.3f}",
        "n/a" if record.centiloid is None else f"{record.centiloid:.1f}",
        notes,
        str(output_dir / f"sub-{record.entities['sub']}.html"),
    )


def exit_code(records: Iterable[ScanRecord], problems: Iterable[str] = ()) -> int:
    """Exit code of a run: 0 all well; a class's own when all failed alike; 1 otherwise.

    Parameters
    ----------
    records : every scan of the run; those left out on purpose do not count
    problems : class names of errors that cost no scan its result, or happened before there was one
    """
    counted = [record for record in records if record.status is not Status.SKIPPED]
    errors = [r.error or "" for r in counted if r.status is not Status.OK] + list(problems)
    if not errors:
        return ExitCode.OK
    kind = error_class(errors[0])
    if len(set(errors)) == 1 and kind and all(r.status is not Status.OK for r in counted):
        return kind.exit_code
    return ExitCode.SCAN_FAILED
