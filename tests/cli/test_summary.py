"""The end of a run tells every scan in one line, whatever its name."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from synthetic_records import finished_record, write

from bidsapp.cli.logs import Progress
from bidsapp.cli.summary import print_summary, summary_cells
from bidsapp.record import find_records


@pytest.fixture
def told(tmp_path):
    good, doubtful, failed = ({"sub": label, "trc": "FBB"} for label in ("01", "02", "03"))
    write(tmp_path, finished_record(good, 1.8, centiloid_interval=[111.4, 131.0]), good)
    flags = [{"code": "[red]odd", "message": "Look."}]
    qc = {"pet_t1w_distance_mm": 4.0}
    write(tmp_path, finished_record(doubtful, flags=flags, qc=qc), doubtful)
    content = finished_record(failed) | {"status": "failed", "error": "BadDataError"}
    write(tmp_path, content, failed)
    return find_records(tmp_path)


def test_a_line_has_value_interval_quality_flags_and_page(told):
    assert summary_cells(told[0]) == (
        "sub-01_trc-FBB", "FBB", "1.800", "121.2", "111 to 131", "good", "none", "sub-01.html",
    )  # fmt: skip
    assert summary_cells(told[1])[4:7] == ("n/a", "look at 1", "[red]odd")
    assert summary_cells(told[2])[5:7] == ("n/a", "failed (BadDataError)")


def test_the_table_says_how_many_and_where(told, tmp_path, monkeypatch):
    out, progress = io.StringIO(), Progress()
    console = Console(file=out, width=200)
    monkeypatch.setattr(progress, "console", console)
    print_summary(told, tmp_path, progress)
    text = out.getvalue()
    assert "[red]odd" in text and "sub-03.html" in text
    assert "2 quantified, 1 failed; pages are in" in text
