"""Partial volume correction against phantoms whose blurred image is known in closed form.

Balls in balls: a ball blurred by a Gaussian has a formula in the error function, so the phantom
shares no code with what it tests. Curved surfaces cross the voxels at all offsets, as anatomy does.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.special import erf

from bidsapp.core.regions.pvc import (
    RegionMaps,
    blur,
    gtm,
    in_voxels,
    iterative_yang,
    mueller_gaertner,
    rbv,
    region_values,
)
from bidsapp.errors import BadDataError

VOXEL = 2.0
SHAPE = (58, 36, 36)
MIDDLE = np.array([[34.3, 35.1, 36.4], [80.9, 36.7, 35.2]])  # of two brains, mm
BRAIN, CORE, NUCLEUS = 22.0, 16.5, 9.0  # radii, mm: grey ribbon of 5.5 mm, white matter, nucleus
# activity: ribbon of the one and of the other brain, white matter of both, nucleus of the first
TRUTH = np.array([4.0, 2.5, 1.5, 3.0])
AROUND = 0.4


def _ball(radius: float, sigma: float, r: np.ndarray) -> np.ndarray:
    """A ball of 1 in 0, blurred by a Gaussian, at the distances ``r`` from its middle."""
    if sigma == 0:
        return (r < radius).astype(float)
    near, far = (radius - r) / (sigma * np.sqrt(2)), (radius + r) / (sigma * np.sqrt(2))
    tail = sigma / (r * np.sqrt(2 * np.pi)) * (np.exp(-(near**2)) - np.exp(-(far**2)))
    return (erf(far) + erf(near)) / 2 - tail


def region_maps(maps: np.ndarray) -> RegionMaps:
    """Regions of fractional maps, (N, X, Y, Z)."""
    rows = sparse.csr_array(maps.reshape(len(maps), -1), dtype=np.float32)
    return RegionMaps(rows, maps.shape[1:])


@cache
def _parts(psf_mm, sharp: bool = False) -> np.ndarray:
    """Both ribbons, white matter, nucleus: voxel means of each, (4, X, Y, Z).

    The balls are stretched along the axes like the Gaussian that blurs them, so that the formula
    holds for every Gaussian.
    """
    mean = np.mean(psf_mm)
    sigma = 0 if sharp else mean / np.sqrt(8 * np.log(2))
    # smooth images: the two nodes of Gauss are exact enough; edges: points spread evenly
    offsets = (np.arange(4) + 0.5) / 4 - 0.5 if sharp else np.array([-1, 1]) / np.sqrt(12)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    total = np.zeros((4, *SHAPE))
    for offset in np.stack(np.meshgrid(offsets, offsets, offsets), axis=-1).reshape(-1, 3):
        at = (index + offset[:, None, None, None]) * VOXEL
        first, second = (
            np.sqrt(sum(((at[i] - m[i]) * mean / psf_mm[i]) ** 2 for i in range(3))) for m in MIDDLE
        )
        cores = _ball(CORE, sigma, first), _ball(CORE, sigma, second)
        nucleus = _ball(NUCLEUS, sigma, first)
        total[0] += _ball(BRAIN, sigma, first) - cores[0]
        total[1] += _ball(BRAIN, sigma, second) - cores[1]
        total[2] += cores[0] + cores[1] - nucleus
        total[3] += nucleus
    return total / len(offsets) ** 3


def _pet(psf_mm, values=TRUTH, around=AROUND) -> np.ndarray:
    parts = _parts(psf_mm)
    return (np.tensordot(values, parts, 1) + around * (1 - parts.sum(axis=0))).astype(np.float32)


PSFS = [(6.0, 6.0, 6.0), (5.0, 6.0, 7.5)]


def _phantom(psf_mm, **values) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """PET, true fractions of the four parts, and FWHMs in voxels."""
    sharp = _parts(psf_mm, sharp=True).astype(np.float32)
    return _pet(psf_mm, **values), sharp, in_voxels(psf_mm, np.full(3, VOXEL))


@pytest.fixture(scope="module", params=PSFS, ids=str)
def phantom(request):
    return _phantom(request.param)


def test_known_regions_are_recovered(phantom):
    pet, sharp, fwhm = phantom
    regions = region_maps(sharp)
    matrix = gtm(pet, regions, fwhm)
    assert (np.abs(matrix.observed / TRUTH - 1) > 0.14).all()  # there is something to correct
    np.testing.assert_allclose(matrix.values, TRUTH, rtol=0.01)
    assert matrix.background == pytest.approx(AROUND, abs=0.02)
    by_rbv, _ = region_values(rbv(pet, regions, fwhm, matrix), regions, fwhm)
    np.testing.assert_allclose(by_rbv, TRUTH, rtol=0.01)
    by_yang, _ = region_values(iterative_yang(pet, regions, fwhm), regions, fwhm)
    np.testing.assert_allclose(by_yang, TRUTH, rtol=0.02)


def test_corrected_images_are_right_inside_regions_too(phantom):
    pet, sharp, fwhm = phantom
    regions = region_maps(sharp)
    for image in (
        rbv(pet, regions, fwhm, gtm(pet, regions, fwhm)),
        iterative_yang(pet, regions, fwhm),
    ):
        for part, value in zip(sharp, TRUTH, strict=True):
            assert np.median(image[part == 1]) == pytest.approx(value, rel=0.02)


@pytest.mark.parametrize("lesion", [False, True], ids=["plain", "lesion"])
def test_grey_matter_over_uniform_white_matter(lesion):
    values = np.array([4.0, 4.0, 1.5, 4.0])  # what the method assumes: one grey, one white level
    pet, sharp, fwhm = _phantom((5.0, 6.0, 7.5), values=values, around=0.0)
    if lesion:  # something bright that the segmentation took for white matter
        pet[39:42, 17:20, 17:20] = 9.0
    image, c_wm = mueller_gaertner(pet, sharp[0] + sharp[1] + sharp[3], sharp[2], fwhm)
    assert c_wm == pytest.approx(1.5, rel=0.02)
    for part in (sharp[0], sharp[1], sharp[3]):
        known = np.isfinite(image)
        assert np.average(image[known], weights=part[known]) == pytest.approx(4.0, rel=0.03)


def test_without_blur_nothing_changes():
    sharp = _parts((6.0, 6.0, 6.0), sharp=True)
    labels = np.where(sharp.max(axis=0) > 0.5, sharp.argmax(axis=0) + 1, 0)
    rng = np.random.default_rng(5)
    pet = (np.array([AROUND, *TRUTH])[labels] + rng.normal(0, 0.1, SHAPE)).astype(np.float32)
    regions = RegionMaps.of_labels(labels, 4)
    still = in_voxels((0, 0, 0), np.full(3, VOXEL))
    means = [pet[labels == i].mean(dtype=float) for i in (1, 2, 3, 4)]
    matrix = gtm(pet, regions, still)
    np.testing.assert_allclose(matrix.observed, means, rtol=1e-6)
    np.testing.assert_allclose(matrix.values, means, rtol=1e-6)
    np.testing.assert_array_equal(rbv(pet, regions, still, matrix), pet)
    np.testing.assert_array_equal(iterative_yang(pet, regions, still), pet)
    np.testing.assert_allclose(region_values(pet, regions, still)[0], means, rtol=1e-6)
    grey = np.isin(labels, (1, 2, 4)).astype(np.float32)
    image, _ = mueller_gaertner(pet, grey, (labels == 3).astype(np.float32), still)
    np.testing.assert_allclose(image[grey == 1], pet[grey == 1], rtol=1e-6)


def test_voxels_that_were_not_measured_need_no_value(phantom):
    pet, sharp, fwhm = phantom
    pet, regions = pet.copy(), region_maps(sharp)
    pet[:, :, :12] = np.nan  # the field of view ends inside the brain
    matrix = gtm(pet, regions, fwhm)
    np.testing.assert_allclose(matrix.values, TRUTH, rtol=0.01)
    for image in (rbv(pet, regions, fwhm, matrix), iterative_yang(pet, regions, fwhm)):
        np.testing.assert_array_equal(np.isnan(image), np.isnan(pet))
        np.testing.assert_allclose(region_values(image, regions, fwhm)[0], TRUTH, rtol=0.02)


def test_a_region_outside_the_field_has_no_value_and_spoils_no_other(phantom):
    pet, sharp, fwhm = phantom
    pet = pet.copy()
    pet[:29] = np.nan  # all of the first brain
    matrix = gtm(pet, region_maps(sharp), fwhm)
    assert np.isnan(matrix.values[[0, 3]]).all() and np.isnan(matrix.observed[[0, 3]]).all()
    np.testing.assert_allclose(matrix.values[1:3], TRUTH[1:3], rtol=0.01)


def test_labels_with_fractions_are_maps():
    rng = np.random.default_rng(2)
    labels, fraction = rng.integers(0, 4, (6, 7, 8)), rng.random((6, 7, 8)).astype(np.float32)
    maps = np.stack([np.where(labels == i, fraction, 0) for i in (1, 2, 3)])
    by_labels = RegionMaps.of_labels(labels, 3, fraction)
    np.testing.assert_array_equal(
        by_labels.fractions.toarray(), region_maps(maps).fractions.toarray()
    )
    np.testing.assert_allclose(by_labels.filled, maps.sum(axis=0))
    assert by_labels.beside(region_maps(maps)).number == 6
    np.testing.assert_allclose(
        by_labels.image(np.array([1.0, 2.0, 3.0])), np.tensordot([1, 2, 3], maps, 1), rtol=1e-6
    )


def test_noise_of_a_scan_moves_the_values_little(phantom):
    pet, sharp, fwhm = phantom
    noise = np.random.default_rng(0).normal(0, 1.0, SHAPE).astype(np.float32)
    matrix = gtm(pet + blur(noise, fwhm), region_maps(sharp), fwhm)
    assert 1 < matrix.condition < 5
    np.testing.assert_allclose(matrix.values, TRUTH, rtol=0.03)


@pytest.mark.parametrize("psf_mm", [(-1, 6, 6), (6, float("nan"), 6), (6, 6, 60)])
def test_impossible_resolution(psf_mm):
    with pytest.raises(BadDataError, match="--psf"):
        in_voxels(psf_mm, np.full(3, 2.0))


def test_no_white_matter():
    nothing = np.zeros(SHAPE, np.float32)
    with pytest.raises(BadDataError, match="white matter"):
        mueller_gaertner(nothing, nothing, nothing, (3, 3, 3))


def test_two_hundred_regions_at_pet_resolution_have_their_values():
    uptake = np.random.default_rng(4).random(200)
    shape = (100, 120, 80)
    blocks = np.array(np.meshgrid(*(np.arange(n) // 14 for n in shape), indexing="ij"))
    labels = 1 + blocks[0] * 54 + blocks[1] * 6 + blocks[2]
    labels[labels > 200] = 0
    pet = blur(np.append(0, uptake)[labels].astype(np.float32), (3.0, 3.0, 3.0))
    values = gtm(pet, RegionMaps.of_labels(labels, 200), (3.0, 3.0, 3.0)).values
    np.testing.assert_allclose(values, uptake, atol=0.001)
