"""Artefact planes at the ends of the field of view of a small head."""

from __future__ import annotations

import numpy as np
import pytest
from rigid_phantom import make_head, make_pet

from bidsapp.core.frames.field import artefact_ends, axial_axis, without_ends
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.steps.averaging import averaged

# cut through the brain at both ends, 3 mm planes
GRID = Grid(
    (72, 84, 22), np.array([[-2.5, 0, 0, 90], [0, 2.5, 0, -105], [0, 0, 3, -22], [0, 0, 0, 1]])
)


@pytest.fixture(scope="module")
def pet():
    return make_pet(make_head(), np.eye(4), grid=GRID)


def spoilt(pet, change, *, end=0):
    data = pet.data.copy()
    change(data if end == 0 else data[:, :, ::-1])
    return Volume(data, pet.affine)


def noisy(planes):
    rng = np.random.default_rng(5)
    for number, size in enumerate((0.6, 0.4, 0.3)):
        planes[:, :, number] += 9000 * size * rng.normal(size=planes.shape[:2])


def low(planes):
    planes[:, :, 0] *= 0.1
    planes[:, :, 1] *= 0.3


def high(planes):
    planes[:, :, 0] *= 4


def empty_then_low(planes):
    planes[:, :, :2] = 0
    planes[:, :, 2] *= 0.25


def test_a_clean_field_loses_nothing(pet):
    assert artefact_ends(pet) == (0, 0)
    assert averaged([pet], [300.0], [np.eye(4)])[2].flags == ()


def test_artefact_planes_are_told(pet):
    _, ends, part = averaged([spoilt(pet, low)], [300.0], [np.eye(4)])
    (flag,) = part.flags
    assert ends == (2, 0) and "2 planes at the beginning and 0" in flag.message
    assert without_ends(pet, (0, 0)) is pet


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("change", "n"), [(noisy, 3), (low, 2), (high, 1), (empty_then_low, 1)])
def test_artefacts_at_either_end_are_counted(pet, change, n, end):
    ends = artefact_ends(spoilt(pet, change, end=end))
    assert ends == ((n, 0) if end == 0 else (0, n))


def test_the_axis_may_be_stored_anywhere(pet):
    image = spoilt(pet, low)
    turned = Volume(
        np.ascontiguousarray(image.data.transpose(2, 0, 1)), image.affine[:, [2, 0, 1, 3]]
    )
    assert axial_axis(turned) == 0
    assert artefact_ends(turned) == (2, 0)


def test_artefact_planes_are_not_measured_and_the_others_untouched(pet):
    image = spoilt(pet, empty_then_low)
    cut = without_ends(image, artefact_ends(image)).data
    assert np.isnan(cut[:, :, :3]).all()
    np.testing.assert_array_equal(cut[:, :, 3:], image.data[:, :, 3:])


def test_the_end_of_the_head_is_no_artefact():
    """A field that ends above the vertex: uptake falls to nothing there, as it should."""
    tall = Grid((72, 84, 40), GRID.affine)
    assert artefact_ends(make_pet(make_head(), np.eye(4), grid=tall)) == (0, 0)


def test_an_empty_image_has_no_ends():
    assert artefact_ends(Volume(np.zeros((8, 8, 8), np.float32), np.eye(4))) == (0, 0)
