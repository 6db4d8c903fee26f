"""``centipet-calibrate``: make the equations of a pipeline, from images or a table of SUVRs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bidsapp.cli.command import command_parser, made_folder, run_command
from bidsapp.errors import BadDataError, ExitCode, NoInputError, UsageError
from bidsapp.options.option_table import OWNERS


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate; return 0 when every criterion is met, 1 when one is not.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    from_table = any(part.split("=")[0] == "--from-table" for part in argv)
    return run_command(
        "centipet-calibrate",
        lambda: _run(*command_line(with_folder=not from_table).parse_known_args(argv)),
    )


def command_line(*, with_folder: bool = True) -> argparse.ArgumentParser:
    """Parser; without FOLDER the values of centipet's options are never taken for one.

    Parameters
    ----------
    with_folder : whether FOLDER is an argument

    Returns
    -------
    ArgumentParser
    """
    without = None if with_folder else "folder"
    return command_parser("calibrate", others=OWNERS, without=without)


def _run(options: argparse.Namespace, others: list[str]) -> int:
    if options.from_table is None and options.folder is None:
        raise UsageError("give FOLDER or --from-table FILE (see centipet-calibrate --help)")
    if not options.error_ratio > 0:
        raise UsageError(f"--error-ratio {options.error_ratio:g}: must be positive")
    if options.level1 is not None and options.level == "level1":
        raise UsageError("--level1 FILE is only for level2")
    # archives of images name other tracers than PiB at level 1, too
    of_pib = options.level == "level1" and options.from_table is not None
    if options.tracer is not None and (options.level == "tau" or of_pib):
        raise UsageError("--tracer NAME is only for level2")
    if options.from_table is not None and not options.from_table.is_file():
        raise NoInputError(f"--from-table {options.from_table}: no such file")
    made_folder(options.output_dir, "--output-dir")
    from bidsapp.calibrate.run import calibrated
    from bidsapp.cli.parser import parse
    from bidsapp.data.tracer_file import using_tracer_file

    # options of centipet that change numbers, as its own parser reads them
    processing = parse(["raw", "derivatives", "participant", *others]).processing
    with using_tracer_file(processing.tracer_file):
        study = calibrated(options, processing, partial(_process, others))
        print(study.words())
        for path in study.write(options.output_dir):
            print(path)
    return ExitCode.OK if study.passed else ExitCode.SCAN_FAILED


def _process(options: list[str], raw: Path, derivatives: Path) -> None:
    """Run ``centipet`` as a user would; failed scans are listed in the report."""
    from bidsapp.cli.main import main as centipet

    work = str(derivatives.with_name("work"))
    command = [str(raw), str(derivatives), "participant", "--work-dir", work, *options]
    code = centipet(command)
    if code not in (ExitCode.OK, ExitCode.SCAN_FAILED):
        raise BadDataError(
            f"centipet {' '.join(command)} ended with exit code {code}; see its message above"
        )
