"""Files that say themselves whether they are whole: JSON with a SHA-256 over its own text.

A seal protects against accidents (a flipped byte, an edited number), not against forgery: whoever
can write the file can seal it anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bidsapp.io.atomic import encoded, write_text
from bidsapp.io.hashes import file_hash

_KEY = "sha256"
_BLANK = "0" * 64
_END = '"\n}\n'
_SEALED = re.compile(rb'"sha256": "([0-9a-f]{64})"\n\}\n\Z')


def sealed(content: Mapping[str, Any]) -> str:
    """JSON text whose last entry, ``sha256``, is the SHA-256 of the text with zeros in its place.

    Parameters
    ----------
    content : what `json.dumps` takes; an old seal in it is replaced

    Returns
    -------
    str

    Examples
    --------
    >>> is_intact(sealed({"a": 1}).encode()), is_intact(sealed({"a": 1}).replace("1", "2").encode())
    (True, False)
    """
    bare = {name: value for name, value in content.items() if name != _KEY}
    text = json.dumps(bare | {_KEY: _BLANK}, indent=2, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(encoded(text)).hexdigest()
    return text[: -len(_BLANK + _END)] + digest + _END


def is_intact(text: bytes) -> bool:
    """Whether a text is as `sealed` wrote it; one without a seal is not.

    Parameters
    ----------
    text : content of a file

    Returns
    -------
    bool
    """
    seal = _SEALED.search(text)
    if seal is None:
        return False
    blank = text[: seal.start(1)] + _BLANK.encode() + _END.encode()
    return hashlib.sha256(blank).hexdigest() == seal[1].decode()


def write_manifest(
    path: Path, output_dir: Path, files: Iterable[Path], inputs: Iterable[str], **about: Any
) -> Path:
    """Write the signed hashes of files that belong to no record, and of their sources.

    Parameters
    ----------
    path : of the manifest
    output_dir : root of the derivative dataset, which names are relative to
    files : what was written; the manifest itself is left out
    inputs : records that it was made from, relative to ``output_dir``
    **about : what else it states

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    listed = {file.relative_to(output_dir).as_posix() for file in files if file != path}
    content = {
        **about,
        "Inputs": hashes_of(output_dir, inputs),
        "Files": hashes_of(output_dir, sorted(listed)),
    }
    return write_text(path, sealed(content))


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 by name, without files that another process has removed.

    Parameters
    ----------
    folder : that the names are relative to
    names : of files, POSIX

    Returns
    -------
    dict of str
        ``sha256:<hex>`` by name.
    """
    hashes = {}
    for name in names:
        with suppress(FileNotFoundError):
            hashes[name] = file_hash(folder / name)
    return hashes
