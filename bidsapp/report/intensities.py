"""Figure of the mixture model: histogram of a T1w, and the Gaussians of its tissues."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bidsapp.core.anatomy.intensity_model import IntensityModel
from bidsapp.errors import BadDataError
from bidsapp.report.axes import WIDTH, Axis, bottom, chart, legend_entry
from bidsapp.report.charts import CURVES
from bidsapp.report.figure import Figure, Words
from bidsapp.report.svg import path, polyline, tag

_NAMES = {"GM": "grey matter", "WM": "white matter", "CSF": "fluid", "other": "everything else"}
_TOP, _FLOOR, _LEFT = 18.0, 214.0, 24.0
_POINTS = 240


def intensity_histogram(content: IntensityModel) -> Figure:
    """Draw the histogram of the voxels that may be brain, and what each tissue explains of it.

    Parameters
    ----------
    content : of a record

    Returns
    -------
    Figure

    Raises
    ------
    BadDataError
        Its lists do not fit together.
    """
    counts, tissue = np.asarray(content.counts, np.float64), content.tissue
    low, high = float(content.low), float(content.high)
    columns = (content.mean, content.sd, content.share)
    if {len(column) for column in columns} != {len(tissue)} or counts.sum() <= 0 or not low < high:
        raise BadDataError(
            "t1w_intensities of the record cannot be drawn (lengths do not fit); run the "
            "participant level again"
        )
    gaussians = np.array(columns, np.float64)
    x = np.linspace(low, high, _POINTS)
    width = (high - low) / counts.size
    lines = {
        name: counts.sum() * width * _density(x, gaussians[:, [label == name for label in tissue]])
        for name in dict.fromkeys(tissue)
    }
    across = Axis(low, high, _LEFT, WIDTH - 150)
    up = Axis(0.0, 1.05 * max(counts.max(), sum(lines.values()).max()), _FLOOR, _TOP)
    edges = np.linspace(low, high, counts.size + 1)
    parts = [_bars(counts, edges, across, up), bottom(across, _FLOOR + 4, "intensity")]
    places = list(map(across.at, x))
    whole = zip(places, map(up.at, sum(lines.values())), strict=True)
    parts.append(polyline(whole, "var(--ink)", stroke_dasharray="5 4"))
    for place, (name, line) in enumerate(lines.items()):
        colour = CURVES[place % len(CURVES)]
        parts += [
            polyline(zip(places, map(up.at, line), strict=True), colour),
            legend_entry(WIDTH - 138, place, colour, _NAMES.get(name, name)),
        ]
    peaks = "; ".join(
        f"{_NAMES.get(n, n)} at {x[np.argmax(line)]:.0f}" for n, line in lines.items()
    )
    return chart(Words.of("intensities", peaks=peaks), 254, parts)


def _density(x: NDArray[np.float64], gaussians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of Gaussians (rows mean, sd, share) at x."""
    mean, sd, share = gaussians[:, :, None]
    density: NDArray[np.float64] = (
        share * np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    ).sum(axis=0)
    return density


def _bars(
    counts: NDArray[np.float64], edges: NDArray[np.float64], across: Axis, up: Axis
) -> Markup:
    """One filled outline around all bars."""
    corners = [(edges[0], 0.0)]
    for count, begin, end in zip(counts, edges[:-1], edges[1:], strict=True):
        corners += [(begin, count), (end, count)]
    corners.append((edges[-1], 0.0))
    outline = path((across.at(a), up.at(b)) for a, b in corners)
    return tag("path", class_="frame", d=f"{outline}Z")
