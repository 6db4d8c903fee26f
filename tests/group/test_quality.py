"""The group table of quality numbers and verdicts."""

from __future__ import annotations

import pytest
from synthetic_records import finished_record, write

from bidsapp.data import read_table
from bidsapp.group.quality import qc_columns, qc_rows
from bidsapp.record import find_records

OVERLAP = read_table("limits")["brain_overlap"]["least"]


def row(folder, **changes):
    entities = {"sub": "01", "trc": "FBB"}
    write(folder, finished_record(entities, **changes), entities)
    (one,) = qc_rows(find_records(folder))
    return one


def test_every_number_has_a_column_and_a_verdict_and_all_are_described(tmp_path):
    columns = qc_columns()
    assert set(row(tmp_path)) == set(columns)
    for name in read_table("qc"):
        assert columns[name]["Units"] and columns[f"{name}_verdict"]["Levels"]


@pytest.mark.parametrize(
    ("qc", "name", "verdict", "worst"),
    [
        ({"pet_t1w_distance_mm": 2.9}, "pet_t1w_distance_mm", "good", "good"),
        ({"pet_t1w_distance_mm": 3.1}, "pet_t1w_distance_mm", "look", "look"),
        ({"brain_overlap": OVERLAP - 0.01}, "brain_overlap", "look", "look"),
        ({"jacobian_min": -0.1, "brain_overlap": 0.5}, "jacobian_min", "wrong", "wrong"),
        ({"gm_ml": 600.0}, "gm_ml", None, "good"),  # told for comparison: no limit
    ],
)
def test_verdicts_are_those_of_the_limits(tmp_path, qc, name, verdict, worst):
    one = row(tmp_path, qc=qc)
    assert (one[name], one[f"{name}_verdict"], one["verdict"]) == (qc[name], verdict, worst)
    levels = qc_columns()[f"{name}_verdict"]["Levels"]
    assert verdict is None or verdict in levels


def test_a_centiloid_nobody_has_and_a_cut_region_are_told(tmp_path):
    regions = finished_record({"sub": "01", "trc": "FBB"})["voi"]
    regions["ctx"]["coverage"] = 0.4
    one = row(tmp_path, centiloid=400.0, voi=regions)
    assert (one["centiloid_verdict"], one["least_coverage"]) == ("wrong", 0.4)
    assert one["least_coverage_verdict"] == "wrong" and one["uptake_window_verdict"] == "good"


def test_a_scan_without_result_has_no_numbers(tmp_path):
    one = row(tmp_path, status="incomplete", flags=[{"code": "window-partial", "message": "Look."}])
    assert (one["status"], one["flags"]) == ("incomplete", "window-partial")
    assert one["verdict"] is None and one["centiloid"] is None
    assert all(one[name] is None for name in read_table("qc"))
