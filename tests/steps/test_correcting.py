"""Maps of tissue on the grid of a PET."""

import numpy as np
import pytest

from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.steps.correcting import fractions


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
