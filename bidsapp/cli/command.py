"""What all commands of the package share: environment, usage errors, a line for what went wrong."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from bidsapp.cli.listener import listener_may_leave
from bidsapp.errors import CentipetError, UsageError

# Set before numpy and nipype are imported, here and in every process that is started: sums must not
# depend on the number of threads, and nobody asks the network for updates.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NO_ET": "1",
    "NIPYPE_NO_ET": "1",
    "NIPYPE_CONFIG_DIR": os.devnull,  # jobs of a batch system read no settings, either
    "MPLBACKEND": "Agg",
}

_MOST_PROCESSES = 4096  # more than the processors of any machine


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that the exit code of usage errors is ours."""

    def error(self, message: str) -> NoReturn:
        """Raise the usage error that argparse would print."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def finite(text: str) -> float:
    """Value of an option that is a number, for argparse: neither text, NaN nor infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number")
    return value


def processes(text: str) -> int:
    """Value of an option that is a number of processes, for argparse."""
    if not re.fullmatch(r"[+-]?\d{1,9}", text, flags=re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number of processes")
    if not 1 <= int(text) <= _MOST_PROCESSES:
        told = "at least one process is needed" if int(text) < 1 else f"at most {_MOST_PROCESSES}"
        raise argparse.ArgumentTypeError(f"{int(text)}: {told}")
    return int(text)


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
