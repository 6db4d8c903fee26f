"""Hashes of files by their content."""

from __future__ import annotations

import errno
import hashlib
import stat
from functools import cache, lru_cache
from pathlib import Path


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file as ``sha256:<hex>``.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    str
    """
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@cache
def folder_hash(folder: Path, endings: tuple[str, ...]) -> str:
    """SHA-256 of the names and contents of all files with some endings, taken once per process.

    Parameters
    ----------
    folder : with its subfolders
    endings : ``.py``, say

    Returns
    -------
    str
        Hexadecimal.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in endings:
            digest.update(f"{path.relative_to(folder).as_posix()} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def file_state(path: str | Path) -> str:
    """What changes when a regular file is written again, which takes less time than its hash.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    str
        Without spaces.

    Raises
    ------
    OSError
        It cannot be read, or is not a file.
    """
    state = Path(path).stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    # the time of change of the inode cannot be set back as that of the content can
    return f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}"


def remembered_hash(path: str | Path) -> str:
    """`file_hash` of a regular file, computed once per process while the file is unchanged.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    str

    Raises
    ------
    OSError
        It cannot be read, or is not a file.
    """
    return _of_state(path, file_state(path))


@lru_cache(maxsize=4096)
def _of_state(path: str | Path, _state: str) -> str:
    return file_hash(path)
