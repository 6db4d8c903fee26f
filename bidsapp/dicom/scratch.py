"""Where DICOM lies while it is converted: gone with the run, or by the next when it was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bidsapp.io.locks import holding

_PREFIX = "centipet-dicom-"
_LOCK = "lock"
_SETTLED_S = 3600.0


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder in ``TMPDIR`` that is held by a lock; remove those whose holder is dead.

    The kernel drops the lock of a process that is killed, so a folder whose lock is free holds
    the DICOM of nobody who is alive.  On file systems without locks nothing is taken away.

    Yields
    ------
    Path
        Empty folder.
    """
    _remove_left()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new = folder / f".{_LOCK}"
        with holding(new) as held:
            if held:  # it appears under its name only when it is held
                new.replace(folder / _LOCK)
            work = folder / "work"
            work.mkdir()
            yield work


def _remove_left() -> None:
    """Remove the folders of this user's runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            try:
                with holding(folder / _LOCK, flags=0) as held:
                    if held:
                        shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:  # killed before it was held, or about to be
                if time.time() - folder.stat().st_mtime > _SETTLED_S:
                    (folder / f".{_LOCK}").unlink(missing_ok=True)
                    folder.rmdir()  # never one that holds anything
