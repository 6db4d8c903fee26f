"""In which colours and on which scale uptake is shown: a property of the tracer, not of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bidsapp.data import read_table
from bidsapp.data.tracers import tracers


@dataclass(frozen=True)
class Display:
    """How a tracer is shown.

    Attributes
    ----------
    top : upper end of the scale, SUVR (whole cerebellum = 1); the lower end is 0
    read_colours, over_colours : name of the colour map of a picture of PET alone, over a T1w
    read_source : where ``read_colours`` comes from
    """

    top: float
    read_colours: str
    over_colours: str
    read_source: str


def display_of(tracer: str | None) -> Display:
    """Return how a tracer (code) is shown; an unknown one has a display too."""
    table = read_table("display")
    row = table["tracers"].get(tracer, table["unknown"])
    top = table["unknown_top"]
    if tracer in tracers():
        equation = tracers()[tracer].equation
        top = round((table["top_cl"] - equation.intercept) / equation.slope, 1)
    return Display(top=top, **row)


def colours_in_words(name: str) -> str:
    """Name of a colour map for people."""
    return str(read_table("display")["colours"].get(name, name))


@cache
def lookup(name: str) -> NDArray[np.uint8]:
    """Colours of a map from low to high.

    Parameters
    ----------
    name : of a map in ``data/colour_maps.toml``

    Returns
    -------
    ndarray, shape (256, 3), uint8
    """
    colours = bytes.fromhex(read_table("colour_maps")[name])
    return np.frombuffer(colours, np.uint8).reshape(256, 3)  # read-only, as bytes are


def coloured(share: NDArray[np.floating], name: str) -> NDArray[np.uint8]:
    """Colour of every pixel, shape (..., 3), of its place on the scale, 0 to 1."""
    return lookup(name)[np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)]
