"""Handling of signals: Ctrl-C, SIGTERM of a batch system, a closed terminal end a run in seconds.

What is finished stays finished: files are written whole or not at all, results of steps are kept
in the work folder, and the record of a scan says ``incomplete`` until its last step.  So nothing
has to be saved here; what must happen is that no process stays behind and nobody waits for one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from bidsapp.errors import Interrupted

# Batch systems kill 30 s after SIGTERM, Docker 10 s: be gone before, whatever still unwinds.
_PATIENCE_S = 8.0

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn signals into `Interrupted`, after the end of all worker processes.

    One that was ignored before (``nohup``, ``&`` of a script) still is. A second signal, or
    `_PATIENCE_S` after the first, ends the process on the spot.

    Yields
    ------
    None
    """
    seen: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        if seen:
            os._exit(128 + signum)
        seen.append(signum)
        last_resort = threading.Timer(_PATIENCE_S, os._exit, [128 + signum])
        last_resort.daemon = True
        last_resort.start()
        for worker in multiprocessing.active_children():
            worker.kill()  # pools wait for the steps their workers are at
        Interrupted.pending = 128 + signum
        Interrupted.repeat()

    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        Interrupted.pending = None
        for number, handler in before.items():
            signal.signal(number, handler)
