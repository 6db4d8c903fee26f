"""Cuts lie where they say, in neurological convention, whatever the grid of the image."""

from __future__ import annotations

import weakref
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.report.mosaic import WIDTH_PX, lay_out, lay_out_around, sample

CUTS = {"axial": (5.0, 8.0), "coronal": (-5.0,), "sagittal": (0.0,)}


def brightest(canvas, tile):
    part = canvas[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    row, column = np.unravel_index(part.argmax(), part.shape)
    return row, column


def test_a_blob_is_found_where_it_lies_in_world_space(tiny_volume):
    layout = lay_out((-18, -28, -8), (16, 20, 16), CUTS)
    canvas = sample(tiny_volume, layout)
    assert canvas.shape == layout.shape
    for tile, across, up in zip(
        layout.tiles, (0, 0, 0, 1), ((1, -5), (1, -5), (2, 5), (2, 5)), strict=True
    ):
        row, column = brightest(canvas, tile)
        centre = {0: 0.0, 1: -5.0}[across]
        found_across = layout.low[across] + layout.step_mm * (column + 0.5)
        found_up = layout.high[up[0]] - layout.step_mm * (row + 0.5)
        assert found_across == pytest.approx(centre, abs=1.5)
        assert found_up == pytest.approx(up[1], abs=1.6)


def test_a_cut_is_kept_as_long_as_its_layout(tiny_volume):
    layout = lay_out((-18, -28, -8), (16, 20, 16), CUTS)
    canvas = weakref.ref(sample(tiny_volume, layout))
    assert sample(tiny_volume, layout) is canvas()
    del layout
    assert canvas() is None  # though the volume, one of the template, stays


def test_left_is_left_and_front_is_right(tiny_volume):
    marked = Volume(np.zeros_like(tiny_volume.data), tiny_volume.affine)
    world = marked.grid.world()
    marked.data[((world - (-8.0, 6.0, 5.0)) ** 2).sum(axis=-1) < 16] = 1  # left, front
    layout = lay_out((-18, -28, -8), (16, 20, 16), CUTS | {"coronal": (6.0,), "sagittal": (-8.0,)})
    axial, _, coronal, sagittal = (brightest(sample(marked, layout), tile) for tile in layout.tiles)
    tiles = layout.tiles
    assert axial[1] < tiles[0].width / 2 and axial[0] < tiles[0].height / 2
    assert coronal[1] < tiles[2].width / 2
    assert sagittal[1] > tiles[3].width / 2
    assert tiles[0].ends == ("L", "R") and tiles[3].ends == ("P", "A")


def test_tiles_stay_on_the_canvas_and_apart():
    layout = lay_out((-90, -126, -72), (90, 90, 108), {k: range(0, 70, 10) for k in CUTS})
    covered = np.zeros(layout.shape, int)
    for tile in layout.tiles:
        assert tile.left >= 0 and tile.left + tile.width <= WIDTH_PX
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert covered.max() == 1


def test_the_layout_around_a_mask_holds_it(tiny_volume):
    mask = Volume(tiny_volume.data > 50, tiny_volume.affine)
    layout = lay_out_around(mask, margin_mm=4)
    world = transform(inverse(layout.to_world), mask.grid.world()[mask.data])
    assert (layout.low <= world.min(axis=0) - 4 + 1e-9).all()
    assert (layout.high >= world.max(axis=0) + 4 - 1e-9).all()
    for tile in layout.tiles:
        assert world[:, tile.axis].min() < tile.position_mm < world[:, tile.axis].max()


def test_an_oblique_image_is_cut_along_its_own_axes():
    upright = np.diag([1.0, 1.2, 0.9, 1])
    upright[:3, 3] = -4, 7, -3
    oblique = upright.copy()
    turn = Rotation.from_euler("xyz", [20, -30, 25], degrees=True).as_matrix()
    oblique[:3] = turn @ upright[:3]
    data = np.random.default_rng(2).random((12, 15, 11), np.float32)
    layouts = [lay_out_around(Volume(data > 0.9, affine), 0) for affine in (upright, oblique)]
    cuts = [
        sample(Volume(data, affine), layout)
        for affine, layout in zip((upright, oblique), layouts, strict=True)
    ]
    assert cuts[0].any()
    np.testing.assert_allclose(cuts[1], cuts[0], atol=1e-4)
    world = Volume(data, oblique).grid.world()[data > 0.9]
    along = transform(inverse(layouts[1].to_world), world)
    np.testing.assert_allclose(layouts[1].low, along.min(axis=0), atol=1e-9)
    np.testing.assert_allclose(layouts[1].high, along.max(axis=0), atol=1e-9)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("sign", [1, -1])
def test_axes_in_any_order_are_cut_as_those_of_an_oblique_grid_are(axes, sign):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * [2.0, 1.5 * sign, 1.3]
    affine[:3, 3] = -affine[:3, :3] @ [8, 10, 9]
    data = np.random.default_rng(5).random((17, 21, 19), np.float32)
    layout = lay_out((-18, -20, -16), (18, 20, 16), dict.fromkeys(CUTS, (0.0, 5.3, 40.0)))
    turn = 1e-7  # too little to be seen, enough not to go along the axes
    nearly = affine.copy()
    nearly[:3, :3] = (np.eye(3) + turn * np.array([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]])) @ (
        affine[:3, :3]
    )
    found = [sample(Volume(data, place), layout) for place in (affine, nearly)]
    differs = np.abs(found[0] - found[1]) > 1e-4
    assert found[0].any() and differs.mean() < 0.002  # pixels on the very edge of a voxel
