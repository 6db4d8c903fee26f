"""PET to T1w on the development scans, whose position is known (tests/benchmarks/pet_to_t1w.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pet_to_t1w.py"
LARGEST_MM, MEAN_MM = 0.6, 0.3  # 0.22 and 0.15 measured; asked for are 1.0 and 0.6
LARGEST_SECONDS, LARGEST_MEGABYTES = 30.0, 1500.0  # 12 s on an idle core


@pytest.fixture(scope="module")
def table(shared_data, tmp_path_factory):
    file = tmp_path_factory.mktemp("pet_to_t1w") / "table.json"
    command = [sys.executable, SCRIPT, shared_data.resolve(), "--displaced", "1", "--json", file]
    root = SCRIPT.parents[2]
    subprocess.run(
        list(map(str, command)), check=True, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    return json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("displaced", [0, 1])
def test_every_scan_lies_where_it_should(table, displaced):
    errors = {row["participant"]: row["model"] for row in table if row["displaced"] == displaced}
    assert len(errors) == 7
    assert max(errors.values()) <= LARGEST_MM, errors
    assert sum(errors.values()) / len(errors) <= MEAN_MM, errors


@pytest.mark.slow
def test_no_good_registration_is_flagged(table):
    assert {row["flags"] for row in table} == {"-"}


@pytest.mark.slow
def test_time_and_memory(table):
    assert max(row["seconds"] for row in table) < LARGEST_SECONDS
    assert max(row["megabytes"] for row in table) < LARGEST_MEGABYTES
