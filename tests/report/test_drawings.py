"""Bands, the scale bar and the time line say what the numbers say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from synthetic_records import finished_record, write

from bidsapp.report.drawings import Axis, ScaleDrawing, TimelineDrawing
from bidsapp.report.literature import references, scale
from bidsapp.report.records import read_record

SCAN = {"sub": "01", "trc": "FBB"}


@pytest.mark.parametrize(
    ("value", "band"),
    [(-40, "low"), (9.99, "low"), (10, "intermediate"), (30, "intermediate"), (30.01, "high"),
     (500, "high")],
)  # fmt: skip
def test_every_value_has_one_band(value, band):
    assert scale().band_of(value).name == band
    assert sum(b.holds(value) for b in scale().bands) == 1


def test_bands_cover_the_scale_without_gaps():
    drawing = ScaleDrawing.of(50, scale())
    edges = [(left, left + width) for _, left, width in drawing.bands]
    assert edges[0][0] == drawing.axis.x(scale().low)
    assert edges[-1][1] == pytest.approx(drawing.axis.x(scale().high))
    for (_, end), (start, _) in pairwise(edges):
        assert start == pytest.approx(end, abs=0.11)


@pytest.mark.parametrize(("value", "beyond"), [(-80, -1), (0, 0), (100, 0), (260, 1)])
def test_a_value_off_the_scale_is_held_at_its_end(value, beyond):
    drawing = ScaleDrawing.of(value, scale())
    assert drawing.beyond == beyond
    assert drawing.axis.x(scale().low) <= drawing.x <= drawing.axis.x(scale().high)


def test_every_source_has_a_doi():
    for reference in references().values():
        assert reference.doi.startswith("10.") and reference.short.split()[-1].isdigit()


def test_frames_are_drawn_in_minutes_with_their_share(tmp_path):
    content = finished_record(SCAN) | {
        "frame_start_s": [5100.0, 5400.0, 6000.0],
        "frame_duration_s": [300.0, 600.0, 900.0],
        "frame_weights_s": [0.0, 600.0, 600.0],
    }
    record = read_record(write(tmp_path, content, SCAN), tmp_path)
    drawing = TimelineDrawing.of(record)
    assert [frame.share for frame in drawing.frames] == [0, 1, pytest.approx(2 / 3)]
    assert drawing.n_used == 2
    assert drawing.frames[1].x == drawing.axis.x(90) == drawing.window[0]
    assert drawing.axis.high >= 115 and drawing.axis.low == 0


def test_no_frames_no_time_line(tmp_path):
    content = finished_record(SCAN) | {"frame_start_s": None}
    assert TimelineDrawing.of(read_record(write(tmp_path, content, SCAN), tmp_path)) is None


def test_ticks_are_round_and_inside():
    axis = Axis(-30, 170)
    assert axis.ticks(25) == [-25, 0, 25, 50, 75, 100, 125, 150]
