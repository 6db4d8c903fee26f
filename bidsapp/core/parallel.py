"""Work in fixed parts, on as many threads as the process may use.

What the parts are never depends on the number of threads, and their results come back in order, so
that sums over them have the same bits on any machine. NumPy and SciPy let go of the interpreter's
lock while they compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

_pool: ThreadPoolExecutor | None = None
_threads = 1
_inside = threading.local()


def use_threads(count: int) -> None:
    """Set the number of threads of this process, one at the start.

    Parameters
    ----------
    count : threads, the calling one included
    """
    global _pool, _threads
    if count == _threads:
        return
    _threads = count
    if _pool is not None:
        _pool.shutdown()
    _pool = _started(count) if count > 1 else None


def _started(count: int) -> ThreadPoolExecutor | None:
    """Threads, all of them at work already; None where the system allows no more of them."""
    pool, ready = ThreadPoolExecutor(count, initializer=_enter), threading.Barrier(count)
    try:
        for _ in range(count):
            pool.submit(ready.wait)
    except RuntimeError:
        ready.abort()
        pool.shutdown(cancel_futures=True)
        return None
    return pool


def each(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Results of ``work`` on every part, in order.

    Called within a part, one after the other: a pool whose threads wait for each other stands.

    Parameters
    ----------
    work : what is done with a part; it may write to arrays where no other part does
    parts : the same, whatever the number of threads

    Returns
    -------
    list
    """
    if _pool is None or hasattr(_inside, "pool"):
        return [work(part) for part in parts]
    return list(_pool.map(work, parts))


def chunks(begin: int, end: int, size: int) -> list[slice]:
    """Slices of ``size`` one after the other.

    Parameters
    ----------
    begin, end : first item, and the one after the last
    size : of a chunk; the last may be smaller

    Returns
    -------
    list of slice
    """
    return [slice(first, min(first + size, end)) for first in range(begin, end, size)]


def _enter() -> None:
    _inside.pool = True
