"""Tables become charts when they belong to the run, and are left out when they cannot be read."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from html_page import Page
from synthetic_records import finished_record, write

from bidsapp.record import read_record
from bidsapp.record.stored import StoredScan
from bidsapp.report.measures import (
    Side,
    corrected,
    kinetics,
    regions,
    regions_of_readers,
    time_and_regions,
)
from bidsapp.report.participant import write_page

SCAN = {"sub": "01", "trc": "FBB"}
MOTION = {
    "corrected": True,
    "frame_start_s": [5400.0, 5700.0, 6000.0],
    "frame_duration_s": [300.0] * 3,
    "distance_mm": [0.0, 1.5, 3.5],
    "translation_mm": [[0, 0, 0], [1, 0, 0], [2, 0, 1]],
    "rotation_deg": [[0, 0, 0], [0.5, 0, 0], [1, 0, 0]],
}
TACS = "frame_start\tframe_end\tctx\twc\n5400\t5700\t9000\t5000\n5700\t6000\tn/a\t5100\n"
VOIS = "index\tname\tsuvr_wc\tz\n1\tprecuneus\t1.8\t3.5\n2\tputamen\t1.5\tn/a\n3\tlost\tn/a\tn/a\n"


def charts(folder, tables, **changes):
    path = write(folder, finished_record(SCAN, **changes), SCAN)
    for name, text in tables.items():
        path.with_name(f"sub-01_trc-FBB_{name}.tsv").write_text(text)
    found = list(time_and_regions(StoredScan(folder, read_record(path, folder))))
    return {figure.name: figure for figure in found}


def atlases(*names):
    parameters = {"atlases": [{"name": name} for name in names]}
    return {"version": "0.1.0", "parameters": parameters}


def test_a_static_scan_has_none(tmp_path):
    assert charts(tmp_path, {"atlas-Centiloid_tacs": TACS, "atlas-AAL3_vois": VOIS}) == {}


def test_activity_is_drawn_in_its_units(tmp_path):
    found = charts(tmp_path, {"atlas-Centiloid_tacs": TACS}, tacs={"Centiloid": "x"})
    assert list(found) == ["tacs"]
    assert (
        "ctx from 9.00 to n/a" in found["tacs"].alt and "wc from 5.00 to 5.10" in found["tacs"].alt
    )


def test_motion_shows_its_limit(tmp_path):
    found = charts(tmp_path, {}, motion=MOTION, qc={"motion_window_mm": 3.5})
    assert list(found) == ["motion", "rotation"]
    assert "distance from 0.00 to 3.50" in found["motion"].alt
    assert 'class="limit"' in found["motion"].drawing


def test_a_still_head_has_flat_curves(tmp_path):
    still = MOTION | {"rotation_deg": [[0, 0, 0], [0.02, 0, 0], [0.01, 0.01, 0]]}
    path = re.findall(
        r'class="line" d="([^"]*)"', charts(tmp_path, {}, motion=still)["rotation"].drawing
    )
    heights = [float(y) for line in path for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)]
    assert len(heights) == 9 and max(heights) - min(heights) < 3


def test_regions_come_with_z_scores_and_without_what_was_not_measured(tmp_path):
    found = charts(tmp_path, {"atlas-AAL3_vois": VOIS}, provenance=atlases("Centiloid", "AAL3"))
    assert list(found) == ["regionsAAL3"]
    text = found["regionsAAL3"].standalone()
    assert "z 3.5" in text and "putamen" in text and "lost" not in text


@pytest.mark.parametrize("name", ["../../../etc/passwd", "A/B", "", "<b>", None, 3.5])
def test_hostile_names_of_atlases_reach_no_file(tmp_path, name):
    assert charts(tmp_path, {}, provenance=atlases(name)) == {}


@pytest.mark.parametrize(
    "broken",
    [{"motion": {**MOTION, "distance_mm": [1]}}, {"motion": {**MOTION, "rotation_deg": "x"}},
     {"motion": {"corrected": True}}, {"tacs": {"Centiloid": 1}}, {"tacs": []},
     {"provenance": {"version": "1", "parameters": {"atlases": "AAL3"}}}],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out(tmp_path, broken):
    assert charts(tmp_path, {"atlas-Centiloid_tacs": "no\ttable\n"}, **broken) == {}


def fits(folder, stored):
    return kinetics(
        read_record(write(folder, finished_record(SCAN, kinetics=stored), SCAN), folder)
    )


def test_kinetic_models_are_told_with_their_errors(tmp_path):
    logan = {"t_star_min": 35.0, "DVR": 1.31, "DVR_se": 0.02}
    found = fits(tmp_path, {"done": True, "models": {"Logan": logan}})
    assert list(found) == ["Logan"]
    assert found["Logan"] == {
        "R1": (None, None), "k2": (None, None), "BPND": (None, None), "DVR": (1.31, 0.02),
    }  # fmt: skip
    words = Page(write_page(tmp_path, "01").read_text("utf-8")).words
    assert "Logan" in words and "1.310 ± 0.020" in words


@pytest.mark.parametrize(
    "stored",
    [None, "x", {"done": False, "reason": "too short"}, {"done": True}, {"done": True, "models": 3},
     {"done": True, "models": {"SRTM": None, "Logan": {"DVR": "high"}}}],
)  # fmt: skip
def test_a_scan_without_models_has_a_page(tmp_path, stored):
    assert all(fit["DVR"] == (None, None) for fit in fits(tmp_path, stored).values())
    assert write_page(tmp_path, "01").exists()


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (
            {"done": True, "suvr": {"gtm": {"wc": 2.345, "cg": None}, "iy": {"wc": None}}},
            "geometric transfer matrix",
        ),
        ({"done": True, "suvr": {"<b>": {"wc": 2.345}}}, "<b>"),
        ({"done": False, "reason": "no resolution known"}, "No resolution known."),
    ],
)
def test_partial_volume_is_told(tmp_path, stored, words):
    write(tmp_path, finished_record(SCAN, pvc=stored), SCAN)
    page = Page(write_page(tmp_path, "01").read_text("utf-8"))
    assert words in page.words and ("2.35" in page.words) == stored["done"]
    assert "iterative Yang" not in page.words  # nobody asked for it


@pytest.mark.parametrize("stored", [None, "x", {"done": True}, {"done": True, "suvr": {"gtm": 3}}])
def test_correction_of_another_shape_counts_as_absent(tmp_path, stored):
    record = read_record(write(tmp_path, finished_record(SCAN, pvc=stored), SCAN), tmp_path)
    assert corrected(record) == {}


def test_regions_of_readers_have_sides_and_asymmetry(tmp_path):
    """Those that a table lacks are left out; the reference region is that of the scan."""
    rows = ["name\tsuvr_wc\tcentiloid_wc\tsuvr_pons\tcentiloid_pons\tz",
            "precuneus_L\t1.5\t60\t1.1\tn/a\t2.5", "precuneus_R\t1.3\t40\t0.9\tn/a\tn/a",
            "striatum\t9\t9\t9\t9\t9"]  # fmt: skip
    path = write(tmp_path, finished_record(SCAN), SCAN)
    table = path.with_name("sub-01_trc-FBB_atlas-DesikanKilliany_vois.tsv")
    table.write_text("\n".join(rows) + "\n")
    (one,) = regions_of_readers(StoredScan(tmp_path, read_record(path, tmp_path)))
    assert (one.name, one.left.suvr, one.right.centiloid) == ("Precuneus", 1.5, 40)
    assert (one.left.z, one.right.z) == (2.5, None)
    assert one.asymmetry == pytest.approx(100 * 0.2 / 1.4)
    noise = replace(one, left=Side(0.1, None, None), right=Side(-0.1, None, None))
    assert noise.asymmetry is None  # no uptake on either side
    path = write(tmp_path, finished_record(SCAN, reference_region="pons"), SCAN)
    (one,) = regions_of_readers(StoredScan(tmp_path, read_record(path, tmp_path)))
    assert (one.left.suvr, one.left.centiloid) == (1.1, None)


def test_bars_leave_out_ventricles_and_what_is_made_of_others(tmp_path):
    rows = ["name\tsuvr_wc", "cortex\t1.5", "lateral-v\t0.5", "braak1\t1.1", "lobe\t1.2"]
    described = {
        "Composites": {"braak1": ["cortex"], "lobe": ["cortex"], "ventricle_L": ["lateral-v"]}
    }
    (tmp_path / "atlas-Own_description.json").write_text(json.dumps(described))
    for scales, shown in (({}, {"cortex"}), ({"suvr": {"universal": 1.4}}, {"cortex", "braak1"})):
        path = write(tmp_path, finished_record(SCAN, scales=scales), SCAN)
        table = path.with_name("sub-01_trc-FBB_atlas-Own_vois.tsv")
        table.write_text("\n".join(rows) + "\n")
        text = regions(StoredScan(tmp_path, read_record(path, tmp_path)), "Own").standalone()
        names = ("cortex", "lateral-v", "braak1", "lobe")
        assert {name for name in names if f">{name}<" in text} == shown
