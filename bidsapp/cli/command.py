"""What all commands of the package share: environment, usage errors, a line for what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from bidsapp.cli.listener import listener_may_leave
from bidsapp.errors import CentipetError, UsageError
from bidsapp.options.option_table import Option

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


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that the exit code of usage errors is ours."""

    def error(self, message: str) -> NoReturn:
        """Raise the usage error that argparse would print."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_option(group: Any, option: Option, here: Mapping[str, Any] | None = None) -> None:
    """Add a row of the option table to a parser.

    Parameters
    ----------
    group : a parser or a group of one
    option : row
    here : what this machine has, by the name of an option: its default
    """
    typed = dict(option.typed)
    found = (here or {}).get(option.flag)
    if found is not None:
        typed["default"] = found
    group.add_argument(*option.flags, **typed, help=option.help.format(here=found))


def run_command(prog: str, work: Callable[[], int]) -> int:
    """Set the environment and do the work of a command; return its exit code.

    Parameters
    ----------
    prog : name of the command, in front of its complaints
    work : gives the exit code; an error of ours becomes a line on stderr and its own code
    """
    os.environ.update(ENVIRONMENT)
    with listener_may_leave():
        try:
            return work()
        except CentipetError as error:
            return complain(prog, error)


def complain(prog: str, error: CentipetError) -> int:
    """Say in one line on stderr what went wrong; return the exit code."""
    print(f"{prog}: {error}", file=sys.stderr)
    return error.exit_code
