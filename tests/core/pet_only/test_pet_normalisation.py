"""PET to template without a T1w, on phantoms whose map and amyloid load are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.grid.alignment import rigid_matrix, transform
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation, normalise_pet
from bidsapp.core.pet_only.pet_template import CLASSES
from bidsapp.core.quality import flagged
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.errors import BadDataError
from bidsapp.steps.refusing import refuse_beyond
from tests.core.pet_phantom import NEGATIVE, PetPhantom, make_phantom, no_heads

BLUR = "pet_only_fwhm_mm"


def codes(quality, limits=None):
    """Codes of the flags of all numbers but the blur."""
    known = {name: value for name, value in quality.items() if name != BLUR}
    return [one.code for one in flagged(known, limits or read_table("limits"), look="look")]


def suvr(phantom: PetPhantom, field) -> float:
    on_template = sample(phantom.pet, field)
    means = {name: np.nanmean(on_template[vois(2)[name]]) for name in ("ctx", "wc")}
    return means["ctx"] / means["wc"]


def centiloid_error(phantom: PetPhantom, found: PetNormalisation) -> float:
    """On the PiB scale."""
    return 93.755 * (suvr(phantom, found.field) - suvr(phantom, phantom.field))


def distance_mm(phantom: PetPhantom, found: PetNormalisation, name: str) -> float:
    gap = (found.field - phantom.field)[vois(2)[name]]
    return float(np.sqrt((gap**2).sum(axis=-1)).mean())


def assert_found(phantom: PetPhantom, found: PetNormalisation, within_mm: float = 1.5) -> None:
    assert distance_mm(phantom, found, "ctx") < within_mm
    assert distance_mm(phantom, found, "wc") < within_mm
    assert abs(centiloid_error(phantom, found)) < 2.0


@pytest.fixture(scope="module")
def positive() -> tuple[PetPhantom, PetNormalisation]:
    phantom = make_phantom(amyloid_template(), load=60)
    return phantom, normalise_pet(phantom.pet, amyloid_template())


def test_template_divides_every_voxel():
    template = amyloid_template()
    assert template.grid.shape == mni_grid(2).shape
    assert np.allclose(template.fractions.sum(axis=-1), 1, atol=1e-4)
    cerebellum = template.fractions[..., CLASSES.index("gm_cerebellum")]
    inside = vois(2)["cg"]
    # all of the cerebellar grey matter is cerebellum, and none of the cortical target
    assert cerebellum[inside].mean() > 0.5
    assert cerebellum[vois(2)["ctx"]].mean() < 0.01


@pytest.mark.slow
def test_position_and_load_are_found(positive):
    phantom, found = positive
    assert_found(phantom, found)
    assert found.levels["gm_target"] == pytest.approx(1 + 0.6 * 1.3, abs=0.15)
    assert found.levels["gm_cerebellum"] == 1
    assert found.quality["pet_only_unexplained"] < 0.01
    assert found.quality["pet_only_fluid"] < 0.4
    assert found.quality["pet_only_rival"] < 0.7
    assert found.quality["pet_only_turn_deg"] < 10
    assert not codes(found.quality)
    assert 0.5 < found.quality["pet_only_jacobian_min"] < 1 < found.quality["pet_only_jacobian_max"]
    # voxels of 3 mm and the interpolation add to the 6 mm
    assert found.quality["pet_only_fwhm_mm"] == pytest.approx(7, abs=1)


def test_an_image_without_activity_is_refused():
    empty = Volume(np.zeros((40, 40, 40), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(BadDataError, match="contains no activity"):
        normalise_pet(empty, amyloid_template())


def test_an_image_without_structure_is_refused():
    flat = Volume(np.ones((50, 50, 40), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(BadDataError, match="no brain"):
        normalise_pet(flat, amyloid_template())


@pytest.mark.slow
def test_same_input_same_bits_and_units_do_not_matter(positive):
    phantom, found = positive
    again = normalise_pet(phantom.pet, amyloid_template())
    assert np.array_equal(again.field, found.field)
    scaled = Volume(phantom.pet.data * np.float32(1 / 1024), phantom.pet.affine)
    other = normalise_pet(scaled, amyloid_template())
    assert np.abs(other.field - found.field).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("load", [0, 120])
def test_every_load_is_found(load):
    phantom = make_phantom(amyloid_template(), load=load, seed=load + 1)
    assert_found(phantom, normalise_pet(phantom.pet, amyloid_template()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        {"shift_mm": (25.0, -20.0, 24.0), "turn_deg": (-17.0, 17.0, 17.0)},
        {"negative": NEGATIVE | {"wm": 2.3, "wm_cerebellum": 1.9}, "load": 0},
        {"negative": NEGATIVE | {"wm": 1.2, "rest": 0.9}, "fwhm_mm": 8.0},
        {"noise": 0.3},
        {"scalp": 1.8, "load": 0, "shift_mm": (0.0, 15.0, -30.0)},
        {"cerebellum_mm": (0.0, 4.0, -3.0), "load": 100},
    ],
    ids=[
        "displaced",
        "white-matter",
        "flat",
        "low-count",
        "bright-surroundings",
        "moved-cerebellum",
    ],
)
def test_odd_scans_are_found(case):
    phantom = make_phantom(amyloid_template(), **({"load": 50, "seed": 7} | case))
    # noise leaves the prior more say: the warp of the phantom is found in part
    within_mm = 2.5 if "noise" in case else 1.5
    assert_found(phantom, normalise_pet(phantom.pet, amyloid_template()), within_mm)


@pytest.mark.slow
def test_a_head_that_the_header_turns_is_found_and_told(positive):
    phantom, _ = positive
    turn = rigid_matrix([0, 0, 0, 0, 0, np.pi / 2])
    pet = Volume(phantom.pet.data, turn @ phantom.pet.affine)
    field = transform(turn, phantom.field.astype(np.float64)).astype(np.float32)
    found = normalise_pet(pet, amyloid_template())
    assert_found(PetPhantom(pet, field), found)
    assert found.quality["pet_only_turn_deg"] == pytest.approx(90, abs=15)
    assert "pet-only-turn-deg" in codes(found.quality)


@pytest.mark.slow
def test_slices_in_reverse_order_are_told(positive):
    """Left and right of a brain are too alike to be told apart, its top and bottom are not."""
    phantom, _ = positive
    reverse = np.diag([1.0, 1.0, -1.0, 1.0])
    reverse[2, 3] = phantom.pet.data.shape[2] - 1
    pet = Volume(np.ascontiguousarray(phantom.pet.data[:, :, ::-1]), phantom.pet.affine)
    mirrored = phantom.pet.affine @ reverse @ np.linalg.inv(phantom.pet.affine)
    found = normalise_pet(pet, amyloid_template())
    true = transform(mirrored, phantom.field.astype(np.float64)).astype(np.float32)
    there = PetPhantom(pet, true)
    assert abs(centiloid_error(there, found)) < 3.0
    assert "pet-only-turn-deg" in codes(found.quality)


def noise(fwhm_voxels: float) -> Volume:
    """Uniform noise, smoothed."""
    data = np.random.default_rng(0).random((64, 64, 50)).astype(np.float32)
    data = ndimage.gaussian_filter(data, fwhm_voxels / 2.3548)
    return Volume(data - data.min(), np.diag([4.0, 4.0, 4.0, 1.0]))


NOT_A_HEAD = {f"noise-{fwhm}": noise(fwhm) for fwhm in (0, 2, 6)} | no_heads()


@pytest.mark.slow
@pytest.mark.parametrize("what", NOT_A_HEAD)
def test_what_is_no_head_gives_no_number(what):
    try:
        quality = normalise_pet(NOT_A_HEAD[what], amyloid_template()).quality
        refuse_beyond(quality, read_table("limits"))
    except BadDataError as error:
        assert "no brain" in str(error)
    else:
        pytest.fail("a number was given")


def test_every_number_is_judged_by_its_limits():
    limits = {
        name: row | ({"least": 0.0} if name.endswith("min") else {"flag": 1.0, "refuse": 2.0})
        for name, row in read_table("limits").items()
        if name.startswith("pet_only_") and name != BLUR
    }
    good = dict.fromkeys(limits, 0.5)
    assert not codes(good, limits)
    refuse_beyond(good, limits)
    for name in limits:
        doubtful = good | {name: -1.0 if name.endswith("min") else 1.5}
        assert codes(doubtful, limits) == [name.replace("_", "-")]
        refuse_beyond(doubtful, limits)
    for wrong in (2.5, float("nan")):
        with pytest.raises(BadDataError, match=r"pet_only_fluid .* use a T1w"):
            refuse_beyond(good | {"pet_only_fluid": wrong}, limits)


@pytest.mark.slow
def test_a_cut_vertex_and_a_cut_cerebellum_change_little():
    phantom = make_phantom(amyloid_template(), load=50, seed=3)
    edges = np.linalg.inv(phantom.pet.affine)
    height = (phantom.field @ edges[2, :3] + edges[2, 3]).astype(np.float64)
    top = int(np.percentile(height[vois(2)["ctx"]], 90))
    low = int(np.percentile(height[vois(2)["wc"]], 20))
    cut = phantom.pet.affine.copy()
    cut[:3, 3] += low * cut[:3, 2]
    pet = Volume(np.ascontiguousarray(phantom.pet.data[:, :, low:top]), cut)
    assert_found(replace(phantom, pet=pet), normalise_pet(pet, amyloid_template()))
