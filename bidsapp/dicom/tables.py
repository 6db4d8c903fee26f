"""The converter's knowledge of DICOM habits (``tables.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache
def tables() -> dict[str, Any]:
    """Return the whole table; callers must not change it."""
    return tomllib.loads((files(__package__) / "tables.toml").read_text("utf-8"))


def name_matches(kind: str, text: str) -> bool:
    """Tell whether a series or protocol name looks like ``kind`` (a key of ``[names]``)."""
    return re.search(tables()["names"][kind], text.lower()) is not None


def known_words(text: str) -> str:
    """What ``[names]`` knows in a text, and nothing else of it."""
    found = {
        match.span()
        for pattern in tables()["names"].values()
        for match in re.finditer(pattern, text.lower())
    }
    words = [re.sub(r"[\W_]+", " ", text.lower()[start:end]) for start, end in sorted(found)]
    return " ".join(dict.fromkeys(" ".join(words).split())) or "n/a"
