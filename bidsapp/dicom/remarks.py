"""What is noticed of a series, in one form from where it is noticed to where it is written.

A remark is a `Flag`: a code, and a sentence of ``flags.toml``.  `Header`, `TimeModel`, the scans of
`bidsapp.dicom.sessions` and `ConvertedImage` carry theirs in a field ``remarks``, in the order in
which they came up.  The decision table has the sentences of all, and so has the sidecar; the flags
of the sidecar, which go into the record of the scan, are all but notes and a missing T1w.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag

NOTE = "note"
"""Code of what is reported and needs no action."""

TIMES = "times"
"""Code of what the time model makes of contradictions."""

WITHOUT_T1W = worded_flag("no-t1w", "dicom")
"""Of a conversion; a dataset without a T1w shows that by itself, and one may come later."""

_NO_FLAGS = (NOTE, WITHOUT_T1W.code)


def in_a_row(reason: str, remarks: Iterable[Flag]) -> str:
    """Reason of a row of the decision table, and what was noticed besides.

    Parameters
    ----------
    reason : for the decision
    remarks : in the order in which they came up

    Returns
    -------
    str
    """
    return "; ".join([reason, *(remark.message for remark in remarks)])


def in_sidecar(remarks: Iterable[Flag]) -> dict[str, Any]:
    """Remarks as a sidecar holds them, below the key ``CentiPET``.

    Parameters
    ----------
    remarks : in the order in which they are reported

    Returns
    -------
    dict
    """
    remarks = tuple(remarks)
    return {
        "Remarks": [remark.message for remark in remarks],
        "Flags": [asdict(remark) for remark in remarks if remark.code not in _NO_FLAGS],
    }
