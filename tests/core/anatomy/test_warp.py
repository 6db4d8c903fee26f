"""The map between T1w and template: both directions, storage, Jacobian."""

import numpy as np
import pytest

from bidsapp.core.anatomy.warp import Warp, jacobian
from bidsapp.core.grid.volume import Grid


@pytest.fixture(scope="module")
def warp():
    rng = np.random.default_rng(2)
    coefficients = rng.normal(size=(3, 4, 4, 4))
    coefficients *= 5000 / (1 + np.indices((4, 4, 4)).sum(axis=0)) ** 2  # up to some 8 mm
    affine = np.array(
        [[1.05, 0.05, 0, 3], [-0.04, 1.1, 0.1, -5], [0.01, -0.1, 1.02, 8], [0, 0, 0, 1]]
    )
    t1w_affine = np.array([[0, 0, 1.0, -70], [-1.1, 0, 0, 90], [0, 1.2, 0, -80], [0, 0, 0, 1]])
    return Warp(
        coefficients, np.array([-5.0, 0, 3]), np.array([170.0, 140, 150]), t1w_affine, affine
    )


@pytest.fixture(scope="module")
def grid():
    return Grid((10, 9, 8), np.diag([12.0, 12, 12, 1]) + np.array([[0, 0, 0, -50]] * 3 + [[0] * 4]))


def test_there_and_back_is_the_identity(warp, grid):
    moved = np.abs(warp.displacement(*(np.arange(0, n, 5) for n in (160, 140, 150)))).max()
    assert 4 < moved < 30  # a warp worth inverting
    back = warp.to_template(warp.to_t1w(grid).astype(float))
    np.testing.assert_allclose(back, grid.world(), atol=0.02)


def test_a_fine_grid_is_as_good_as_its_voxels_one_by_one(warp, grid):
    fine = Grid((24, 20, 22), grid.affine @ np.diag([1 / 6, 1 / 6, 1 / 6, 1]))  # 2 mm
    whole = warp.to_t1w(fine)
    for index in np.ndindex(3, 2, 2):
        first = np.eye(4)
        first[:3, 3] = np.multiply(index, 7)
        alone = warp.to_t1w(Grid((1, 1, 1), fine.affine @ first))[0, 0, 0]
        np.testing.assert_allclose(whole[tuple(np.multiply(index, 7))], alone, atol=0.02)


def test_displacement_is_that_of_the_forward_map(warp):
    index = np.array([40, 50, 60])
    world = warp.t1w_affine[:3, :3] @ index + warp.t1w_affine[:3, 3]
    moved = world + warp.displacement(*(np.array([i]) for i in index)).ravel()
    expected = warp.affine[:3, :3] @ moved + warp.affine[:3, 3]
    np.testing.assert_allclose(warp.to_template(world), expected, atol=0.05)


def test_a_lattice_leads_where_its_points_do(warp):
    positions = np.array([10, 40]), np.array([5, 60, 90]), np.array([80, 120])
    index = np.stack(np.meshgrid(*positions, indexing="ij"), axis=-1)
    world = index @ warp.t1w_affine[:3, :3].T + warp.t1w_affine[:3, 3]
    found = np.moveaxis(warp.lattice_to_template(*positions), 0, -1)
    np.testing.assert_allclose(found, warp.to_template(world), atol=0.05)


def test_storage_keeps_everything(warp):
    again = Warp.from_arrays(warp.to_arrays())
    for name, value in warp.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], value)


def test_jacobian_is_the_ratio_of_small_volumes(warp):
    at = np.array([60.0, 70.0, 80.0])
    found = warp.jacobian(*(np.array([i - 1, i, i + 1]) for i in at))[1, 1, 1]
    corner = warp.t1w_affine[:3, :3] @ at + warp.t1w_affine[:3, 3]
    step = 4.0  # mm, wider than the lattice the map is interpolated on
    edges = [
        (warp.to_template(corner + step * e) - warp.to_template(corner - step * e)) / (2 * step)
        for e in np.eye(3)
    ]
    expected = np.linalg.det(np.stack(edges)) / np.linalg.det(warp.affine[:3, :3])
    assert found == pytest.approx(expected, rel=0.02)


def test_the_jacobian_of_points_is_the_change_of_volume():
    grid = Grid((6, 7, 8), np.diag([-4.0, 4, 4, 1]))
    assert jacobian(grid.world() * (1.2, 1.0, 0.5), grid.affine) == pytest.approx(0.6, abs=1e-6)
