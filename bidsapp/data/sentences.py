"""Sentences from tables: refusals and remarks (``sentences.toml``), flags (``flags.toml``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.core.quality import Flag
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
    return _filled(read_table("sentences")[topic][why], values)


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


def worded_flag(code: str, why: str = "always", /, **values: Any) -> Flag:
    """Flag with the sentence of a row.

    Parameters
    ----------
    code : of the flag
    why : row, of a code that has several
    **values : in place of the words in braces

    Returns
    -------
    Flag

    Examples
    --------
    >>> worded_flag("t1w-far", "bids", image="a_T1w.nii", days=400).message
    'a_T1w.nii is 400 days from this PET: check that the head has not changed'
    """
    return Flag(code, _filled(read_table("flags")[code][why], values))


def _filled(sentence: str, values: Mapping[str, Any]) -> str:
    """Sentence with its values, of which texts of others are cut where nobody would read on."""
    short = {k: shortened(v, _MOST_LETTERS) if isinstance(v, str) else v for k, v in values.items()}
    return sentence.format(**short)
