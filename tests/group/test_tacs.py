"""The group table of activity over time, from the tables of the scans."""

import pytest

from bidsapp.data import read_table
from bidsapp.group.tacs import tac_rows
from bidsapp.record import Status
from bidsapp.record.stages import empty_record
from bidsapp.record.stored import StoredScan

TABLE = "frame_start\tframe_end\tctx\twc\n0.0\t60.0\t10.0\t20.0\n60.0\t300.0\t30.0\tn/a\n"


@pytest.fixture
def scan_with_curves(tmp_path):
    def make(status=Status.OK, text=TABLE, suv=None, **entities):
        labels = {"sub": "1", "trc": "FBB", **entities}
        record = empty_record(labels, status=status, tracer="FBB", tacs={"Centiloid": "of it.tsv"})
        for key, content in {"tacs": text, "tacs_suv": suv}.items():
            if content is not None:
                path = StoredScan(tmp_path, record).path(key, atlas="Centiloid")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        return record

    return make


def test_a_row_per_region_and_frame(scan_with_curves, tmp_path):
    suv = TABLE.replace("10.0", "1.0").replace("30.0", "3.0").replace("20.0", "2.0")
    rows = list(tac_rows(tmp_path, [scan_with_curves(ses="a", suv=suv), scan_with_curves(sub="2")]))
    assert len(rows) == 8 and all(
        read_table("group_columns")["curves"].keys() <= row.keys() for row in rows
    )
    assert [(row["region"], row["frame_end"], row["uptake"], row["suv"]) for row in rows[:4]] == [
        ("ctx", 60, 10, 1), ("ctx", 300, 30, 3), ("wc", 60, 20, 2), ("wc", 300, None, None),
    ]  # fmt: skip
    assert rows[0]["session_id"] == "ses-a" and rows[4]["session_id"] is None
    assert {row["suv"] for row in rows[4:]} == {None}


@pytest.mark.parametrize("text", ["", "frame_start\tctx\n0\t1\n", "frame_start\tframe_end\n0\tx\n"])
def test_a_broken_table_gives_no_rows(scan_with_curves, tmp_path, text):
    assert list(tac_rows(tmp_path, [scan_with_curves(text=text)])) == []


def test_failed_scans_give_none(scan_with_curves, tmp_path):
    assert list(tac_rows(tmp_path, [scan_with_curves(status=Status.FAILED)])) == []
