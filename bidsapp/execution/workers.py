"""Worker processes: where they come from, and how each begins."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import ForkServerContext

from threadpoolctl import threadpool_limits

from bidsapp.core.parallel import use_threads

# One thread per process: the sums of a matrix product depend on how many threads share it, and
# the same input must give the same bits on every machine.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# So that each worker starts in milliseconds.
_PRELOADED = "bidsapp.execution.preloaded"

# Of malloc(3) of glibc: what is set -> bytes.
_MALLOC = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 64 << 20)}

_workers: ProcessPoolExecutor | None = None
_count = 0


def keep_freed_memory() -> None:
    """Let this process, and those forked from it, keep some of the memory that arrays free.

    Given back after every array and fetched anew for the next, page by page, it takes a tenth of
    the time of a run. Only glibc has it to set.
    """
    with suppress(AttributeError, OSError, TypeError):
        for name, size in _MALLOC.values():
            ctypes.CDLL(None).mallopt(name, size)


@contextmanager
def forked_workers(count: int) -> Iterator[None]:
    """Fork the workers of a command, which share all that is imported; let them end with it.

    Only a process without threads may fork, and whose it is must know: a command, not a program
    that calls us. Others get their workers from a server when they are needed, which imports
    everything once more.

    Parameters
    ----------
    count : processes; with fewer than two there are no workers
    """
    if count > 1 and sys.platform == "linux" and threading.active_count() == 1:
        _fork(count)
    try:
        yield
    finally:
        dismiss_workers()


def _fork(count: int) -> None:
    global _workers, _count
    os.environ.update(ONE_THREAD)
    import_module(_PRELOADED)
    gc.freeze()  # a collection would write to what is shared
    _workers = ProcessPoolExecutor(count, mp_context=get_context("fork"), initializer=_begin)
    _count = count
    _workers.submit(int).result()  # the first task forks all of them, before the pool has threads


def workers(count: int) -> ProcessPoolExecutor:
    """The workers of this run; made now where none were started, or one of them was killed.

    Parameters
    ----------
    count : processes
    """
    global _workers, _count
    if _workers is not None:
        try:
            _workers.submit(int)
        except BrokenProcessPool:  # one was killed
            dismiss_workers()
    if _workers is None or _count != count:
        dismiss_workers()
        _workers, _count = new_workers(count), count
    return _workers


def new_workers(count: int) -> ProcessPoolExecutor:
    """Processes beside those of the run, from a server that has no threads.

    Parameters
    ----------
    count : processes
    """
    os.environ.update(ONE_THREAD)
    server: ForkServerContext = get_context("forkserver")
    server.set_forkserver_preload([_PRELOADED])
    return ProcessPoolExecutor(count, mp_context=server, initializer=_begin)


def dismiss_workers() -> None:
    """Let the workers of this run end, which hold memory; whoever wants others gets new ones."""
    global _workers
    if _workers is not None:
        _workers.shutdown(wait=False, cancel_futures=True)
        _workers = None


def _begin() -> None:
    """Prepare a worker: quiet, ended by what ends any process, and never outliving the run."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    use_threads(1)
    os.environ["NIPYPE_NO_ET"] = "1"
    threadpool_limits(1)
    warnings.simplefilter("ignore")  # of libraries; what a user must know is a flag or an error
    logging.disable(logging.ERROR)  # what libraries remark is nobody's here
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Wait for the end of the run's main process: a killed run leaves no orphans at work."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
