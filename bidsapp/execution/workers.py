"""The server that forks worker processes: what it imports, once for all of them."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext

# One thread per process: the sums of a matrix product depend on how many threads share it, and
# the same input must give the same bits on every machine.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# So that each worker starts in milliseconds.
_PRELOADED = ["bidsapp.execution.preloaded"]

# Of malloc(3) of glibc: what is set -> bytes.
_MALLOC = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 64 << 20)}


def keep_freed_memory() -> None:
    """Let this process, and those forked from it, keep some of the memory that arrays free.

    Given back after every array and fetched anew for the next, page by page, it takes a tenth of
    the time of a run. Only glibc has it to set.
    """
    with suppress(AttributeError, OSError, TypeError):
        for name, size in _MALLOC.values():
            ctypes.CDLL(None).mallopt(name, size)


def context() -> ForkServerContext:
    """Where workers come from."""
    server = get_context("forkserver")
    server.set_forkserver_preload(_PRELOADED)
    return server


def start_server() -> None:
    """Let the server import while this process still imports nipype and composes the workflow."""
    os.environ.update(ONE_THREAD)
    context()
    forkserver.ensure_running()
