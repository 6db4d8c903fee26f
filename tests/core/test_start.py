"""Which voxels the segmentation looks at."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.start import subsample
from bidsapp.volume import Volume


@pytest.mark.parametrize(
    "voxel_mm", [(1, 1, 1), (0.5, 0.5, 0.5), (0.88, 0.88, 0.88), (1.25, 1.25, 1.25), (2, 2, 2),
                 (2.2, 2.2, 2.2), (2.5, 2.5, 2.5), (3, 3, 3), (1, 1, 3), (0.9, 0.9, 2.2)]
)  # fmt: skip
def test_samples_are_about_as_dense_as_wanted_whatever_the_voxels(voxel_mm):
    shape = tuple(int(60 / size) for size in voxel_mm)
    image = Volume(np.ones(shape, np.float32), np.diag([*voxel_mm, 1.0]))
    samples = subsample(image, 3.0)
    assert 0.55 * 27 <= samples.volume_mm3 <= 2.4 * 27
    told = samples.intensity.size * samples.volume_mm3
    assert told == pytest.approx(np.prod(shape) * np.prod(voxel_mm), rel=0.2)


def test_a_chequerboard_has_no_neighbours_along_an_axis():
    image = Volume(np.ones((20, 20, 20), np.float32), np.diag([2.2, 2.2, 2.2, 1.0]))
    index = subsample(image, 3.0).index
    taken = np.zeros((20, 20, 20), bool)
    taken[tuple(index.T)] = True
    assert taken.sum() == 4000
    for axis in range(3):
        assert not (taken & np.roll(taken, 1, axis)).any()
