"""Maps of tissue on the grid of a PET."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.regions.pvc import RegionMaps, gtm, in_voxels
from bidsapp.steps.correcting import beyond_fractions, fractions


def test_fractions_of_larger_voxels():
    fine = Grid((40, 40, 40), np.diag([1.0, 1, 1, 1]))
    ball = np.linalg.norm(fine.world() - 19.5, axis=-1) < 12
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 0.5
    found = fractions(
        Volume(ball.astype(np.float32), fine.affine), Grid((20,) * 3, affine), np.eye(4)
    )
    blocks = ball.reshape(20, 2, 20, 2, 20, 2).mean(axis=(1, 3, 5))
    assert found.sum() == pytest.approx(blocks.sum(), rel=0.01)
    assert np.abs(found - blocks).mean() < 0.02 and found.max() <= 1


def test_a_larger_voxel_widens_by_its_own_variance():
    """A Gaussian of 4 mm by 1 mm voxels; over an edge of 6 mm the variance is 6**2 / 12."""
    fine = Grid((41,) * 3, np.diag([1.0, 1, 1, 1]))
    peak = np.exp(-((fine.world() - 20.0) ** 2).sum(-1) / (2 * 4**2)).astype(np.float32)
    affine = np.diag([6.0, 6, 6, 1])
    affine[:3, 3] = 8
    found = fractions(Volume(peak, fine.affine), Grid((5,) * 3, affine), np.eye(4))
    assert found[2, 2, 2] == pytest.approx((16 / (16 + 35 / 12)) ** 1.5, rel=0.01)


@pytest.mark.parametrize("voxel_mm", [2, 3])
def test_a_measured_resolution_is_that_of_the_fractions_and_the_rest(voxel_mm):
    """A ball of 1 in voxels of another size, turned, blurred by 6 mm and by its voxels."""
    n = 60 // voxel_mm * voxel_mm
    fine = Grid((n,) * 3, np.diag([1.0, 1, 1, 1]))
    middle = np.full(3, (n - 1) / 2)
    ball = (np.linalg.norm(fine.world() - middle, axis=-1) < 14).astype(np.float32)
    m = n // voxel_mm
    blurred = gaussian_filter(ball, 6 / FWHM_PER_SIGMA)
    pet = blurred.reshape(m, voxel_mm, m, voxel_mm, m, voxel_mm).mean(axis=(1, 3, 5))
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = (voxel_mm - 1) / 2
    grid, turn = Grid((m,) * 3, affine), rigid_matrix([0, 0, 0, 0.3, 0.2, 0.1], middle)
    maps = RegionMaps.of_labels(
        np.ones(grid.shape, int), 1, fractions(Volume(ball, fine.affine), grid, turn)
    )
    # of the image as the tissue map of 1 mm shows the ball
    measured = (float(np.sqrt(36 + FWHM_PER_SIGMA**2 * (voxel_mm**2 - 1) / 12)),) * 3

    def error(psf):
        return abs(gtm(pet, maps, in_voxels(psf, grid.voxel_size)).values[0] - 1)

    assert error(beyond_fractions(measured, fine, grid)) < 0.003 < 0.5 * error(measured)
