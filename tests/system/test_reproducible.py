"""Same input, same bits, whatever the number of processes and whatever ran before."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from whole_app import hashes, run_centipet

pytestmark = pytest.mark.slow

PARTICIPANTS = ("02", "04")


def told_apart(first: Path, second: Path) -> str:
    """Where two images of one name differ: some voxels with their bits, or the compression."""
    a, b = (np.asanyarray(nib.load(path).dataobj) for path in (first, second))
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{first.name}: {a.shape} {a.dtype}, {b.shape} {b.dtype}"
    apart = np.argwhere((a != b) & ~((a != a) & (b != b)))
    values = [(tuple(i), a[tuple(i)].tobytes().hex(), b[tuple(i)].tobytes().hex()) for i in apart]
    return f"{first.name}: {len(apart)} voxels differ (0: header or compression): {values[:20]}"


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
    apart = [name for name in found[0] if found[0][name] != found[1].get(name)]
    images = [name for name in apart if name.endswith(".nii.gz")]
    told = [told_apart(tmp_path / "out1" / name, tmp_path / "out2" / name) for name in images]
    assert found[0] == found[1], (apart, told)
