"""The end of a run tells every scan in one line, whatever its name."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from synthetic_records import finished_record, write

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.logs import Progress
from bidsapp.cli.plan_table import print_plan
from bidsapp.cli.summary import print_summary, summary_cells
from bidsapp.core.quality import Flag
from bidsapp.record import find_records
from bidsapp.report.lights import lights
from bidsapp.settings import Filters, Processing

INTERVALS = {"rescan_interval": [116.6, 125.8], "centiloid_interval": [111.4, 131.0]}


@pytest.fixture
def records(tmp_path):
    good, doubtful, failed = ({"sub": label, "trc": "FBB"} for label in ("01", "02", "03"))
    write(tmp_path, finished_record(good, 1.8, **INTERVALS), good)
    flags = [{"code": "[red]odd", "message": "Look."}]
    qc = {"pet_t1w_distance_mm": 4.0}
    write(tmp_path, finished_record(doubtful, flags=flags, qc=qc), doubtful)
    content = finished_record(failed) | {"status": "failed", "error": "BadDataError"}
    write(tmp_path, content, failed)
    return find_records(tmp_path)


def test_a_line_has_value_interval_quality_flags_and_page(records):
    assert summary_cells(records[0]) == (
        "sub-01_trc-FBB", "FBB", "1.800", "121.2", "117 to 126", "111 to 131", "good", "none",
        "sub-01.html",
    )  # fmt: skip
    assert summary_cells(records[1])[5:8] == ("n/a", "look at 1", "[red]odd")
    scales = {"suvr": {"universal": 1.25}, "centaurz": {"universal": 3.14}}
    assert summary_cells(replace(records[0], centiloid=None, scales=scales))[2:4] == (
        "1.250", "3.1 CenTauRz",
    )  # fmt: skip
    assert summary_cells(records[2])[6:8] == ("n/a", "failed (BadDataError)")


def test_flags_that_doubt_the_number_come_first(records):
    flags = tuple(Flag(code, "Look.") for code in ("stated", "pet-offset", "units"))
    cells = summary_cells(replace(records[0], flags=flags))
    assert cells[7] == "pet-offset, stated, units"


def test_the_table_says_how_many_and_where(records, tmp_path, monkeypatch):
    out, progress = io.StringIO(), Progress()
    console = Console(file=out, width=200)
    monkeypatch.setattr(progress, "console", console)
    print_summary(records, tmp_path, progress)
    text = out.getvalue()
    assert "[red]odd" in text and "sub-03.html" in text
    assert "2 quantified, 1 failed; pages are in" in text


LONG = "sub-ADNI0123_ses-month024_trc-FBB_rec-acdyn"


def long_records(folder):
    """Three scans with long names: good, with many flags, failed."""
    codes = ("window-partial", "pet-t1w-stretch", "registration-methods-differ")
    flags = [{"code": code, "message": "Look."} for code in codes]
    for label in ("0123", "0124", "0125"):
        entities = {"sub": f"ADNI{label}", "ses": "month024", "trc": "FBB", "rec": "acdyn"}
        content = finished_record(
            entities, 1.8, centiloid_interval=[111.4, 131.0], flags=flags if label == "0124" else []
        )
        if label == "0125":
            content |= {"status": "failed", "error": "BadDataError"}
        write(folder, content, entities)
    return find_records(folder)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_word_is_broken_however_narrow_the_terminal(width, tmp_path):
    out = io.StringIO()
    progress = Progress(Console(file=out, width=width, highlight=False))
    records = long_records(tmp_path)
    print_summary(records, Path("/out"), progress)
    lines = out.getvalue().splitlines()
    words = set(out.getvalue().replace(";", " ").replace(",", " ").split())
    for record in records:
        cells = [cell for cell in summary_cells(record) if cell != "n/a"]
        assert {word.strip(",") for cell in cells for word in cell.split()} <= words
    longest = max(len(record.name) for record in records)
    assert all(len(line.rstrip()) <= max(width, longest) for line in lines)
    assert any(line.strip().startswith(LONG) for line in lines)


def test_a_plan_on_a_narrow_terminal(raw):
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80, highlight=False))
    raw.t1w("sub-ADNI0123_ses-month024")
    raw.pet("sub-ADNI0123_ses-month024_trc-FBB_rec-acdyn")
    raw.pet("sub-ADNI0124_ses-month024_trc-FBB_rec-acdyn", TracerName=None, ScanStart=None)
    print_plan(make_plan(read_dataset(raw.root, Filters()), Processing()), progress)
    text = out.getvalue()
    assert "sub-ADNI0123_ses-month024_trc-FBB_rec-acdyn\n  run; tracer FBB; window (min) 90" in text
    assert "sub-ADNI0123_ses-month024_T1w.nii" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_those_who_ask_for_more_hear_of_every_verdict(tmp_path):
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200, highlight=False), verbose=True)
    entities = {"sub": "1", "trc": "FBB"}
    write(tmp_path, finished_record(entities, qc={"pet_t1w_distance_mm": 4.0}), entities)
    (record,) = find_records(tmp_path)
    print_summary([record], tmp_path, progress)
    (light,) = [one for one in lights(record) if one.name == "pet_t1w_distance_mm"]
    assert f"sub-1_trc-FBB: {light.label}: {light.value}, {light.verdict}" in out.getvalue()


def test_a_step_known_from_an_earlier_run_has_no_time():
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200, highlight=False))
    progress.start("sub-1: segmented")
    progress.end("sub-1: segmented", "[1/2]", "a minute left")
    progress.end("sub-1: averaged", "[2/2]")
    first, second = out.getvalue().splitlines()
    assert first == "[1/2] sub-1: segmented (0.0 s; a minute left)"
    assert second == "[2/2] sub-1: averaged (from an earlier run)"
