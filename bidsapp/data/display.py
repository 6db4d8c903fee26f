"""Colours and scale of uptake images: a property of the tracer, not of a scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bidsapp.data import read_table
from bidsapp.data.tracers import STANDARD_REFERENCE, tracers


@dataclass(frozen=True)
class Display:
    """How a tracer is shown.

    Attributes
    ----------
    top : upper end of the scale, SUVR (whole cerebellum = 1); the lower end is 0
    top_cl : the same in CL; None for a tracer without an equation
    read_colours, over_colours : name of the colour map of a picture of PET alone, over a T1w
    read_source : where ``read_colours`` comes from
    read_anchor, read_reason : what sets the scale of PET alone, and why (`read_scale`)
    """

    top: float
    top_cl: float | None
    read_colours: str
    over_colours: str
    read_source: str
    read_anchor: str
    read_reason: str


@dataclass(frozen=True)
class ReadScale:
    """The scale of a PET as read.

    Attributes
    ----------
    top : its upper end, SUVR (whole cerebellum = 1); the lower end is 0
    words : where it comes from, a sentence
    """

    top: float
    words: str


def display_of(tracer: str | None) -> Display:
    """Return how a tracer (code) is shown; an unknown one has a display too.

    Parameters
    ----------
    tracer : code; None when it is not known

    Returns
    -------
    Display
    """
    table = read_table("display")
    row = table["tracers"].get(tracer, table["unknown"])
    top = _suvr_at(table["top_cl"], tracer)
    if top is None:
        return Display(table["unknown_top"], None, over_colours=table["over_colours"], **row)
    return Display(round(top, 1), table["top_cl"], over_colours=table["over_colours"], **row)


def _suvr_at(load: float, tracer: str | None) -> float | None:
    """SUVR (whole cerebellum) of a load in Centiloids; None without an equation."""
    known = tracers().get(tracer or "")
    equation = known and known.equations.get(STANDARD_REFERENCE)
    return (load - equation.intercept) / equation.slope if equation else None


def read_scale(tracer: str | None, level: Callable[[str], float | None]) -> ReadScale:
    """Scale on which readers of a tracer see a scan.

    Parameters
    ----------
    tracer : code
    level : SUVR of the anchors ``pons`` and ``wm`` in the scan, None where it is not known

    Returns
    -------
    ReadScale

    Examples
    --------
    >>> read_scale("FMM", {"pons": 1.8}.get).top
    2.0
    """
    table, display = read_table("display"), display_of(tracer)
    anchor, share = display.read_anchor, table["read_share"]
    suvr = _suvr_at(table["read_cl"], tracer) if anchor == "load" else level(anchor)
    if not suvr or suvr <= 0:
        words = "as in the other pictures, because the usual one is not known."
        return ReadScale(display.top, f"The reading scale ends at SUVR {display.top:.1f}, {words}")
    top = round(suvr / share, 2)
    where = f"{table['anchors'][anchor]} (SUVR {suvr:.2f}) is at {100 * share:.0f} % of it"
    return ReadScale(
        top, f"The reading scale ends at SUVR {top:.2f}: {where}; {display.read_reason}."
    )


def colours_in_words(name: str) -> str:
    """Name of a colour map for people.

    Parameters
    ----------
    name : of a map in ``data/colour_maps.toml``

    Returns
    -------
    str
    """
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
    """Colour of every pixel, shape (..., 3), of its place on the scale, 0 to 1.

    Parameters
    ----------
    share : place of every pixel on the scale; beyond 0 to 1 as the end
    name : of a map in ``data/colour_maps.toml``

    Returns
    -------
    ndarray, shape (..., 3), uint8
    """
    return lookup(name)[np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)]
