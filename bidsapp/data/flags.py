"""Flags with their sentences in a table (``flags.toml``)."""

from __future__ import annotations

from typing import Any

from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import limited


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
    return Flag(code, read_table("flags")[code][why].format(**limited(values)))
