"""Plots of a calibration or a comparison: regression, and limits of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bidsapp.core.statistics.regression import Agreement, Line
from bidsapp.report.axes import Axis, bottom, left
from bidsapp.report.figure import Figure
from bidsapp.report.svg import join, tag

Float = NDArray[np.float64]

_WIDTH, _LEFT, _RIGHT, _TOP, _BASE = 620.0, 64.0, 554.0, 64.0, 440.0


class Paired(NamedTuple):
    """Two values of each person, with their names and units."""

    x: Float
    y: Float
    x_label: str
    y_label: str


def paired_plots(
    stem: Path,
    regressed: Paired,
    line: Line,
    compared: Paired,
    limits: Agreement,
    *,
    identity: bool = True,
) -> list[Path]:
    """Write the regression and the Bland-Altman plot of a comparison.

    Parameters
    ----------
    stem : beginning of both paths
    regressed : what the line was fitted to
    line : of its y on its x
    compared : what agrees, labelled as mean and difference
    limits : of agreement
    identity : whether what was regressed is on one scale

    Returns
    -------
    list of Path
    """
    return [
        regression_plot(
            stem.with_name(f"{stem.name}_regression.svg"), regressed, line, identity=identity
        ),
        agreement_plot(stem.with_name(f"{stem.name}_bland-altman.svg"), compared, limits),
    ]


@dataclass(frozen=True)
class _Axes:
    x: Axis
    y: Axis
    x_label: str
    y_label: str

    @classmethod
    def around(cls, x: list[float], y: list[float], x_label: str, y_label: str) -> _Axes:
        """Axes that hold all values."""
        return cls(Axis.around(x, _LEFT, _RIGHT), Axis.around(y, _BASE, _TOP), x_label, y_label)

    def stroke(self, x: Sequence[float], y: Sequence[float], kind: str) -> Markup:
        """Line between two points, drawn as a class of the style sheet says."""
        (x1, x2), (y1, y2) = map(self.x.at, x), map(self.y.at, y)
        return tag("line", class_=kind, x1=x1, x2=x2, y1=y1, y2=y2)

    def dots(self, x: Float, y: Float) -> list[Markup]:
        """Dot for each point, with its values."""
        return [
            tag("circle", tag("title", f"{a:.4g}, {b:.4g}"), class_="dot", cx=self.x.at(a),
                cy=self.y.at(b), r=3.5)
            for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]  # fmt: skip


def regression_plot(path: Path, points: Paired, line: Line, *, identity: bool = True) -> Path:
    """Scatter of y on x with its line and, where both are on one scale, the identity.

    Parameters
    ----------
    path : ends in ``.svg``
    points : the values
    line : of y on x
    identity : whether both are on one scale

    Returns
    -------
    Path
        ``path``.
    """
    x, y, *labels = points
    ends = [float(x.min()), float(x.max())]
    fitted = [float(value) for value in line.at(np.array(ends))]
    heights = [*y.tolist(), *fitted, *(ends if identity else ())]
    axes = _Axes.around(ends, heights, *labels)
    sign = "+" if line.intercept >= 0 else "\N{MINUS SIGN}"
    words = (
        f"y = {line.slope:.4g} x {sign} {abs(line.intercept):.4g}, R² = {line.r2:.4f}, n = {line.n}"
    )
    parts = []
    if identity:
        words += "; dashed: identity"
        parts.append(axes.stroke(ends, ends, "limit"))
    parts.append(axes.stroke(ends, fitted, "median"))
    parts += axes.dots(x, y)
    return _save(path, axes, parts, words)


def agreement_plot(path: Path, points: Paired, limits: Agreement) -> Path:
    """Bland-Altman plot: difference over mean, with bias and limits of agreement.

    Parameters
    ----------
    path : ends in ``.svg``
    points : first and second value of everybody, labels of their mean and difference
    limits : of the differences

    Returns
    -------
    Path
        ``path``.
    """
    first, second, *labels = points
    means, differences = (first + second) / 2, second - first
    edges = [limits.lower, limits.bias, limits.upper]
    axes = _Axes.around(means.tolist(), [*differences.tolist(), *edges, 0.0], *labels)
    ends = [axes.x.low, axes.x.high]
    parts = []
    for value, kind in zip(edges, ("limit", "median", "limit"), strict=True):
        parts.append(axes.stroke(ends, [value, value], kind))
        parts.append(tag("text", _signed(value), x=axes.x.end + 6, y=axes.y.at(value) + 4))
    parts += axes.dots(means, differences)
    words = (
        f"bias {_signed(limits.bias)}; dashed: 95 % limits {_signed(limits.lower)} to "
        f"{_signed(limits.upper)}"
    )
    return _save(path, axes, parts, words)


def _signed(value: float) -> str:
    """One or more significant decimals, never a negative zero."""
    digits = 1 if abs(value) >= 1 else 3
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _save(path: Path, axes: _Axes, parts: Sequence[Markup], words: str) -> Path:
    drawing = [
        tag("text", words, class_="muted", x=4.0, y=20),
        left(axes.y, _LEFT, axes.x.end, axes.y_label),
        bottom(axes.x, _BASE, axes.x_label),
        *parts,
    ]
    return Figure(
        name=path.stem,
        title=f"{axes.y_label} over {axes.x_label}",
        caption=words,
        alt=words,
        width=_WIDTH,
        height=_BASE + 44,
        drawing=join(drawing),
    ).save(path)
