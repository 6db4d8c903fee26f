"""Positions of frames with and without correction of motion within a PET."""

from types import SimpleNamespace

import numpy as np

from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.steps.averaging import _applied

WITHIN, TO_PART = rigid_matrix([1, 2, 3, 0.1, 0, 0]), rigid_matrix([-4, 0, 5, 0, 0.2, 0])


def test_without_correction_every_frame_lies_as_its_pet():
    part = SimpleNamespace(matrices=np.stack([np.eye(4), WITHIN]), measured=(True, True))
    corrected = _applied(part, TO_PART, within=True)
    np.testing.assert_array_equal(corrected, [TO_PART, WITHIN @ TO_PART])
    np.testing.assert_array_equal(_applied(part, TO_PART, within=False), [TO_PART] * 2)
