"""Atlases against the brain of the template."""

import numpy as np

from bidsapp.core.grid.volume import Grid
from bidsapp.core.regions.atlas_checks import DILATED_MM, Anatomy, outside_brain


def test_beside_the_brain_is_told_in_millimetres_whatever_the_voxels():
    """A plane of brain and labels on both sides, one voxel of 1 mm or of 5 mm away."""
    brain = np.zeros((7, 7, 7), bool)
    for axis, size_mm in ((0, 1.0), (1, 1.0), (2, 5.0)):
        grid = Grid((7, 7, 7), np.diag([1.0, 1.0, 5.0, 1.0]))
        plane = np.moveaxis(brain.copy(), axis, 0)
        plane[3] = True
        anatomy = Anatomy(np.moveaxis(plane, 0, axis), np.zeros(1), np.zeros(1), grid)
        beside = np.zeros((7, 7, 7), bool)
        np.moveaxis(beside, axis, 0)[[2, 4]] = True
        assert (outside_brain(1.0, beside, anatomy) is None) == (size_mm <= DILATED_MM)
