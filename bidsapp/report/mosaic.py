"""Cuts through volumes, laid out side by side as one array: the canvas of every picture.

Pictures are in neurological convention: the participant's left is on the left, the front of a
sagittal cut is on the right. Arrays are (rows, columns), first row on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from bidsapp.volume import Volume

WIDTH_PX = 1600
GAP_PX = 6

# (name, axis that is cut, axis shown left to right, axis shown bottom to top), axes of RAS world
PLANES = (("axial", 2, 0, 1), ("coronal", 1, 0, 2), ("sagittal", 0, 1, 2))
_ENDS = {0: ("L", "R"), 1: ("P", "A")}


@dataclass(frozen=True)
class Tile:
    """One cut on the canvas.

    Attributes
    ----------
    top, left, height, width : place on the canvas, pixels
    label : where it was cut, ``z = -12 mm``
    ends : letters of the left and right edge
    """

    top: int
    left: int
    height: int
    width: int
    label: str
    ends: tuple[str, str]
    axis: int
    position_mm: float


@dataclass(frozen=True)
class Layout:
    """Which cuts are shown, where, and how large.

    Attributes
    ----------
    low, high : corners of the world box that every cut shows, RAS mm, shape (3,)
    step_mm : edge of a pixel
    shape : (rows, columns) of the canvas
    tiles : in reading order
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step_mm: float
    shape: tuple[int, int]
    tiles: tuple[Tile, ...]


def lay_out(
    low: Sequence[float], high: Sequence[float], cuts: Mapping[str, Sequence[float]]
) -> Layout:
    """Place the cuts, one row per plane, scaled so that the widest row fills the canvas.

    Parameters
    ----------
    low, high : corners of the world box to show, RAS mm
    cuts : plane name -> positions along the axis it cuts, mm
    """
    box = np.asarray(high, float) - np.asarray(low, float)
    rows = [(plane, cuts[plane[0]]) for plane in PLANES]
    step = max(
        box[across] * len(at) / (WIDTH_PX - GAP_PX * (len(at) - 1))
        for (_, _, across, _), at in rows
    )
    tiles, top = [], 0
    for (_, axis, across, up), at in rows:
        width, height = int(box[across] / step), int(box[up] / step)
        left = (WIDTH_PX - len(at) * width - (len(at) - 1) * GAP_PX) // 2
        for position in at:
            label = f"{'xyz'[axis]} = {position:+.0f} mm".replace("-", "\N{MINUS SIGN}")
            tiles.append(Tile(top, left, height, width, label, _ENDS[across], axis, position))
            left += width + GAP_PX
        top += height + GAP_PX
    shape = (top - GAP_PX, WIDTH_PX)
    return Layout(np.asarray(low, float), np.asarray(high, float), step, shape, tuple(tiles))


def lay_out_around(
    mask: Volume, margin_mm: float = 8.0, counts: Sequence[int] = (7, 7, 6)
) -> Layout:
    """Cuts at equal steps through what ``mask`` covers, in world axes whatever the grid.

    Parameters
    ----------
    mask : Volume of bool
    margin_mm : shown around it
    counts : number of axial, coronal and sagittal cuts
    """
    inside = np.argwhere(mask.data)
    world = inside @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    low, high = world.min(axis=0), world.max(axis=0)
    cuts = {
        name: low[axis] + (high[axis] - low[axis]) * (np.arange(count) + 1.0) / (count + 1.0)
        for (name, axis, _, _), count in zip(PLANES, counts, strict=True)
    }
    return lay_out(low - margin_mm, high + margin_mm, cuts)


def sample(volume: Volume, layout: Layout) -> NDArray[np.float32]:
    """Cut ``volume`` (trilinear) along every tile of the layout.

    Returns
    -------
    ndarray, shape ``layout.shape``, float32
        Zero outside the volume and between the tiles.
    """
    canvas = np.zeros(layout.shape, np.float32)
    data = np.asarray(volume.data, np.float32)
    to_index = np.linalg.inv(volume.affine)
    for tile in layout.tiles:
        _, axis, across, up = next(plane for plane in PLANES if plane[1] == tile.axis)
        world = np.empty((tile.height, tile.width, 3))
        world[..., axis] = tile.position_mm
        world[..., across] = layout.low[across] + layout.step_mm * (np.arange(tile.width) + 0.5)
        world[..., up] = layout.high[up] - layout.step_mm * (np.arange(tile.height)[:, None] + 0.5)
        index = np.moveaxis(world @ to_index[:3, :3].T + to_index[:3, 3], -1, 0)
        rows = slice(tile.top, tile.top + tile.height)
        columns = slice(tile.left, tile.left + tile.width)
        canvas[rows, columns] = map_coordinates(data, index, order=1)
    return canvas
