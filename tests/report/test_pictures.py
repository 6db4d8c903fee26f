"""Pictures show what they say, on a scale that belongs to the tracer."""

from __future__ import annotations

import io
import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image

from bidsapp.core.centiloid import centiloid
from bidsapp.data.tracers import tracers
from bidsapp.report.mosaic import lay_out
from bidsapp.report.pictures import SCALE_TOP_CL, Picture, suvr_over_t1w, suvr_top, tissue_on_pet
from bidsapp.volume import Volume

# many cuts make small tiles, and a picture of usual size
LAYOUT = lay_out(
    (-18, -28, -8),
    (16, 20, 16),
    {"axial": range(5, 13), "coronal": range(-5, 3), "sagittal": range(0, 6)},
)

# what orientation does to cuts is tested with the cuts
one_orientation = pytest.mark.parametrize("tiny_volume", ["RAS"], indirect=True)


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.image)).convert("RGB")).astype(int)


@pytest.mark.parametrize("code", list(tracers()))
def test_the_top_of_the_scale_is_the_same_load_in_every_tracer(code):
    top = centiloid(suvr_top(code), tracers()[code].equation)
    assert top == pytest.approx(SCALE_TOP_CL, abs=0.05 * tracers()[code].equation.slope)


def test_an_unknown_tracer_has_a_scale_too():
    assert suvr_top(None) == suvr_top("<script>") > 0


@one_orientation
def test_more_uptake_is_brighter_and_none_shows_the_t1w(tiny_volume):
    t1w = Volume(np.full_like(tiny_volume.data, 100), tiny_volume.affine)
    grey = pixels(suvr_over_t1w(Volume(t1w.data * 0, t1w.affine), t1w, LAYOUT, "FBB"))
    tile = LAYOUT.tiles[0]
    centre = (tile.top + tile.height // 2, tile.left + tile.width // 2)
    assert np.ptp(grey[centre]) <= 4 and grey[centre].mean() > 150
    brightness = [
        pixels(suvr_over_t1w(Volume(t1w.data * level / 100, t1w.affine), t1w, LAYOUT, "FBB"))[
            centre
        ].sum()
        for level in (0.6, 1.4, 2.3)
    ]
    assert brightness == sorted(brightness) and brightness[-1] > 1.5 * brightness[0]


@one_orientation
def test_outlines_are_drawn_where_the_mask_ends(tiny_volume):
    pet = Volume(np.ones_like(tiny_volume.data), tiny_volume.affine)
    nothing = Volume(tiny_volume.data > 1e9, tiny_volume.affine)
    blob = Volume(tiny_volume.data > 50, tiny_volume.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an empty region is no reason to warn
        plain, drawn = (
            pixels(tissue_on_pet(pet, nothing, brain, LAYOUT, "FBB")) for brain in (nothing, blob)
        )
    tile = LAYOUT.tiles[0]
    window = (slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width))
    changed = np.abs(drawn - plain)[window].sum(axis=-1) > 120
    rows, columns = np.nonzero(changed)
    x = LAYOUT.low[0] + LAYOUT.step_mm * (columns + 0.5)
    y = LAYOUT.high[1] - LAYOUT.step_mm * (rows + 0.5)
    radius = np.hypot(x, y + 5)
    # the blob of 8 mm (sd) falls to one half at 9.4 mm; voxels are 2 mm wide
    assert len(radius) > 200 and np.median(radius) == pytest.approx(9.4, abs=1.0)


@one_orientation
def test_a_persons_settings_of_matplotlib_change_nothing(tiny_volume):
    before = suvr_over_t1w(tiny_volume, tiny_volume, LAYOUT, "PIB")
    own = {"image.origin": "lower", "savefig.bbox": "tight", "font.size": 30, "axes.grid": True}
    with matplotlib.rc_context(own):
        assert suvr_over_t1w(tiny_volume, tiny_volume, LAYOUT, "PIB") == before
        assert matplotlib.rcParams["image.origin"] == "lower"


@one_orientation
def test_a_picture_says_its_size_and_carries_its_scale(tiny_volume):
    picture = suvr_over_t1w(tiny_volume, tiny_volume, LAYOUT, "PIB")
    assert pixels(picture).shape == (picture.height, picture.width, 3)
    footer = pixels(picture)[LAYOUT.shape[0] :]
    assert len(np.unique(footer.reshape(-1, 3), axis=0)) > 100  # the colour bar, the letters
    assert "3.1" in picture.caption and "SUVR" in picture.caption
