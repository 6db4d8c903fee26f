"""Charts say what the numbers say."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from synthetic_records import finished_record, write

from bidsapp.data.literature import references, scale
from bidsapp.record import read_record
from bidsapp.report.axes import Axis
from bidsapp.report.charts import RegionValue, centiloid_scale, curves, regional_bars, timeline
from bidsapp.report.figure import Words

SCAN = {"sub": "01", "trc": "FBB"}
SVG = "{http://www.w3.org/2000/svg}"


def elements(figure, kind, style):
    root = ElementTree.fromstring(figure.standalone().encode())
    return [e for e in root.iter(SVG + kind) if style in (e.get("class") or "").split()]


@pytest.mark.parametrize(
    ("value", "band"),
    [(-40, "low"), (9.99, "low"), (10, "intermediate"), (30, "intermediate"), (30.01, "high"),
     (500, "high")],
)  # fmt: skip
def test_every_value_has_one_band(value, band):
    assert scale().band_of(value).name == band
    assert sum(b.holds(value) for b in scale().bands) == 1


def test_bands_cover_the_scale_without_gaps():
    figure = centiloid_scale(50, scale())
    root = ElementTree.fromstring(figure.standalone().encode())
    bands = [r for r in root.iter(SVG + "rect") if r.get("class", "").startswith("band-")]
    edges = [(float(r.get("x")), float(r.get("x")) + float(r.get("width"))) for r in bands]
    axis = Axis(scale().low, scale().high, 16, figure.width - 16)
    assert edges[0][0] == axis.start and edges[-1][1] == pytest.approx(axis.end)
    for (_, end), (start, _) in pairwise(edges):
        assert start == pytest.approx(end, abs=0.11)


@pytest.mark.parametrize(("value", "off"), [(-80, True), (0, False), (100, False), (260, True)])
def test_a_value_off_the_scale_is_held_at_its_end(value, off):
    figure = centiloid_scale(value, scale())
    (pin, *_) = elements(figure, "path", "pin")
    x = float(re.match(r"M([-\d.]+)", pin.get("d"))[1])
    assert 0 <= x <= figure.width
    assert bool(elements(figure, "line", "pin")) is not off


def test_both_intervals_are_drawn_and_told():
    intervals = {"a rescan": (45, 55), "PiB": (40, 62)}
    figure = centiloid_scale(50, scale(), intervals, "above 30")
    assert "in the band above 30" in figure.alt
    assert "The value lies" not in centiloid_scale(50, scale(), intervals).alt
    assert "Bar: 95 % interval of a rescan; dashed: 95 % interval of PiB." in figure.caption
    axis = Axis(scale().low, scale().high, 16, figure.width - 16)
    spans = elements(figure, "path", "span")
    assert [span.get("class") for span in spans] == ["span outer", "span"]
    for span, (low, high) in zip(spans[::-1], intervals.values(), strict=True):
        assert span.get("d").startswith(f"M{axis.at(low)} ") and f"H{axis.at(high)}" in span.get(
            "d"
        )
    assert "95 % interval of a rescan is 45.0 to 55.0 CL" in figure.alt
    assert "95 % interval of PiB is 40.0 to 62.0 CL" in figure.alt
    assert not elements(centiloid_scale(50, scale()), "path", "span")


def test_bands_are_faint_where_none_is_to_be_read():
    for band, faint in (("above 30", False), (None, True)):
        (low,) = elements(centiloid_scale(50, scale(), band=band), "rect", "band-low")
        assert ("faint" in low.get("class")) is faint


def test_every_source_has_a_doi():
    for reference in references().values():
        assert reference.doi.startswith("10.") and reference.short.split()[-1].isdigit()


def test_frames_are_drawn_in_minutes_with_their_share(tmp_path):
    content = finished_record(SCAN) | {
        "frame_start_s": [5100.0, 5400.0, 6000.0],
        "frame_duration_s": [300.0, 600.0, 900.0],
        "frame_weights_s": [0.0, 600.0, 600.0],
    }
    figure = timeline(read_record(write(tmp_path, content, SCAN), tmp_path))
    axis = Axis(0, 120)
    frames, used = elements(figure, "rect", "frame"), elements(figure, "rect", "used")
    assert [float(f.get("x")) for f in frames] == [axis.at(85), axis.at(90), axis.at(100)]
    shares = [float(u.get("height")) / 22 for u in used]
    assert shares == [1, pytest.approx(2 / 3, abs=0.01)]
    assert "2 of 3 frames averaged" in figure.caption


def test_no_frames_no_time_line(tmp_path):
    content = finished_record(SCAN) | {"frame_start_s": None}
    assert timeline(read_record(write(tmp_path, content, SCAN), tmp_path)) is None


def test_ticks_are_round_and_inside():
    assert Axis(-30, 170).ticks(25) == [-25, 0, 25, 50, 75, 100, 125, 150]
    assert Axis(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_bars_are_as_long_as_the_uptake_on_a_common_scale():
    regions = [RegionValue("precuneus", 2.0, 3.1), RegionValue("pons", 1.0)]
    figure = regional_bars(regions, "AAL", 2.5)
    widths = [float(bar.get("width")) for bar in elements(figure, "rect", "used")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.3)
    assert "z 3.1" in figure.standalone() and "z-scores" in figure.caption
    assert regional_bars([], "AAL", 2.5) is None


def test_too_many_regions_are_cut_and_said_so():
    regions = [RegionValue(f"r{i}", i / 100) for i in range(200)]
    figure = regional_bars(regions, "big", 2.5)
    assert len(elements(figure, "rect", "used")) == 120
    assert "80 regions with the lowest uptake" in figure.caption and "r199" in figure.standalone()


def test_curves_skip_what_was_not_measured():
    figure = curves(Words("tac", "T", "C"), [0, 1, 2, 3], {"ctx": [1, None, 3, 4]}, x_title="min",
                    y_title="kBq/ml")  # fmt: skip
    (line,) = elements(figure, "path", "line")
    assert line.get("d").count("L") == 2


def test_the_break_between_two_parts_of_a_scan_is_not_bridged():
    times = [0.5, 1, 2, 5, 10, 15, 95, 100, 105]
    figure = curves(Words("tac", "T", "C"), times, {"ctx": times}, x_title="min", y_title="kBq/ml")
    (line,) = elements(figure, "path", "line")
    first, second = line.get("d").split("M")[1:]
    assert (first.count("L"), second.count("L")) == (5, 2)
