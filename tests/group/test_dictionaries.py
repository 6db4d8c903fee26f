"""Every table of the group level is as its JSON dictionary says."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from synthetic_records import finished_record, tau_record, write, write_cohort
from tsv_rows import table_rows

from bidsapp.group.collect import run_group
from bidsapp.settings import Filters

_OPEN = {"sex"}  # other codes stand as they are


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two visits of some people, one scan without a result and one begun."""
    folder = tmp_path_factory.mktemp("study")
    write_cohort(folder, 12, ("m00", "m24"))
    for label, status in (("x1", "failed"), ("x2", "incomplete")):
        entities = {"sub": label, "trc": "PIB", "run": "1"}
        write(folder, finished_record(entities, status=status), entities)
    tau = {"sub": "00001", "ses": "m00", "trc": "FTP"}
    write(folder, tau_record(tau), tau)
    run_group(folder, Filters())
    return folder


def dictionary(path):
    """Columns of a table; what made it stands beside them."""
    described = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert described.pop("CentiPET")["Version"]
    return described


def test_the_tables_of_the_issue_are_there(cohort):
    names = {path.stem for path in cohort.glob("group_*.tsv")}
    assert {"group_centiloid", "group_regions", "group_qc"} <= names


def test_columns_units_and_levels_hold(cohort):
    for path in sorted(cohort.glob("group_*.tsv")):
        described = dictionary(path)
        rows = table_rows(path)
        assert list(rows[0]) == list(described), path.name
        for name, entry in described.items():
            cells = {row[name] for row in rows} - {"n/a"}
            where = f"{path.name}: {name}"
            assert entry["Description"], where
            if "Units" in entry:
                assert all(isinstance(float(cell), float) for cell in cells), where
            if "Levels" in entry and name not in _OPEN:
                assert cells <= set(entry["Levels"]), where


def test_pandas_reads_every_table_without_options(cohort):
    for path in cohort.glob("group_*.tsv"):
        table = pd.read_csv(path, sep="\t")
        described = dictionary(path)
        for name, entry in described.items():
            assert "Units" not in entry or pd.api.types.is_numeric_dtype(table[name]), name
