"""Traffic lights follow the limits, which are data, and explain themselves."""

from __future__ import annotations

import pytest
from synthetic_records import finished_record, write

from bidsapp.data import read_table
from bidsapp.record import read_record
from bidsapp.report.lights import lights

SCAN = {"sub": "01", "trc": "FBB"}


def by_label(tmp_path, **changes):
    record = read_record(write(tmp_path, finished_record(SCAN, **changes), SCAN), tmp_path)
    return {light.label: light for light in lights(record)}


def names():
    return [(name, row) for name, row in read_table("qc").items()]


@pytest.mark.parametrize(("name", "row"), names())
def test_every_known_number_has_words(name, row):
    assert row["label"] and row["meaning"] and isinstance(row["digits"], int)
    assert "limit" not in row or row["limit"] in read_table("limits")
    assert "usual" not in row or row["usual"][0] < row["usual"][1]


def limited():
    limits = read_table("limits")
    for name, row in names():
        limit = limits.get(row.get("limit", name), {})
        if "flag" in limit:
            yield name, row["label"], limit["flag"], 1
        elif "least" in limit:
            yield name, row["label"], limit["least"], -1


@pytest.mark.parametrize(("name", "label", "limit", "sign"), list(limited()))
def test_a_number_is_amber_just_beyond_its_limit(tmp_path, name, label, limit, sign):
    good = by_label(tmp_path, qc={name: limit})[label]
    beyond = by_label(tmp_path, qc={name: limit + sign * (abs(limit) * 0.01 + 1e-6)})[label]
    assert (good.colour, good.word) == ("green", "good")
    assert (beyond.colour, beyond.word) == ("amber", "look")
    assert beyond.verdict and good.verdict != beyond.verdict


def test_a_fold_is_red_and_comes_first(tmp_path):
    found = by_label(tmp_path, qc={"brain_ml": 1400, "jacobian_min": -0.1})
    assert next(iter(found.values())).colour == "red"
    assert "must be above" in next(iter(found.values())).verdict


def test_what_is_unusual_is_amber(tmp_path):
    assert by_label(tmp_path, qc={"brain_ml": 1400})["Brain volume"].colour == "green"
    assert by_label(tmp_path, qc={"brain_ml": 300})["Brain volume"].colour == "amber"


def test_a_number_without_limit_or_name_has_no_colour(tmp_path):
    found = by_label(tmp_path, qc={"of_the_future": 3.25, "gm_ml": None})
    assert found["of_the_future"].colour == "none" and found["of_the_future"].value == "3.250"
    assert found["Grey matter volume"].value == "n/a"


def test_window_coverage_and_value_are_judged(tmp_path):
    record = finished_record(SCAN)
    record["voi"]["cg"]["coverage"] = 0.3
    window = {"coverage": 0.75, "verdict": "look"}
    found = by_label(tmp_path, window=window, voi=record["voi"], centiloid=400.0)
    assert found["Uptake window"].colour == "amber" and "75 %" in found["Uptake window"].verdict
    assert found["Regions inside the field of view"].colour == "red"
    assert "(cerebellar grey matter)" in found["Regions inside the field of view"].value
    assert found["Regions inside the field of view"].verdict == "limit 98 %"
    assert found["Plausible Centiloid"].colour == "red"


def test_a_scan_without_result_has_no_lights(tmp_path):
    assert by_label(tmp_path, status="failed") == {}
