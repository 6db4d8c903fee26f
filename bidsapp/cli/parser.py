"""Command line -> `Settings`. Nothing slow is imported here: ``--help`` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import re
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

from bidsapp.cli.command import SUB_COMMANDS, Parser, add_option, add_version, nearest
from bidsapp.cli.machine import available_cpus, available_memory_gb
from bidsapp.errors import NoInputError, UnknownLevelError, UsageError
from bidsapp.io.reading import given_text
from bidsapp.options.checks import absolute_path
from bidsapp.options.option_table import EXCLUSIONS, OPTIONS, WITHOUT_EFFECT, Option
from bidsapp.settings import (
    TEMPLATE_SPACE,
    DicomInput,
    Filters,
    Level,
    Processing,
    Resources,
    Settings,
    StudyOptions,
)

_NOTHING = (
    f"{', '.join(flag for flag, row in WITHOUT_EFFECT.items() if row['why'] == why)} ({why})"
    for why in dict.fromkeys(row["why"] for row in WITHOUT_EFFECT.values())
)
_NOTES = f"""
Always written: images in T1w space and {TEMPLATE_SPACE} (2 mm), one Centiloid per PET scan, one
page per participant. Options may be written with _ instead of -. Commands with their own --help:
centipet {", ".join(SUB_COMMANDS)}.
Accepted without effect: {", ".join(_NOTHING)}.
"""
_CODES = """
Exit codes: 0 done; 1 some scans failed; 16 not BIDS; 17 unknown level; 18 nothing matches; 64
usage error; 65 bad data; 66 input missing; 70 internal error; 73 cannot write; 74 disk full; 75
killed: run again.
"""
_WIDTH = 100  # of the help


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_on_hyphens=False)


_LEAST_MEM_GB = 1.6  # of the largest step, a segmentation, and the process itself


class _PrintDescriptor(argparse.Action):
    """Prints the command line as other programs read it, then exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from bidsapp.cli.boutiques import descriptor

        print(json.dumps(descriptor(parser), indent=2))
        raise SystemExit(0)


class _PrintPybidsConfig(argparse.Action):
    """Prints what pybids needs to index the derivatives, then exits."""

    def __call__(self, *_: Any) -> NoReturn:
        from bidsapp.data import package_text

        print(package_text("pybids.json"), end="")
        raise SystemExit(0)


def parse(argv: Sequence[str]) -> Settings:
    """Read the command line.

    Parameters
    ----------
    argv : arguments without the name of the program

    Returns
    -------
    Settings

    Raises
    ------
    UsageError
        The arguments do not make sense.
    UnknownLevelError
        The analysis level is neither participant nor group.
    NoInputError
        A file given as option does not exist or cannot be read.
    SystemExit
        By ``--help`` and ``--version``.
    """
    arguments = [_with_hyphens(argument) for argument in argv]
    options = argparse.Namespace()
    preview, _ = _config_parser().parse_known_args(arguments)
    if preview.config_file is not None:
        options = _read_config(preview.config_file)
    options = command_line().parse_args(arguments, namespace=options)
    try:
        return _settings(options)
    except UsageError as error:
        flag = re.match(r"--[\w-]+", str(error))
        typed_flags = [argument.partition("=")[0] for argument in arguments]
        if preview.config_file is None or not flag or flag[0] in typed_flags:
            raise
        raise UsageError(f"--config-file {preview.config_file}: {error}") from error


def settings_with(bids_dir: Path, output_dir: Path, chosen: argparse.Namespace) -> Settings:
    """Settings of the participant level for a command that shares options with ``centipet``.

    Parameters
    ----------
    bids_dir, output_dir : datasets
    chosen : options of the table as typed; others are left as when nothing is typed

    Returns
    -------
    Settings

    Raises
    ------
    UsageError, NoInputError
        As `parse`.
    """
    options = command_line().parse_args([str(bids_dir), str(output_dir), Level.PARTICIPANT.value])
    for option in OPTIONS:
        if hasattr(chosen, option.dest):
            setattr(options, option.dest, getattr(chosen, option.dest))
    return _settings(options)


def command_line() -> argparse.ArgumentParser:
    """Parser of ``centipet``.

    Returns
    -------
    ArgumentParser
    """
    parser = Parser(
        prog="centipet",
        usage="centipet BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="BIDS-App from amyloid PET to Centiloid. Also reads DICOM.",
        epilog=f"{_filled(_NOTES)}\n\n{_filled(_CODES)}",
        formatter_class=partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=30, width=_WIDTH
        ),
        add_help=False,
    )
    main = parser.add_argument_group("BIDS-App")
    main.add_argument("bids_dir", metavar="BIDS_DIR", type=absolute_path, help="raw dataset")
    main.add_argument(
        "output_dir", metavar="OUTPUT_DIR", type=absolute_path, help="derivative dataset"
    )
    main.add_argument("level", metavar="LEVEL", help="participant, or group once all are done")
    main.add_argument("-h", "--help", action="help", help="show this help and exit")
    add_version(main, "centipet")
    main.add_argument(
        "--demo", metavar="OUT", help="process a built-in phantom: centipet --demo OUT"
    )
    main.add_argument(
        "--bids-exec-spec", action=_PrintDescriptor, nargs=0,
        help="print the Boutiques descriptor of this command line and exit",
    )  # fmt: skip
    main.add_argument(
        "--pybids-config", action=_PrintPybidsConfig, nargs=0,
        help="print the pybids configuration for the results",
    )  # fmt: skip
    main.add_argument(
        "--print-completion", metavar="SHELL",
        help="print shell completion for all commands (bash or zsh)",
    )  # fmt: skip
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser, OPTIONS)
    for flag, row in WITHOUT_EFFECT.items():
        parser.add_argument(flag, action=row.get("action", "store"), help=argparse.SUPPRESS)


def add_options(parser: argparse.ArgumentParser, wanted: Iterable[Option]) -> None:
    """Add options to a parser, each under its heading.

    Parameters
    ----------
    parser : of ``centipet`` or of a command that shares options with it
    wanted : rows of the table, in its order
    """
    here = {"--nprocs": available_cpus(), "--mem": available_memory_gb()}
    for title, options in groupby(wanted, lambda option: option.group):
        group = parser.add_argument_group(title)
        alone: dict[str, Any] = defaultdict(group.add_mutually_exclusive_group)
        for option in options:
            add_option(alone[option.alone] if option.alone else group, option, here)


def _config_parser() -> argparse.ArgumentParser:
    parser = Parser("centipet", add_help=False, others=None)
    parser.add_argument("--config-file", type=absolute_path)
    return parser


def _read_config(path: Path) -> argparse.Namespace:
    """Options of a TOML file, as if typed before those of the command line."""
    where = f"--config-file {path}"
    try:
        table = tomllib.loads(given_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is not valid TOML ({error})") from error
    for key, value in table.items():
        if isinstance(value, dict):
            raise UsageError(
                f"{where}: [{key}] is a table; give options at the top level, such as nprocs = 4"
            )
        if key.replace("_", "-") == "config-file":
            raise UsageError(f"{where}: names another --config-file; put all options into one file")
    parser = Parser("centipet", where=where, add_help=False)
    _add_options(parser)
    return parser.parse_args([text for key, value in table.items() for text in typed(key, value)])


def typed(key: str, value: Any) -> list[str]:
    """An option of a configuration, or a keyword, as it would be typed.

    Parameters
    ----------
    key : name of the option, with ``-`` or ``_``
    value : true or false for a flag, a list for several values

    Returns
    -------
    list of str
        Words.
    """
    flag = f"--{key}".replace("_", "-")
    if value is True or value is False:
        return [flag] if value else []
    values = value if isinstance(value, list | tuple) else [value]
    return [flag, *map(str, values)]


def _with_hyphens(argument: str) -> str:
    """``--participant_label=x_y`` -> ``--participant-label=x_y``."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _settings(options: argparse.Namespace) -> Settings:
    try:
        level = Level(options.level)
    except ValueError as error:
        meant = nearest(options.level, Level)
        raise UnknownLevelError(
            f"analysis level {options.level!r} is unknown; "
            + (f"did you mean {meant}?" if meant else "use participant or group")
        ) from error
    _refuse(options)
    _check_folders(options)
    kept: dict[str, dict[str, Any]] = defaultdict(dict)
    for option in OPTIONS:
        if option.keeps:
            part = option.keeps.rpartition(".")[0]
            value = option.check(option.flag, getattr(options, option.dest))
            kept[part][option.field] = value
    dicom = _dicom(options, level, kept["dicom"])
    if dicom is not None:  # of the conversion then, whose plan is printed
        kept[""]["dry_run"] = False
        kept["processing"]["dicom_metadata"] = None
    return Settings(
        bids_dir=options.bids_dir,
        output_dir=options.output_dir,
        level=level,
        filters=Filters(**kept["filters"]),
        study=StudyOptions(**kept["study"]),
        dicom=dicom,
        processing=Processing(**kept["processing"]),
        resources=Resources(**kept["resources"]),
        **kept[""],
    )


def _refuse(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect here, or contradict each other."""
    for row in EXCLUSIONS:
        clashes = any(vars(options)[name] for name in row.get("with", ()))
        clashes |= options.level != row.get("level", options.level)
        if vars(options)[row["option"]] and clashes:
            raise UsageError(f"--{row['option'].replace('_', '-')}{row['says']}")
    if options.pet_only and options.target_resolution is not None and options.psf is None:
        raise UsageError(
            "--target-resolution: without a T1w the PET resolution cannot be measured; give it "
            "with --psf, or use --smooth"
        )
    if options.mem < _LEAST_MEM_GB and options.use_plugin is None:  # whose jobs have their own
        if options.mem == available_memory_gb():  # found, not given
            raise UsageError(
                f"only {options.mem:.1f}G of memory is available here (machine, control group or "
                f"SLURM job) and one step needs {_LEAST_MEM_GB:g}G: request 4G or more"
            )
        raise UsageError(
            f"--mem {1000 * options.mem:g}M: one step needs {_LEAST_MEM_GB:g}G; a number without "
            "a unit is in MB: give 8G or 8000"
        )


def _check_folders(options: argparse.Namespace) -> None:
    derivatives = options.bids_dir / "derivatives"
    raw, raw_derivatives, output_dir, work_dir = (
        Path(os.path.realpath(path))  # links lead into the raw data, too
        for path in (
            options.bids_dir,
            derivatives,
            options.output_dir,
            absolute_path(str(options.work_dir)),
        )
    )

    def lies_in_raw(folder: Path) -> bool:
        return folder.is_relative_to(raw) and not folder.is_relative_to(raw_derivatives)

    if output_dir == raw_derivatives or lies_in_raw(output_dir):
        raise UsageError(
            f"{options.output_dir}: results must not be written among the raw data; use "
            f"{derivatives / 'centipet'} or a folder outside the dataset"
        )
    works = options.level == Level.PARTICIPANT and not (options.dry_run or options.reports_only)
    if works and lies_in_raw(work_dir):
        raise UsageError(
            f"--work-dir {options.work_dir}: is inside the raw dataset; choose another folder"
        )


def _dicom(options: argparse.Namespace, level: Level, kept: dict[str, Any]) -> DicomInput | None:
    if options.dicom_dir is None:
        if given := [name for name, value in kept.items() if value]:
            flag = next(option.flag for option in OPTIONS if option.keeps == f"dicom.{given[0]}")
            raise UsageError(f"{flag} needs --dicom-dir DIR")
        return None
    if level is not Level.PARTICIPANT:
        raise UsageError("--dicom-dir is only for the participant level")
    if not options.dicom_dir.exists():
        raise NoInputError(f"--dicom-dir {options.dicom_dir}: no such folder or archive")
    if options.bids_dir.exists() and options.bids_dir.samefile(options.dicom_dir):
        raise UsageError(
            f"--dicom-dir {options.dicom_dir}: is also bids_dir, so the next run would read "
            f"what this one converts; use another BIDS_DIR, such as "
            f"{options.bids_dir / 'bids'}"
        )
    return DicomInput(**kept, metadata=options.dicom_metadata, dry_run=options.dry_run)
