"""``centipet-verify OUT``: is a finished dataset unchanged since it was computed?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsapp import __version__
from bidsapp.cli.command import parse_and_run
from bidsapp.errors import (
    CannotCreateError,
    CentipetError,
    ExitCode,
    Interrupted,
    NoInputError,
    UsageError,
    WorkerLostError,
)
from bidsapp.plain import count

if TYPE_CHECKING:
    from bidsapp.verify.file_hashes import Findings


def main(argv: Sequence[str] | None = None) -> int:
    """Verify a dataset; return 0 when all is as it was computed, 1 when something differs.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run("verify", _verified, argv)


def _verified(options: argparse.Namespace) -> int:
    from bidsapp.cli.logs import logging_to
    from bidsapp.cli.signals import ended_by_signals

    try:
        with ended_by_signals(), logging_to(None, 0):
            return _run(options)
    except OSError as error:
        where = error.filename or "a file"
        raise NoInputError(f"{where}: cannot be read ({error.strerror})") from error
    except Interrupted as interrupted:
        print("centipet-verify: interrupted; nothing was verified", file=sys.stderr)
        return int(interrupted.code or 0)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    from bidsapp.cli.logs import Progress
    from bidsapp.verify.dataset import check_rest, records_of
    from bidsapp.verify.file_hashes import Findings

    output_dir = Path(os.path.abspath(options.output_dir.expanduser()))  # noqa: PTH100 - as typed
    labels = [label.removeprefix("sub-") for label in options.participant_label]
    records = records_of(output_dir, labels)
    progress, findings = Progress(), Findings()
    present = {record.entities["sub"] for record in records}
    for label in labels:
        if label not in present:
            findings.broken(f"sub-{label}", "has no record", cure="correct --participant-label")
    _tell(findings, progress)
    paths = [record.path for record in records]
    for number, (path, of_scan) in enumerate(
        zip(paths, _scans(output_dir, paths, options), strict=True), start=1
    ):
        findings.add(of_scan)
        progress.say(f"{number}/{len(paths)} {path}: {_outcome(of_scan)}")
        _tell(of_scan, progress)
    if not labels:
        rest = check_rest(output_dir, records, findings, quick=options.quick)
        progress.say(f"top folder, pages, group level: {_outcome(rest)}")
        _tell(rest, progress)
        findings.add(rest)
    for note in findings.notes:
        progress.say(f"note: {note}")
    if options.report is not None:
        progress.say(f"{_write_report(options.report, findings)}")
    progress.say(_summary(findings))
    return ExitCode.SCAN_FAILED if findings.differences else ExitCode.OK


def _check(options: argparse.Namespace) -> None:
    if options.report is not None and options.report.suffix not in (".json", ".tsv"):
        raise UsageError(f"--report {options.report}: give a name that ends in .json or .tsv")
    root = options.output_dir.resolve()
    if options.report is not None and options.report.resolve().is_relative_to(root):
        raise UsageError(
            f"--report {options.report}: is inside the dataset being verified, to which nothing is "
            "written; choose a place outside"
        )


def _scans(
    output_dir: Path, paths: Sequence[str], options: argparse.Namespace
) -> Iterator[Findings]:
    """What was found in every scan, in order, while it is found."""
    from bidsapp.verify.dataset import check_scan

    check = partial(check_scan, output_dir, quick=options.quick)
    if options.nprocs == 1:
        yield from map(check, paths)
        return
    from concurrent.futures.process import BrokenProcessPool

    from bidsapp.execution.workers import forked_workers, workers

    try:
        with forked_workers(options.nprocs):
            yield from workers(options.nprocs).map(check, paths)
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a verification process was killed, most often because memory ran out: run again "
            "with --nprocs 1"
        ) from error


def _outcome(findings: Findings) -> str:
    from bidsapp.verify.differences import How

    derived = sum(how is How.NUMBERS for how in findings.files.values())
    words = f"{len(findings.files)} files"
    if derived:
        words += f", numbers of {derived} recomputed"
    n = len(findings.differences)
    return f"{words}, {count(n, 'difference') if n else 'all as computed'}"


def _tell(findings: Findings, progress: Any) -> None:
    for difference in findings.differences:
        progress.fail(difference.sentence)


def _summary(findings: Findings) -> str:
    from bidsapp.verify.differences import How

    counts = {how: sum(way is how for way in findings.files.values()) for how in How}
    ways = ", ".join(f"{number} {how.value}" for how, number in counts.items() if number)
    n = len(findings.differences)
    verdict = "all verified" if n == 0 else count(n, "difference")
    return f"{verdict}: {len(findings.files)} files ({ways})"


def _write_report(path: Path, findings: Findings) -> Path:
    """Everything as JSON, or the differences as a table.

    Raises
    ------
    CannotCreateError
        The report cannot be written.
    """
    from dataclasses import asdict

    from bidsapp.io.atomic import write_json, write_text
    from bidsapp.io.tsv import line

    try:
        if path.suffix == ".json":
            content = {
                "Version": __version__,
                "Verified": not findings.differences,
                "Differences": [asdict(difference) for difference in findings.differences],
                "Notes": findings.notes,
                "Files": dict(sorted(findings.files.items())),
            }
            return write_json(path, content)
        columns = ("path", "field", "stated", "found", "sentence")
        rows = [
            [getattr(difference, name) for name in columns] for difference in findings.differences
        ]
        return write_text(path, "".join(map(line, [columns, *rows])))
    except CentipetError as error:
        raise CannotCreateError(f"--report {error}") from error


if __name__ == "__main__":
    sys.exit(main())
