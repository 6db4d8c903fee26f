"""Same input, same bits, whatever the number of processes and whatever ran before."""

from __future__ import annotations

import pytest
from whole_app import hashes, run_centipet

pytestmark = pytest.mark.slow

PARTICIPANTS = ("02", "04")


def test_one_process_or_two_give_the_same_files(shared_data, tmp_path):
    found = []
    for nprocs in (1, 2):
        out = tmp_path / f"out{nprocs}"
        done = run_centipet(
            shared_data / "bids", out, "participant", "--participant-label", *PARTICIPANTS,
            "--nprocs", nprocs, "-w", tmp_path / f"work{nprocs}",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert run_centipet(shared_data / "bids", out, "group").returncode == 0
        found.append(hashes(out))
    assert len(found[0]) > 40
    assert found[0] == found[1]
