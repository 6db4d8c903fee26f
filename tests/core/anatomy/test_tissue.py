"""The brain mask does not depend on the size of the voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.anatomy import mixture as gmm
from bidsapp.core.anatomy.tissue import _brain, _by_class, _dilated
from bidsapp.core.grid.sampling import block_mean

SHAPE = (120, 96, 96)  # mm


def head_at_1_mm():
    """White ball of 40 mm radius in CSF; a 4 mm thick sheet leads from it to a ball outside."""
    x, y, z = np.indices(SHAPE) - np.array([48, 48, 48])[:, None, None, None]
    brain = x**2 + y**2 + z**2 < 40**2
    outside = (x - 56) ** 2 + y**2 + z**2 < 12**2
    bridge = (np.abs(y) < 2) & (np.abs(z) < 10) & (x > 0) & (x < 56)
    white = (brain | outside | bridge).astype(np.float32)
    fluid = ndimage.binary_dilation(brain, iterations=3) & (white == 0)
    return np.stack([np.zeros(SHAPE), white, fluid]).astype(np.float32), brain


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 1, 3), (3, 3, 3)])
def test_a_bridge_to_the_outside_is_broken_at_any_voxel_size(factors):
    fine, brain = head_at_1_mm()
    coarse = np.stack([block_mean(part, factors) for part in fine])
    mask = _brain(coarse, np.array(factors, float))
    truth = block_mean(brain, factors) > 0.5
    # the outer ball is 4 % of the inner one, the rim of CSF the mask may keep 25 %
    far = np.indices(mask.shape)[0] * factors[0] > 48 + 50
    assert not (mask & far).any()
    assert (mask & truth).sum() > 0.99 * truth.sum()
    assert mask.sum() < 1.3 * truth.sum()


@pytest.mark.parametrize("brightest", [2.0, 1e3, 1e15])
def test_the_likelihood_of_tissue_does_not_depend_on_the_brightest_voxel(brightest):
    classes = gmm.CLASS_OF.size
    mixture = gmm.Mixture(
        np.full(classes, 0.3), np.linspace(0.2, 1.2, classes), np.full(classes, 0.05**2)
    )
    intensity = np.append(np.linspace(0.1, 1.3, 50), brightest).astype(np.float32)
    exact = gmm.by_class(intensity.astype(np.float64), mixture)
    np.testing.assert_allclose(_by_class(mixture, intensity), exact, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("by_mm", [0.0, 2.0, 5.0])
@pytest.mark.parametrize(
    "voxel", [np.array([1.0, 1.0, 1.0]), np.array([0.7, 1.2, 1.25]), np.array([9.0, 0.5, 3.0])]
)
def test_a_mask_grows_by_all_voxels_within_reach(voxel, by_mm):
    rng = np.random.default_rng(4)
    for shape in [(9, 14, 17), (1, 20, 3), (15, 1, 1)]:
        mask = rng.random(shape) < 0.03
        mask.flat[0] = True
        away = ndimage.distance_transform_edt(~mask, sampling=voxel)
        np.testing.assert_array_equal(_dilated(mask, voxel, by_mm), away <= by_mm + 1e-4)
