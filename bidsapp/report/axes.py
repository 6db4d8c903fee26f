"""Axes of charts: scale, ticks, lines and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from markupsafe import Markup

from bidsapp.data.literature import PublishedScale
from bidsapp.report.figure import Figure, Words
from bidsapp.report.render import number
from bidsapp.report.svg import join, stroke, tag

WIDTH = 760.0
_MARGIN = 16.0


@dataclass(frozen=True)
class Axis:
    """A linear axis.

    Attributes
    ----------
    low, high : values at its ends
    start, end : their places; ``start`` is larger than ``end`` on an upright axis
    """

    low: float
    high: float
    start: float = _MARGIN
    end: float = WIDTH - _MARGIN

    @classmethod
    def around(cls, values: list[float], start: float, end: float, pad: float = 0.06) -> Axis:
        """Axis over the range of values with some room at both ends.

        Parameters
        ----------
        values : to show
        start : in the view box
        end : in the view box
        pad : room at either end, as a share of the range

        Returns
        -------
        Axis
        """
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = pad * (high - low) or max(abs(high) * pad, 1e-6)
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Position of a value in the view box; values outside are clipped to the ends.

        Parameters
        ----------
        value : in units of the axis

        Returns
        -------
        float
        """
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, step: float | None = None, about: int = 8) -> list[float]:
        """Values of the ticks on the axis.

        Parameters
        ----------
        step : between them; None for a round one
        about : number of ticks if there is no step

        Returns
        -------
        list of float
        """
        step = step or self.round_step(about)
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def round_step(self, about: int = 8) -> float:
        """Step of 1, 2 or 5 times a power of ten.

        Parameters
        ----------
        about : number of steps

        Returns
        -------
        float
        """
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)


def chart(words: Words, height: float, parts: Iterable[Markup], width: float = WIDTH) -> Figure:
    """Figure of charts.

    Parameters
    ----------
    words : about it
    height : of the view box
    parts : elements, in the order they are drawn in
    width : of the view box

    Returns
    -------
    Figure
    """
    return Figure(**asdict(words), width=width, height=height, drawing=join(parts))


def bands(axis: Axis, known: PublishedScale, top: float, height: float, *, label_y: float,
          faint: bool = False) -> Markup:  # fmt: skip
    """Bands of the Centiloid scale.

    Parameters
    ----------
    axis : of the Centiloid
    known : the published scale
    top, height : of the bands in the view box
    label_y : where their names stand
    faint : whether a chart is drawn on them

    Returns
    -------
    Markup
    """
    parts = []
    for band in known.bands:
        begin = axis.at(known.low if band.lower is None else band.lower)
        end = axis.at(known.high if band.upper is None else band.upper)
        kind, label = f"band-{band.name}{' faint' * faint}", f"mid{' muted' * faint}"
        parts += [
            tag("rect", class_=kind, x=begin, y=top, width=end - begin, height=height),
            tag("text", band.label, class_=label, x=(begin + end) / 2, y=label_y),
        ]
    return join(parts)


def bottom(axis: Axis, y: float, title: str, step: float | None = None) -> Markup:
    """Axis below a chart, with its title at the right end.

    Parameters
    ----------
    axis : horizontal
    y : of the axis in the view box
    title : with the unit
    step : between ticks; None for a round one

    Returns
    -------
    Markup
    """
    return join([
        stroke("tick", (axis.start, axis.end), (y, y)),
        *(
            stroke("tick", (axis.at(tick), axis.at(tick)), (y, y + 5))
            + tag("text", words, class_="mid muted", x=axis.at(tick), y=y + 19)
            for tick, words in _labelled(axis.ticks(step))
        ),
        tag("text", title, class_="end muted", x=axis.end, y=y + 36),
    ])  # fmt: skip


def left(axis: Axis, x: float, right: float, title: str) -> Markup:
    """Vertical axis left of a chart, with grid lines across it and its title on top.

    Parameters
    ----------
    axis : vertical
    x : of the axis in the view box
    right : end of the grid lines
    title : with the unit

    Returns
    -------
    Markup
    """
    return join([
        *(
            stroke("rule", (x, right), (axis.at(tick), axis.at(tick)))
            + tag("text", words, class_="end muted", x=x - 6, y=axis.at(tick) + 4)
            for tick, words in _labelled(axis.ticks(about=5))
        ),
        tag("text", title, class_="muted", x=4.0, y=axis.end - 8),
    ])  # fmt: skip


def legend_entry(x: float, line: int, colour: str, words: str) -> Markup:
    """Stroke of a colour and what it stands for, one line of the legend beside a chart.

    Parameters
    ----------
    x : of its left end in the view box
    line : from 0
    colour : CSS
    words : what it stands for

    Returns
    -------
    Markup
    """
    y = 40 + 18.0 * line
    sample = stroke(None, (x, x + 18), (y, y), stroke=colour, stroke_width=3)
    return sample + tag("text", words, x=x + 24, y=y + 4)


def _labelled(ticks: list[float]) -> list[tuple[float, str]]:
    """Ticks with their words, all with as many decimals as they need."""
    digits = next((n for n in range(4) if all(abs(t - round(t, n)) < 1e-9 for t in ticks)), 4)
    return [(tick, number(tick, digits)) for tick in ticks]
