"""Shared by the commands of the package: environment, usage errors, messages of errors."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache
from itertools import product, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from bidsapp import __version__
from bidsapp.cli.listener import listener_may_leave
from bidsapp.errors import (
    CannotCreateError,
    CentipetError,
    NoInputError,
    UsageError,
    error_of_system,
)
from bidsapp.options.option_table import FOREIGN, OWNERS, Option, option_of

# Set before numpy and nipype are imported, here and in every process that is started: sums must not
# depend on the number of threads, and nobody asks the network for updates.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NO_ET": "1",
    "NIPYPE_NO_ET": "1",
    "NIPYPE_CONFIG_DIR": os.devnull,  # jobs of a batch system read no settings, either
}


# Modules of this package that are commands: ``centipet NAME``, and programs ``centipet-NAME``.
SUB_COMMANDS = (
    "apply",
    "calibrate",
    "compare",
    "convert",
    "demo",
    "quantify",
    "segment",
    "verify",
    "voi",
)
PROGRAMS = ("calibrate", "compare", "convert", "demo", "segment", "verify")

_LIKE = 0.6  # from here on two names are alike (as for difflib)
_NUMBER = re.compile(r"-\d*\.?\d+")


def refuse_to_replace(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to overwrite an input with a result.

    Parameters
    ----------
    outputs : that are to be written
    inputs : that they are made from

    Raises
    ------
    UsageError
        One of the files is both, under whatever name.
    """
    for output, given in product(outputs, inputs):
        if output.exists() and given.exists() and output.samefile(given):
            raise UsageError(f"{output}: would overwrite an input; give the result another name")


def nearest(typed: str, names: Iterable[str]) -> str | None:
    """The most likely intended name: one with the typed text as prefix, else the most similar.

    Parameters
    ----------
    typed : with or without hyphens
    names : to choose from

    Returns
    -------
    str or None
        None when no name is like it.
    """

    def bare(name: str) -> str:
        return name.strip("-").casefold().replace("_", "-")

    def likeness(name: str) -> float:
        wanted, known = bare(typed), bare(name)
        begins = len(wanted) > 1 and known.startswith(wanted)
        return begins + SequenceMatcher(None, wanted, known).ratio()

    best = max(sorted(names), key=likeness, default="")
    return best if best and likeness(best) >= _LIKE else None


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that the exit code of usage errors is ours.

    An option that it does not know comes first, before arguments that are missing, with the one
    that was probably meant. Every command has ``--version``.
    """

    def __init__(
        self,
        prog: str,
        *,
        where: str = "",
        others: Mapping[str, str] | None = MappingProxyType({}),
        **more: Any,
    ) -> None:
        """Make a parser.

        Parameters
        ----------
        prog : name of the command
        where : file that the options stand in, for the messages; none: they were typed
        others : options of another parser, with the names that its help shows: this one lets them
            pass; None for whatever they may be
        **more : of argparse
        """
        super().__init__(prog, allow_abbrev=False, **more)
        self._where = f"{where}: " if where else ""
        self._others = others
        if self.add_help:
            add_version(self, prog)

    def error(self, message: str) -> NoReturn:
        """Raise the usage error that argparse would print.

        Parameters
        ----------
        message : of argparse
        """
        raise UsageError(f"{self._where}{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse arguments that no parser knows, then do as argparse does.

        Parameters
        ----------
        args : words, None for those of the process
        namespace : takes the options

        Returns
        -------
        Any
            Options, and the words that no option takes.
        """
        words: Sequence[str] = sys.argv[1:] if args is None else list(args)
        for word in takewhile(lambda word: word != "--", words):
            flag = word.partition("=")[0]
            if self._others is not None and self._unknown(word) and flag not in self._others:
                self._refuse(flag, self._others)
        return super().parse_known_args(words, namespace)

    def _unknown(self, word: str) -> bool:
        """Whether argparse would take a word for an option, and there is no such option."""
        if len(word) < 2 or word[0] != "-" or " " in word or _NUMBER.fullmatch(word):
            return False
        flags, flag = self._option_string_actions, word.partition("=")[0]
        if flag in flags or flag in FOREIGN:
            return flag not in flags
        joined = not flag.startswith("--") and flag[:2] in flags  # -vv, -wDIR
        return not joined or f"-{flag}" in flags  # -work-dir is no -w

    def _refuse(self, flag: str, others: Mapping[str, str]) -> NoReturn:
        if instead := FOREIGN.get(flag):
            raise UsageError(f"{self._where}{flag}: {instead}")
        own = self._option_string_actions
        names = dict(others)
        names |= {name: name for name, action in own.items() if action.help != argparse.SUPPRESS}
        names |= {name: owner for name, owner in OWNERS.items() if name in own and owner in own}
        meant = nearest(flag, names)
        self.error(f"unknown option {flag}" + (f"; did you mean {names[meant]}?" if meant else ""))


def add_version(group: Any, prog: str) -> None:
    """Add ``--version`` to a parser or a group of one.

    Parameters
    ----------
    group : a parser or a group of one
    prog : name of the command
    """
    group.add_argument(
        "--version", action="version", version=f"{prog} {__version__}",
        help="show the version and exit",
    )  # fmt: skip


def add_option(group: Any, option: Option, here: Mapping[str, Any] | None = None) -> None:
    """Add a row of the option table to a parser.

    Parameters
    ----------
    group : a parser or a group of one
    option : row
    here : what this machine has, by the name of an option: its default
    """
    typed = dict(option.typed)
    default = (here or {}).get(option.flag)
    if default is not None:
        typed["default"] = default
    group.add_argument(*option.flags, **typed, help=option.help.format(here=default))
    if option.aliases:
        typed |= {"dest": option.dest, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        group.add_argument(*option.aliases, **typed)


@cache
def _commands() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "commands.toml").read_text("utf-8"))


def command_parser(
    name: str,
    *,
    others: Mapping[str, str] = MappingProxyType({}),
    without: str | None = None,
    columns: str = "",
) -> Parser:
    """Parser of a command by its entry in ``commands.toml``.

    Parameters
    ----------
    name : of the entry
    others : as of `Parser`
    without : argument that is left out
    columns : what stands for ``{columns}`` in the help

    Returns
    -------
    Parser
    """
    entry = {key: value for key, value in _commands()[name].items() if key != "argument"}
    heading = entry.pop("heading", None)
    if entry.pop("raw", False):
        entry["formatter_class"] = argparse.RawDescriptionHelpFormatter
    parser = Parser(**entry, others=others)
    group = parser.add_argument_group(heading) if heading else parser
    for option in _arguments(name):
        if option.flags[0] != without:
            add_option(group, replace(option, help=option.help.replace("{columns}", columns)))
    return parser


def _arguments(name: str) -> Iterator[Option]:
    for row in _commands()[name]["argument"]:
        if "same" in row:
            yield from _arguments(row["same"])
        elif "options" in row:
            yield from map(option_of, row["options"])
        else:
            yield Option.of_row({"group": "", **row})


def shared_options(name: str) -> list[Option]:
    """Options of ``centipet`` that another command has by its entry in ``commands.toml``.

    Parameters
    ----------
    name : of the entry

    Returns
    -------
    list of Option
    """
    return [option for option in _arguments(name) if option.keeps]


def made_folder(folder: Path, option: str) -> Path:
    """Make a folder of results that a user names, unless it is there.

    Parameters
    ----------
    folder : of results
    option : that names it

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    CannotCreateError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"{folder}: cannot be created ({error.strerror}); choose another {option}"
        ) from error
    return folder


def parse_and_run(
    name: str, work: Callable[[argparse.Namespace], int], argv: Sequence[str] | None
) -> int:
    """Read the command line of a command and do its work; return the exit code.

    Parameters
    ----------
    name : of the entry in ``commands.toml``
    work : does it with the options, and gives the exit code
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
        Exit code.
    """
    parser = command_parser(name)
    return run_command(parser.prog, lambda: work(parser.parse_args(argv)))


def run_command(prog: str, work: Callable[[], int]) -> int:
    """Set the environment and do the work of a command; return its exit code.

    Parameters
    ----------
    prog : name of the command, in front of its complaints
    work : gives the exit code; an error of ours becomes a line on stderr and its own code

    Returns
    -------
    int
        Exit code.
    """
    os.environ.update(ENVIRONMENT)
    with listener_may_leave():
        try:
            refuse_lost_folder()
            return work()
        except (CentipetError, OSError) as error:
            return complain(prog, error)


def refuse_lost_folder() -> None:
    """Refuse to run where the current folder was removed or is closed to this user.

    Raises
    ------
    NoInputError
    """
    try:
        os.chdir(Path.cwd())
    except FileNotFoundError as error:
        raise NoInputError(
            "the current folder no longer exists; change to one that does and run again"
        ) from error
    except OSError as error:
        raise NoInputError(
            f"the current folder cannot be used ({error.strerror}); change to another and run again"
        ) from error


def complain(prog: str, error: CentipetError | OSError) -> int:
    """Print the error in one line on stderr; return the exit code.

    Parameters
    ----------
    prog : name of the command
    error : that ended it

    Returns
    -------
    int
        Exit code.
    """
    if isinstance(error, OSError):
        error = error_of_system(error)
    print(f"{prog}: {error}", file=sys.stderr)
    return error.exit_code
