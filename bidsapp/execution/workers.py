"""The server that forks worker processes: what it imports, once for all of them."""

from __future__ import annotations

import os
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext

# One thread per process: the sums of a matrix product depend on how many threads share it, and
# the same input must give the same bits on every machine.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# So that each worker starts in milliseconds.
_PRELOADED = ["bidsapp.execution.preloaded"]


def context() -> ForkServerContext:
    """Where workers come from."""
    found = get_context("forkserver")
    found.set_forkserver_preload(_PRELOADED)
    return found


def start_server() -> None:
    """Let the server import while the workflow is still being composed."""
    os.environ.update(ONE_THREAD)
    context()
    forkserver.ensure_running()
