"""Region statistics against direct NumPy expressions, to the last bit, and against definitions."""

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.grid.volume import Grid
from bidsapp.core.regions.regions import (
    Regions,
    region_means,
    region_statistics,
    spread,
)

SHAPE = (12, 11, 10)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)


def label_means(image, labels, values, weights=None):
    regions = Regions.from_labels(labels, values)
    return region_means(image, regions if weights is None else regions.weighted(weights))


def fractional(maps):
    """Regions of probability maps."""
    parts = np.moveaxis(maps, -1, 0)
    return Regions.joined([Regions.from_masks([one > 0]).weighted(one) for one in parts])


@pytest.fixture
def image():
    return np.random.default_rng(1).gamma(2.0, 3.0, SHAPE).astype(np.float32)


@pytest.fixture
def labels():
    return np.random.default_rng(2).choice([0, 3, 7, 20, 500], SHAPE).astype(np.int16)


@pytest.fixture
def grey():
    return np.random.default_rng(3).random(SHAPE).astype(np.float32)


def test_means_are_those_of_numpy_to_the_last_bit(image, labels):
    found = label_means(image, labels, [500, 3, 20, 7])
    wanted = [image[labels == v].astype(np.float64).mean() for v in (500, 3, 20, 7)]
    assert found.tolist() == wanted


def test_weighted_means_are_those_of_numpy_to_the_last_bit(image, labels, grey):
    found = label_means(image, labels, [3, 7, 20, 500], weights=grey)
    for value, mean in zip((3, 7, 20, 500), found, strict=True):
        inside = labels == value
        values, weights = image[inside].astype(np.float64), grey[inside].astype(np.float64)
        assert mean == np.sum(values * weights) / np.sum(weights)
        assert mean == np.average(values, weights=weights)


def test_every_frame_is_measured_like_an_image(image, labels, grey):
    frames = np.stack([image, image * 2, image**2], axis=-1)
    frames[0, :, :, 1] = np.nan
    together = label_means(frames, labels, range(1, 501), weights=grey)
    assert together.shape == (500, 3)
    for t in range(3):
        alone = label_means(
            np.ascontiguousarray(frames[..., t]), labels, range(1, 501), weights=grey
        )
        assert np.array_equal(together[:, t], alone, equal_nan=True)


def test_labels_without_voxels_and_labels_not_asked_for(image, labels):
    found = label_means(image, labels, range(1, 21))
    assert found.shape == (20,)
    assert np.flatnonzero(np.isfinite(found)).tolist() == [2, 6, 19]
    assert np.isnan(label_means(image, np.zeros(SHAPE, int), range(1, 5))).all()


def test_regions_overlap_where_a_voxel_is_in_two_or_in_one_by_a_share(labels, grey):
    regions = Regions.from_labels(labels, [3, 7])
    assert not regions.overlapping and regions.weighted(grey).overlapping
    assert Regions.from_masks([labels == 3, labels > 0]).overlapping


def test_unmeasured_voxels_of_a_share_are_left_out(image, labels, grey):
    odd = image.copy()
    odd[:3] = np.nan
    (found,) = label_means(odd, labels, [7], weights=grey)
    inside = (labels == 7) & np.isfinite(odd)
    assert found == pytest.approx(np.average(image[inside], weights=grey[inside]))


def test_unmeasured_voxels_are_left_out_and_counted(image, labels):
    cut = image.copy()
    cut[:6] = np.nan
    found = region_statistics(cut, Regions.from_labels(labels, [3, 999]), GRID)
    inside = labels == 3
    seen = inside & np.isfinite(cut)
    assert found.mean[0] == cut[seen].astype(np.float64).mean()
    assert found.n_voxels.tolist() == [seen.sum(), 0]
    assert found.coverage[0] == seen.sum() / inside.sum()
    assert np.isnan([found.mean[1], found.sd[1], *found.quantiles[1], found.coverage[1]]).all()
    assert np.isnan(found.centre_mm[1]).all() and found.volume_ml[1] == 0


def test_the_other_statistics_follow_their_definitions(image, labels):
    found = region_statistics(image, Regions.from_labels(labels, [7]), GRID)
    values = image[labels == 7].astype(np.float64)
    assert found.sd[0] == values.std() and found.quantiles[0, 2] == np.median(values)
    assert found.total[0] == values.sum() and found.voxels[0] == len(values)
    assert found.volume_ml[0] == pytest.approx(len(values) * 12 / 1000)
    centre = ndimage.center_of_mass(image.astype(np.float64), labels, 7)
    assert found.centre_mm[0] == pytest.approx(AFFINE[:3, :3] @ centre + AFFINE[:3, 3])


def test_probabilities_are_fractional_voxels(image, grey):
    maps = np.stack([grey, 1 - grey], axis=-1)
    found = region_statistics(image, fractional(maps), GRID)
    values, weights = image.reshape(-1).astype(np.float64), grey.reshape(-1).astype(np.float64)
    assert found.mean[0] == (values * weights).sum() / weights.sum()
    assert found.voxels[0] == weights.sum() and found.total[0] == (values * weights).sum()
    variance = (weights * (values - found.mean[0]) ** 2).sum() / weights.sum()
    assert found.sd[0] == np.sqrt(variance)
    assert weights[values < found.quantiles[0, 2]].sum() <= weights.sum() / 2
    assert weights[values <= found.quantiles[0, 2]].sum() >= weights.sum() / 2


def test_thresholded_probabilities_are_whole_voxels(image, grey):
    maps = np.stack([grey, 1 - grey], axis=-1)
    found = region_statistics(image, fractional(maps).at_least(0.4), GRID)
    assert found.mean[1] == image[1 - grey >= 0.4].astype(np.float64).mean()
    assert found.n_voxels[1] == found.voxels[1] == (1 - grey >= 0.4).sum()


def test_overlapping_masks_are_measured_each_for_itself(image, grey):
    masks = [grey > 0.2, grey > 0.5]
    found = region_means(image, Regions.from_masks(masks))
    assert found.tolist() == [image[mask].astype(np.float64).mean() for mask in masks]


def test_unions_are_the_masks_of_several_labels(image, labels, grey):
    regions = Regions.from_labels(labels, [3, 7, 20]).weighted(grey)
    found = region_means(image, regions.combined([[0, 2], [], [1, 0]]))
    for mean, union in zip(found[[0, 2]], ([3, 20], [3, 7]), strict=True):
        inside = np.isin(labels, union)
        weights = grey[inside].astype(np.float64)
        assert mean == (image[inside].astype(np.float64) * weights).sum() / weights.sum()
    assert np.isnan(found[1])


def test_an_image_of_another_grid_is_refused(image):
    with pytest.raises(ValueError, match="shape"):
        label_means(image[:-1], np.ones(SHAPE, int), [1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_spread_to_the_voxels_nearest_in_space(axis):
    """Two voxels along thick slices are farther than four along thin ones."""
    along, across = axis, (axis + 1) % 3
    voxel_size = np.ones(3)
    voxel_size[along] = 3.0
    seeds = np.zeros((9, 9, 9), int)
    thick, thin = [0, 0, 0], [0, 0, 0]
    thick[along], thin[across] = 2, 4
    seeds[tuple(thick)], seeds[tuple(thin)] = 1, 2
    labels = spread(seeds, voxel_size)
    assert labels[0, 0, 0] == 2  # 4 mm to the one, 6 mm to the other
    assert spread(seeds, np.ones(3))[0, 0, 0] == 1
    at = np.argwhere(np.ones(seeds.shape, bool)) * voxel_size
    gaps = [np.linalg.norm(at - np.multiply(seed, voxel_size), axis=1) for seed in (thick, thin)]
    nearer = np.where(gaps[0] < gaps[1], 1, 2).reshape(seeds.shape)
    tie = np.isclose(*gaps).reshape(seeds.shape)
    np.testing.assert_array_equal(labels[~tie], nearer[~tie])
