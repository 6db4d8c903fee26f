"""Steps as jobs of a batch system: a plugin of nipype named in a file (``--use-plugin``).

nipype's own plugins take the result of an earlier run for that of a job that was killed, take
silence of the scheduler for the end of a job, and leave the jobs of a stopped run in the queue. The
subclasses here avoid that. How a run collects failures: `bidsapp.execution.engine`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from nipype.pipeline.plugins.base import SGELikeBatchManagerBase
from nipype.pipeline.plugins.slurm import SLURMPlugin

from bidsapp.data.sentences import worded
from bidsapp.errors import UsageError, WorkerLostError
from bidsapp.io.reading import given_text, parse_json

if TYPE_CHECKING:
    from networkx import DiGraph
    from nipype.pipeline.engine import Node

_SUBMIT = {"SLURM": "sbatch", "PBS": "qsub", "SGE": "qsub", "LSF": "bsub", "OAR": "oarsub"}
_SLURM_ARGUMENTS = ("sbatch_args", "template", "max_jobs", "max_tries", "retry_timeout")

_ARRIVAL_S = 60.0  # what a job wrote may be seen here later: network file systems keep listings
_POLL_S = 2.0  # between two queries of the scheduler, which serves a whole cluster
_SILENCE_S = 900.0  # a scheduler that does not answer may be restarted meanwhile; jobs go on
_CALL_S = 60.0
_CANCEL_S = 5.0  # a run that gets SIGTERM has 10 s


def read_plugin(path: Path) -> tuple[type[SGELikeBatchManagerBase], dict[str, Any]]:
    """Read a JSON or YAML file with ``plugin`` (``SLURM``) and ``plugin_args``.

    Parameters
    ----------
    path : value of ``--use-plugin``

    Returns
    -------
    class
        A batch plugin of nipype.
    dict
        ``plugin_args``.

    Raises
    ------
    NoInputError
        The file cannot be read.
    UsageError
        It does not name a batch plugin, or its arguments are not valid.
    """
    content = _read_file(path)
    name = content.get("plugin") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise UsageError(worded("plugin", "no-entries", path=path))
    arguments = content.get("plugin_args") or {}
    if not isinstance(arguments, dict):
        raise UsageError(f"--use-plugin {path}: plugin_args must be names and values")
    base = getattr(importlib.import_module("nipype.pipeline.plugins"), f"{name}Plugin", None)
    if base is None or not issubclass(base, SGELikeBatchManagerBase):
        why = "is not a plugin of nipype" if base is None else "is not a batch plugin"
        known = ", ".join(_SUBMIT)
        raise UsageError(worded("plugin", "unknown", path=path, name=name, why=why, known=known))
    command = _SUBMIT.get(name)
    if command is not None and shutil.which(command) is None:
        raise UsageError(worded("plugin", "no-command", path=path, command=command, name=name))
    if base is SLURMPlugin:
        _check_slurm(path, arguments)
        return _Slurm, arguments
    os.environ.setdefault("LOGNAME", "centipet")  # nipype names the jobs after it
    return type(f"_{name}", (_Batch, base), {}), arguments


def _read_file(path: Path) -> Any:
    text = given_text(path, "--use-plugin")
    import yaml

    try:
        return parse_json(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--use-plugin {path}: is neither YAML nor JSON ({reason})") from error


def _check_slurm(path: Path, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name not in _SLURM_ARGUMENTS:
            known = ", ".join(_SLURM_ARGUMENTS)
            raise UsageError(worded("plugin", "argument", path=path, name=name, known=known))
        is_text = name in ("sbatch_args", "template")
        if isinstance(value, bool) or not isinstance(value, str if is_text else (int, float)):
            kind = "text" if is_text else "a number"
            raise UsageError(f"--use-plugin {path}: {name} must be {kind}, not {value!r}")
    try:
        shlex.split(arguments.get("sbatch_args", ""))
    except ValueError as error:
        raise UsageError(f"--use-plugin {path}: sbatch_args cannot be read ({error})") from error


class _Batch(SGELikeBatchManagerBase):  # type: ignore[misc]
    """Mixed into a batch plugin of nipype: removes results of earlier runs, and detects lost jobs.

    A job that left the queue without a result was killed.
    """

    _template: str

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        # the threads of this process, whatever environment a job is given
        threads = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
        lines = (f"export {name}={shlex.quote(value)}" for name, value in sorted(threads.items()))
        self._template = "\n".join([self._template.rstrip("\n"), *lines])
        self._gone: dict[int, float] = {}
        self._refused: dict[int, list[str]] = {}

    def _submit_job(self, node: Node, updatehash: bool = False) -> Any:
        for path in _results(node.output_dir()):
            path.unlink()
        try:
            return super()._submit_job(node, updatehash)
        except Exception as error:  # costs this step, not the run
            taskid = -1 - len(self._refused)  # never that of a job
            self._refused[taskid] = format_exception(error)
            self._pending[taskid] = node.output_dir()
            return taskid

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        if taskid in self._refused:
            return {"result": None, "traceback": self._refused[taskid]}
        if self._is_pending(taskid):
            return None
        if _results(self._pending[taskid]):
            return super()._get_result(taskid)
        since = self._gone.setdefault(taskid, time.monotonic())
        if time.monotonic() - since < _ARRIVAL_S:
            return None
        step = Path(self._pending[taskid]).name
        lost = WorkerLostError(worded("plugin", "lost", taskid=taskid, step=step))
        return {"result": None, "traceback": format_exception(lost)}


def _results(folder: str) -> list[Path]:
    return list(Path(folder).glob("result_*.pklz"))


class _Slurm(_Batch, SLURMPlugin):  # type: ignore[misc]
    """nipype's SLURM plugin with one query for all jobs, which are cancelled with the run.

    sbatch and squeue are called without a shell, so that names of folders need no quoting.
    """

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        self._queued: set[int] = set()
        self._last_query = self._last_answer = time.monotonic()

    def run(self, graph: DiGraph, config: dict[str, Any], updatehash: bool = False) -> None:
        try:
            super().run(graph, config, updatehash=updatehash)
        finally:
            _cancel([taskid for taskid in self._pending if taskid > 0])

    def _is_pending(self, taskid: int) -> bool:
        if time.monotonic() - self._last_query > _POLL_S:
            self._poll()
        return taskid in self._queued

    def _poll(self) -> None:
        """List the jobs in the queue; without an answer the list stays as it was.

        Raises
        ------
        WorkerLostError
            There was no answer for `_SILENCE_S`.
        """
        # jobs that have ended are not listed, those that wait to be requeued are
        command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A"]
        try:
            self._queued = set(map(int, _call(command).split()))
            self._last_answer = time.monotonic()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            if time.monotonic() - self._last_answer > _SILENCE_S:
                minutes = _SILENCE_S / 60
                text = worded("plugin", "silent", minutes=minutes, error=error)
                raise WorkerLostError(text) from error
        self._last_query = time.monotonic()

    def _submit_batchtask(self, scriptfile: str, node: Node) -> int:
        log = f"{str(Path(scriptfile).parent).replace('%', '%%')}/slurm-%j.out"
        command = [
            "sbatch", "--parsable", "--job-name", node.fullname, "--output", log,
            *shlex.split(self._sbatch_args or ""), scriptfile,
        ]  # fmt: skip
        for tries_left in range(self._max_tries, -1, -1):
            try:
                taskid = int(_call(command).split(";")[0])
                break
            except subprocess.CalledProcessError as error:
                if not tries_left:
                    reason = " ".join(error.stderr.split())
                    text = worded("plugin", "refused", node=node, reason=reason)
                    raise UsageError(text) from error
                time.sleep(self._retry_timeout)
        self._queued.add(taskid)
        self._pending[taskid] = node.output_dir()
        return taskid


def _cancel(taskids: list[int]) -> None:
    """Cancel the jobs of a run that has ended: a later run would write the same files."""
    if taskids:
        # why the run ended has been reported; a failure here adds nothing
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _call(["scancel", *map(str, taskids)], timeout_s=_CANCEL_S)


def _call(command: list[str], timeout_s: float = _CALL_S) -> str:
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=True
    )
    return finished.stdout.strip()
