"""Regions carried to another grid, eroded, thresholded, and the table of an atlas."""

import numpy as np
import pytest

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.regions.regional import Norm, RegionalScale, Uptake, measure_regions, uptake
from bidsapp.core.regions.regions import (
    Regions,
    eroded,
    eroded_regions,
    region_histograms,
    region_statistics,
)
from bidsapp.core.regions.voi import template_voxels

TEMPLATE = Grid(
    (10, 12, 9), np.array([[-2.0, 0, 0, 9], [0, 2, 0, -11], [0, 0, 2, -8], [0, 0, 0, 1]])
)
NATIVE = Grid(
    (20, 24, 17), np.array([[1.0, 0, 0, -9], [0, 1, 0, -11], [0, 0, 1, -8], [0, 0, 0, 1]])
)


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 5, TEMPLATE.shape)


def moved(points):
    return points + np.array([0.3, -0.2, 0.1])


def fractional(maps):
    """Regions of probability maps."""
    parts = np.moveaxis(maps, -1, 0)
    return Regions.joined([Regions.from_masks([one > 0]).weighted(one) for one in parts])


def test_labels_carried_to_a_native_grid_are_those_of_the_nearest_voxels(labels):
    source = template_voxels(NATIVE, TEMPLATE, moved)
    found = Regions.from_labels(labels, [1, 2, 3, 4]).on(NATIVE.shape, source)
    expected = nearest(Volume(labels, TEMPLATE.affine), moved(NATIVE.world()))
    assert (found.labelled([1, 2, 3, 4]) == expected).all()
    for region in range(4):
        assert (found.of(region) == np.flatnonzero(expected == region + 1)).all()


def test_probabilities_and_overlaps_are_carried_with_their_weights(labels):
    maps = np.random.default_rng(1).random((*TEMPLATE.shape, 2)).astype(np.float32)
    source = template_voxels(NATIVE, TEMPLATE, moved)
    found = fractional(maps).on(NATIVE.shape, source)
    for region in range(2):
        expected = nearest(Volume(maps[..., region], TEMPLATE.affine), moved(NATIVE.world()))
        assert (found.maps()[..., region] == expected).all()


def test_voxels_outside_a_mask_or_the_template_belong_nowhere(labels):
    within = np.zeros(NATIVE.shape, bool)
    within[5:9] = True
    source = template_voxels(NATIVE, TEMPLATE, moved, within)
    assert (source[~within.reshape(-1)] == -1).all() and (source[within.reshape(-1)] >= 0).any()
    assert (template_voxels(NATIVE, TEMPLATE, lambda points: points + 100) == -1).all()


def test_native_and_template_means_agree_for_smooth_images(labels):
    blocks = np.zeros(TEMPLATE.shape, int)
    blocks[2:8, 2:6, 2:7], blocks[2:8, 6:10, 2:7] = 1, 2
    regions = Regions.from_labels(blocks, [1, 2])
    native = regions.on(NATIVE.shape, template_voxels(NATIVE, TEMPLATE, lambda points: points))

    def smooth(grid):
        return 100 + grid.world() @ np.array([1.0, 2.0, -1.0])

    one = region_statistics(smooth(TEMPLATE), regions, TEMPLATE)
    other = region_statistics(smooth(NATIVE), native, NATIVE)
    assert other.mean == pytest.approx(one.mean, rel=0.02)
    assert other.volume_ml == pytest.approx(one.volume_ml, rel=0.15)


def test_erosion_leaves_the_margin_out():
    mask = np.zeros((20, 20, 20), bool)
    mask[3:17, 3:17, 3:17] = True
    grid = Grid(mask.shape, np.diag([2.0, 2.0, 3.0, 1.0]))
    core = eroded(mask, grid, 4.0)
    expected = np.zeros_like(mask)
    expected[5:15, 5:15, 4:16] = True
    assert (core == expected).all()
    full = eroded(np.ones((5, 5, 5), bool), Grid((5, 5, 5), np.eye(4)), 1.0)
    assert full.sum() == 27  # the edge of the image is an edge


def test_every_region_loses_its_own_margin():
    grid = Grid((12, 10, 10), np.eye(4))
    masks = [np.zeros(grid.shape, bool) for _ in range(3)]
    masks[0][1:6, 1:9, 1:9] = True  # beside the next: the border between them counts
    masks[1][6:11, 1:9, 1:9] = True
    masks[2][3, 3, 3] = True  # nothing is left
    regions = Regions.from_masks([*masks, masks[0] | masks[1]])
    found = eroded_regions(regions, grid, 1.0)
    assert np.diff(found.starts).tolist() == [3 * 6 * 6, 3 * 6 * 6, 0, 8 * 6 * 6]
    assert (found.of(0) == np.flatnonzero(eroded(masks[0], grid, 1.0))).all()


def test_histograms_are_those_of_numpy_and_add_up_to_the_region():
    rng = np.random.default_rng(5)
    image, weights = rng.normal(0.3, 0.4, (2, 8, 8, 6))
    image[0, 0, 0] = np.nan
    whole = Regions.from_masks([image > 0.2, np.isfinite(image), np.zeros(image.shape, bool)])
    for regions in (whole, whole.weighted(np.abs(weights))):
        found = region_histograms(image, regions, 0.125)
        voxels = region_statistics(image, regions, Grid(image.shape, np.eye(4))).voxels
        assert [held.sum() for _, held in found] == pytest.approx(voxels)
        bins, held = found[1]
        own = regions.of(1)
        by = None if regions.weights is None else np.abs(weights).reshape(-1)[own]
        edges = np.arange(bins[0], bins[-1] + 2) * 0.125
        expected, _ = np.histogram(image.reshape(-1)[own], edges, weights=by)
        assert held == pytest.approx(expected[bins - bins[0]]) and (held > 0).all()
        assert found[2][0].size == 0


def test_a_threshold_makes_whole_voxels(labels):
    maps = np.random.default_rng(2).random((*TEMPLATE.shape, 1)).astype(np.float32)
    found = fractional(maps).at_least(0.5)
    assert found.weights is None
    assert (found.voxels == np.flatnonzero(maps[..., 0] >= 0.5)).all()


def test_unions_of_overlapping_maps_count_a_voxel_once():
    maps = np.zeros((*TEMPLATE.shape, 2), np.float32)
    maps[2, 2, 2] = (0.5, 0.25)
    maps[3, 3, 3] = (0.75, 0.75)
    (union,) = [fractional(maps).combined([[0, 1]])]
    assert union.weights.tolist() == [0.75, 1.0] and len(union.voxels) == 2


@pytest.fixture
def table(labels):
    image = np.random.default_rng(3).gamma(5.0, 2.0, TEMPLATE.shape)
    image[labels == 4] = np.nan
    regions = Regions.from_labels(labels, [1, 2, 4])
    wc, own = uptake(image, Regions.from_labels(labels, [2, 3]), TEMPLATE, least_coverage=0.5)
    scale = RegionalScale(
        {"wc": wc, "own": own, "lost": Uptake(None, None)}, {"wc": (100.0, -90.0)}, "wc"
    )
    columns = measure_regions(
        image, regions, TEMPLATE, grey=np.full(TEMPLATE.shape, 0.5), scale=scale,
        norms=[Norm("wc", 1.1, 0.05), None, Norm("wc", 1.0, 0.1)], least_coverage=0.5,
    )  # fmt: skip
    return image, columns, wc, own


def test_ratios_centiloids_noise_and_z_follow_their_definitions(table, labels):
    image, columns, wc, own = table
    mean, sd = image[labels == 1].mean(), image[labels == 2].std()
    assert columns["mean"][0] == mean and wc.sd == sd
    assert columns["suvr_wc"][0] == mean / wc.mean and columns["suvr_own"][0] == mean / own.mean
    assert columns["centiloid_wc"][0] == 100.0 * (mean / wc.mean) - 90.0
    assert columns["snr"][0] == mean / sd and columns["cnr"][0] == (mean - wc.mean) / sd
    assert columns["cnr"][1] == 0 and columns["suvr_wc"][1] == 1
    assert columns["z"][0] == (mean / wc.mean - 1.1) / 0.05
    assert columns["gm_voxels"][0] == 0.5 * columns["n_voxels"][0]
    assert columns["gm_mean"][0] == pytest.approx(mean)


def test_what_cannot_be_said_is_none(table):
    _, columns, _, _ = table
    assert {len(column) for column in columns.values()} == {3}
    for name in ("mean", "sd", "median", "suvr_wc", "centiloid_wc", "snr", "z", "gm_mean"):
        assert columns[name][2] is None, name
    assert columns["coverage"][2] == 0 and columns["n_voxels"][2] == 0
    assert columns["centiloid_own"] == [None] * 3 == columns["suvr_lost"]
    assert columns["z"][1] is None
