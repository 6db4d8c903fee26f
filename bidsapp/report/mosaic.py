"""Slices of volumes side by side in one array: the canvas of every figure.

Pictures are in neurological convention: the participant's left is on the left, the front of a
sagittal cut is on the right. Arrays are (rows, columns), first row on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform

from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume
from bidsapp.report.image_frame import ImageFrame

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
    label : where it was cut, ``z = -12 mm``: world coordinate of its middle
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

    @property
    def place(self) -> tuple[slice, slice]:
        """Its pixels on the canvas."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, eq=False)
class Layout:
    """Which cuts are shown, where, and how large.

    Attributes
    ----------
    low, high : corners of the box that every cut shows, mm, shape (3,)
    step_mm : edge of a pixel
    shape : (rows, columns) of the canvas
    tiles : in reading order
    to_world : coordinates of the box and of the cuts -> world, 4 x 4, RAS mm
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step_mm: float
    shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    to_world: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))


def lay_out(
    low: ArrayLike,
    high: ArrayLike,
    cuts: Mapping[str, Sequence[float]],
    *,
    one_row: bool = False,
    to_world: NDArray[np.float64] | None = None,
) -> Layout:
    """Place the cuts, scaled so that the widest row fills the canvas.

    Parameters
    ----------
    low, high : corners of the box to show, RAS mm
    cuts : plane name -> positions along the axis it cuts, mm
    one_row : all planes side by side; otherwise one row per plane
    to_world : coordinates of box and cuts -> world, 4 x 4; None where they are those of the world

    Returns
    -------
    Layout
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    to_world = np.eye(4) if to_world is None else to_world
    box, middle = high - low, (low + high) / 2
    by_plane = [[(plane, at) for at in cuts[plane[0]]] for plane in PLANES]
    rows = [[cut for row in by_plane for cut in row]] if one_row else by_plane
    step = max(
        sum(box[across] for (_, _, across, _), _ in row) / (WIDTH_PX - GAP_PX * (len(row) - 1))
        for row in rows
    )
    tiles, top = [], 0
    for row in rows:
        sizes = [(int(box[across] / step), int(box[up] / step)) for (_, _, across, up), _ in row]
        left = (WIDTH_PX - sum(width for width, _ in sizes) - (len(row) - 1) * GAP_PX) // 2
        for ((_, axis, across, _), position), (width, height) in zip(row, sizes, strict=True):
            at = transform(to_world, np.where(np.arange(3) == axis, position, middle))[axis]
            label = f"{'xyz'[axis]} = {round(at):+d} mm".replace("-", "\N{MINUS SIGN}")
            tiles.append(Tile(top, left, height, width, label, _ENDS[across], axis, position))
            left += width + GAP_PX
        top += max(height for _, height in sizes) + GAP_PX
    shape = (top - GAP_PX, WIDTH_PX)
    return Layout(low, high, step, shape, tuple(tiles), to_world)


def lay_out_around(
    mask: Volume,
    margin_mm: float = 8.0,
    counts: Sequence[int] = (7, 7, 6),
    *,
    one_row: bool = False,
) -> Layout:
    """Cuts at equal steps through what ``mask`` covers, along the axes of its image.

    Parameters
    ----------
    mask : Volume of bool
    margin_mm : shown around it
    counts : number of axial, coronal and sagittal cuts
    one_row : all planes side by side

    Returns
    -------
    Layout
    """
    frame = ImageFrame.around(mask, 0)
    low, high = frame.low, frame.high
    cuts = {
        name: low[axis] + (high[axis] - low[axis]) * (np.arange(count) + 1.0) / (count + 1.0)
        for (name, axis, _, _), count in zip(PLANES, counts, strict=True)
    }
    box = low - margin_mm, high + margin_mm
    return lay_out(*box, cuts, one_row=one_row, to_world=frame.to_world)


def sample(volume: Volume, layout: Layout) -> NDArray[np.float32]:
    """Cut ``volume`` along every tile of the layout, trilinear.

    Parameters
    ----------
    volume : to cut, 3D
    layout : of the slices

    Returns
    -------
    ndarray, shape ``layout.shape``, float32, read-only
        Zero outside the volume and between the tiles. Pictures share volumes and layouts: a canvas
        is kept as long as both.
    """
    known = _SAMPLED.setdefault(volume, WeakKeyDictionary())
    if layout not in known:
        known[layout] = _sampled(volume, layout)
        known[layout].flags.writeable = False
    return known[layout]


_SAMPLED: WeakKeyDictionary[Volume, WeakKeyDictionary[Layout, NDArray[np.float32]]]
_SAMPLED = WeakKeyDictionary()


def _sampled(volume: Volume, layout: Layout) -> NDArray[np.float32]:
    canvas = np.zeros(layout.shape, np.float32)
    to_index = np.linalg.inv(volume.affine)
    for tile in layout.tiles:
        matrix = to_index @ _pixel_to_world(tile, layout)
        canvas[tile.place] = _cut(volume.data, matrix, (tile.height, tile.width))
    return canvas


def _cut(
    data: NDArray[np.generic], matrix: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """One tile, ``matrix`` its (0, row, column) -> voxel; along the axes of the voxels if it may.

    Axis by axis it takes a tenth of the time of `affine_transform`.
    """
    linear = np.where(np.abs(matrix[:3, :3]) < 1e-9, 0, matrix[:3, :3])
    axes, steps = np.nonzero(linear)
    if sorted(steps) != [1, 2] or len(set(axes)) != 2:
        values = np.asarray(data, np.float32)
        return affine_transform(values, linear, matrix[:3, 3], (1, *shape), order=1)[0]
    row, column = axes[np.argsort(steps)]
    through = 3 - row - column
    plane = data.transpose(through, row, column)
    for axis, at in (
        (0, matrix[[through], 3]),
        (1, matrix[row, 3] + linear[row, 1] * np.arange(shape[0])),
        (2, matrix[column, 3] + linear[column, 2] * np.arange(shape[1])),
    ):
        plane = _along(plane, axis, at)
    return plane[0]


def _along(data: NDArray[np.generic], axis: int, at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Read along one axis, zero beyond its outermost voxels."""
    last = data.shape[axis] - 1
    outside = (at < 0) | (at > last)
    at = np.clip(at, 0, last)
    low = at.astype(np.intp)
    share = np.expand_dims((at - low).astype(np.float32), [a for a in range(3) if a != axis])
    before: tuple[Any, ...] = (
        slice(None),
    ) * axis  # an index, not `take`, which copies what is not contiguous
    values = np.asarray(data[(*before, low)], np.float32)
    if share.any():
        above: NDArray[Any] = data[(*before, np.minimum(low + 1, last))]
        values += share * (above - values)
    values[(*before, outside)] = 0
    return values


def inside(shape: Sequence[int], affine: NDArray[np.float64], layout: Layout) -> NDArray[np.bool_]:
    """Find the pixels of the layout inside the field of view of a grid.

    Parameters
    ----------
    shape : of the grid, voxels
    affine : voxel indices -> world of the layout, RAS mm
    layout : of the slices

    Returns
    -------
    ndarray of bool
        Shape of the layout.
    """
    canvas = np.zeros(layout.shape, bool)
    to_index = np.linalg.inv(affine)
    for tile in layout.tiles:
        matrix = to_index @ _pixel_to_world(tile, layout)
        rows, columns = np.indices((tile.height, tile.width))
        index = [row[1] * rows + row[2] * columns + row[3] for row in matrix[:3]]
        canvas[tile.place] = np.all(
            [(i >= -0.5) & (i <= n - 0.5) for i, n in zip(index, shape, strict=True)], axis=0
        )
    return canvas


def _pixel_to_world(tile: Tile, layout: Layout) -> NDArray[np.float64]:
    """4 x 4: (0, row, column) of a tile -> world, RAS mm; rows run downwards."""
    _, axis, across, up = next(plane for plane in PLANES if plane[1] == tile.axis)
    matrix = np.zeros((4, 4))
    matrix[axis, 3], matrix[3, 3] = tile.position_mm, 1
    matrix[across, 2], matrix[across, 3] = (
        layout.step_mm, layout.low[across] + layout.step_mm / 2,
    )  # fmt: skip
    matrix[up, 1], matrix[up, 3] = -layout.step_mm, layout.high[up] - layout.step_mm / 2
    return layout.to_world @ matrix
