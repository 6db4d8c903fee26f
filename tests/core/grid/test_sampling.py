"""Samples of voxels, the lowest point of a parabola, and images between and over voxels."""

import numpy as np
import pytest

from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.core.grid.sampling import (
    best_blur,
    block_affine,
    block_mean,
    scattered_points,
    thinned,
    trilinear,
)
from bidsapp.core.grid.volume import Grid


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


def trilinear_function(at):
    """Linear along each axis: what trilinear interpolation gives back; and its derivatives."""
    x, y, z = np.moveaxis(np.asarray(at, float), -1, 0)
    a, b, c = 1 + 0.5 * x, 3 - 0.4 * y, 2 + 0.1 * z
    return a * b * c, np.stack([0.5 * b * c, -0.4 * a * c, 0.1 * a * b])


@pytest.mark.parametrize("channels", [0, 2])
def test_what_is_linear_along_each_axis_is_interpolated_exactly(channels):
    shape = (5, 6, 7)
    data = trilinear_function(np.stack(np.indices(shape), -1))[0].astype(np.float32)
    index = np.random.default_rng(0).uniform(0, np.array(shape) - 1, (50, 3))
    index[:2] = (0, 0, 0), np.array(shape) - 1
    wanted, slopes = trilinear_function(index)
    many = np.stack([data, 2 * data], -1) if channels else data
    values, gradient, inside = trilinear(many, index)
    assert inside.all()
    for k in range(channels or 1):
        part = np.s_[..., k] if channels else np.s_[...]
        np.testing.assert_allclose(values[part], (k + 1) * wanted, rtol=1e-5)
        np.testing.assert_allclose(gradient[part], (k + 1) * slopes, rtol=1e-4, atol=1e-5)
    alone, none, _ = trilinear(many, index, gradient=False)
    assert np.array_equal(alone, values) and none.size == 0


def test_beyond_the_grid_the_nearest_face_counts_and_is_told():
    data = np.random.default_rng(1).random((4, 5, 6), dtype=np.float32)
    index = np.array([[-0.1, 2, 3], [1.5, 7, 3], [1.5, 2, 3]])
    values, _, inside = trilinear(data, index)
    at_faces, *_ = trilinear(data, np.clip(index, 0, [3, 4, 5]))
    assert np.array_equal(values, at_faces) and inside.tolist() == [False, False, True]


def test_blocks_hold_the_mean_around_their_centres():
    """A linear image is the same function of the world on the grid of the blocks."""
    affine = rigid_matrix([4, 5, 6, 0.1, 0.2, 0.3]) @ np.diag([2.0, 1.0, 3.0, 1.0])
    fine, factors = Grid((8, 9, 7), affine), (2, 3, 1)
    linear = fine.world() @ [1.0, -2.0, 0.5]
    blocks = Grid((4, 3, 7), block_affine(affine, factors))
    wanted = blocks.world() @ [1.0, -2.0, 0.5]
    np.testing.assert_allclose(block_mean(linear, factors), wanted, atol=1e-4)
    assert block_mean(np.zeros((9, 11, 7)), factors).shape == blocks.shape  # no part of a block


def test_scattered_points_fill_a_mask_evenly():
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    mask = np.zeros((30, 40, 20), bool)
    mask[5:25, 10:35, 4:16] = True
    points = scattered_points(mask, affine, 4.0)
    index = np.rint(points / [2, 1, 3]).astype(int)
    assert mask[tuple(index.T)].all()
    assert len(points) == pytest.approx(mask.sum() * 6 / 4.0**3, rel=0.02)
    assert points.mean(axis=0) == pytest.approx([29, 22, 28.5], abs=0.7)
    assert points.std(axis=0) == pytest.approx(np.array([40, 25, 36]) / 12**0.5, rel=0.05)
