"""Resolution of a small PET of known blur, and blurring up to a common one."""

from __future__ import annotations

import numpy as np
import pytest
from rigid_phantom import T1W_GRID, make_head
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.alignment import inverse, rigid_matrix
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.quantification.resolution import kernel_to, measure_resolution, smooth

POSITION = rigid_matrix([4.0, -3.0, 2.0, 0.05, -0.03, 0.08])
# 1.5 mm voxels to blur on, some of which are then the voxels of the PET
FINE = Grid(
    (120, 140, 110), np.array([[-1.5, 0, 0, 90], [0, 1.5, 0, -110], [0, 0, 1.5, -80], [0, 0, 0, 1]])
)


@pytest.fixture(scope="module")
def head():
    return make_head()


def blurred_pet(head, fwhm_mm, every=(2, 2, 2)):
    grey, white, csf = head.tissue
    cerebellum = head.regions["cbl"]
    drift = 1 + 0.002 * T1W_GRID.world()[..., 1]  # uptake that changes from back to front
    uptake = 1.8 * grey * drift + 1.3 * white + 0.4 * csf - 0.8 * grey * cerebellum
    image = Volume(uptake.astype(np.float32), head.t1w.affine)
    sharp = np.nan_to_num(resample(image, FINE, inverse(POSITION)).data)
    data = gaussian_filter(sharp, np.asarray(fwhm_mm) / FWHM_PER_SIGMA / 1.5)
    data = data[tuple(slice(None, None, step) for step in every)]
    noise = gaussian_filter(np.random.default_rng(2).normal(size=data.shape), 0.8)
    affine = FINE.affine @ np.diag([*map(float, every), 1])
    return Volume((5000 * (data + 0.05 * noise / noise.std())).astype(np.float32), affine)


@pytest.mark.slow
def test_widths_along_the_axes_are_found_and_blurred_to_what_is_asked(head):
    fwhm = (5.0, 5.0, 7.5)
    pet = blurred_pet(head, fwhm)
    images = (head.tissue, head.mask, head.regions, head.t1w.affine, POSITION)
    found = measure_resolution(pet, *images)
    # the phantom is read between voxels of 3 mm to be drawn: that blurs it a little more
    own = [np.sqrt(width**2 + FWHM_PER_SIGMA**2 / 6 * 9) for width in fwhm]
    assert found == pytest.approx(own, abs=0.6)
    assert found[0] == found[1]
    blurred = smooth(pet, kernel_to(9.0, found))
    assert measure_resolution(blurred, *images) == pytest.approx([9, 9, 9], abs=0.35)


@pytest.mark.slow
def test_widths_are_found_in_large_voxels(head):
    """Voxels of 4.5 x 4.5 x 6 mm, nearly as large as the blur."""
    fwhm = (5.0, 5.0, 6.0)
    pet = blurred_pet(head, fwhm, every=(3, 3, 4))
    found = measure_resolution(pet, head.tissue, head.mask, head.regions, head.t1w.affine, POSITION)
    own = [np.sqrt(width**2 + FWHM_PER_SIGMA**2 / 6 * 9) for width in fwhm]
    assert found == pytest.approx(own, abs=0.6)


def test_kernels_add_in_squares_and_never_sharpen():
    assert kernel_to(10.0, (6.0, 8.0, 10.0)) == pytest.approx((8.0, 6.0, 0.0))
    assert kernel_to(6.0, (7.0, 6.5, 5.0)) == pytest.approx((0.0, 0.0, np.sqrt(11)))


def test_smoothing_is_a_gaussian_along_each_axis():
    data = np.zeros((31, 33, 35), np.float32)
    data[15, 16, 17] = 1
    data += 1e-9  # no plane is padding
    image = Volume(data, np.diag([2.0, 2.0, 3.0, 1.0]))
    found = np.asarray(smooth(image, (6.0, 8.0, 12.0)).data, np.float64)
    for axis, (size, width) in enumerate(zip((2, 2, 3), (6, 8, 12), strict=True)):
        profile = found.sum(axis=tuple({0, 1, 2} - {axis}))
        place = size * np.arange(len(profile))
        mean = (profile * place).sum() / profile.sum()
        variance = (profile * (place - mean) ** 2).sum() / profile.sum()
        assert np.sqrt(variance) * FWHM_PER_SIGMA == pytest.approx(width, rel=0.02)


def test_what_was_not_measured_draws_nothing_in():
    data = np.full((12, 14, 30), 7.0, np.float32)
    data[:, :, :5] = np.nan
    data[:, :, -4:] = 0  # padding
    data[3, 4, 10] = np.nan
    found = smooth(Volume(data, np.diag([2.0, 2.0, 2.0, 1.0])), (8.0, 8.0, 8.0)).data
    measured = np.isfinite(data)
    measured[:, :, -4:] = False
    np.testing.assert_array_equal(np.isfinite(found), measured)
    assert found[measured] == pytest.approx(7.0, rel=1e-5)


def test_no_blur_changes_nothing():
    image = Volume(np.random.default_rng(0).random((6, 7, 8), dtype=np.float32), np.eye(4))
    np.testing.assert_array_equal(smooth(image, (0.0, 0.0, 0.0)).data, image.data)
