"""The record of a run in ``logs/``: time, machine, command and exit code.

Beside the log and under its name, so that every run has its own, and two never share a file. A run
that was killed leaves a record without an end.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.cli.machine import instruction_sets, processors
from bidsapp.errors import ExitCode, StorageError
from bidsapp.io.atomic import write_json
from bidsapp.io.reading import known_object

_LOOKED_AT = 20  # records of earlier runs


class RunRecord:
    """Written when a run begins, and again when it ends."""

    def __init__(self, log_file: Path | None, argv: Sequence[str]) -> None:
        """Begin the record of a run; nothing is written where there is no log."""
        self._path = None if log_file is None else log_file.with_suffix(".json")
        self._content: dict[str, Any] = {
            "Start": _now(),
            "End": None,
            "ExitCode": None,
            "Outcome": "not finished",
            "Command": shlex.join(["centipet", *argv]),
            "WorkingDirectory": str(Path.cwd()),
            "Version": __version__,
            "Host": platform.node(),
            "System": platform.platform(),
            "Python": sys.version.split()[0],
            "Processors": processors(),
            "SlurmJob": os.environ.get("SLURM_JOB_ID"),
            "Scans": {},
            "StepSeconds": {},
        }
        self._write()

    def end(self, code: int, scans: Mapping[str, str], step_s: Mapping[str, float]) -> None:
        """Say how the run ended.

        Parameters
        ----------
        code : exit code
        scans : what became of each, by name
        step_s : mean seconds of the steps that were done, by kind
        """
        known = {item.value: item.name.lower().replace("_", " ") for item in ExitCode}
        self._content |= {
            "End": _now(),
            "ExitCode": int(code),
            "Outcome": known.get(int(code), "ended by a signal"),
            "Scans": dict(scans),
            "StepSeconds": {kind: round(seconds, 2) for kind, seconds in step_s.items()},
        }
        if "numpy" in sys.modules:  # or nothing was computed
            self._content["InstructionSets"] = instruction_sets()
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            with suppress(StorageError):  # a full disk is reported by what matters more
                write_json(self._path, self._content)


def earlier_step_s(logs: Path) -> dict[str, float]:
    """Mean seconds of each kind of step, of the last run that measured it.

    Parameters
    ----------
    logs : folder of the records of runs; need not exist

    Returns
    -------
    dict
        By kind.
    """
    mean_s: dict[str, float] = {}
    for path in sorted(logs.glob("centipet_*.json"))[-_LOOKED_AT:]:
        measured = known_object(path).get("StepSeconds")
        for kind, seconds in measured.items() if isinstance(measured, dict) else ():
            if isinstance(seconds, int | float) and seconds >= 0:
                mean_s[kind] = float(seconds)
    return mean_s


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
