"""``centipet --print-completion bash``: the tabulator key knows options, choices and commands.

One script for all commands, made from their parsers: nothing is started while a person types.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from bidsapp.cli.command import PROGRAMS, SUB_COMMANDS, Parser, command_parser, run_command
from bidsapp.cli.parser import command_line
from bidsapp.errors import ExitCode
from bidsapp.settings import Level

_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def main(argv: Sequence[str]) -> int:
    """Print the script of a shell; return 0.

    Parameters
    ----------
    argv : arguments after ``--print-completion``

    Returns
    -------
    int
        Exit code.
    """

    def work() -> int:
        parser = Parser("centipet --print-completion")
        parser.add_argument("shell", choices=("bash", "zsh"), help="to be read by this shell")
        shell = parser.parse_args(argv).shell
        print((_ZSH if shell == "zsh" else "") + script(), end="")
        return ExitCode.OK

    return run_command("centipet", work)


def script() -> str:
    """Completion of every command as a program of bash.

    Returns
    -------
    str
    """
    parsers = dict(_parsers())
    options, choices = [], []
    for name, parser in parsers.items():
        actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
        flags = [flag for action in actions for flag in action.option_strings]
        options.append(_case(name, flags))
        choices += [
            _case(f"{name} {flag}", list(map(str, action.choices)))
            for action in actions
            if action.choices
            for flag in action.option_strings
        ]
        first = [str(word) for action in actions if not action.option_strings
                 for word in action.choices or ()]  # fmt: skip
        choices.append(_case(f"{name} ", first))
    choices = [case for case in choices if '=""' not in case]
    template = (Path(__file__).parent / "completion.template").read_text("utf-8")
    return template.format(
        sub_commands="|".join(f'"centipet {name}"' for name in SUB_COMMANDS),
        options="\n".join(options),
        choices="\n".join(choices),
        programs=" ".join(["centipet", *(f"centipet-{name}" for name in PROGRAMS)]),
    )


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Name of every command and its parser."""
    main = command_line()
    next(action for action in main._actions if action.dest == "level").choices = [
        *Level,
        *SUB_COMMANDS,
    ]
    yield "centipet", main
    for names, begin in ((SUB_COMMANDS, "centipet "), (PROGRAMS, "centipet-")):
        for name in names:
            yield f"{begin}{name}", parser_of(name)


def parser_of(command: str) -> argparse.ArgumentParser:
    """Parser of a command, which its module makes where it needs more than ``commands.toml``.

    Parameters
    ----------
    command : name

    Returns
    -------
    ArgumentParser
    """
    module = import_module(f"bidsapp.cli.{command}")
    make: Callable[[], argparse.ArgumentParser]
    make = getattr(module, "command_line", partial(command_parser, command))
    return make()


def _case(pattern: str, words: Sequence[str]) -> str:
    return f'    "{pattern}") words="{" ".join(words)}" ;;'
