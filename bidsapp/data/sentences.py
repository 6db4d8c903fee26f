"""Sentences about inputs that are refused or doubtful, from a table (``sentences.toml``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.data import read_table
from bidsapp.errors import BadDataError
from bidsapp.plain import shortened

_MOST_LETTERS = 1000


def worded(topic: str, why: str, /, **values: Any) -> str:
    """Sentence of a row.

    Parameters
    ----------
    topic : what it is about
    why : row of the topic
    **values : in place of the words in braces

    Returns
    -------
    str

    Examples
    --------
    >>> worded("frame-times", "half-day", who="FrameTimesStart")[:51]
    'FrameTimesStart puts frames more than half a day ap'
    """
    return str(read_table("sentences")[topic][why].format(**limited(values)))


def limited(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a sentence, texts of others cut where nobody would read on.

    Parameters
    ----------
    values : in place of the words in braces

    Returns
    -------
    dict
    """
    return {k: shortened(v, _MOST_LETTERS) if isinstance(v, str) else v for k, v in values.items()}


def refused(topic: str, why: str, /, **values: Any) -> BadDataError:
    """Error with the sentence of a row (see `worded`).

    Parameters
    ----------
    topic, why : row of the table
    **values : in place of the words in braces

    Returns
    -------
    BadDataError
    """
    return BadDataError(worded(topic, why, **values))
