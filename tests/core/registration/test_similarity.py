"""Mutual information: what it does not depend on, and that its force is its derivative."""

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.grid.alignment import displacement, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.similarity import MutualInformation, climb

AFFINE = rigid_matrix([-30.0, -28, -26, 0.1, 0.2, -0.1]) @ np.diag([2.0, 2.0, 2.5, 1.0])


def image(seed):
    noise = np.random.default_rng(seed).normal(size=(30, 28, 26))
    return Volume(ndimage.gaussian_filter(noise, 2.5).astype(np.float32), AFFINE)


MOVING = image(0)
FIXED = Volume(np.abs(MOVING.data - np.median(MOVING.data)), AFFINE)  # another contrast
POINTS = MOVING.grid.world()[6:-6, 6:-6, 6:-6].reshape(-1, 3)


def measured(moving, matrix=None, fixed=FIXED):
    measure = MutualInformation.between(fixed, POINTS, moving)
    return measure(np.eye(4) if matrix is None else matrix)


def test_images_of_one_thing_tell_more_of_each_other_in_place_than_displaced():
    in_place, _ = measured(MOVING)
    displaced, _ = measured(MOVING, rigid_matrix([6.0, 0, 0, 0, 0, 0]))
    other, _ = measured(image(1))
    assert in_place > displaced + 0.05 and in_place > other + 0.05
    assert 1 < other < 1.1


def test_units_of_intensity_do_not_matter():
    scaled = Volume(7e3 * MOVING.data + 100, AFFINE)
    assert measured(scaled)[0] == pytest.approx(measured(MOVING)[0], rel=1e-4)
    fixed = Volume(1e-3 * FIXED.data - 5, AFFINE)
    assert measured(MOVING, fixed=fixed)[0] == pytest.approx(measured(MOVING)[0], rel=1e-3)


def test_where_few_points_fall_into_the_image_it_tells_nothing():
    value, force = measured(MOVING, rigid_matrix([45.0, 0, 0, 0, 0, 0]))
    assert value == 1 and not force.any()


@pytest.mark.parametrize("axis", range(3))
def test_the_force_is_the_derivative(axis):
    """Of a translation of all points; trilinear interpolation has kinks, so not to the last bit."""
    start, step = rigid_matrix([3.0, -2.0, 1.5, 0.03, 0.02, -0.04]), np.zeros(6)
    step[axis] = 0.02
    ends = [measured(MOVING, rigid_matrix(sign * step) @ start)[0] for sign in (1, -1)]
    _, force = measured(MOVING, start)
    assert force[axis].sum() == pytest.approx((ends[0] - ends[1]) / 0.04, rel=0.03, abs=2e-5)


def test_a_climb_ends_where_the_images_agree():
    measure, centre = MutualInformation.between(FIXED, POINTS, MOVING), POINTS.mean(axis=0)
    matrix, value = climb(measure, rigid_matrix([1.5, -1, 1, 0.03, 0.02, -0.03], centre), centre)
    assert displacement(matrix, np.eye(4), POINTS) < 0.1
    assert value == pytest.approx(measure(matrix)[0])
