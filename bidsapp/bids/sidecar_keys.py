"""Keys of sidecars in any case, and as spelled in drafts of BIDS."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp.bids.stated import with_flag
from bidsapp.bids.values import differ
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import BadDataError
from bidsapp.plain import some

_MOST_NAMED = 5
CASE = "sidecar-case"
"""Code of the flag of keys that are written otherwise."""


def in_right_case(sidecar: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Content of a sidecar with the keys that are read here as BIDS writes them.

    Keys in another case, or as a draft had them, are flagged.

    Parameters
    ----------
    sidecar : of one file
    path : of the file, for the messages

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        A key stands there in several spellings with different values.
    """
    content: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in sidecar.items():
        right = _by_letters().get(key.lower()) or _drafted(key, sidecar) or key
        if right in content and differ(content[right], value):
            raise BadDataError(
                f"{path}: {written[right]} is {_shown(content[right])} and {key} is "
                f"{_shown(value)}, though both are {right}; remove the wrong one"
            )
        if right not in content or key == right:
            content[right], written[right] = value, key
    other = [key for right, key in written.items() if key != right]
    if not other:
        return content
    return with_flag(content, worded_flag(CASE, keys=some(other, _MOST_NAMED), file=path.name))


def _shown(value: object) -> str:
    return repr(value)[:60]


@cache
def read_keys() -> frozenset[str]:
    """Keys that are read, as BIDS writes them.

    Returns
    -------
    frozenset of str
    """
    table = read_table("sidecar_keys")
    lists = (keys for keys in table.values() if isinstance(keys, list))
    return frozenset(key for keys in (*lists, table["unknown"]) for key in keys)


@cache
def _by_letters() -> dict[str, str]:
    """Keys that are read, by their letters in lower case."""
    return {key.lower(): key for key in read_keys()}


def _drafted(key: str, sidecar: Mapping[str, Any]) -> str | None:
    """Key that stands for one of a draft, with ``Unit`` for ``Units``, unless both are there."""
    right = _by_letters().get(f"{key.lower()}s") if key.lower().endswith("unit") else None
    return None if right in sidecar else right
