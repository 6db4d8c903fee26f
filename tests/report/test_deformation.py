"""The picture of a warp shows what it does beyond an affine map."""

from __future__ import annotations

import numpy as np

from bidsapp.core.anatomy.warp import jacobian
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.report.deformation import deformation, without_affine

AFFINE = np.array([[-4.0, 0, 0, 90], [0, 4, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1]])
GRID = Grid((46, 55, 46), AFFINE)
BRAIN = Volume(np.ones(GRID.shape, bool), AFFINE)
TO_LPS = np.array([-1.0, -1.0, 1.0])


def warp(points: np.ndarray) -> Volume:
    return Volume((points - GRID.world()) * TO_LPS, AFFINE)


def test_an_affine_warp_changes_nothing():
    matrix = np.array([[1.1, 0.05, 0], [-0.05, 0.9, 0.1], [0, 0, 1.05]])
    points = without_affine(warp(GRID.world() @ matrix.T + (5, -8, 3)), BRAIN)
    np.testing.assert_allclose(points, GRID.world(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(jacobian(points, AFFINE), 1, rtol=0, atol=1e-6)


def test_a_bulge_is_red_where_it_is_and_bends_the_grid():
    world = GRID.world()
    bump = np.exp(-((world - (0, -20, 14)) ** 2).sum(axis=-1, keepdims=True) / (2 * 15**2))
    bulge = warp(world + 0.45 * bump * (world - (0, -20, 14)))
    anatomy = Volume(np.full(GRID.shape, 100, np.float32), AFFINE)
    still, bent = (deformation(field, anatomy, BRAIN) for field in (warp(world), bulge))
    red, plain = (one.layers[0].pixels.astype(int) for one in (bent, still))
    redder = (red[..., 0] - red[..., 2]) - (plain[..., 0] - plain[..., 2])
    assert redder.max() > 40 and np.median(redder) < 15
    assert (still.layers[1].pixels != bent.layers[1].pixels).mean() > 0.02
    assert "volume, participant over template" in bent.layers[0].key
