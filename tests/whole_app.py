"""The command run as a user runs it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bidsapp.io.hashes import file_hash


def run_centipet(
    *arguments: object, cwd: Path | None = None, cgroup: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``centipet`` and return what it printed; its exit code is not checked.

    ``cgroup``: the ``cgroup.procs`` of a control group that it shall be in.
    """
    command = [sys.executable, "-m", "bidsapp", *map(str, arguments)]
    # PYTHONPATH: also where the tests run without an installed package
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800,
        check=False, preexec_fn=(lambda: cgroup.write_text("0")) if cgroup else None,
    )  # fmt: skip


def used_by(code: str, *arguments: object) -> tuple[str, float]:
    """Run Python code in a process of its own.

    Returns
    -------
    output : str
    megabytes : float
        Peak memory. Not ``ru_maxrss``: a new process inherits that of the one that started it.
    """
    report = (
        "\n_peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]"
        "\nprint(int(_peak) / 1024)"
    )
    command = [sys.executable, "-c", code + report, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *output, last = done.stdout.splitlines()
    return "\n".join(output), float(last)


def hashes(out: Path) -> dict[str, str]:
    """Of every file that is not a log."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    named = ((path.relative_to(out).as_posix(), path) for path in files)
    return {name: file_hash(path) for name, path in named if not name.startswith("logs/")}


def validator_errors(dataset: Path) -> dict[str, list[str]]:
    """Locations of the errors of bids-validator-deno, by code."""
    command = ["bids-validator-deno", str(dataset), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors: dict[str, list[str]] = {}
    for issue in issues:
        if issue.get("severity") == "error":
            errors.setdefault(issue["code"], []).append(issue.get("location", ""))
    return errors
