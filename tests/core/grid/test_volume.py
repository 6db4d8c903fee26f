"""Masks: where their voxels are."""

import numpy as np

from bidsapp.core.grid.volume import Grid, mask_box, mask_centre, mask_slices


def test_a_grid_is_the_same_where_voxels_of_one_index_lie_in_one_place():
    grid = Grid((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    nearly, moved = grid.affine.copy(), grid.affine.copy()
    nearly[0, 3], moved[0, 3] = 1e-9, 0.2
    assert grid.is_same(Grid((4, 5, 6), nearly))
    assert not grid.is_same(Grid((4, 5, 6), moved))
    assert not grid.is_same(Grid((4, 5, 7), grid.affine))


def test_centre_of_a_mask_is_the_mean_of_its_voxels():
    rng = np.random.default_rng(0)
    for shape in ((7, 5, 9), (1, 4, 1)):
        mask = rng.random(shape) < 0.4
        mask[0, 0, 0] = True
        assert np.array_equal(mask_centre(mask), np.argwhere(mask).mean(axis=0))


def test_box_of_a_mask_holds_its_voxels_and_no_plane_more():
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = rng.random((7, 5, 9)) < 0.02
        mask[3, 2, 4] = True
        first, last = mask_box(mask)
        voxels = np.argwhere(mask)
        assert np.array_equal(first, voxels.min(axis=0))
        assert np.array_equal(last, voxels.max(axis=0))
        assert mask[mask_slices(mask)].sum() == mask.sum()
        assert mask[mask_slices(mask)].shape == tuple(last - first + 1)


def test_a_margin_ends_at_the_image():
    mask = np.zeros((4, 6, 8), bool)
    mask[0, 3, 7] = True
    assert mask_slices(mask, np.array([1, 2, 3])) == (slice(0, 2), slice(1, 6), slice(4, 8))


def test_an_empty_mask_has_an_empty_box():
    mask = np.zeros((4, 6, 8), bool)
    first, last = mask_box(mask)
    assert (last < first).all()
    assert mask[mask_slices(mask)].size == 0
