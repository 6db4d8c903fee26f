"""Worker processes: how they are forked and set up."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import active_children, connection, get_context, parent_process
from tempfile import gettempdir
from typing import Any

from threadpoolctl import threadpool_limits

from bidsapp.core.parallel import use_threads
from bidsapp.data.sentences import worded
from bidsapp.errors import WorkerLostError

# One thread per process: the sums of a matrix product depend on how many threads share it, and
# the same input must give the same bits on every machine.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# So that each worker starts in milliseconds.
_PRELOADED = "bidsapp.execution.preloaded"

_LONGEST_TMPDIR = 70  # bytes; multiprocessing adds /pymp-xxxxxxxx/listener-xxxxxxxx

# Of malloc(3) of glibc: what is set -> bytes.
_MALLOC = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 64 << 20)}

# Of a worker, where the run does not ignore them.
_SIGNALS: Mapping[int, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
}

_workers: ProcessPoolExecutor | None = None
_count = 0


def keep_freed_memory() -> None:
    """Let this process, and those forked from it, keep some of the memory that arrays free.

    To return it after every array and to request it again, page by page, takes a tenth of the time
    of a run. Only glibc can be set so.
    """
    with suppress(AttributeError, OSError, TypeError):
        for name, size in _MALLOC.values():
            ctypes.CDLL(None).mallopt(name, size)


@contextmanager
def forked_workers(count: int) -> Iterator[None]:
    """Fork the workers of a command, which share all modules imported so far; end them with it.

    Only a process without threads may fork, and only a command knows that, not a library call.
    Others get their workers from a fork server when they are needed, which imports everything once
    more.

    Parameters
    ----------
    count : processes; with fewer than two there are no workers

    Yields
    ------
    None

    Raises
    ------
    WorkerLostError
        The machine allows no more processes or threads.
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
    _count = count
    try:  # a pool needs semaphores, which lie in /dev/shm
        _workers = ProcessPoolExecutor(count, mp_context=get_context("fork"), initializer=_begin)
        _workers.submit(int).result()  # the first task forks them all, before the pool has threads
    except (OSError, RuntimeError) as error:  # no process or no thread; of a worker: a broken pool
        for worker in active_children():  # begun already, and the exit would wait for them
            worker.kill()
        _workers = None
        text = worded("workers", "not-started", n=count, error=error)
        raise WorkerLostError(text) from error


def workers(count: int) -> ProcessPoolExecutor:
    """Return the workers of this run, new ones if none were started or one was killed.

    Parameters
    ----------
    count : processes

    Returns
    -------
    ProcessPoolExecutor
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
    """Start workers besides those of the run, from a fork server without threads.

    Where its socket has no place they are started one by one, which takes some seconds.

    Parameters
    ----------
    count : processes

    Returns
    -------
    ProcessPoolExecutor
    """
    os.environ.update(ONE_THREAD)
    context = get_context("forkserver" if _has_room_for_socket() else "spawn")
    context.set_forkserver_preload([_PRELOADED])
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin)


def _has_room_for_socket() -> bool:
    """Whether the path of a socket, of at most 107 bytes (unix(7)), may lie in ``TMPDIR``."""
    try:
        return len(os.fsencode(gettempdir())) < _LONGEST_TMPDIR
    except OSError:  # no folder for temporary files can be written
        return False


def dismiss_workers() -> None:
    """Shut down the workers of this run, which hold memory; `workers` starts new ones.

    It waits for the thread of the pool: in Python 3.11 one that ends together with the interpreter
    may write a traceback about a closed pipe.
    """
    global _workers
    if _workers is not None:
        _workers.shutdown(cancel_futures=True)
        _workers = None


def _begin() -> None:
    """Set up a worker: default signals, one thread, no log, and it ends with its parent."""
    for number, handler in _SIGNALS.items():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    use_threads(1)
    os.environ["NIPYPE_NO_ET"] = "1"
    threadpool_limits(1)
    warnings.simplefilter("ignore")  # of libraries; what a user must know is a flag or an error
    logging.disable(logging.CRITICAL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Exit when the main process ends, so that a killed run leaves no orphans."""
    parent = parent_process()
    if parent is None:
        return
    forked_from = os.getppid()  # siblings hold the other end of the sentinel, too, and may be stuck
    while not connection.wait([parent.sentinel], timeout=1) and os.getppid() == forked_from:
        pass
    os._exit(1)
