"""Columns, cells and cohort flags of the group tables."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from synthetic_records import finished_record, write
from tsv_rows import table_rows

from bidsapp.data import read_table
from bidsapp.group.collect import run_group
from bidsapp.group.tables import (
    centiloid_columns,
    centiloid_rows,
    cohort_flags,
    voi_columns,
    voi_rows,
)
from bidsapp.io.tsv import line
from bidsapp.record import find_records
from bidsapp.settings import Filters

# Issue "The main job", item 7: these come first, in this order.
FIRST = [
    "participant_id", "session_id", "tracer", "window_start_min", "window_end_min", "suvr_wc",
    "suvr_cg", "suvr_wcb", "suvr_pons", "centiloid", "method", "status", "flags", "version",
]  # fmt: skip


def cohort(folder, *changes):
    for number, change in enumerate(changes, start=1):
        entities = {"sub": f"{number:02}", "trc": "FBB"}
        write(folder, finished_record(entities, suvr_wc=1 + number / 7, **change), entities)
    return find_records(folder)


def to_tsv(records):
    """The table of the records as text."""
    columns = centiloid_columns(records)
    rows = ([row[name] for name in columns] for row in centiloid_rows(records))
    return "".join(map(line, [columns, *rows]))


def test_the_promised_columns_come_first(tmp_path):
    text = to_tsv(cohort(tmp_path, {}))
    assert text.splitlines()[0].split("\t")[: len(FIRST)] == FIRST


@pytest.mark.parametrize("table", ["centiloid", "vois"])
def test_every_column_is_filled_and_described(tmp_path, table):
    records = cohort(tmp_path, {})
    rows = {"centiloid": centiloid_rows, "vois": voi_rows}[table](records)
    columns = list(read_table("group_columns")[table])
    for row in rows:
        assert sorted(row) == sorted(columns)
    described = centiloid_columns(records) if table == "centiloid" else voi_columns()
    assert list(described) == columns
    for name, column in described.items():
        assert column["Description"]
        number = name.startswith(("suvr", "window", "mean_", "n_", "volume", "coverage", "slope"))
        assert not number or column["Units"]


def test_levels_hold_every_value_that_is_written(tmp_path):
    records = cohort(tmp_path, {}, {"status": "failed"}, {"status": "skipped"}, {"centiloid": 20})
    described = centiloid_columns(records)
    for row in centiloid_rows(records):
        for name in ("tracer", "status", "band", "reference_region", "method"):
            assert row[name] is None or row[name] in described[name]["Levels"]
    regions = [row["region"] for row in list(voi_rows(records))[:5]]
    assert regions == ["ctx", "wc", "cg", "wcb", "pons"]
    assert all(f"{name}, " in voi_columns()["region"]["Description"] for name in regions[:4])


def test_pandas_reads_the_numbers_without_options(tmp_path):
    records = cohort(tmp_path, {}, {"status": "failed"})
    table = pd.read_csv(io.StringIO(to_tsv(records)), sep="\t")
    assert table.centiloid.dtype == float and table.suvr_wc.dtype == float
    assert table.centiloid[0] == records[0].centiloid
    assert table.centiloid.isna().tolist() == [False, True]


def test_a_hostile_tracer_name_stays_in_its_cell(tmp_path):
    records = cohort(tmp_path, {"tracer_name": "=HYPERLINK()\tx\ny", "method": "@x"})
    (line,) = to_tsv(records).splitlines()[1:]
    cells = line.split("\t")
    assert len(cells) == len(read_table("group_columns")["centiloid"])
    assert "'=HYPERLINK() x y" in cells and "'@x" in cells


def test_a_scan_without_result_has_no_numbers_but_a_reason(tmp_path):
    records = cohort(tmp_path, {"status": "failed", "error": "BadDataError", "reason": "no T1w"})
    (row,) = centiloid_rows(records)
    assert (row["status"], row["error"], row["reason"]) == ("failed", "BadDataError", "no T1w")
    for column in ("centiloid", "suvr_wc", "suvr_cg", "suvr_wcb", "suvr_pons", "band"):
        assert row[column] is None
    assert all(row["mean"] is None for row in voi_rows(records))
    assert len(list(voi_rows(records))) == 5


def test_a_reference_that_was_not_measured_leaves_no_ratio(tmp_path):
    voi = finished_record({"sub": "01", "trc": "FBB"})["voi"]
    voi["wc"]["mean"] = None
    rows = {row["region"]: row for row in voi_rows(cohort(tmp_path, {"voi": voi}))}
    assert rows["ctx"]["mean"] == voi["ctx"]["mean"] and rows["ctx"]["suvr"] is None


def provenance(version="0.1.0", **parameters):
    return {"version": version, "parameters": {"pet_to_t1w": "model", **parameters}}


def codes_by_record(records):
    flags = cohort_flags(records)
    return [[flag.code for flag in flags.get(record.path, ())] for record in records]


def test_one_recipe_is_not_flagged(tmp_path):
    records = cohort(tmp_path, *[{"provenance": provenance()}] * 3)
    assert codes_by_record(records) == [[], [], []]


def test_the_minority_of_versions_is_flagged(tmp_path):
    made = [provenance(), provenance(), provenance("0.0.9")]
    records = cohort(tmp_path, *({"provenance": one} for one in made))
    assert codes_by_record(records) == [[], [], ["mixed-versions"]]
    assert centiloid_rows(records)[2]["flags"] == "mixed-versions"


def test_other_parameters_are_flagged_beside_the_flags_of_the_scan(tmp_path):
    made = [provenance(), provenance(), provenance(pet_to_t1w="nmi")]
    flag = [{"code": "window-partial", "message": "Look."}]
    records = cohort(tmp_path, *({"provenance": one, "flags": flag} for one in made))
    flags = [row["flags"] for row in centiloid_rows(records)]
    assert flags == ["window-partial"] * 2 + ["window-partial;mixed-pipelines"]


def test_without_a_majority_all_are_flagged(tmp_path):
    made = [provenance(), provenance("0.2.0")]
    records = cohort(tmp_path, *({"provenance": one} for one in made))
    assert codes_by_record(records) == [["mixed-versions"]] * 2


def test_options_of_tau_are_no_mixture_of_amyloid_scans_nor_the_other_way_round(tmp_path):
    """A study may run its tau scans later, with volumes that the amyloid scans never needed."""
    plain, vois = {"pet_to_t1w": "model"}, {"pet_to_t1w": "model", "tau_vois": {"name": "rois"}}
    calibrated = plain | {"calibration": {"name": "c"}}
    scales = {"suvr": {"universal": 1.2}}
    ways = [(plain, {}), (vois, {}), (vois, scales), (vois | calibrated, scales)]
    changes = [{"provenance": provenance(), "scales": own} for _, own in ways]
    for change, (parameters, _) in zip(changes, ways, strict=True):
        change["provenance"] = change["provenance"] | {"parameters": parameters}
    assert codes_by_record(cohort(tmp_path, *changes)) == [[]] * 4
    changes[3]["provenance"] = changes[3]["provenance"] | {
        "parameters": vois | {"tau_vois": {"name": "others"}}
    }
    changes[1]["provenance"] = changes[1]["provenance"] | {"parameters": calibrated}
    assert codes_by_record(cohort(tmp_path, *changes)) == [["mixed-pipelines"]] * 4


def test_scans_without_result_do_not_count_as_a_mixture(tmp_path):
    changes = [
        {"provenance": provenance()},
        {"provenance": provenance("0.0.1"), "status": "failed"},
    ]
    assert codes_by_record(cohort(tmp_path, *changes)) == [[], []]


def test_how_sure_a_centiloid_is_stands_beside_it(tmp_path):
    certain = {
        "centiloid_sd": 5.0, "centiloid_interval": [20.2, 39.8],
        "rescan_sd": 4.0, "rescan_interval": [22.2, 37.8],
        "uncertainty": {"anchors": 3.0, "line": 0.0, "tracer": 0.0, "noise": 0.0,
                        "repeatability": 4.0, "pipeline": 0.0, "pipeline_bias": 0.6},
        "interval": "pib",
        "band": {"name": "intermediate", "crossed": [30], "indeterminate": True},
        "p_above_cutoff": {"24.4": 0.75},
        "centiloids": {"wc": 30.0, "cg": 31.5, "wcb": None, "pons": None},
        "reference_agreement": {"reference": "cg", "difference": 1.5, "sds": 0.4},
        "calibration": {"id": "published", "calibrated": True},
    }  # fmt: skip
    (row,) = centiloid_rows(cohort(tmp_path, certain))
    assert (row["centiloid_sd"], row["centiloid_low"], row["centiloid_high"]) == (5.0, 20.2, 39.8)
    assert (row["rescan_sd"], row["rescan_low"], row["rescan_high"]) == (4.0, 22.2, 37.8)
    assert (row["sd_anchors"], row["sd_repeatability"], row["sd_pipeline_bias"]) == (3.0, 4.0, 0.6)
    assert row["interval"] == "pib"
    assert row["thresholds_crossed"] == "30" and row["p_above_cutoff"] == "24.4:0.75"
    assert (row["centiloid_cg"], row["centiloid_pons"]) == (31.5, None)
    assert (row["reference_difference"], row["reference_difference_sds"]) == (1.5, 0.4)
    assert (row["calibration"], row["calibrated"]) == ("published", "true")


def test_a_scan_of_an_uncalibrated_pipeline_keeps_its_suvrs(tmp_path):
    without = {
        "centiloid": None,
        "equation": None,
        "calibration": {"id": "published", "calibrated": False, "differences": ["smoothing"]},
        "flags": [{"code": "not-calibrated", "message": "NOT CALIBRATED"}],
    }
    (row,) = centiloid_rows(cohort(tmp_path, without))
    assert row["status"] == "ok" and row["centiloid"] is None and row["band"] is None
    assert row["suvr_wc"] > 1 and row["flags"] == "not-calibrated"
    assert row["calibrated"] == "false"


def test_tau_scales_have_columns_of_their_own(tmp_path):
    centaurz = {"universal": 2.5, "frontal": None}
    scales = {"suvr": {"universal": 1.2}, "centaurz": centaurz, "centaur": {"universal": 40.0}}
    (row,) = centiloid_rows(cohort(tmp_path, {"scales": scales}))
    assert row["tau_suvr_universal"] == 1.2 and row["tau_suvr_frontal"] is None
    assert (row["centaurz_universal"], row["centaur_universal"]) == (2.5, 40.0)
    assert row["centaurz_frontal"] is None and row["centaurz_mesial_temporal"] is None


def test_dvr_of_dynamic_scans(tmp_path):
    kinetics = {"done": True, "models": {"SRTM": {"DVR": 1.25}, "Logan": {"DVR": 1.3}}}
    static = {"kinetics": {"done": False, "reason": "too late"}}
    dynamic, other, failed = centiloid_rows(
        cohort(tmp_path, {"kinetics": kinetics}, static, {"kinetics": kinetics, "status": "failed"})
    )
    assert (dynamic["dvr_srtm"], dynamic["dvr_logan"], dynamic["dvr_srtm2"]) == (1.25, 1.3, None)
    assert other["dvr_srtm"] is None and failed["dvr_srtm"] is None


RAW = {"age": "71.5", "sex": "Female", "site": "north", "apoe": "e3e4", "code": "007"}


def test_years_count_from_the_first_scan_whatever_the_filter_leaves(tmp_path):
    for session, when in (("a", "2020-01-01"), ("b", "2022-01-01"), ("c", "2024-01-01")):
        entities = {"sub": "01", "ses": session, "trc": "FBB"}
        write(tmp_path, finished_record(entities, acq_time=f"{when}T10:00:00"), entities)
    run_group(tmp_path, Filters(session=("b", "c")))
    rows = table_rows(tmp_path / "group_centiloid.tsv")
    assert [float(row["years"]) for row in rows] == pytest.approx([2.001, 4.0], abs=1e-3)


def test_columns_of_the_raw_tables_follow_ours(tmp_path):
    session = {"age": "72", "mmse": "-1", "apoe": "seen"}
    records = cohort(tmp_path, {"participant": RAW, "session": session}, {"participant": {}})
    rows = centiloid_rows(records)
    assert list(rows[0])[-8:] == [
        "participants_age", "participants_sex", "participants_site", "apoe", "code",
        "sessions_age", "mmse", "sessions_apoe",
    ]  # fmt: skip
    first = rows[0]
    assert (first["age"], first["participants_age"], first["sex"]) == (72, 71.5, "F")
    assert (first["code"], first["mmse"], first["sessions_apoe"]) == ("007", -1, "seen")
    assert rows[1]["apoe"] is None and list(rows[1]) == list(first)
    dictionaries = {"participant": {"apoe": {"Description": "Genotype", "Levels": {"e3e4": "3/4"}}}}
    described = centiloid_columns(records, dictionaries)
    assert list(described) == list(first)
    assert described["apoe"]["Levels"] and described["apoe"]["Description"].startswith("Genotype (")
    assert "sessions.tsv" in described["mmse"]["Description"]


@pytest.mark.parametrize(("levels", "kept"), [({"M": "male", "F": "female"}, True),
                                              ({"1": "male", "2": "female"}, False)])  # fmt: skip
def test_levels_of_sex_are_those_of_the_column(tmp_path, levels, kept):
    records = cohort(tmp_path, {"participant": RAW})
    described = centiloid_columns(records, {"participant": {"sex": {"Levels": levels}}})
    assert ("Levels" in described["participants_sex"]) == kept


@pytest.mark.parametrize(
    ("written", "age", "sex"),
    [({"age": "89+", "sex": "m"}, 89, "M"), ({"Age": "60", "Gender": "O"}, 60, "O"),
     ({"age": "old", "sex": "1"}, None, "1"), ({"age": None}, None, None), ({}, None, None)],
)  # fmt: skip
def test_age_and_sex_as_people_write_them(tmp_path, written, age, sex):
    (row,) = centiloid_rows(cohort(tmp_path, {"participant": written}))
    assert (row["age"], row["sex"]) == (age, sex)


@pytest.mark.parametrize(
    ("acquisition", "scanner", "reconstruction"),
    [
        ({}, None, None),
        ({"Manufacturer": "Siemens", "ManufacturersModelName": "Biograph mMR"},
         "Siemens Biograph mMR", None),
        ({"Manufacturer": "GE", "ManufacturersModelName": "GE Discovery"}, "GE Discovery", None),
        ({"ReconMethodName": "OSEM", "ReconMethodParameterLabels": ["iterations", "subsets"],
          "ReconMethodParameterValues": [4, 21], "ReconFilterType": "Gaussian",
          "ReconFilterSize": 5.0}, None, "OSEM, iterations 4, subsets 21, filter Gaussian 5 mm"),
        ({"ReconMethodName": "OSEM", "ReconMethodParameterLabels": ["none"],
          "ReconFilterType": ["none"]}, None, "OSEM, no filter"),
        ({"Manufacturer": 7, "ReconMethodParameterLabels": "x",
          "ReconMethodParameterValues": None, "ReconFilterSize": {"a": 1}}, "7", None),
    ],
)  # fmt: skip
def test_scanner_and_reconstruction_in_words(tmp_path, acquisition, scanner, reconstruction):
    (row,) = centiloid_rows(cohort(tmp_path, {"acquisition": acquisition}))
    assert (row["scanner"], row["reconstruction"]) == (scanner, reconstruction)


def test_numbers_of_every_column_with_units_are_numbers_for_pandas(tmp_path):
    records = cohort(tmp_path, {"participant": RAW}, {"status": "failed", "participant": RAW})
    read = pd.read_csv(io.StringIO(to_tsv(records)), sep="\t")
    for name, entry in centiloid_columns(records).items():
        if "Units" in entry:
            assert pd.api.types.is_numeric_dtype(read[name]), name
    assert read.participants_age.tolist() == [71.5, 71.5]
