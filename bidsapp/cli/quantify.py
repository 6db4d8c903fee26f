"""``centipet quantify PET [T1W] --tracer NAME -o OUT``: from plain images to a Centiloid.

The images become a BIDS dataset in ``OUT/sourcedata/raw``, which the participant and the group
level process as any other: same steps, pages and tables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bidsapp.bids.derivative_root import refuse_foreign
from bidsapp.bids.entities import parse_entities
from bidsapp.bids.image_pairs import COLUMNS, ImagePair, PairRow, judge_pairs, read_pairs
from bidsapp.bids.pair_dataset import write_pairs
from bidsapp.cli.command import command_parser, complain, run_command
from bidsapp.cli.main import run
from bidsapp.cli.parser import add_options, settings_with
from bidsapp.cli.summary import exit_code
from bidsapp.data.tracer_file import using_tracer_file
from bidsapp.errors import CentipetError, ExitCode, NoInputError, UsageError
from bidsapp.execution.workers import forked_workers
from bidsapp.options.option_table import OPTIONS
from bidsapp.record import find_records
from bidsapp.settings import Filters, Level, Processing, Settings

PROG = "centipet quantify"
RAW = Path("sourcedata", "raw")
"""Where in the output folder the dataset of the images lies."""

_BY_SIGNAL = 128  # exit codes from here on are those of a run that was interrupted
_GROUPS = (
    "processing (changes the numbers)",
    "regions",
    "dynamic scans, partial volume",
    "execution",
)
# --window says here what the PET covers; the others choose or read what there is not yet.
_NOT_HERE = ("--window", "--config-file", "--reports-only", "--boilerplate-only")
_SHARED = tuple(
    option for option in OPTIONS if option.group in _GROUPS and option.flag not in _NOT_HERE
)
_ARGUMENTS = {
    "pet": "PET", "t1w": "T1W", "tracer": "--tracer", "window": "--window",
    "participant": "--participant", "session": "--session", "units": "--units",
    "frame_start_s": "--frame-start", "frame_duration_s": "--frame-duration",
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Quantify plain images; return the exit code, that of ``centipet`` on a BIDS dataset.

    Parameters
    ----------
    argv : arguments after ``centipet quantify``

    Returns
    -------
    int
        Exit code.
    """
    return run_command(PROG, lambda: _quantify(argv))


def _quantify(argv: Sequence[str]) -> int:
    with ExitStack() as stack:
        options = command_line().parse_args(argv)
        stack.enter_context(using_tracer_file(options.tracer_file))
        rows = _rows(options)
        output_dir = options.output_dir
        raw = output_dir / RAW
        if options.dry_run:
            raw = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "raw"
        settings = settings_with(raw, output_dir, options)
        refuse_foreign(output_dir)
        pairs, errors = judge_pairs(rows, tau=options.tau_vois is not None)
        if pairs:
            pairs, refused = write_pairs(pairs, raw)
            errors += refused
        for fault in errors:
            complain(PROG, fault)
        if not pairs:
            return exit_code((), [type(fault).__name__ for fault in errors])
        stack.enter_context(forked_workers(settings.workers))
        code = _process(settings, pairs, ["quantify", *argv])
        return code or (ExitCode.SCAN_FAILED if errors else ExitCode.OK)


def judged_pairs(argv: Sequence[str]) -> tuple[list[ImagePair], list[CentipetError]]:
    """Read a command line and check its images, without doing anything.

    Parameters
    ----------
    argv : arguments after ``centipet quantify``

    Returns
    -------
    list of ImagePair, list of CentipetError
        As `bidsapp.bids.image_pairs.judge_pairs`.

    Raises
    ------
    UsageError, NoInputError, BadDataError
        The command line, or the table that it names, does not make sense.
    """
    options = command_line().parse_args(argv)
    with using_tracer_file(options.tracer_file):
        return judge_pairs(_rows(options), tau=options.tau_vois is not None)


def _process(settings: Settings, pairs: Sequence[ImagePair], argv: Sequence[str]) -> int:
    """Run both levels; return the first exit code that is not 0."""
    for pair in pairs:
        labels = {"participant": ("sub-", pair.participant), "session": ("ses-", pair.session)}
        for column, (prefix, label) in labels.items():
            stated = pair.row.get(column)
            if stated is not None and stated.removeprefix(prefix) != label:
                print(f"{column} {stated!r} becomes {prefix}{label}, a valid BIDS label")
    people = tuple(dict.fromkeys(pair.participant for pair in pairs))
    code = run(replace(settings, filters=Filters(participant=people)), argv)
    if settings.dry_run or code >= _BY_SIGNAL or not find_records(settings.output_dir):
        return code
    used = Processing(tracer_file=settings.processing.tracer_file)
    tabled = run(replace(settings, level=Level.GROUP, processing=used), argv)
    return code or tabled


def _rows(options: argparse.Namespace) -> list[PairRow]:
    """What is said of every pair: of the table, or on the command line."""
    typed = {
        "pet": options.pet, "t1w": options.t1w, "tracer": options.tracer_name,
        "window": _words(options.covered), "participant": options.participant,
        "session": options.session, "units": options.units,
        "frame_start_s": _words(options.frame_start),
        "frame_duration_s": _words(options.frame_duration),
    }  # fmt: skip
    if options.folder is not None:
        if options.pet is not None:
            raise UsageError(
                f"--dicom-dir {options.folder}: is given in addition to PET; give only one of them"
            )
        if not Path(options.folder).is_dir():
            raise NoInputError(f"--dicom-dir {options.folder}: no such folder")
        options.pet = typed["pet"] = options.folder
    if options.table is not None:
        if given := [_ARGUMENTS[column] for column, text in typed.items() if text is not None]:
            raise UsageError(f"{', '.join(given)}: are given by the table; leave them out")
        rows, sentences = read_pairs(options.table)
        for sentence in sentences:
            print(f"{PROG}: {sentence}", file=sys.stderr)
        return rows
    for column in ("pet", "tracer"):
        if typed[column] is None:
            raise UsageError(f"{_ARGUMENTS[column]} is missing (see {PROG} --help)")
    chosen = ""
    if Path(options.pet).is_dir():
        if options.t1w is not None:
            raise UsageError(
                f"{options.pet}: is a folder; give it alone, or PET and T1W themselves"
            )
        typed["pet"], typed["t1w"], chosen = _found(options)
    if options.participant is None:
        typed["participant"] = parse_entities(typed["pet"]).get("sub", "01")
    cells = {column: text for column, text in typed.items() if text is not None}
    return [PairRow(cells, Path.cwd(), arguments=_ARGUMENTS, chosen=chosen)]


def _found(options: argparse.Namespace) -> tuple[str, str | None, str]:
    """PET and T1w in a folder, and a sentence about how they were found."""
    from bidsapp.dicom.bare_images import find_pair

    own = (Path(options.output_dir), Path(options.work_dir))
    pair = find_pair(Path(options.pet), options.tracer_name, own)
    for sentence in pair.sentences:
        print(f"{PROG}: {sentence}", file=sys.stderr)
    names = " and ".join(path.name for path in (pair.pet, pair.t1w) if path is not None)
    sentence = (
        f"PET and T1w were found by their names in a folder: {names}. Check that they are right."
    )
    return str(pair.pet), None if pair.t1w is None else str(pair.t1w), sentence


def _words(values: Sequence[str] | None) -> str | None:
    return None if values is None else " ".join(values)


def command_line() -> argparse.ArgumentParser:
    """Parser of ``centipet quantify``.

    Returns
    -------
    ArgumentParser
    """
    parser = command_parser("quantify", columns=", ".join(COLUMNS))
    add_options(parser, _SHARED)
    return parser
