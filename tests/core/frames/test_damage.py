"""Damage to images: what is told of it, and what is taken out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.frames.damage import (
    above_zero,
    air_level,
    crosses,
    flat_voxels,
    inspect,
    regional_deviation,
    voxels_at,
    without_padding,
    without_spikes,
)
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import flagged
from bidsapp.data import read_table


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    data = np.zeros((24, 24, 24), np.float32)
    data[4:20, 4:20, 4:20] = rng.uniform(100, 400, size=(16, 16, 16))
    return data


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e38, 3e5, -3e5])
def test_what_no_head_has_is_missing_and_the_rest_untouched(head, value):
    odd = head.copy()
    odd[10, 10, 10] = value
    found = without_spikes(Volume(odd, np.eye(4))).data
    assert np.isnan(found[10, 10, 10])
    odd[10, 10, 10] = np.nan
    np.testing.assert_array_equal(found, odd)


def test_bright_vessels_stay(head):
    head[10, 10, 10] = 3 * head.max()
    image = Volume(head, np.eye(4))
    assert without_spikes(image) is image


@pytest.mark.parametrize("times", [9.0, 11.0, 40.0])
@pytest.mark.parametrize("bright", [1, 19, 20, 21, 22, 60])  # 0.5 % of 4096 voxels are 20.5
def test_what_is_bright_is_told_from_a_spike_by_the_percentile_alone(head, bright, times):
    places = np.flatnonzero(head)[:: 4096 // bright][:bright]
    head.ravel()[places] = times * 400
    limit = 10 * np.percentile(head[head > 0], 99.5)
    found = without_spikes(Volume(head, np.eye(4))).data
    assert np.array_equal(np.isnan(found), head > limit)


@pytest.mark.parametrize("padding", [150, 250, 500, 1e5])
def test_padding_as_bright_as_tissue_is_missing(head, padding):
    outside = head == 0
    found = without_padding(Volume(np.where(outside, padding, head).astype(np.float32), np.eye(4)))
    np.testing.assert_array_equal(found.data, np.where(outside, np.nan, head))


@pytest.mark.parametrize("padding", [-1000, -1, 0, 20, np.nan])
def test_padding_that_is_dark_stays(head, padding):
    image = Volume(np.where(head == 0, padding, head).astype(np.float32), np.eye(4))
    assert without_padding(image) is image


def test_what_is_everywhere_or_in_a_few_voxels_is_no_padding(head):
    head[:2] = 250  # a twelfth
    for data in (head, np.full_like(head, 7)):
        image = Volume(data, np.eye(4))
        assert without_padding(image) is image


def test_an_empty_image_stays(head):
    image = Volume(np.zeros_like(head), np.eye(4))
    assert without_spikes(image) is image


@pytest.mark.parametrize(
    ("factor", "offset"), [(0.001, -0.2), (1 / 400, -0.5), (1, -300), (2, -900)]
)
@pytest.mark.parametrize("skull", [True, False])
def test_intensities_below_zero_are_moved_until_air_or_the_darkest_fluid_is_zero(
    head, factor, offset, skull
):
    head = np.maximum(head - 90, 0)  # fluid is dark
    there = np.ones(head.shape, bool) if skull else head > 0  # zero is air, or nothing at all
    odd = np.where(there, factor * head + offset, 0)
    image, level = above_zero(Volume(odd, np.eye(4)))
    lowest = factor * head[there].min() + offset
    assert lowest - 0.02 * factor * 400 < level <= lowest + 1e-6
    np.testing.assert_allclose(image.data[there], odd[there] - level, atol=1e-5 * factor * 400)
    assert (image.data[~there] == 0).all()


def test_zero_among_other_levels_is_one_of_them(head):
    odd = np.rint(head - 250)
    odd[10, 10, 10] = 0
    image, level = above_zero(Volume(odd, np.eye(4)))
    assert image.data[10, 10, 10] == pytest.approx(-level)


@pytest.mark.parametrize("skull", [True, False])
@pytest.mark.parametrize("padding", [-100, -1000, -32768])
def test_padding_below_all_intensities_is_nothing_and_moves_nothing(head, padding, skull):
    there = np.ones(head.shape, bool) if skull else head > 0
    there[:3] = False
    found, level = above_zero(Volume(np.where(there, head, padding), np.eye(4)))
    assert level is None
    np.testing.assert_array_equal(found.data, np.where(there, head, 0))


@pytest.mark.parametrize("outside", [1, 4, 30])
def test_what_is_outside_a_brain_without_skull_is_nothing_whatever_its_number(head, outside):
    found, level = above_zero(Volume(np.where(head > 0, head, outside), np.eye(4)))
    assert level is None
    np.testing.assert_array_equal(found.data, head)


def test_what_goes_below_zero_beside_padding_is_moved_by_its_own_level(head):
    head = np.maximum(head - 90, 0)  # fluid is dark
    there = np.ones(head.shape, bool)
    there[:3] = False
    alone, level = above_zero(Volume(head - 300, np.eye(4)))
    found, beside = above_zero(Volume(np.where(there, head - 300, -1000), np.eye(4)))
    assert beside == pytest.approx(level, abs=0.02 * 400)
    assert (found.data[~there] == 0).all()
    np.testing.assert_allclose(found.data[there], alone.data[there], atol=0.02 * 400)


def test_what_interpolation_leaves_below_zero_stays(head):
    head[0, :8] = -0.04 * 400
    image = Volume(head, np.eye(4))
    assert above_zero(image) == (image, None)


def test_no_number_stays_no_number(head):
    head[10, 10, 10] = np.nan
    found, level = above_zero(Volume(head - 200, np.eye(4)))
    assert np.isnan(found.data[10, 10, 10]) and level is not None
    nothing = Volume(np.full((3, 3, 3), np.nan), np.eye(4))
    assert above_zero(nothing) == (nothing, None)


SHAPE, VOXEL_MM = (56, 60, 48), 3.0
AFFINE = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
MIDDLE = np.array(SHAPE) / 2


def ball(radius_mm):
    from_middle = VOXEL_MM * (np.indices(SHAPE).T - MIDDLE)
    return radius_mm > np.linalg.norm(from_middle, axis=-1).T


BRAIN = ball(40.0)
TISSUE = ball(36.0)
BOTTOM = int(MIDDLE[2] - 36 / VOXEL_MM)


def phantom(noise_sd):
    """Grey on white, blurred, with noise, in air that is nearly none."""
    rng = np.random.default_rng(2)
    uptake = np.where(BRAIN, np.where(ball(30.0), 1.8, 1.0), 0.02)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 0.9)
    values = ndimage.gaussian_filter(uptake, 0.9) * (1 + noise_sd * noise / noise.std())
    return (8000 * values).astype(np.float32)


def thin(noise_sd):
    """The same with planes of half the thickness."""
    return ndimage.uniform_filter1d(phantom(noise_sd).repeat(2, axis=2), 2, axis=2)


@pytest.fixture(scope="module")
def pet():
    """With the noise of a short frame."""
    return phantom(0.15)


def clipped(data, share):
    return np.minimum(data, np.quantile(data[TISSUE], share))


def filled(data, planes, level):
    data = data.copy()
    data[:, :, : BOTTOM + planes] = level * data.max()
    return data


def emptied(data, planes):
    data = data.copy()
    data[:, 30 : 30 + planes] = 0
    return data


def scaled(data, factor):
    data = data.copy()
    data[:, :, : SHAPE[2] // 2] *= factor
    return data


def damage_codes(data):
    found = inspect(Volume(data, AFFINE), TISSUE)
    numbers = {
        "pet_lost_share": float(found.lost.sum() / TISSUE.sum()),
        "pet_clipped_share": found.clipped_share,
        "pet_plane_step_sds": found.step_sds,
        "pet_air_level": air_level(Volume(data, AFFINE), BRAIN, float(np.median(data[TISSUE]))),
    }
    return {flag.code for flag in flagged(numbers, read_table("limits"), again="look")}


def test_an_undamaged_pet_has_nothing(pet):
    found = inspect(Volume(pet, AFFINE), TISSUE)
    assert not found.lost.any()
    assert found.clipped_share == 0
    assert found.plane_step < 0.15
    assert damage_codes(pet) == set()


@pytest.mark.parametrize("share", [0.99, 0.9, 0.6])
def test_a_clipped_pet_is_told(pet, share):
    found = inspect(Volume(clipped(pet, share), AFFINE), TISSUE)
    assert found.clipped_share == pytest.approx(1 - share, abs=0.001)
    assert damage_codes(clipped(pet, share)) == {"pet-clipped"}


@pytest.mark.parametrize(("planes", "level"), [(2, 0.01), (3, 0.3), (12, 0.01), (5, 0.0)])
def test_what_was_filled_with_a_number_is_lost(pet, planes, level):
    damaged = filled(pet, planes, level)
    lost = inspect(Volume(damaged, AFFINE), TISSUE).lost
    band = TISSUE.copy()
    band[:, :, BOTTOM + planes :] = False
    assert (lost & band).sum() == band.sum()
    assert (lost & ~band).sum() < 0.2 * band.sum()
    assert "pet-lost" in damage_codes(damaged)


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_empty_planes_between_filled_ones_are_lost(pet, planes):
    lost = inspect(Volume(emptied(pet, planes), AFFINE), TISSUE).lost
    assert lost[:, 30 : 30 + planes][TISSUE[:, 30 : 30 + planes]].all()
    assert "pet-lost" in damage_codes(emptied(pet, planes))


@pytest.mark.parametrize("levels", [20, 200])
def test_an_image_of_few_levels_is_no_filled_one(pet, levels):
    step = pet.max() / levels
    coarse = np.round(pet / step) * step
    assert damage_codes(coarse) == set()
    assert "pet-lost" in damage_codes(filled(coarse, 5, np.float32(8 * step / pet.max())))


def test_an_enlarged_image_is_no_filled_one(pet):
    enlarged = pet.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)[28:-28, 30:-30, 24:-24]
    found = inspect(
        Volume(enlarged, AFFINE), np.ones(SHAPE, bool) & (enlarged > 0.3 * enlarged.max())
    )
    assert not found.lost.any()


@pytest.mark.parametrize("factor", [0.4, 0.6, 1.6])
def test_planes_that_were_scaled_make_a_step(pet, factor):
    found = inspect(Volume(scaled(pet, factor), AFFINE), TISSUE)
    assert found.plane_step == pytest.approx(2 * abs(1 - factor) / (1 + factor), abs=0.12)
    assert (found.step_axis, found.step_plane) == (2, SHAPE[2] // 2 - 1)
    assert damage_codes(scaled(pet, factor)) == {"pet-plane-step"}
    assert crosses(found, TISSUE, 0.01)
    assert not crosses(found, filled(TISSUE, 14, 0.0).astype(bool), 0.01)


@pytest.mark.parametrize("noise_sd", [0.02, 0.15])
@pytest.mark.parametrize("factor", [0.93, 1.08])
def test_a_small_step_is_told_by_planes_of_much_tissue(noise_sd, factor):
    limit = read_table("limits")["pet_plane_step_sds"]["flag"]
    good = thin(noise_sd)
    spoilt = good.copy()
    spoilt[:, :, : SHAPE[2]] *= factor
    affine, tissue = AFFINE @ np.diag([1.0, 1.0, 0.5, 1.0]), TISSUE.repeat(2, axis=2)
    assert inspect(Volume(good, affine), tissue).step_sds < limit
    assert inspect(Volume(spoilt, affine), tissue).step_sds > limit


def test_a_step_counts_by_the_noise_of_its_own_planes():
    half, affine, tissue = (
        SHAPE[2],
        AFFINE @ np.diag([1.0, 1.0, 0.5, 1.0]),
        TISSUE.repeat(2, axis=2),
    )
    calm, noisy = map(thin, (0.1, 0.3))
    ends = np.concatenate([calm[..., :half], noisy[..., half:]], axis=-1)

    def sds(plane):
        shifted = ends.copy()
        shifted[..., plane:] *= 1.1
        return inspect(Volume(shifted, affine), tissue).step_sds

    assert sds(half - 12) > 2 * sds(half + 12)


def test_steps_between_narrow_planes_count_by_the_largest_usual_one():
    column = ball(24.0)[:, :, SHAPE[2] // 2, None]
    narrow, calm = (TISSUE & column).repeat(2, axis=2), thin(0.02)
    calm[:, :, SHAPE[2] :] *= 1.3
    found = inspect(Volume(calm, AFFINE @ np.diag([1.0, 1.0, 0.5, 1.0])), narrow).step_sds
    assert found == pytest.approx(np.log(1.3) / 0.04, rel=0.03)


def test_planes_that_are_all_uneven_are_no_noise(pet):
    uneven = pet.copy()
    uneven[:, :, ::2] *= 0.6
    assert damage_codes(uneven) == {"pet-plane-step"}


def two_tissues(noise_sd):
    """Uptake of grey around white, known only as blurred, and the shares of the two."""
    inner = ndimage.gaussian_filter(ball(24.0).astype(float), 0.9)
    outer = ndimage.gaussian_filter(BRAIN.astype(float), 0.9)
    tissue = np.stack([outer - inner, inner])
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 0.9)
    return (tissue[0] + 1.8 * tissue[1]) * (1 + noise_sd * noise / noise.std()), tissue


@pytest.mark.parametrize("noise_sd", [0.0, 0.1])
def test_two_tissues_are_no_parts_that_differ(noise_sd):
    uptake, tissue = two_tissues(noise_sd)
    apart = regional_deviation(uptake, tissue, BRAIN, VOXEL_MM)
    assert apart == pytest.approx(0, abs=1e-9 + 2 * noise_sd)
    assert regional_deviation(7 * uptake, tissue, BRAIN, VOXEL_MM) == pytest.approx(apart)


@pytest.mark.parametrize("factor", [0.5, 1.5])
@pytest.mark.parametrize("shift", [(0, 0, 0), (4, -4, 2)])
def test_a_part_that_differs_is_told_by_how_much(factor, shift):
    uptake, tissue = two_tissues(0.05)
    part = np.roll(ball(15.0), shift, axis=(0, 1, 2))
    spoilt = np.where(part, factor * uptake, uptake)
    limit = read_table("limits")["pet_reference_apart"]["flag"]
    assert limit < regional_deviation(spoilt, tissue, BRAIN, VOXEL_MM) < 0.8
    spoilt[part] = np.nan
    assert regional_deviation(spoilt, tissue, BRAIN, VOXEL_MM) < 0.1


def test_a_region_without_uptake_has_no_parts():
    uptake, tissue = two_tissues(0.0)
    assert regional_deviation(0 * uptake, tissue, BRAIN, VOXEL_MM) is None
    assert regional_deviation(np.nan * uptake, tissue, BRAIN, VOXEL_MM) is None


@pytest.mark.parametrize("level", [0.05, 0.2, -0.1])
def test_an_offset_shows_in_the_air(pet, level):
    assert damage_codes(pet + np.float32(level * np.median(pet[TISSUE]))) == {"pet-offset"}


def test_air_that_was_set_to_zero_tells_nothing(pet):
    bare = np.where(BRAIN, pet, 0)
    assert air_level(Volume(bare, AFFINE), BRAIN, 8000.0) is None
    assert damage_codes(bare) == set()


def test_a_pet_without_activity_is_lost():
    found = inspect(Volume(np.zeros(SHAPE, np.float32), AFFINE), TISSUE)
    assert (found.lost == TISSUE).all()


def test_noise_has_no_flat_place_and_a_block_is_one():
    data = np.random.default_rng(4).normal(size=(12, 12, 12))
    assert not flat_voxels(data).any()
    data[3:8, 3:8, 3:8] = 5
    block = np.zeros(data.shape, bool)
    block[3:8, 3:8, 3:8] = True
    flat = flat_voxels(data)
    assert not (flat & ~block).any()
    assert flat[4:7, 4:7, 4:7].all()


def test_points_find_their_voxels():
    grid = Volume(TISSUE, AFFINE).grid
    centres = grid.world()[TISSUE]
    assert (voxels_at(centres + 1.0, grid) == TISSUE).all()
    assert not voxels_at(centres + 1e4, grid).any()
