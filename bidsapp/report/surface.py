"""Cortical uptake rendered from outside: the pattern of a scan in one figure.

As in stereotactic surface projections (Minoshima et al. 1995), a ray goes into the template's brain
at every pixel; shown is the mean uptake of the cortex in the first millimetres that it meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt, gaussian_filter, zoom

from bidsapp.core.grid.volume import Volume, mask_slices
from bidsapp.data import mni_grid
from bidsapp.data.atlases import atlas
from bidsapp.data.display import coloured, colours_in_words, display_of
from bidsapp.report.figure import Figure, Words
from bidsapp.report.lines import colour_bar
from bidsapp.report.mosaic import GAP_PX, WIDTH_PX, Layout, Tile
from bidsapp.report.pictures import as_layer, framed

_DEPTH_MM = 14.0  # of cortex that a ray averages
_DEEPEST_MM = 30.0  # from the midline; beyond, a ray has passed the gap of the corpus callosum
_CORTEX = ("frontal", "parietal", "temporal", "occipital", "cingulate", "insula", "cerebellum")


@dataclass(frozen=True)
class _View:
    """A view: hemispheres, the axis that is looked along, and whether from its high end."""

    label: str
    sides: str
    axis: int
    from_high: bool
    mirrored: bool  # whether the axis shown from left to right runs backwards
    ends: tuple[str, str]


_VIEWS = (
    _View("left, outer side", "L", 0, False, True, ("A", "P")),
    _View("left, inner side", "L", 0, True, False, ("P", "A")),
    _View("right, inner side", "R", 0, False, True, ("A", "P")),
    _View("right, outer side", "R", 0, True, False, ("P", "A")),
    _View("from above", "LRB", 2, True, False, ("L", "R")),
    _View("from below", "LRB", 2, False, True, ("R", "L")),
)


def cortex_from_outside(suvr_mni: Volume, tracer: str | None) -> Figure:
    """Show the uptake of the cortex from six sides.

    Parameters
    ----------
    suvr_mni : uptake ratio on the 2 mm grid of the template, whole cerebellum = 1
    tracer : code, for colours and scale

    Returns
    -------
    Figure
    """
    display = display_of(tracer)
    layout, canvas = projected(suvr_mni, tracer)
    colours = colours_in_words(display.over_colours)
    words = Words.of("pattern", depth_mm=_DEPTH_MM, colours=colours, top=display.top)
    bar = colour_bar(layout, display.over_colours, display.top)
    return framed(layout, words, layers=(as_layer(words.title, canvas, bar),))


def projected(suvr_mni: Volume, tracer: str | None) -> tuple[Layout, NDArray[np.float32]]:
    """Render the views of the cortex.

    Parameters
    ----------
    suvr_mni : uptake ratio on the 2 mm grid of the template
    tracer : code, for colours and scale

    Returns
    -------
    tuple[Layout, ndarray
        Layout of the views, and pixels (rows, columns, 3), 0 to 255.
    """
    display, step = display_of(tracer), float(mni_grid(2).voxel_size[0])
    data: NDArray[np.float32] = _shown(np.asarray(suvr_mni.data, np.float32))
    drawn = [(view, *_seen(view, data, step)) for view in _VIEWS]
    factor = (WIDTH_PX - GAP_PX * (len(drawn) - 1)) / sum(pixels.shape[1] for _, pixels, _ in drawn)
    tiles, pictures, left = [], [], 0
    for view, uptake, light in drawn:
        colours = coloured(_enlarged(uptake, factor) / display.top, display.over_colours)
        pictures.append(colours * _enlarged(light, factor)[..., None])
        height, width = pictures[-1].shape[:2]
        tiles.append(Tile(0, left, height, width, view.label, view.ends, view.axis, 0.0))
        left += width + GAP_PX
    canvas = np.zeros((max(tile.height for tile in tiles), WIDTH_PX, 3), np.float32)
    for tile, picture in zip(tiles, pictures, strict=True):
        canvas[tile.place] = picture
    layout = Layout(np.zeros(3), np.zeros(3), step / factor, canvas.shape[:2], tuple(tiles))
    return layout, canvas


def _seen(
    view: _View, data: NDArray[np.float32], step: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Uptake and brightness of every pixel of a view, first row on top, last column right."""
    mask = _turned(_cortex(view.sides), view)
    first = mask.argmax(axis=0)
    met = mask.any(axis=0)
    if "inner" in view.label:
        met &= step * (first - first[met].min()) < _DEEPEST_MM
    depth = np.arange(mask.shape[0])[:, None, None] - first
    inside = mask & (depth >= 0) & (depth * step < _DEPTH_MM)
    counts = np.maximum(inside.sum(axis=0), 1)
    uptake = (_turned(data, view) * inside).sum(axis=0) / counts
    relief = gaussian_filter(np.where(met, first, first[met].max()).astype(np.float32), 0.8)
    slopes = np.gradient(relief)
    light = met * (0.4 + 0.6 / np.sqrt(1 + 0.4 * (slopes[0] ** 2 + slopes[1] ** 2)))
    # rays that slipped through a gap between two labels show what is beside it
    beside = distance_transform_edt(~met, return_distances=False, return_indices=True)
    gaps = binary_closing(met, iterations=2) & ~met
    for picture in (uptake, light):
        picture[gaps] = picture[tuple(beside[:, gaps])]
    return uptake.astype(np.float32), light.astype(np.float32)


def _turned(data: NDArray[Any], view: _View) -> NDArray[Any]:
    """RAS array as a view sees it: depth first, then rows from the top, then columns."""
    across = 1 if view.axis == 0 else 0
    up = 3 - view.axis - across
    turned = data.transpose(view.axis, up, across)[:, ::-1]
    turned = turned[::-1] if view.from_high else turned
    return turned[:, :, ::-1] if view.mirrored else turned


def _enlarged(picture: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    shape = [int(size * factor) for size in picture.shape]
    enlarged: NDArray[np.float32] = zoom(
        picture, [new / old for new, old in zip(shape, picture.shape, strict=True)], order=1
    )
    return enlarged


@cache
def _cortex(sides: str) -> NDArray[np.bool_]:
    """Voxels of cortex on these sides, from the template's atlas, as `_shown`."""
    return _shown(_mask(sides))


@cache
def _mask(sides: str) -> NDArray[np.bool_]:
    whole = atlas("DesikanKilliany")
    rows = [
        place
        for place, row in enumerate(whole.rows)
        if row.lobe in _CORTEX and row.hemisphere in sides
    ]
    mask = np.zeros(mni_grid(2).shape, bool)
    mask.reshape(-1)[whole.regions.combined([rows]).voxels] = True
    return mask


def _shown(data: NDArray[Any]) -> NDArray[Any]:
    """Part of the template's grid that holds the cortex, turned to RAS (its first axis is not)."""
    flips = np.diag(mni_grid(2).affine)[:3] < 0
    part = data[mask_slices(_mask("LRB"), 2)]
    return part[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
