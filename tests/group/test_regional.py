"""The long table of regions: the same rows for every scan, only from tables the record names."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from synthetic_records import finished_record, write

from bidsapp.group.regional import read_tables
from bidsapp.group.tables import voi_columns, voi_rows
from bidsapp.io.tsv import line
from bidsapp.record import find_records

HEADER = "index\tname\tmean\tn_voxels\tsuvr_wc\tsuvr_own\tcentiloid_wc\n"
ATLASES = {"version": "1", "parameters": {"atlases": [{"name": "Centiloid"}, {"name": "Toy"}]}}


def write_scan(folder, label, table=None, **changes):
    entities = {"sub": label, "trc": "FBB"}
    write(folder, finished_record(entities, **({"provenance": ATLASES} | changes)), entities)
    if table is not None:
        path = folder / f"sub-{label}" / "pet" / f"sub-{label}_trc-FBB_atlas-Toy_vois.tsv"
        path.write_text(HEADER + table)


def rows(folder):
    records = find_records(folder)
    known = [*voi_columns(), "suvr_wc", "centiloid_wc"]
    regional = read_tables(folder, records, known)
    described = voi_columns(regional.references)
    made = ([row[name] for name in described] for row in voi_rows(records, regional))
    text = "".join(map(line, [described, *made]))
    table = pd.read_csv(io.StringIO(text), sep="\t", dtype={"participant_id": str})
    assert list(table.columns) == list(described)
    return table, text


def test_every_scan_has_every_region(tmp_path):
    write_scan(
        tmp_path, "01", "3\t=left\t10.25\t7\t1.5\t2.5\t-1.5\n4\tright\t0.1\t1\tn/a\tn/a\tn/a\n"
    )
    write_scan(tmp_path, "02", "3\t=left\t11\t7\t1\t1\t1\n")
    write_scan(tmp_path, "03")
    write_scan(tmp_path, "04", "3\t=left\t99\t7\t1\t1\t1\n", status="failed")
    table, text = rows(tmp_path)
    regions = table.groupby("participant_id").region.apply(list)
    assert all(regions[one] == ["ctx", "wc", "cg", "wcb", "pons", "'=left", "right"]
               for one in regions.index)  # fmt: skip
    toy = table[table.atlas == "Toy"].set_index(["participant_id", "region"])
    first = toy.loc[("sub-01", "'=left")]
    assert (first["mean"], first.n_voxels, first.suvr, first.suvr_own) == (10.25, 7, 1.5, 2.5)
    assert first.centiloid == -1.5 and "\t-1.5\t" in text
    for absent in (("sub-02", "right"), ("sub-03", "'=left"), ("sub-04", "'=left")):
        assert toy.loc[absent, ["mean", "suvr", "n_voxels"]].isna().all()


def test_a_table_of_an_earlier_run_does_not_count(tmp_path):
    write_scan(tmp_path, "01", "3\tleft\t10\t7\t1\t1\t1\n", provenance={"version": "1"})
    table, _ = rows(tmp_path)
    assert set(table.atlas) == {"Centiloid"} and "suvr_own" not in table


@pytest.mark.parametrize("torn", ["", "3", "\x00\x01", "3\tleft\tten\t7\tnan\tinf\t\n"])
def test_a_torn_table_leaves_regions_without_numbers(tmp_path, torn):
    write_scan(tmp_path, "01", torn)
    table, _ = rows(tmp_path)
    assert table[table.atlas == "Centiloid"]["mean"].notna().all()
    assert table[table.atlas == "Toy"][["mean", "suvr"]].isna().all(axis=None)
