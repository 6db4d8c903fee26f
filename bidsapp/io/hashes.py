"""Hashes of files by their content."""

from __future__ import annotations

import hashlib
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
