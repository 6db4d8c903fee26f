"""Positions of frames with and without correction of motion within a PET."""

from types import SimpleNamespace

import numpy as np
import pytest
from rigid_phantom import PET_GRID, make_head, make_pet

from bidsapp.core.grid.alignment import displacement, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import save_frames
from bidsapp.steps.averaging import FrameSeries, _applied, aligned

WITHIN, TO_PART = rigid_matrix([1, 2, 3, 0.1, 0, 0]), rigid_matrix([-4, 0, 5, 0, 0.2, 0])


def test_without_correction_every_frame_lies_as_its_pet():
    part = SimpleNamespace(matrices=np.stack([np.eye(4), WITHIN]), measured=(True, True))
    corrected = _applied(part, TO_PART, within=True)
    np.testing.assert_array_equal(corrected, [TO_PART, WITHIN @ TO_PART])
    np.testing.assert_array_equal(_applied(part, TO_PART, within=False), [TO_PART] * 2)


@pytest.mark.parametrize("decay", [1.0, 1 / 30], ids=["corrected", "uncorrected"])
def test_late_frames_are_aligned_whether_decay_was_corrected_or_not(decay, tmp_path):
    head, moved = make_head(), rigid_matrix([4, -3, 2, 0.03, -0.05, 0.04])
    activity = [1.0, 1.0, 0.5 * decay, 0.5 * decay]
    places = [np.eye(4), np.eye(4), np.eye(4), moved]
    frames = [
        Volume((level * make_pet(head, place).data).astype(np.float32), PET_GRID.affine)
        for level, place in zip(activity, places, strict=True)
    ]
    path = save_frames(tmp_path / "pet.nii.gz", iter(frames), 4, frame_s=300.0)
    factors = (1.0, 1.0, 1 / decay, 1 / decay)
    series = FrameSeries((path,), (300.0, 600.0, 3000.0, 3300.0), (300.0,) * 4, factors)
    [found], record = aligned(series, [], [0, 0, 300, 300], within=True)
    truth = displacement(np.eye(4), moved, head.brain_points)
    assert record.qc["motion_window_mm"] == pytest.approx(truth, abs=0.5)
    between = found[3] @ np.linalg.inv(found[2])
    assert displacement(between, moved, head.brain_points) < 0.7
    assert not any(record.motion.borrowed)
