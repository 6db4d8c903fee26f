"""Blocks of the viewer: what lies elsewhere arrives where it belongs, on any orientation."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from bidsapp.core.grid.alignment import rigid_matrix, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.report.image_frame import ImageFrame
from bidsapp.report.viewer import LEVELS, moved, scattered_label_block, values_block


def whole(volume: Volume) -> ImageFrame:
    return ImageFrame.of(volume)


def counts(block) -> np.ndarray:
    """Voxels (x, y, z) of a block of differences, as the script reads them."""
    raw = np.frombuffer(gzip.decompress(block.content), np.uint8).reshape(block.shape[::-1])
    return np.cumsum(raw, axis=2, dtype=np.uint8).transpose(2, 1, 0)


def test_an_image_at_home_is_itself_and_a_moved_one_comes_back(tiny_volume):
    frame = whole(tiny_volume)
    home = frame.part(tiny_volume.data, (1, 1, 1))
    assert moved(tiny_volume, np.eye(4), frame, 2.0) == pytest.approx(home, abs=1e-3)
    away = rigid_matrix([3, -5, 7, 0.1, -0.2, 0.3])
    image = Volume(tiny_volume.data, away @ tiny_volume.affine)
    found = moved(image, away, frame, 2.0)
    inner = (slice(2, -2),) * 3
    assert found[inner] == pytest.approx(home[inner], abs=1e-2)


def test_values_are_kept_to_half_a_step(tiny_volume):
    frame = whole(tiny_volume)
    home = frame.part(tiny_volume.data, (1, 1, 1))
    block = values_block(home, frame, 2.0, top=120.0)
    assert counts(block) * block.slope == pytest.approx(home, abs=0.51 * 120 / LEVELS)


def test_points_spread_in_a_region_give_its_voxels(tiny_volume):
    frame = whole(tiny_volume)
    mask = tiny_volume.data > 50
    eighths = np.stack(np.meshgrid(*3 * [(-0.25, 0.25)]), axis=-1).reshape(-1, 1, 3)
    points = transform(tiny_volume.affine, (np.argwhere(mask) + eighths)).reshape(-1, 3)
    block = scattered_label_block([points[:0], points], 0.012 / 8, frame, 2.0)
    assert np.array_equal(counts(block) == 2, frame.part(mask, (1, 1, 1)))
    assert set(np.unique(counts(block))) == {0, 2}
