"""Trilinear resampling: exact on linear images, unknown outside, blind to storage order."""

import nibabel as nib
import numpy as np
import pytest

from bidsapp.core.grid.resample import (
    itk_affine_text,
    itk_displacements,
    measured_box,
    resample,
    sample,
)
from bidsapp.core.grid.volume import Grid, Volume

RIGID = np.array(
    [
        [0.99117, 0.05316, 0.12148, 3.0],
        [-0.04416, 0.99616, -0.07562, -2.0],
        [-0.12504, 0.06959, 0.98971, 1.5],
        [0, 0, 0, 1],
    ]
)


def linear(points):
    return 50.0 + points @ np.array([0.5, -0.3, 0.8])


def linear_volume(shape, affine):
    grid = Grid(shape, np.asarray(affine, float))
    return Volume(linear(grid.world()).astype(np.float32), grid.affine)


AFFINES = {
    "RAS": [[2, 0, 0, -20], [0, 2, 0, -20], [0, 0, 2.7, -25], [0, 0, 0, 1]],
    "LAS": [[-2, 0, 0, 20], [0, 2, 0, -20], [0, 0, 2.7, -25], [0, 0, 0, 1]],
    "PIR": [[0, 0, 2.7, -25], [-2, 0, 0, 20], [0, -2, 0, 20], [0, 0, 0, 1]],
    "oblique": [[1.96, -0.4, 0, -15], [0.4, 1.96, 0, -25], [0, 0, 2.7, -25], [0, 0, 0, 1]],
}


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_linear_image_is_reproduced_on_any_grid(affine):
    pet = linear_volume((21, 22, 20), affine)
    grid = Grid((17, 13, 15), np.diag([1.1, 0.9, 1.3, 1.0]) + 0.0)
    grid.affine[:3, 3] = -8, -6, -9
    moved = resample(pet, grid, RIGID)
    points = grid.world() @ RIGID[:3, :3].T + RIGID[:3, 3]
    np.testing.assert_allclose(moved.data, linear(points), rtol=2e-6)
    assert moved.data.dtype == np.float32
    np.testing.assert_allclose(sample(pet, points), moved.data, rtol=1e-6)


def test_points_outside_are_unknown_and_edges_are_not():
    pet = linear_volume((5, 6, 7), np.diag([2.0, 2.0, 2.0, 1.0]))
    inside = np.array([[0, 0, 0], [8, 10, 12], [8.0005, -0.0005, 6]])
    outside = np.array([[-0.1, 0, 0], [8.1, 5, 5], [3, 10.5, 3], [3, 3, 100], [np.nan, 0, 0]])
    assert np.isfinite(sample(pet, inside)).all()
    assert np.isnan(sample(pet, outside)).all()


def test_a_grid_on_itself_returns_every_voxel():
    rng = np.random.default_rng(1)
    affine = np.array(AFFINES["oblique"])
    pet = Volume((1 + rng.random((9, 8, 7))).astype(np.float32), affine)
    np.testing.assert_allclose(resample(pet, pet.grid, np.eye(4)).data, pet.data, rtol=1e-5)


def test_there_and_back_returns_a_smooth_image():
    grid = Grid((40, 40, 40), np.diag([1.0, 1, 1, 1]))
    grid.affine[:3, 3] = -20
    blob = np.exp(-(grid.world() ** 2).sum(-1) / (2 * 6.0**2)).astype(np.float32) + 1
    there = resample(Volume(blob, grid.affine), grid, RIGID)
    back = resample(there, grid, np.linalg.inv(RIGID))
    middle = (slice(12, 28),) * 3
    curvature = 3 / 6.0**2  # each pass errs by at most an eighth of it
    assert np.abs(back.data - blob)[middle].max() < 2 * curvature / 8


def test_values_match_a_textbook_trilinear_interpolation():
    rng = np.random.default_rng(2)
    pet = Volume((1 + rng.random((4, 5, 6))).astype(np.float32), np.eye(4))
    for point in rng.uniform(0, 3, (20, 3)):
        low = np.floor(point).astype(int)
        f = point - low
        expected = sum(
            pet.data[tuple(low + corner)] * np.prod(np.where(corner, f, 1 - f))
            for corner in np.ndindex(2, 2, 2)
            for corner in [np.array(corner)]
        )
        assert sample(pet, point[np.newaxis])[0] == pytest.approx(expected, rel=1e-6)


def test_padding_is_no_measurement():
    data = np.zeros((8, 9, 10), np.float32)
    data[1:7, 2:9, 3:6] = 5
    data[3, 4, 4] = 0  # a hole inside is a measurement
    data[:, :, 9] = np.nan
    first, last = measured_box(data)
    assert (first.tolist(), last.tolist()) == ([1, 2, 3], [6, 8, 5])
    values = sample(Volume(data, np.eye(4)), np.array([[3, 4, 4], [3, 5, 5], [3, 5, 5.5]]))
    assert values[0] == 0 and values[1] == 5 and np.isnan(values[2])


def test_an_empty_image_is_unknown_everywhere():
    empty = Volume(np.zeros((4, 4, 4), np.float32), np.eye(4))
    assert np.isnan(resample(empty, empty.grid, np.eye(4)).data).all()


def test_storage_order_does_not_matter(tiny_volume):
    image = nib.as_closest_canonical(nib.Nifti1Image(tiny_volume.data, tiny_volume.affine))
    canonical = Volume(np.asarray(image.dataobj), image.affine)
    rng = np.random.default_rng(0)
    points = rng.uniform((-15, -20, -5), (15, 15, 15), (500, 3))
    np.testing.assert_allclose(sample(canonical, points), sample(tiny_volume, points), rtol=1e-5)


def test_itk_displacements_point_from_the_grid_to_the_field_in_lps():
    grid = Grid((3, 4, 5), np.diag([-2.0, 2.0, 2.0, 1.0]))
    displacement = itk_displacements(grid.world() + np.array([1.0, 2.0, 3.0]), grid)
    assert displacement.shape == (3, 4, 5, 1, 3) and displacement.dtype == np.float32
    np.testing.assert_allclose(displacement.reshape(-1, 3), np.tile((-1, -2, 3), (60, 1)))


def test_itk_affine_moves_lps_points_as_the_matrix_moves_ras_points():
    text = itk_affine_text(RIGID)
    assert text.startswith("#Insight Transform File V1.0\n")
    line = next(line for line in text.splitlines() if line.startswith("Parameters: "))
    numbers = np.array(line.removeprefix("Parameters: ").split(), float)
    lps = np.array([10.0, -20.0, 30.0]) * (-1, -1, 1)
    moved = (numbers[:9].reshape(3, 3) @ lps + numbers[9:]) * (-1, -1, 1)
    np.testing.assert_allclose(moved, RIGID[:3, :3] @ (10, -20, 30) + RIGID[:3, 3])
