"""Pictures show what they say, on a scale that belongs to the tracer."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data import read_table
from bidsapp.data.display import ReadScale, display_of, lookup, read_scale
from bidsapp.data.tracers import tracers
from bidsapp.report.lines import places
from bidsapp.report.mosaic import lay_out
from bidsapp.report.pictures import field_of_view, suvr_over_anatomy, tissue_maps, tissue_on_pet

# many cuts make small tiles, and a picture of usual size
LAYOUT = lay_out(
    (-18, -28, -8),
    (16, 20, 16),
    {"axial": range(5, 13), "coronal": range(-5, 3), "sagittal": range(0, 6)},
)
TILE = LAYOUT.tiles[0]
CENTRE = (TILE.top + TILE.height // 2, TILE.left + TILE.width // 2)

# what orientation does to cuts is tested with the cuts
one_orientation = pytest.mark.parametrize("tiny_volume", ["RAS"], indirect=True)


def like(volume: Volume, value: float) -> Volume:
    return Volume(np.full_like(volume.data, value), volume.affine)


@pytest.mark.parametrize("code", list(tracers()))
def test_the_top_of_the_scale_is_the_same_load_in_every_tracer(code):
    equation = tracers()[code].equation
    load = read_table("display")["top_cl"]
    assert centiloid(display_of(code).top, equation) == pytest.approx(
        load, abs=0.05 * equation.slope
    )


@pytest.mark.parametrize("code", [*tracers(), None])
def test_what_readers_scale_by_lies_at_nine_tenths(code):
    """Whatever the level of the anchor; without one the scale is the absolute one, and says so."""
    for level in (0.7, 2.1):
        scale = read_scale(code, lambda _, level=level: level)
        anchor = display_of(code).read_anchor
        if anchor == "load" and code is not None:
            equation = tracers()[code].equation
            assert centiloid(0.9 * scale.top, equation) == pytest.approx(100, abs=0.5)
        elif code is not None:
            assert 0.9 * scale.top == pytest.approx(level, abs=0.005)
            assert f"(SUVR {level:.2f}) is at 90 %" in scale.words
    if code in (None, "FMM", "FBB", "FBP"):
        scale = read_scale(code, lambda _: None)
        assert scale.words.startswith("The reading scale ends at")  # the colour bar has another
        assert scale.top == display_of(code).top and "not known" in scale.words


def test_in_a_row_every_plane_has_its_own_left_and_right():
    cuts = {"axial": (6, 9), "coronal": (0,), "sagittal": (2,)}
    row = lay_out((-18, -28, -8), (16, 20, 16), cuts, one_row=True)
    words = places(row)
    assert [words.count(f">{end}<") for end in "LRPA"] == [2, 2, 1, 1]
    assert "of the participant (neurological convention)" in words


@one_orientation
def test_pet_as_it_is_read_has_the_scale_of_readers(tiny_volume):
    figure = suvr_over_anatomy(
        like(tiny_volume, 1.0), tiny_volume, LAYOUT, "FBB", ReadScale(2.0, "said so")
    )
    assert figure.layers[1].pixels[CENTRE].tolist() == pytest.approx([127.5] * 3, abs=1)
    assert "said so" in figure.caption and ">2<" in figure.layers[1].key


def test_every_tracer_and_an_unknown_one_have_colours_with_a_name():
    known = read_table("display")["colours"]
    for code in [*tracers(), None, "<script>"]:
        display = display_of(code)
        assert display.top > 0 and {display.read_colours, display.over_colours} <= set(known)
    assert set(read_table("display")["tracers"]) == set(tracers())


@one_orientation
def test_the_colour_at_a_point_is_that_of_its_suvr(tiny_volume):
    """Of every participant with the tracer: nothing of the image moves the scale."""
    for suvr in (0.7, 1.4):
        figure = suvr_over_anatomy(like(tiny_volume, suvr), tiny_volume, LAYOUT, "FBB")
        alone = figure.layers[1].pixels[CENTRE]
        expected = lookup("gray")[round(255 * suvr / display_of("FBB").top)]
        assert np.abs(alone.astype(int) - expected).max() <= 1


@one_orientation
def test_no_uptake_shows_the_t1w_and_more_is_brighter(tiny_volume):
    t1w = like(tiny_volume, 100)
    figures = [
        suvr_over_anatomy(like(t1w, level), t1w, LAYOUT, "FBB") for level in (0, 0.6, 1.4, 2.3)
    ]
    none, *rest = (figure.layers[0].pixels[CENTRE].astype(int) for figure in figures)
    assert np.ptp(none) == 0 and none.mean() > 150
    brightness = [pixel.sum() for pixel in rest]
    assert brightness == sorted(brightness) and brightness[-1] > 1.5 * brightness[0]


@one_orientation
def test_outlines_are_drawn_where_the_mask_ends(tiny_volume):
    pet = like(tiny_volume, 1)
    nothing = Volume(tiny_volume.data > 1e9, tiny_volume.affine)
    blob = Volume(tiny_volume.data > 50, tiny_volume.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an empty region is no reason to warn
        plain, drawn = (
            tissue_on_pet(pet, pet, nothing, brain, LAYOUT, "FBB") for brain in (nothing, blob)
        )
    assert 'class="outline"' not in plain.drawing
    path = re.search(r'class="outline".*?d="(.*?)"', str(drawn.drawing))[1]
    radii = [
        np.hypot(LAYOUT.low[0] + LAYOUT.step_mm * (x - TILE.left),
                 LAYOUT.high[1] - LAYOUT.step_mm * (y - TILE.top) + 5)
        for line in path.split("M")[1:]
        for x, y in points(line) if y < TILE.height and x < TILE.left + TILE.width
    ]  # fmt: skip
    # the blob of 8 mm (sd) falls to one half at 9.4 mm; voxels are 2 mm wide
    assert len(radii) > 50 and np.median(radii) == pytest.approx(9.4, abs=1.0)


def points(line: str) -> np.ndarray:
    pairs = np.array(re.findall(r"-?\d+", line), int).reshape(-1, 2)
    return np.cumsum(pairs, axis=0) / 2


@one_orientation
def test_tissue_has_the_colours_of_the_legend(tiny_volume):
    some, none = like(tiny_volume, 1), like(tiny_volume, 0)
    figure = tissue_maps(like(tiny_volume, 100), (some, none, none), LAYOUT)
    pixel = figure.layers[0].pixels[CENTRE].astype(int)
    assert pixel[0] > pixel[1] + 30 > pixel[2]
    assert "#e4572e" in figure.layers[0].key and "grey matter" in figure.layers[0].key


@one_orientation
def test_what_the_pet_did_not_see_is_red(tiny_volume):
    t1w = like(tiny_volume, 100)
    x, y, z = t1w.data.shape
    brain = Volume(np.ones(t1w.data.shape, bool), t1w.affine)
    whole = field_of_view(t1w, brain, (x, y, z), t1w.affine).layers[0].pixels.astype(int)
    half = field_of_view(t1w, brain, (x, y, z // 2), t1w.affine).layers[0].pixels.astype(int)
    red = (half[..., 0] - half[..., 1]) > 20
    assert not ((whole[..., 0] - whole[..., 1]) > 20).any()
    assert red.any() and not red[-1].any()  # the top of the head is cut, not the bottom


@one_orientation
def test_left_and_right_scale_and_units_stand_on_the_picture(tiny_volume):
    text = suvr_over_anatomy(tiny_volume, tiny_volume, LAYOUT, "PIB").standalone()
    for words in (">L<", ">R<", ">P<", ">A<", "SUVR (whole cerebellum = 1)", ">3.1<", "z = +5 mm"):
        assert words in text
