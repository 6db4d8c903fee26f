"""The places of a brain in a PET, on a small head among things that are as bright as it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rigid_phantom import PET_GRID, make_head, make_pet
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.alignment import displacement, rigid_matrix
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.registration.pose_search import FWHM_MM, REACH_MM, distinct, search_poses
from bidsapp.core.registration.rigid import coarser
from bidsapp.core.registration.tissue_model import TissueModel
from bidsapp.errors import BadDataError


@pytest.fixture(scope="module")
def head():
    return make_head()


@pytest.fixture(scope="module")
def searched(head) -> tuple[TissueModel, np.ndarray]:
    side = head.side()
    return replace(
        side.model(FWHM_MM, skull_apart=False), region_of=None
    ), side.outside_mm <= REACH_MM


def bright_surroundings(head, truth, level=1.2) -> Volume:
    """A scalp and a neck as bright as the brain."""
    lower = rigid_matrix([0, 0, -24, 0, 0, 0])  # voxels: the grid reaches 96 mm further down
    grid = Grid((52, 60, 68), PET_GRID.affine @ lower)
    pet = make_pet(head, truth, grid=grid)
    x, y, z = np.moveaxis(grid.world() - truth[:3, 3], -1, 0)
    radius = np.sqrt((x / 62) ** 2 + (y / 78) ** 2 + ((z - 5) / 58) ** 2)
    scalp = (radius > 1.2) & (radius < 1.35)
    neck = (np.hypot(x, y + 10) < 60) & (z < -75)
    return Volume(pet.data + np.float32(5000 * level) * (scalp | neck), grid.affine)


@pytest.mark.parametrize("turn", [(0, 0, 0), (90, 0, 0), (0, 0, 180), (20, -10, 0)])
def test_the_true_place_is_among_the_first(head, searched, turn):
    truth = rigid_matrix([4.0, -3.0, 5.0, 0.06, -0.08, 0.05])
    pet = bright_surroundings(head, truth)
    turned = rigid_matrix([0, 0, 30, *Rotation.from_euler("xyz", turn, degrees=True).as_rotvec()])
    moved = coarser(Volume(pet.data, turned @ pet.affine), 12.0)
    places = [candidate.pose for candidate in search_poses(*searched, moved)]
    first = distinct(places, head.brain_points, 15.0)[:3]
    assert min(displacement(pose, turned @ truth, head.brain_points) for pose in first) < 20


def test_places_do_not_depend_on_the_unit(head, searched):
    pet = coarser(make_pet(head, np.eye(4)), 12.0)
    first = search_poses(*searched, pet)
    other = search_poses(*searched, Volume(pet.data * 1e-6, pet.affine))
    assert first[0].gain == pytest.approx(other[0].gain, rel=1e-3)
    assert np.allclose(first[0].pose, other[0].pose)
    gains = [place.gain for place in first]
    assert gains == sorted(gains, reverse=True)


def test_a_brain_of_which_too_little_is_seen_is_not_found(searched):
    slab = Volume(np.ones((20, 20, 2), np.float32), np.diag([12.0, 12.0, 12.0, 1.0]))
    for pet in (slab, Volume(np.zeros((20, 20, 20), np.float32), slab.affine)):
        with pytest.raises(BadDataError, match=r"no brain.* check the voxel sizes"):
            search_poses(*searched, pet)


def test_distinct_keeps_the_first_of_a_place():
    points = np.zeros((1, 3))
    poses = [rigid_matrix([shift, 0, 0, 0, 0, 0]) for shift in (0, 5, 20, 22, 41)]
    assert [pose[0, 3] for pose in distinct(poses, points, 10)] == [0, 20, 41]
