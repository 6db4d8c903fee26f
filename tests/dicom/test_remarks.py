"""Remarks of a conversion, as the decision table and the sidecar tell them."""

from __future__ import annotations

from bidsapp.core.quality import Flag
from bidsapp.dicom.remarks import NOTE, TIMES, WITHOUT_T1W, in_a_row, in_sidecar

REMARKS = (Flag(TIMES, "two clocks"), Flag(NOTE, "joined"), WITHOUT_T1W)


def test_all_remarks_are_told_and_notes_and_a_missing_t1w_flag_nothing() -> None:
    assert in_a_row("a PET", REMARKS[:2]) == "a PET; two clocks; joined"
    assert in_sidecar(REMARKS) == {
        "Remarks": ["two clocks", "joined", WITHOUT_T1W.message],
        "Flags": [{"code": "times", "message": "two clocks"}],
    }
