"""What of a T1w the segmentation is given, and what is flagged of its result."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bidsapp.core.anatomy.normalise import Normalised
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


def test_what_went_another_way_or_is_beyond_a_limit_is_flagged(monkeypatch):
    segmentation = SimpleNamespace(brain_mask=np.ones((16,) * 3, bool))

    def findings(**changes):
        made = Normalised(
            segmentation, {"voi_contrast": 2.0, **changes.pop("quality", {})}, (), 3.0
        )
        made = replace(made, **changes)
        monkeypatch.setattr(anatomy, "normalise", lambda *_, **__: made)
        t1w = np.random.default_rng(0).uniform(300, 1500, (16, 16, 16)).astype(np.float32)
        return anatomy.segment_head(Volume(t1w, np.eye(4))).findings

    assert findings() == ()
    fallback, rotated, low = findings(
        strategy="a stiffer warp", reason="normalisation-shift", rotation_deg=90.2,
        quality={"voi_contrast": 0.2},
    )  # fmt: skip
    assert fallback.code == "normalisation-fallback"
    assert "(normalisation-shift) and a stiffer warp was used" in fallback.message
    assert rotated.code == "t1w-orientation" and "rotated by 90 degrees" in rotated.message
    assert low.code == "normalisation-contrast" and "look at the picture" in low.message
