"""``centipet-convert TABLE --equation NAME``: SUVRs of another pipeline to Centiloids."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bidsapp.cli.command import parse_and_run, refuse_to_replace
from bidsapp.errors import ExitCode, UsageError
from bidsapp.plain import of_suvr


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a table; return 0 when every row was read.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run("convert", _run, argv)


def _run(options: argparse.Namespace) -> int:
    from bidsapp.calibrate.convert import convert, published, write_converted

    if options.list:
        for name, line in published().items():
            print(
                f"{name:26}{of_suvr(line.slope, line.intercept, 2):24}{line.status:11}",
                end="",
            )
            print(f"{line.pipeline}; {line.source}")
        return ExitCode.OK
    if options.table is None or not options.equation:
        raise UsageError("give TABLE and --equation; centipet-convert --list shows the equations")
    out = options.output or Path(f"{options.table.stem}_centiloid.tsv")
    if out.suffix != ".tsv":
        raise UsageError(f"-o {out}: the name must end in .tsv")
    written, read = ([path, path.with_suffix(".json")] for path in (out, options.table))
    refuse_to_replace(written, read)
    converted = convert(options.table, options.equation, options.column)
    for line in converted.equations:
        print(f"{line.name}: {line.pipeline}; {line.source} ({line.status}: {line.read})")
    flagged = sum(row["centiloid_flags"] is not None for row in converted.rows)
    made = sum(row["centiloid"] is not None for row in converted.rows)
    print(f"{made} of {len(converted.rows)} rows have a Centiloid, {flagged} are flagged")
    print(write_converted(converted, out))
    return ExitCode.OK
