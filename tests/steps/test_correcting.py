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
