"""Plots of a calibration or a comparison: regression, and limits of agreement."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regression import Agreement, Line
from bidsapp.io.atomic import write_bytes
from bidsapp.io.untouched import load

Float = NDArray[np.float64]

_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#666666"


def regression_plot(
    path: Path, x: Float, y: Float, line: Line, *, x_label: str, y_label: str, identity: bool
) -> Path:
    """Scatter of y on x with its line and, where both are on one scale, the identity."""
    figure, axes = _figure()
    ends = np.array([x.min(), x.max()])
    if identity:
        axes.plot(ends, ends, color=_GREY, lw=1, ls="--", label="identity")
    axes.plot(x, y, "o", ms=4, mfc="none", mec=_BLUE)
    sign = "+" if line.intercept >= 0 else "\N{MINUS SIGN}"
    words = f"y = {line.slope:.4g} x {sign} {abs(line.intercept):.4g}, R² = {line.r2:.4f}"
    axes.plot(ends, line.at(ends), color=_RED, lw=1.5, label=f"{words}, n = {line.n}")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return _save(figure, path)


def agreement_plot(
    path: Path, first: Float, second: Float, limits: Agreement, *, x_label: str, y_label: str
) -> Path:
    """Bland-Altman plot: difference over mean, with bias and limits of agreement."""
    figure, axes = _figure()
    axes.plot((first + second) / 2, second - first, "o", ms=4, mfc="none", mec=_BLUE)
    for value, style, words in (
        (limits.bias, "-", "bias"),
        (limits.lower, "--", "95 % limits"),
        (limits.upper, "--", ""),
    ):
        label = f"{words} {_signed(value)}" if words == "bias" else words or None
        axes.axhline(value, color=_RED, lw=1.2, ls=style, label=label)
        axes.annotate(
            _signed(value), (1, value), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=8, color=_RED,
        )  # fmt: skip
    axes.axhline(0, color=_GREY, lw=0.8)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return _save(figure, path)


def _signed(value: float) -> str:
    """One or more significant decimals, never a negative zero."""
    digits = 1 if abs(value) >= 1 else 3
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def _figure():
    load("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # same bits, any version
    return write_bytes(path, buffer.getvalue())
