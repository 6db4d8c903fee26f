"""The converter's knowledge of DICOM habits (``tables.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache
def tables() -> dict[str, Any]:
    """Return the whole table; callers must not change it.

    Returns
    -------
    dict
    """
    return tomllib.loads((files(__package__) / "tables.toml").read_text("utf-8"))


def name_matches(kind: str, text: str) -> bool:
    """Whether a series or protocol name looks like ``kind`` (a key of ``[names]``).

    Parameters
    ----------
    kind : key of ``[names]``
    text : name of a series or protocol

    Returns
    -------
    bool
    """
    return re.search(tables()["names"][kind], text.lower()) is not None
