"""Annotation of a mosaic: outlines, scales, legends, left and right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bidsapp.data.display import lookup
from bidsapp.report.mosaic import Layout, Tile
from bidsapp.report.svg import join, tag

FOOTER_PX = 104
_TEXT, _MUTED = "#eef1f4", "#b6bfc9"
# Contours are sought on every third pixel (about 2 mm, the voxels of the regions) and written in
# half pixels: a sixth of the bytes of the finest way, for a line that is three pixels wide.
_STRIDE = 3
_UNITS = 2
_SHORTEST = 6  # points of a line; what is smaller is a speck


@dataclass(frozen=True)
class Outline:
    """A line around a region.

    Attributes
    ----------
    colour : of the line, CSS
    name : in the legend
    """

    colour: str
    name: str


def outline(canvas: NDArray[np.float32], style: Outline) -> Markup:
    """Draw where ``canvas`` crosses one half, with a dark rim that keeps it apart from uptake.

    Parameters
    ----------
    canvas : shape (rows, columns)
    style : colour and name

    Returns
    -------
    Markup
    """
    from contourpy import contour_generator

    lines = contour_generator(z=canvas[::_STRIDE, ::_STRIDE]).lines(0.5)
    path = "".join(
        _path(np.asarray(line) * _STRIDE + 0.5) for line in lines if len(line) >= _SHORTEST
    )
    if not path:
        return Markup("")
    return tag(
        "g",
        tag("path", d=path, stroke="#000", stroke_opacity=".55", stroke_width=7),
        tag("path", d=path, stroke=style.colour, stroke_width=3.5),
        class_="outline",
        fill="none",
        stroke_linejoin="round",
        transform=f"scale({1 / _UNITS})",
    )


def _path(line: NDArray[np.float64]) -> str:
    """Path of points (x, y), relative and in whole units."""
    points = np.rint(line * _UNITS).astype(int)
    steps = np.diff(points, axis=0)
    steps = steps[steps.any(axis=1)]
    if not len(steps):
        return ""
    relative = " ".join(map(str, steps.ravel().tolist()))
    return f"M{points[0, 0]} {points[0, 1]}l{relative.replace(' -', '-')}"


def places(layout: Layout) -> Markup:
    """Label every slice with its position, and every row with its directions.

    Parameters
    ----------
    layout : of the picture

    Returns
    -------
    Markup
    """
    labels = [
        _words(tile.left + 8, tile.top + tile.height - 9, tile.label, size=20)
        for tile in layout.tiles
    ]
    for first, last in _row_ends(layout):
        labels.append(_words(first.left + 8, first.top + 30, first.ends[0], size=30))
        right = last.left + last.width - 8
        labels.append(_words(right, last.top + 30, last.ends[1], size=30, anchor="end"))
    # a brain seen from below has its left on the right, whatever the convention of slices
    from_below = any(tile.ends == ("R", "L") for tile in layout.tiles)
    convention = "" if from_below else " (neurological convention)"
    words = f"L, R: left and right of the participant{convention}; P, A: back and front"
    note = _words(10, layout.shape[0] + 92, words, size=20, colour=_MUTED)
    return join([*labels, note])


def legend(layout: Layout, entries: Sequence[Outline]) -> Markup:
    """Name outlines or colours at the bottom left, each after a stroke of its colour.

    Parameters
    ----------
    layout : of the picture
    entries : outlines or colours

    Returns
    -------
    Markup
    """
    y, x, parts = layout.shape[0] + 44, 10.0, []
    for entry in entries:
        stroke = tag(
            "path", d=f"M{x:.0f} {y - 7}h34", stroke=entry.colour, stroke_width=6, fill="none"
        )
        parts += [stroke, _words(x + 42, y, entry.name, size=22)]
        x += 42 + 11.2 * len(entry.name) + 26
    return join(parts)


def colour_bar(layout: Layout, colours: str, top: float) -> Markup:
    """Scale of SUVR from 0 to ``top``, at the bottom right.

    Parameters
    ----------
    layout : of the picture
    colours : name of a colour map
    top : SUVR at its end

    Returns
    -------
    Markup
    """
    ticks = [*np.arange(0, top - 0.3, 0.5), top]
    marks = [(float(tick) / top, f"{tick:g}") for tick in ticks]
    return scale_bar(layout, colours, "SUVR (whole cerebellum = 1)", marks)


def scale_bar(
    layout: Layout, colours: str, title: str, marks: Sequence[tuple[float, str]]
) -> Markup:
    """Scale of colours at the bottom right.

    Parameters
    ----------
    layout : of the picture
    colours : name of a colour map
    title : what is shown, with its unit
    marks : (place from 0 to 1, words)

    Returns
    -------
    Markup
    """
    left, width, y = 1210.0, 350.0, layout.shape[0] + 20.0
    stops = range(0, 256, 5)
    step = width / len(stops)
    bar = join(
        tag("rect", x=left + i * step, y=y, width=step + 0.6, height=22,
            fill="#" + lookup(colours)[stop].tobytes().hex())
        for i, stop in enumerate(stops)
    )  # fmt: skip
    ticks = [
        join([
            tag("line", x1=x, x2=x, y1=y + 22, y2=y + 29, stroke=_MUTED),
            _words(x, y + 52, words, size=20, anchor="middle"),
        ])
        for place, words in marks
        for x in [left + width * place]
    ]  # fmt: skip
    frame = tag(
        "rect", x=left, y=y, width=width, height=22, fill="none", stroke=_MUTED, stroke_width=1
    )
    return join([bar, frame, *ticks, _words(left + width, y + 76, title, size=20, anchor="end")])


def _row_ends(layout: Layout) -> Iterator[tuple[Tile, Tile]]:
    """First and last tile of every run of tiles that show the same axis from left to right."""
    first = last = layout.tiles[0]
    for tile in layout.tiles[1:]:
        if (tile.top, tile.axis, tile.ends) != (first.top, first.axis, first.ends):
            yield first, last
            first = tile
        last = tile
    yield first, last


def _words(
    x: float, y: float, words: str, *, size: int, anchor: str | None = None, colour: str = _TEXT
) -> Markup:
    """Write on the picture, with a dark rim so that it reads over bright tissue."""
    return tag(
        "text", words, x=x, y=y, text_anchor=anchor, fill=colour, stroke="#000",
        stroke_width=4, stroke_opacity=".7", paint_order="stroke", style=f"font-size:{size}px",
    )  # fmt: skip
