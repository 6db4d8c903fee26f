"""A control group that may use only so much memory, for processes of the tests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE_S = 10.0


@contextmanager
def limited_memory(megabytes: int) -> Iterator[Path]:
    """The file to write ``0`` to for joining the group; a skipped test where none may be made.

    Swap does not count and is none on most clusters; here it is forbidden where the kernel can.
    """
    version_1 = (_ROOT / "memory").is_dir()
    group = _ROOT / ("memory" if version_1 else "") / f"centipet-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if version_1 else "memory.max"
    swap = "memory.memsw.limit_in_bytes" if version_1 else "memory.swap.max"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"NO CONTROL GROUP CAN BE MADE HERE: {error}")
    try:
        try:
            (group / limit).write_text(str(megabytes << 20))
        except OSError as error:
            pytest.skip(f"NO MEMORY LIMIT CAN BE SET HERE: {error}")
        if (group / swap).exists():
            (group / swap).write_text(str(megabytes << 20) if version_1 else "0")
        yield group / "cgroup.procs"
    finally:
        _removed(group)


def _removed(group: Path) -> None:
    """Remove it when its last process has ended, which a killed worker does a moment later."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
