"""File locks, released when their process ends.

Not of the package filelock: where a file system has no locks it falls back on marker files, which
outlive a process that is killed and would stop every later run; and it cannot lock the very file
that is being written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def holding(
    path: Path, *, flags: int = os.O_CREAT, when_busy: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Hold the lock of a file inside the block.

    Parameters
    ----------
    path : file to lock
    flags : of `os.open`; by default the file is made where it is not there
    when_busy : called when another holds the lock, whose end is awaited then

    Yields
    ------
    bool
        Whether it is held: False where the file system has no locks.

    Raises
    ------
    BlockingIOError
        Another holds it, and there is no ``when_busy``.
    OSError
        The file cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_RDWR | os.O_NONBLOCK, 0o666)
    try:
        yield _take(descriptor, when_busy)
    finally:
        os.close(descriptor)


def _take(descriptor: int, when_busy: Callable[[], None] | None) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if when_busy is None:
            raise
        when_busy()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
