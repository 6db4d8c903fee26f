"""Even samples of many voxels, and the blur at the lowest point of a parabola."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import rotation_deg
from bidsapp.core.grid.sampling import best_blur, thinned


@pytest.mark.parametrize("most", [1, 100, 999, 1000, 5000])
def test_voxels_are_thinned_evenly_and_few_are_kept_whole(most):
    index = np.arange(1000)
    kept = thinned(index, most)
    assert len(kept) == pytest.approx(min(most, 1000), abs=3)
    if most == 100:
        assert np.diff(kept).max() < 30
    rows = np.stack([index, index, index], axis=1)
    assert np.array_equal(thinned(rows, most)[:, 0], kept)


def test_the_blur_is_that_of_the_lowest_point():
    tried = (4.0, 6.0, 8.0)
    left = [(width**2 - 6.5**2) ** 2 + 3 for width in tried]
    assert best_blur(tried, left, (3.0, 16.0)) == pytest.approx(6.5)
    assert best_blur(tried, left, (7.0, 16.0)) == 7.0
    assert best_blur(tried, [-value for value in left], (3.0, 16.0)) == 4.0


def test_the_angle_of_a_rotation_whatever_is_stretched():
    rotation = Rotation.from_rotvec(np.radians(50) * np.array([0.6, 0.0, 0.8])).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.9, 1.1, 1.2])
    assert rotation_deg(affine) == pytest.approx(50)
