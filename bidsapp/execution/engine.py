"""Execution: nipype plugins that survive the death of a worker and return failures as data.

nipype's own MultiProc polls every 2 s and waits for ever when a worker is killed; its Linear raises
one error for many. The subclasses here run everything that can be run and return one `NodeFailure`
per node that failed, with class and message of its error.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from nipype.pipeline.plugins.base import DistributedPluginBase, PluginBase
from nipype.pipeline.plugins.linear import LinearPlugin
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node
from nipype.pipeline.plugins.tools import report_crash
from threadpoolctl import threadpool_limits

from bidsapp.core.parallel import use_threads
from bidsapp.data.sentences import worded
from bidsapp.errors import Interrupted, WorkerLostError, error_class
from bidsapp.execution.batch import read_plugin
from bidsapp.execution.workers import ONE_THREAD, new_workers, workers
from bidsapp.settings import Resources

if TYPE_CHECKING:
    from networkx import DiGraph
    from nipype.pipeline.engine import Node, Workflow

# Called with the full name of a node and "start", "end" or "exception".
OnStep = Callable[[str, str], None]

# Names of participant and step, and between them how soon it should be begun: least first.
_Urgency = tuple[str, int, str]

_WAIT_S = 1.0  # at most, for a step to end, before the times of steps are checked

# In the traceback of a step whose predecessor's result is damaged, or known to nipype but removed.
_SIGNS_OF_LOSS = ("in loadpkl", "in load_resultfile", "requires a value for input")
# Of a disk that cannot be written or read, that of another machine included.
_REFUSALS = (
    errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EBUSY, errno.ENOTEMPTY,
    errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
_BATCH_POLL_S = 1.0  # a batch system serves others too


@dataclass(frozen=True)
class NodeFailure:
    """A node that failed.

    Attributes
    ----------
    node : full name, for example ``centipet_wf.sub_01_wf.segment``
    error_name : name of a class in `bidsapp.errors`; ``CentipetError`` for a fault of ours
    message : one sentence
    """

    node: str
    error_name: str
    message: str


def run(
    workflow: Workflow,
    resources: Resources,
    *,
    crash_dir: Path,
    stop_on_first_crash: bool = False,
    on_step: OnStep | None = None,
) -> list[NodeFailure]:
    """Run a workflow to its end.

    Parameters
    ----------
    workflow : nipype workflow; its ``base_dir`` is where results of nodes are kept
    resources : number of processes, memory, and the file of another nipype plugin if any
    crash_dir : where crash files (text) go
    stop_on_first_crash : start nothing more after the first failure
    on_step : called when a node starts, ends or fails

    Returns
    -------
    list of NodeFailure
        In the order in which they happened; empty when all is well. Nodes that wait for a failed
        one are not run and not listed.
    """
    os.environ.update(ONE_THREAD)
    workflow.config["execution"].update(
        crashdump_dir=str(crash_dir),
        crashfile_format="txt",
        create_report=False,
        hash_method="content",
        poll_sleep_duration=0 if resources.plugin is None else _BATCH_POLL_S,
        stop_on_first_crash=stop_on_first_crash,
    )
    if resources.plugin is None:
        _limit_memory(workflow, resources.mem_gb)
    plugin = _plugin(resources, on_step, _threads(workflow, resources.nprocs))
    # nipype collects garbage at every poll; what is alive now stays anyway, and need not be looked
    # through each time, nor at the exit of a command, which has frozen its imports before
    of_command = gc.get_freeze_count() > 0
    gc.freeze()
    try:
        with threadpool_limits(1):
            workflow.run(plugin=plugin)
    finally:
        if not of_command:
            gc.unfreeze()
    return plugin.failures


def _limit_memory(workflow: Workflow, mem_gb: float) -> None:
    """Let a node that asks for more than there is run alone; nipype would wait for ever."""
    for node in workflow._get_all_nodes():  # by name it takes the square of their number
        node._mem_gb = min(node.mem_gb, mem_gb)


def _threads(workflow: Workflow, nprocs: int) -> int:
    """Threads of a step: processes that more participants would use."""
    participants = {_participant(node) for node in workflow._get_all_nodes()}
    return max(1, nprocs // max(1, len(participants)))


def _plugin(resources: Resources, on_step: OnStep | None, threads: int) -> _Linear | _Distributed:
    arguments: dict[str, Any] = {}
    if on_step is not None:
        arguments["status_callback"] = lambda node, status: on_step(node.fullname, status)
    if resources.plugin is not None:
        batch, batch_arguments = read_plugin(Path(resources.plugin))
        plugin_class = type(f"Centipet{batch.__name__}", (_Distributed, batch), {})
        return plugin_class(plugin_args=batch_arguments | arguments)
    if resources.nprocs == 1:
        return _Linear(plugin_args=arguments)
    arguments |= {
        "n_procs": resources.nprocs,
        "memory_gb": resources.mem_gb,
        "raise_insufficient": False,
        "mp_context": "forkserver",  # of nipype's own pool, which has no process
    }
    timeout_s = 60 * resources.step_timeout_min
    return _MultiProc(arguments, timeout_s, threads)


class _Collecting(PluginBase):  # type: ignore[misc]
    """Mixed into a plugin of nipype: failures of steps are kept, and the first is not raised."""

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        self.failures: list[NodeFailure] = []


class _Linear(_Collecting, LinearPlugin):  # type: ignore[misc]
    """One node after the other in this process; a failure stops only what depends on it."""

    def run(self, graph: DiGraph, config: dict[str, Any], updatehash: bool = False) -> None:
        import networkx as nx

        report = self._status_callback or (lambda node, status: None)
        unreachable: set[Node] = set()
        order = _participant_first(graph)
        for node in nx.lexicographical_topological_sort(graph, key=order.__getitem__):
            if node in unreachable:
                continue
            report(node, "start")
            try:
                node.run(updatehash=updatehash)
            except Exception as error:
                Interrupted.repeat()
                self.failures.append(_failure(node, format_exception(error)))
                unreachable |= nx.descendants(graph, node)
                report(node, "exception")
                if config["execution"]["stop_on_first_crash"]:
                    return
            else:
                report(node, "end")


class _Distributed(_Collecting, DistributedPluginBase):  # type: ignore[misc]
    """Mixed into a distributed plugin of nipype: a failure stops only what depends on it."""

    def run(self, graph: DiGraph, config: dict[str, Any], updatehash: bool = False) -> None:
        try:
            super().run(graph, config, updatehash=updatehash)
        except Exception:
            if not self.failures:  # a fault of the plugin itself
                raise

    def _local_hash_check(self, jobid: int, graph: DiGraph) -> bool:
        try:
            self.procs[jobid]._get_inputs()
        except Exception:  # a damaged result, which costs this step; nipype would end the run
            self._clean_queue(jobid, graph)
            self.proc_pending[jobid] = False
            return True
        return bool(super()._local_hash_check(jobid, graph))

    def _report_crash(self, node: Node, result: dict[str, Any] | None = None) -> str:
        traceback = (result or {}).get("traceback") or ["unknown error\n"]
        lines = [traceback] if isinstance(traceback, str) else list(traceback)
        self.failures.append(_failure(node, lines))
        return ""


class _MultiProc(_Distributed, MultiProcPlugin):  # type: ignore[misc]
    """nipype's MultiProc that survives the death of a worker, and ends one that is stuck.

    When a process of the pool is killed, every task in flight is lost, and which of them caused it
    is not known. Each is tried once more in a process of its own, where only the one at fault fails
    again. The pool of a task that takes longer than ``timeout_s`` is killed.
    """

    def __init__(self, plugin_args: dict[str, Any], timeout_s: float, threads: int) -> None:
        super().__init__(plugin_args=plugin_args)
        self._timeout_s, self._threads = timeout_s, threads
        self._since: dict[int, float] = {}
        self.pool: ProcessPoolExecutor = workers(self.processors)
        self._jobs: dict[int, tuple[Node, bool]] = {}
        self._order: dict[Node, _Urgency] = {}
        self._retries: dict[int, ProcessPoolExecutor] = {}

    def run(self, graph: DiGraph, config: dict[str, Any], updatehash: bool = False) -> None:
        gc.freeze()  # the graph, too: see `run`
        self._order = _participant_first(graph)
        try:
            super().run(graph, config, updatehash=updatehash)
        finally:
            for future in self._task_obj.values():
                future.cancel()  # of a run that is stopped; the pages need the workers
            for pool in self._retries.values():
                pool.shutdown(cancel_futures=True)

    def _postrun_check(self) -> None:
        """Leave the workers alone, which are those of the whole run."""

    def _send_procs_to_workers(
        self, updatehash: bool = False, graph: DiGraph | None = None
    ) -> None:
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        if self._stats is None:  # something was sent or done here: look again what is ready
            return
        running = [self._task_obj[taskid] for taskid, _ in self.pending_tasks]
        if running:
            wait(running, timeout=_WAIT_S, return_when=FIRST_COMPLETED)
        elif not self.proc_done.all():
            time.sleep(_WAIT_S)

    def _submit_job(self, node: Node, updatehash: bool = False) -> int:
        self._taskid += 1
        self._jobs[self._taskid] = (node, updatehash)
        try:
            future = self._submit(self.pool, self._taskid)
        except BrokenProcessPool:
            self.pool = workers(self.processors)
            future = self._submit(self.pool, self._taskid)
        self._task_obj[self._taskid] = future
        return self._taskid

    def _submit(self, pool: ProcessPoolExecutor, taskid: int) -> Future[dict[str, Any]]:
        node, updatehash = self._jobs[taskid]
        self._since[taskid] = time.monotonic()
        return pool.submit(_run_node, node, updatehash, taskid, self._cwd, self._threads)

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        future = self._task_obj[taskid]
        if not future.done():
            if time.monotonic() - self._since[taskid] > self._timeout_s:
                for worker in self._retries.get(taskid, self.pool)._processes.values():
                    worker.kill()
            return None
        try:
            return future.result()
        except BrokenProcessPool:
            if taskid in self._retries:
                return {"result": None, "traceback": _vanished(self._jobs[taskid][0])}
            self._retries[taskid] = new_workers(1)
            self._task_obj[taskid] = self._submit(self._retries[taskid], taskid)
            return None
        except Exception as error:  # a result that cannot be sent between processes
            return {"result": None, "traceback": format_exception(error)}

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str = "tsort") -> list[int]:
        return sorted(jobids, key=lambda jobid: self._order[self.procs[jobid]])

    def _clear_task(self, taskid: int) -> None:
        super()._clear_task(taskid)
        del self._jobs[taskid], self._since[taskid]
        if taskid in self._retries:
            self._retries[taskid].shutdown()


def _participant_first(graph: DiGraph) -> dict[Node, _Urgency]:
    """Sort keys of steps: those of a participant together, what most others wait for first.

    nipype would segment every T1w before the first PET, so that a long run that is stopped had no
    whole participant; and write images while the one step that all others wait for stands in line.
    """
    import networkx as nx

    waiting: dict[Node, int] = {}  # length of the longest chain of steps that begins here
    for node in reversed(list(nx.topological_sort(graph))):
        waiting[node] = 1 + max((waiting[later] for later in graph.successors(node)), default=0)
    return {node: (_participant(node), -steps, node.fullname) for node, steps in waiting.items()}


def _participant(node: Node) -> str:
    """Name of the workflow of a participant, in which a node is."""
    return ".".join(node.fullname.split(".")[:2])


def _run_node(node: Node, updatehash: bool, taskid: int, cwd: str, threads: int) -> dict[str, Any]:
    """Run a step in a worker, whose directory and threads may be those of an earlier run."""
    os.chdir(cwd)
    use_threads(threads)
    result: dict[str, Any] = run_node(node, updatehash, taskid)
    return result


def _vanished(node: Node) -> list[str]:
    return format_exception(WorkerLostError(worded("workers", "lost", node=node)))


def _failure(node: Node, traceback: list[str]) -> NodeFailure:
    """Write the crash file of a node and summarise the error in one sentence."""
    with suppress(OSError, ValueError):  # the reason may be a full disk; a path that is not text
        report_crash(node, traceback=traceback)
    text = "".join(traceback)
    name, message = explain(text)
    is_removed = message.startswith("FileNotFoundError") and str(node.base_dir) in message
    if name is None and (is_removed or any(sign in text for sign in _SIGNS_OF_LOSS)):
        name = "StorageError"
        message = worded("workers", "no-results", node=node, message=message)
    if name is None:
        message = worded("workers", "our-fault", node=node, message=message)
    return NodeFailure(node.fullname, name or "CentipetError", message)


def explain(traceback: str) -> tuple[str | None, str]:
    """Class and message of the error that a traceback ends with.

    nipype returns errors as text, whichever process they were raised in.

    Parameters
    ----------
    traceback : as `traceback.format_exception` gives it, joined

    Returns
    -------
    name : str or None
        Class in `bidsapp.errors`, None for any other error.
    message : str
        Of any other error its class and first line.
    """
    ends = re.findall(r"^\s*((?:\w+\.)*)(_?[A-Z]\w*)(?:: (.*))?$", traceback, flags=re.MULTILINE)
    own = [(name, text) for module, name, text in ends if module.startswith("bidsapp.")]
    if own and error_class(own[-1][0]):
        return own[-1]
    foreign = [(name, text) for _, name, text in ends if name != "NodeExecutionError"]
    name, text = foreign[-1] if foreign else ("unknown error", "")
    number = re.match(r"\[Errno (\d+)\]", text)
    code = int(number[1]) if number else None
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "StorageError", f"the disk is full ({text}); free some space and run again"
    if code in _REFUSALS:
        return "StorageError", f"a file cannot be written or read ({text}); check it and run again"
    if name.endswith("MemoryError") or code in (errno.ENOMEM, errno.EAGAIN):
        return "WorkerLostError", worded("workers", "memory")
    return None, f"{name}: {text}" if text else name
