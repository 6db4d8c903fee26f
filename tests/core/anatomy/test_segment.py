"""Unified segmentation on the template head, moved and bent in known ways."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsapp import data
from bidsapp.core.anatomy.priors import PriorSampler
from bidsapp.core.anatomy.segment import Options, _Model, fit_model, segment
from bidsapp.core.anatomy.start import Start, subsample
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.errors import BadDataError

# Coarse, so that a segmentation takes seconds; axes PIL as some scanners store them
VOXEL = 4.0
QUICK = Options(rounds=5)
ORIENTED = [[0, 0, -4.0, 100], [4.0, 0, 0, -130], [0, -4.0, 0, 90], [0, 0, 0, 1]]


def known_warp(grid: Grid) -> Warp:
    """A head: larger or smaller, pitched, bent by some millimetres."""
    rng = np.random.default_rng(11)
    coefficients = rng.normal(size=(3, 4, 4, 4))
    coefficients *= 500 / (1 + np.indices((4, 4, 4)).sum(axis=0)) ** 2
    pitch = np.deg2rad(8)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(pitch), -np.sin(pitch)], [np.sin(pitch), np.cos(pitch)]]
    affine[:3, :3] *= [1.1, 1.05, 1.12]
    affine[:3, 3] = [4, -8, 6]
    return Warp(coefficients, np.zeros(3), np.array(grid.shape, float), grid.affine, affine)


def image_of(warp: Warp, grid: Grid) -> Volume:
    """The template head as the T1w of somebody whose true warp to the template is ``warp``."""
    head = data.template(1)
    to_index = np.linalg.inv(head.affine)
    index = warp.to_template(grid.world()) @ to_index[:3, :3].T + to_index[:3, 3]
    image = ndimage.map_coordinates(head.data, np.moveaxis(index, -1, 0), order=1)
    x, y, z = np.indices(grid.shape) / np.array(grid.shape)[:, None, None, None]
    bias = np.exp(0.25 * np.cos(np.pi * x) - 0.2 * np.cos(np.pi * y) * np.cos(np.pi * z))
    noise = np.random.default_rng(1).normal(0, 2, size=grid.shape)
    return Volume(np.clip(image * bias + noise, 0, None).astype(np.float32), grid.affine)


@pytest.fixture(scope="module")
def grid():
    return Grid((60, 50, 54), np.array(ORIENTED))


@pytest.fixture(scope="module")
def plain():
    """The template head itself."""
    affine = np.diag([-VOXEL, VOXEL, VOXEL, 1])
    affine[:3, 3] = [90, -126, -72]
    grid = Grid((46, 55, 46), affine)
    straight = Warp(
        np.zeros((3, 1, 1, 1)), np.zeros(3), np.array(grid.shape), grid.affine, np.eye(4)
    )
    return segment(image_of(straight, grid), data.priors(), QUICK)


@pytest.fixture(scope="module")
def bent(grid):
    """A warped, biased, noisy head in an odd orientation."""
    t1w = image_of(known_warp(grid), grid)
    return t1w, segment(t1w, data.priors(), QUICK)


def distance(found, expected, where):
    return float(np.linalg.norm(found - expected, axis=-1)[where].mean())


@pytest.mark.slow
def test_a_known_warp_is_found(plain, bent, grid):
    """The segmentation of a bent head is the bent segmentation of the head."""
    truth = known_warp(grid)
    for name in ("ctx", "wc"):
        voi = data.vois(2)[name]
        to_t1w = _inverse_at(truth, plain.field[voi].astype(float))
        assert np.linalg.norm(bent[1].field[voi] - to_t1w, axis=-1).mean() < 1.2


def _inverse_at(warp, template_points):
    """T1w points of template points by plain fixed-point iteration, independent of `to_t1w`."""
    back = np.linalg.inv(warp.affine)
    goal = template_points @ back[:3, :3].T + back[:3, 3]
    point = goal
    for _ in range(15):
        moved = warp.to_template(point) @ back[:3, :3].T + back[:3, 3] - point
        point = goal - moved
    return point


def test_tissue_lies_where_the_warped_template_has_it(bent, grid):
    t1w, found = bent
    true_mask = _nearest(data.template_mask(1), known_warp(grid).to_template(grid.world()))
    solid = (found.probabilities[:2].sum(axis=0) > 0.5) & found.brain_mask
    # at 4 mm many voxels straddle the border; the template's mask is generous with CSF, and ends
    # above the spinal cord
    assert (solid & true_mask).sum() > 0.93 * solid.sum()
    assert (found.brain_mask & true_mask).sum() > 0.9 * found.brain_mask.sum()
    assert found.brain_mask.sum() > 0.8 * true_mask.sum()
    total = found.probabilities.sum(axis=0)
    assert total.max() <= 1 + 1e-5
    grey, white, fluid = (t1w.data[p > 0.9].mean() for p in found.probabilities)
    assert fluid < grey < white


def _nearest(mask, world):
    to_index = np.linalg.inv(mask.affine)
    index = np.moveaxis(world @ to_index[:3, :3].T + to_index[:3, 3], -1, 0)
    return ndimage.map_coordinates(mask.data.astype(np.uint8), index, order=0) > 0


def test_bias_is_removed(bent):
    t1w, found = bent
    white = found.probabilities[1] > 0.95

    def spread(image):
        return image[white].std() / image[white].mean()

    assert spread(found.corrected) < 0.6 * spread(t1w.data)


@pytest.mark.slow
def test_storage_order_of_the_voxels_does_not_matter(bent):
    t1w, found = bent
    turned = nib.as_closest_canonical(nib.Nifti1Image(t1w.data, t1w.affine))
    again = segment(Volume(np.asarray(turned.dataobj), turned.affine), data.priors(), QUICK)
    everywhere = data.priors().maps.sum(axis=0) > 0.5
    assert distance(again.field, found.field, everywhere) < 0.5


def test_a_head_is_as_stiff_whatever_its_voxels():
    """Every voxel cut in eight: a displacement costs the same."""
    coarse = np.ones((30, 36, 32), np.float32)
    fine = np.repeat(np.repeat(np.repeat(coarse, 2, 0), 2, 1), 2, 2)
    affines = [np.diag([4.0, 4, 4, 1]), np.diag([2.0, 2, 2, 1])]
    affines[1][:3, 3] = -1
    costs = []
    for values, affine in zip((coarse, fine), affines, strict=True):
        t1w = Volume(values, affine)
        samples = subsample(t1w, 4.0)
        model = _Model(t1w, samples, PriorSampler(data.priors()), np.eye(4), QUICK)
        displacement = np.zeros((3, *model.bending.shape))
        # orthonormal cosines: a millimetre of the same wave is larger by the root of the voxels
        displacement[0, 2, 1, 1] = np.sqrt(values.size)
        costs.append(model._warp_penalty(displacement))
    assert costs[1] == pytest.approx(costs[0], rel=0.1)  # twice, if not so


@pytest.mark.slow
def test_same_bits_twice(bent):
    t1w, found = bent
    again = segment(t1w, data.priors(), QUICK)
    np.testing.assert_array_equal(again.field, found.field)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


def test_quality_numbers_are_finite_and_sensible(bent):
    quality = bent[1].quality
    assert all(np.isfinite(value) for value in quality.values())
    assert quality.keys() <= data.read_table("qc").keys()  # pages have words for each
    assert quality["start_spread_mm"] < 10
    assert 900 < quality["brain_ml"] < 2500


def test_a_fit_tells_whether_it_came_to_rest(bent):
    t1w, found = bent
    assert found.quality["converged"] == 1
    start = Start(found.warp.affine, 0.0, 0.0, 0.0)
    hurried = fit_model(t1w, data.priors().sampler, start, replace(QUICK, rounds=2))
    assert not hurried.converged


def ball(shape, dtype):
    """A sphere of one intensity: no tissue tells what lies where."""
    radius = np.linalg.norm(np.indices(shape).T - np.array(shape) / 2, axis=-1).T
    return (100 * (radius < 20)).astype(dtype)


@pytest.mark.parametrize("content", [np.zeros, np.ones, ball])
def test_an_image_without_a_head_is_refused(content):
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -100
    with pytest.raises(BadDataError, match="no head"):
        segment(Volume(content((50, 55, 45), np.float32), affine), data.priors())
