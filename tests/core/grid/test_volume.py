"""Masks: where their voxels are."""

import numpy as np

from bidsapp.core.grid.volume import mask_centre


def test_centre_of_a_mask_is_the_mean_of_its_voxels():
    rng = np.random.default_rng(0)
    for shape in ((7, 5, 9), (1, 4, 1)):
        mask = rng.random(shape) < 0.4
        mask[0, 0, 0] = True
        assert np.array_equal(mask_centre(mask), np.argwhere(mask).mean(axis=0))
