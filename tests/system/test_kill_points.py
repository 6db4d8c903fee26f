"""Ten of the kill points; all hundred with ``python tests/system/kill_points.py``."""

from __future__ import annotations

import pytest
from kill_points import kill_points, undisturbed
from phantom_dataset import write_phantom

pytestmark = pytest.mark.slow


def test_killed_runs_resume_to_the_same_bytes(tmp_path):
    bids = write_phantom(tmp_path / "bids")
    truth = undisturbed(bids, tmp_path / "truth")
    assert len(truth.files) > 40
    chains = list(kill_points(bids, tmp_path, truth, 10, seed=7, kills_per_chain=(1, 9)))
    assert sum(len(chain.killed_after_s) for chain in chains) == 10
    for chain in chains:
        assert not chain.faults, chain
