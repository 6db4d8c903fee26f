"""What of a T1w the segmentation is given."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError
from bidsapp.steps import anatomy


@pytest.mark.parametrize("background", [0, -1, 1000, 40000])
def test_a_background_of_one_number_holds_nothing(monkeypatch, background):
    given = []

    def normalise(t1w, *_, **__):
        given.append(t1w.data)
        raise BadDataError("enough is seen")

    monkeypatch.setattr(anatomy, "normalise", normalise)
    brain = np.random.default_rng(0).uniform(300, 1500, (16, 16, 16)).astype(np.float32)
    t1w = np.pad(brain, 8, constant_values=background)
    with pytest.raises(BadDataError, match="enough"):
        anatomy.segment_head(Volume(t1w, np.eye(4)))
    inside = np.zeros(t1w.shape, bool)
    inside[8:-8, 8:-8, 8:-8] = True
    np.testing.assert_array_equal(given[0] > 0, inside)
    np.testing.assert_array_equal(given[0][inside], t1w[inside])
