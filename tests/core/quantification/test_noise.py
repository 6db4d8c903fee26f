"""Noise of VOI means, against the scatter of means over many noise images."""

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.quantification.noise import Noise, estimate
from bidsapp.data import priors, vois

VOXEL_MM = 2.0


@pytest.fixture(scope="module")
def anatomy():
    """Uptake of grey and white matter with sharp edges, blurred as by a PET of 6 mm."""
    grey, white = priors().maps[:2]
    uptake = np.where(grey > np.maximum(white, 0.3), 1.4, np.where(white > 0.3, 1.25, 0.2))
    return ndimage.gaussian_filter(uptake, 6 / 2.355 / VOXEL_MM)


def field(rng, sigma_mm):
    """Noise of standard deviation one, white noise through a Gaussian kernel."""
    white = rng.standard_normal((91, 109, 91))
    noise = ndimage.gaussian_filter(white, sigma_mm / VOXEL_MM, mode="wrap")
    return noise / noise.std()


@pytest.mark.parametrize("name", ["ctx", "wc", "pons"])
def test_the_error_of_a_mean_counts_every_pair_of_voxels(name):
    """By the autocorrelation of the kernel itself, convolved with the mask."""
    width, mask = 2.1 / VOXEL_MM, vois(2)[name].astype(float)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / width) ** 2)
    correlation = np.convolve(kernel, kernel) / (kernel @ kernel)
    reached = mask
    for axis in range(3):
        reached = ndimage.convolve1d(reached, correlation, axis=axis, mode="constant")
    wanted = np.sqrt((reached * mask).sum()) / mask.sum()
    assert Noise(1.0, 2.1).of_mean(mask > 0, VOXEL_MM) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("sigma_mm", [1.5, 2.5])
@pytest.mark.parametrize("sd", [0.06, 0.12])
def test_noise_is_measured_through_anatomy(anatomy, sigma_mm, sd):
    rng = np.random.default_rng(1)
    image = anatomy * (1 + sd * field(rng, sigma_mm))
    found = estimate(image, vois(2)["ctx"] | vois(2)["wcb"], VOXEL_MM)
    assert found.relative_sd == pytest.approx(sd, rel=0.25)
    for name in ("ctx", "wc"):
        wanted = Noise(sd, sigma_mm).of_mean(vois(2)[name], VOXEL_MM)
        assert found.of_mean(vois(2)[name], VOXEL_MM) == pytest.approx(wanted, rel=0.35)


def test_noise_does_not_depend_on_the_unit_nor_on_padding(anatomy):
    image = anatomy * (1 + 0.06 * field(np.random.default_rng(1), 2.0))
    mask = vois(2)["ctx"] | vois(2)["wcb"]
    found = estimate(image, mask, VOXEL_MM)
    scaled = estimate(np.pad(1e-6 * image, 20), np.pad(mask, 20), VOXEL_MM)
    assert scaled.relative_sd == pytest.approx(found.relative_sd, rel=1e-3)
    assert scaled.sigma_mm == pytest.approx(found.sigma_mm)


def test_anatomy_alone_is_taken_for_little_noise(anatomy):
    found = estimate(anatomy, vois(2)["ctx"] | vois(2)["wcb"], VOXEL_MM)
    assert found.of_mean(vois(2)["ctx"], VOXEL_MM) < 0.008  # below 1 CL


def test_an_image_that_was_hardly_measured_tells_nothing(anatomy):
    image = anatomy.copy()
    image[:, :, 12:] = np.nan
    assert estimate(image, vois(2)["ctx"] | vois(2)["wcb"], VOXEL_MM) is None
    assert estimate(np.ones_like(anatomy), vois(2)["ctx"], VOXEL_MM).relative_sd == 0
