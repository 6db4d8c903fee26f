"""The cortex from outside: a region shows in the view that faces it, on the side it is on."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.data.atlases import atlas
from bidsapp.report.lines import places
from bidsapp.report.surface import _VIEWS, _mask, _seen, _shown, projected

LEFT_OUTER, LEFT_INNER, RIGHT_INNER, RIGHT_OUTER, ABOVE, BELOW = range(6)


def brightness(*names: str) -> list[np.ndarray]:
    """Every view of a brain whose only uptake is in some regions of the atlas."""
    whole, data = atlas("DesikanKilliany"), np.zeros(mni_grid(2).shape, np.float32)
    data.reshape(-1)[whole.regions.combined([whole.positions(names)]).voxels] = 2.0
    layout, pixels = projected(Volume(data, mni_grid(2).affine), "FBB")
    bright = pixels.max(axis=2)
    return [bright[: one.height, one.left : one.left + one.width] for one in layout.tiles]


@pytest.mark.parametrize(
    ("region", "seen", "unseen"),
    [("ctx-lh-middletemporal", LEFT_OUTER, RIGHT_OUTER),
     ("ctx-rh-middletemporal", RIGHT_OUTER, LEFT_OUTER),
     ("ctx-lh-precuneus", LEFT_INNER, RIGHT_INNER),
     ("ctx-rh-precuneus", RIGHT_INNER, LEFT_INNER)],
)  # fmt: skip
def test_a_region_is_seen_from_the_side_it_is_on(region, seen, unseen):
    views = brightness(region)
    assert (views[seen] > 100).sum() > 300 and not (views[unseen] > 100).any()


@pytest.mark.parametrize(
    ("view", "region", "on_the_left"),
    [(LEFT_OUTER, "ctx-lh-frontalpole", True), (LEFT_OUTER, "ctx-lh-lateraloccipital", False),
     (RIGHT_OUTER, "ctx-rh-lateraloccipital", True), (LEFT_INNER, "ctx-lh-cuneus", True),
     (RIGHT_INNER, "ctx-rh-cuneus", False), (ABOVE, "ctx-lh-precentral", True),
     (BELOW, "ctx-lh-fusiform", False)],
)  # fmt: skip
def test_front_and_back_left_and_right_are_where_the_letters_say(view, region, on_the_left):
    picture = brightness(region)[view]
    columns = np.nonzero(picture > 100)[1]
    assert (columns.mean() < picture.shape[1] / 2) == on_the_left


def test_what_is_seen_is_the_uptake_of_the_cortex_alone():
    cortex = _shown(1.5 * _mask("LRB").astype(np.float32))  # nothing in white matter or outside
    for view in _VIEWS:
        uptake, light = _seen(view, cortex, 2.0)
        np.testing.assert_allclose(uptake[light > 0], 1.5, rtol=1e-6)


def test_a_brain_from_below_is_not_said_to_be_in_neurological_convention():
    layout, _ = projected(Volume(np.ones(mni_grid(2).shape, np.float32), mni_grid(2).affine), "FBB")
    assert "left and right of the participant; P, A" in places(layout)
