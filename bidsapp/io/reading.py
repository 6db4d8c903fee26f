"""Reading of text files from others: regular files of limited size, as UTF-8."""

from __future__ import annotations

import errno
import json
import re
import stat
from pathlib import Path
from typing import Any

from bidsapp.errors import BadDataError, NoInputError

_MOST_BYTES = 2**26


def read_bytes(path: Path) -> bytes:
    """Content of a file; a pipe or a device might never end.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        It cannot be read, is not a file, holds more than 64 MiB, or has to be fetched first.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        is_folder = stat.S_ISDIR(state.st_mode)
        raise OSError(errno.EINVAL, "it is a folder" if is_folder else "it is not a file")
    if state.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is far too large")
    content = path.read_bytes()
    if (kind := pointer_in(content)) is not None:
        raise OSError(errno.ENODATA, f"a {kind} pointer without the file; fetch its content")
    return content


def has_content(path: Path) -> bool:
    """Whether a file is there and not empty, as a power failure may leave it.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    return path.exists() and path.stat().st_size > 0


def pointer_in(start: bytes) -> str | None:
    """What keeps the content of a file elsewhere that has not been fetched.

    Parameters
    ----------
    start : first bytes of the file

    Returns
    -------
    str or None
        ``git-annex`` or ``git LFS``; None for a file that is there.

    Examples
    --------
    >>> pointer_in(b"../.git/annex/objects/MD5E-s9--ab.json"), pointer_in(b'{"/annex/objects/": 1}')
    ('git-annex', None)
    """
    if re.match(rb'[^\s{}\[\]"]*/annex/objects/', start):
        return "git-annex"
    return "git LFS" if start.startswith(b"version https://git-lfs") else None


def read_text(path: Path) -> str:
    """UTF-8 text of a file, with or without the mark of its encoding, lines ending in a newline.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    str

    Raises
    ------
    OSError, UnicodeDecodeError
        As `read_bytes`; it is not text.
    """
    text = read_bytes(path).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def given_text(path: Path, option: str = "") -> str:
    """Text of a file that a user names, perhaps by an option.

    Parameters
    ----------
    path : of the file
    option : that names it, for messages; empty for none

    Returns
    -------
    str

    Raises
    ------
    NoInputError
        It cannot be read.
    BadDataError
        It is not text.
    """
    named = f"{option} {path}".strip()
    try:
        return read_text(path)
    except OSError as error:
        raise NoInputError(f"{named}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{named}: is not UTF-8 text") from error


def parse_json(text: str | bytes, **options: Any) -> Any:
    """Content of a JSON text; whole numbers that no double holds are infinite, as others are.

    Parameters
    ----------
    text : JSON
    **options : of `json.loads`

    Returns
    -------
    Any
        Object, list, text, number, truth value or None.

    Raises
    ------
    ValueError
        It is not JSON, or is nested without end.
    """
    try:
        return json.loads(text, parse_int=_whole, **options)
    except RecursionError as error:
        raise ValueError("it is nested without end") from error


def known_object(path: Path) -> dict[str, Any]:
    """JSON object of a file that no number rests on: empty where none can be read.

    Parameters
    ----------
    path : of the file, which need not exist

    Returns
    -------
    dict
    """
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= 17 else float(digits)
