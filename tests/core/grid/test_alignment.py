"""Rigid transforms: there and back, and between points."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import (
    affine_between,
    displacement,
    left_jacobian,
    rigid_between,
    rigid_matrix,
    rigid_parameters,
    rotation_deg,
    transform,
)

CENTRE = (12.0, -30.0, 7.0)
MOVE = rigid_matrix([4.0, -3.0, 5.0, 0.6, -0.8, 1.5], CENTRE)
POINTS = np.random.default_rng(0).normal(0, 50, (40, 3))


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.02, 3.0])
def test_parameters_come_back_from_their_matrix(size):
    parameters = np.array([4.0, -3.0, 5.0, *(size * np.array([0.6, 0.0, 0.8]))])
    matrix = rigid_matrix(parameters, CENTRE)
    assert rigid_parameters(matrix, CENTRE) == pytest.approx(parameters, abs=1e-12)
    assert transform(matrix, np.array(CENTRE)) == pytest.approx(CENTRE + parameters[:3])


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3, 0.5, 3.0])
def test_a_small_turn_after_another_is_that_of_the_jacobian(size):
    turn, step = size * np.array([0.6, 0.0, 0.8]), 1e-7 * np.array([3.0, -1.0, 2.0])
    after, before = (Rotation.from_rotvec(vector) for vector in (turn + step, turn))
    found = left_jacobian(turn) @ step
    assert found == pytest.approx((after * before.inv()).as_rotvec(), abs=1e-13)


def test_the_angle_of_a_rotation_whatever_is_stretched():
    rotation = Rotation.from_rotvec(np.radians(50) * np.array([0.6, 0.0, 0.8])).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.9, 1.1, 1.2])
    assert rotation_deg(affine) == pytest.approx(50)


def test_points_tell_the_transform_that_moved_them():
    stretched = MOVE @ np.diag([0.9, 1.1, 1.2, 1.0])
    assert rigid_between(POINTS, transform(MOVE, POINTS)) == pytest.approx(MOVE)
    assert affine_between(POINTS, transform(stretched, POINTS)) == pytest.approx(stretched)
    mirrored = rigid_between(POINTS, POINTS * [-1, 1, 1])
    assert np.linalg.det(mirrored[:3, :3]) == pytest.approx(1)  # no mirror, whatever fits best


def test_the_distance_between_two_transforms_is_that_of_the_points():
    shifted = rigid_matrix([3.0, 4.0, 0, 0, 0, 0]) @ MOVE
    assert displacement(shifted, MOVE, POINTS) == pytest.approx(5)
    half_turn = rigid_matrix([0, 0, 0, 0, 0, np.pi])
    ring = np.array([[1.0, 0, 9], [0, 2.0, -5], [0, 0, 1]])
    assert displacement(half_turn, np.eye(4), ring) == pytest.approx((2 + 4 + 0) / 3)


def test_points_move_to_the_same_bits_however_many_and_however_they_lie_in_memory():
    rng = np.random.default_rng(0)
    matrix, points = rng.normal(size=(4, 4)), rng.normal(size=(1000, 3)) * 100
    moved = transform(matrix, points)
    np.testing.assert_array_equal(transform(matrix, np.asfortranarray(points)), moved)
    np.testing.assert_array_equal(transform(matrix, points[::7]), moved[::7])
    np.testing.assert_array_equal(transform(matrix, points[3]), moved[3])
    np.testing.assert_allclose(moved, points @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-11)
