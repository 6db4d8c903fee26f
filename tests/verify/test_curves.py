"""Curves measured again in a dynamic image of known activity."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, vois
from bidsapp.io.nifti import save_volume
from bidsapp.settings import AtlasChoice, Processing
from bidsapp.verify.curves import check_curves
from bidsapp.verify.file_hashes import Findings

NAMES = ("ctx", "wc", "cg", "wcb", "pons")


@pytest.fixture
def differences(tmp_path):
    """Fields that differ when the second frame, moved, is cut through the cerebellum."""
    grid = mni_grid(2)
    frames = np.ones((*grid.shape, 2), np.float32)
    lower = np.argwhere(vois(2)["wc"])[:, 2]
    frames[:, :, : int(np.percentile(lower, 40)), 1] = 0  # beyond the field of view
    save_volume(tmp_path / "dynamic.nii.gz", Volume(frames, grid.affine))
    (tmp_path / "motion.tsv").write_text("pet\n0\n0\n")
    moved = np.eye(4)
    moved[2, 3] = 12.0
    positions = {"ReferenceToFrame": [np.eye(4).tolist(), moved.tolist()]}
    (tmp_path / "motion.json").write_text(json.dumps(positions))
    paths = {"pet_dynamic": "dynamic.nii.gz", "motion": "motion.tsv", "tacs": "tacs.tsv"}

    def check(second: float) -> list[str]:
        rows = [[0, 300, *[1.0] * 5], [300, 600, *[second] * 5]]
        header = "\t".join(("frame_start", "frame_end", *NAMES))
        lines = [header, *("\t".join(map(str, row)) for row in rows)]
        (tmp_path / "tacs.tsv").write_text("\n".join(lines) + "\n")
        scan = SimpleNamespace(
            processing=Processing(atlases=(AtlasChoice("Centiloid"),)),
            outputs=list(paths),
            name=lambda key, **_: key,
            path=lambda key, **_: tmp_path / paths[key],
            position=lambda: np.eye(4),
            field=grid.world,
        )
        findings = Findings()
        check_curves(scan, findings)
        return [difference.field for difference in findings.differences]

    return check


def test_what_motion_took_out_of_the_field_of_view_is_no_measurement(differences):
    assert differences(1.0) == []


def test_an_edited_moved_frame_is_told(differences):
    assert differences(1.3) == [f"{name} at 300 s" for name in NAMES]
