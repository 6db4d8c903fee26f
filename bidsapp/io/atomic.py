"""Atomic writing of files: readers see the old or the complete new one.

Every file is written beside its place under another name, then takes the place of the old one.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from filecmp import cmp
from itertools import chain
from pathlib import Path
from typing import Any

from isal import isal_zlib

from bidsapp.errors import StorageError
from bidsapp.io.locks import holding

# Of ISA-L, whose level 1 is ten times as fast as that of zlib for as many bytes on PET and T1w.
COMPRESSION = 1
_GZIP = 16 + zlib.MAX_WBITS  # the format: deflated data between header and checksum
_FIRST_BLOCK = 16  # bytes; so few ISA-L leaves to the routine for the end of a block

# Temporary files: `.<name>.<random>.tmp` beside what they will be.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_JUST_MADE_S = 1.0  # a writer locks its file at once, but after it was made
_SURELY_OLD_S = 24 * 3600.0  # nobody writes one file for so long


def write_gzip(path: str | Path, parts: Iterable[bytes | memoryview]) -> Path:
    """Write a gzipped file atomically; the same content in the same parts gives the same file.

    Parameters
    ----------
    path : file
    parts : what the file holds, one after the other, written while they come

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(_gzipped(parts))
    return Path(path)


def _gzipped(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Gzip stream of the parts.

    Its first bytes are a block of their own: the loop that ISA-L has for longer ones takes the hash
    of the second byte from a register that holds the address of the stack (``write_first_byte`` in
    ``igzip_icf_body_h1_gr_bt.asm``, seen in 2.32.1), so that one file in thousands had other bytes.
    """
    deflate = isal_zlib.compressobj(COMPRESSION, wbits=_GZIP)
    remaining = iter(parts)
    first = memoryview(next(remaining, b""))
    yield deflate.compress(first[:_FIRST_BLOCK])
    yield deflate.flush(isal_zlib.Z_SYNC_FLUSH)
    yield from map(deflate.compress, chain([first[_FIRST_BLOCK:]], remaining))
    yield deflate.flush()


@contextmanager
def replacing(path: str | Path, *, leave_equal: bool = False) -> Iterator[Path]:
    """Give a temporary file that takes the place of ``path`` when all went well.

    With ``leave_equal`` a file that holds the same already is left as it is.

    Parameters
    ----------
    path : of the file, which may exist
    leave_equal : leave a file as it is that holds the same already

    Yields
    ------
    Path
        Temporary file to write into, in the same folder.
    """
    path = Path(path)
    # Not the process id: containers on two nodes of a cluster often have the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with holding(temporary, flags=os.O_CREAT | os.O_EXCL):  # lives: `remove_temporaries`
            yield temporary
            if not (leave_equal and path.is_file() and cmp(temporary, path, shallow=False)):
                temporary.replace(path)
    except OSError as error:
        is_long = error.errno == errno.ENAMETOOLONG
        remedy = "shorten its labels" if is_long else "free space or correct permissions"
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); {remedy}, and run again"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_temporaries(folders: Iterable[Path]) -> int:
    """Remove the temporary files that killed runs left, and none that is being written.

    A file is left over when nobody holds its lock; where a file system has no locks, when it is a
    day old.

    Parameters
    ----------
    folders : looked through, without the folders in them

    Returns
    -------
    int
        How many were removed.
    """
    leftovers = (
        path
        for folder in folders
        for path in folder.glob(".*.tmp")
        if _TEMPORARY.fullmatch(path.name)
    )
    return sum(map(_remove_if_left, leftovers))


def _remove_if_left(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
        with holding(path, flags=0) as held:
            is_left = age > (_JUST_MADE_S if held else _SURELY_OLD_S)
            if is_left:
                path.unlink()
    except OSError:  # held, gone meanwhile, or somebody else's
        return False
    return is_left


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically; a file with the same content is left unchanged.

    Parameters
    ----------
    path : of the file
    text : all of it

    Returns
    -------
    Path
        ``path``.
    """
    return write_lines(path, [text])


def write_lines(path: str | Path, lines: Iterable[str]) -> Path:
    """Write UTF-8 text while the lines come, as `write_text` does.

    Parameters
    ----------
    path : of the file
    lines : pieces of text with their ends

    Returns
    -------
    Path
        ``path``.
    """
    with replacing(path, leave_equal=True) as temporary, temporary.open("wb") as file:
        file.writelines(map(encoded, lines))
    return Path(path)


def encoded(text: str) -> bytes:
    r"""UTF-8; what is not a character (names of files may hold it) as ``\udcff``, as JSON has it.

    Parameters
    ----------
    text : of any characters

    Returns
    -------
    bytes
    """
    return text.encode(errors="backslashreplace")


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write JSON as `write_text` does, with keys in the order given.

    Parameters
    ----------
    path : of the file
    content : what `json.dumps` takes

    Returns
    -------
    Path
        ``path``.
    """
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
