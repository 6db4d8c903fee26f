"""Runs that were killed, by hand or for want of memory, and what the next run makes of them.

Ten of the kill points; all hundred with ``python tests/system/kill_points.py``.
"""

from __future__ import annotations

import pytest
from kill_points import Undisturbed, false_claims, kill_points, undisturbed
from memory_limit import limited_memory
from phantom_dataset import write_phantom
from tsv_rows import table_rows
from whole_app import hashes, run_centipet

pytestmark = pytest.mark.slow

TOO_LITTLE_MB = 400  # the program itself fits, the segmentation of a head does not


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the dataset; paths of all results relative to it are the same."""
    folder = tmp_path_factory.mktemp("killed")
    write_phantom(folder / "bids")
    return folder


@pytest.fixture(scope="module")
def truth(place) -> Undisturbed:
    return undisturbed(place / "bids", place / "truth")


def test_killed_runs_resume_to_the_same_bytes(place, truth):
    assert len(truth.files) > 40
    chains = list(kill_points(place / "bids", place, truth, 10, seed=7, kills_per_chain=(1, 9)))
    assert sum(len(chain.killed_after_s) for chain in chains) == 10
    for chain in chains:
        assert not chain.faults, chain


def test_a_control_group_with_too_little_memory_and_more(place, truth):
    """A job that says it has more than it gets: the kernel kills the step, nothing else is lost."""
    bids, out = place / "bids", place / "limited" / "out"
    command = [bids, out, "participant", "-w", place / "limited" / "work", "--nprocs", 2,
               "--mem", "4G"]  # fmt: skip
    with limited_memory(TOO_LITTLE_MB) as group:
        done = run_centipet(*command, cgroup=group)
    printed = done.stdout + done.stderr
    assert done.returncode == 75, printed
    assert "memory" in printed
    assert "Traceback" not in printed
    figures = "sub-phantom/figures"  # the page says what failed, and there are fewer figures
    told_failed = ("sub-phantom.html ", f"{figures}/manifest.json ", f"{figures}/captions.tsv ")
    assert [said for said in false_claims(out, truth) if not said.startswith(told_failed)] == []
    assert not list(out.rglob("*suvr*.nii.gz"))
    assert run_centipet(bids, out, "group").returncode == 0
    (row,) = table_rows(out / "group_centiloid.tsv")
    assert row["centiloid"] == "n/a"
    assert "memory" in row["reason"]
    done = run_centipet(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_centipet(bids, out, "group").returncode == 0
    assert hashes(out) == truth.files
