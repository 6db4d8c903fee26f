"""Colour maps: what their names promise."""

import numpy as np
import pytest

from bidsapp.data import read_table
from bidsapp.data.display import lookup

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", read_table("colour_maps"))
def test_every_map_has_256_colours_that_cannot_be_changed(name):
    assert lookup(name).shape == (256, 3) and not lookup(name).flags.writeable


def test_every_named_map_is_there():
    table = read_table("display")
    rows = [*table["tracers"].values(), table["unknown"]]
    named = {row["read_colours"] for row in rows} | {table["over_colours"]}
    assert named | set(table["colours"]) <= set(read_table("colour_maps"))


def test_greys_are_the_values_themselves():
    assert (lookup("gray") == np.arange(256)[:, None]).all()
    assert (lookup("gray_r") == lookup("gray")[::-1]).all()


@pytest.mark.parametrize("name", ["inferno", "viridis", read_table("display")["over_colours"]])
def test_more_is_brighter(name):
    linear = np.where(lookup(name) < 11, lookup(name) / 3294, (lookup(name) / 269 + 0.0513) ** 2.4)
    brightness = linear @ LUMINANCE
    assert (brightness[8:] > brightness[:-8]).all()


def test_red_is_more_and_blue_is_less():
    red, _, blue = lookup("RdBu_r").astype(int).T
    assert (red[160:] > blue[160:]).all() and (red[:96] < blue[:96]).all()
    assert (lookup("RdBu_r")[127:129] > 230).all()
