"""Reading the priors: values, slopes, and the world beyond them."""

import numpy as np
import pytest

from bidsapp.core.anatomy.priors import PriorSampler, TissuePriors


@pytest.fixture(scope="module")
def sampler():
    rng = np.random.default_rng(0)
    maps = rng.dirichlet([1, 1, 1, 1], size=(9, 8, 7))[..., :3]
    affine = np.array([[-2.0, 0, 0, 9], [0, 2, 0, -8], [0, 0, 2, -7], [0, 0, 0, 1]])
    return PriorSampler(TissuePriors(np.moveaxis(maps, -1, 0).astype(np.float32), affine))


@pytest.fixture
def points():
    return np.random.default_rng(3).uniform(-4, 4, size=(200, 3))


def test_probabilities_sum_to_one_and_none_is_zero(sampler, points):
    values = sampler.values(points)
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
    assert values.min() > 0


def test_both_readings_agree(sampler, points):
    np.testing.assert_allclose(
        sampler.values(points), sampler.values_and_slopes(points)[0], atol=1e-6
    )


def test_slopes_are_the_derivatives_along_the_world_axes(sampler, points):
    _, slopes = sampler.values_and_slopes(points)
    step = 1e-3
    inside_one_cell = np.abs(np.mod(points + step, 2) - np.mod(points, 2)).max(axis=1) < 0.01
    for axis in range(3):
        ahead = points + step * np.eye(3)[axis]
        measured = (sampler.values(ahead) - sampler.values(points)) / step
        np.testing.assert_allclose(
            slopes[inside_one_cell, axis], measured[inside_one_cell], atol=2e-3
        )


def test_outside_everything_is_background(sampler):
    values = sampler.values(np.array([[100.0, 0, 0], [0, -300, 0], [0, 0, 55]]))
    np.testing.assert_allclose(values[:, 3], 1, atol=1e-3)
