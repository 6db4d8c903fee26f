"""The end of a run: summary table and exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bidsapp.cli.listing import print_rows
from bidsapp.cli.logs import RUN_LOG, Progress
from bidsapp.errors import ExitCode, error_class
from bidsapp.record import ScanRecord, Status
from bidsapp.record.verdicts import by_weight
from bidsapp.report.lights import lights
from bidsapp.report.render import outcome

_COLUMNS = (
    "scan",
    "tracer",
    "SUVR",
    "Centiloid",
    "rescan 95 %",
    "PiB 95 %",
    "quality",
    "flags",
    "page",
)
_NUMBERS = ("SUVR", "Centiloid", "rescan 95 %", "PiB 95 %")
_STYLES = {Status.OK: None, Status.SKIPPED: "dim"}


def print_summary(records: Sequence[ScanRecord], output_dir: Path, progress: Progress) -> None:
    """Print one line per scan: result, what to check, and its page.

    The sentence of a failure was printed when it happened and stands on the page.

    Parameters
    ----------
    records : scans of the run
    output_dir : root of the derivative dataset
    progress : where to
    """
    progress.scans = {record.name: record.status.value for record in records}
    rows = []
    for record in records:
        cells = summary_cells(record)
        RUN_LOG.info("%s", " | ".join(cells))
        rows.append((cells, _STYLES.get(record.status, "red")))
    print_rows(_COLUMNS, rows, progress, right=_NUMBERS)
    for record in records:
        for light in lights(record):
            words = ", ".join(filter(None, (light.value, light.verdict)))
            progress.detail(f"{record.name}: {light.label}: {words} ({light.word})")
    if records:
        progress.say(f"{outcome(record.status for record in records)}; pages are in {output_dir}")


def summary_cells(record: ScanRecord) -> tuple[str, ...]:
    """Cells of one scan in the order of the columns.

    Parameters
    ----------
    record : of the scan

    Returns
    -------
    tuple of str
    """
    suvr = record.suvr.get(record.reference_region or "")
    value = "n/a" if record.centiloid is None else f"{record.centiloid:.1f}"
    if record.scales:  # of tau: its own volume and scale
        suvr = record.scales["suvr"].get("universal")
        z = record.scales.get("centaurz", {}).get("universal")
        value = "n/a" if z is None else f"{z:.1f} CenTauRz"
    quality = "n/a"
    if record.status is Status.OK:
        notes = ", ".join(flag.code for flag in by_weight(record.flags)) or "none"
        quality = f"look at {record.n_doubts}" if record.n_doubts else "good"
    else:
        notes = f"{record.status} ({record.error})" if record.error else str(record.status)
    return (
        record.name,
        record.tracer or "n/a",
        "n/a" if suvr is None else f"{suvr:.3f}",
        value,
        *(
            "n/a" if ends is None else f"{ends[0]:.0f} to {ends[1]:.0f}"
            for ends in (record.rescan_interval, record.centiloid_interval)
        ),
        quality,
        notes,
        f"sub-{record.entities['sub']}.html",
    )


def exit_code(records: Iterable[ScanRecord], problems: Iterable[str] = ()) -> int:
    """Exit code of a run: 0 all well; a class's own when all failed alike; 1 otherwise.

    Parameters
    ----------
    records : every scan of the run; those left out on purpose do not count
    problems : class names of errors that cost no scan its result, or happened before there was one

    Returns
    -------
    int
    """
    counted = [record for record in records if record.status is not Status.SKIPPED]
    errors = [r.error or "" for r in counted if r.status is not Status.OK] + list(problems)
    if not errors:
        return ExitCode.OK
    kind = error_class(errors[0])
    if len(set(errors)) == 1 and kind and all(r.status is not Status.OK for r in counted):
        return kind.exit_code
    return ExitCode.SCAN_FAILED
