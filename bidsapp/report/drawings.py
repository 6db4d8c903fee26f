"""Geometry of the small vector drawings: where things go, in the units of their view box.

The templates only put these numbers into SVG, so that the drawings follow the colours of the page
(light, dark, print) and their words stay text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bidsapp.report.literature import Band, Mark, Reference, Scale
from bidsapp.report.records import ScanRecord

WIDTH = 760.0
_MARGIN = 16.0


@dataclass(frozen=True)
class Axis:
    """A linear axis across the drawing."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Place of a value; values outside are held at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def ticks(self, step: float) -> list[float]:
        """Multiples of ``step`` on the axis."""
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class ScaleDrawing:
    """A Centiloid on the scale of published bands.

    Attributes
    ----------
    value : CL
    x : place of the value
    beyond : -1 or 1 when the value lies off the axis, else 0
    band : the band the value lies in
    """

    axis: Axis
    scale: Scale
    value: float
    x: float
    beyond: int
    band: Band

    @classmethod
    def of(cls, value: float, scale: Scale) -> ScaleDrawing:
        """Place ``value`` (CL) on ``scale``."""
        axis = Axis(scale.low, scale.high)
        beyond = (value > scale.high) - (value < scale.low)
        return cls(axis, scale, value, axis.x(value), beyond, scale.band_of(value))

    @property
    def bands(self) -> list[tuple[Band, float, float]]:
        """Bands with left edge and width."""
        edges = [
            (
                band,
                self.axis.x(self.scale.low if band.lower is None else band.lower),
                self.axis.x(self.scale.high if band.upper is None else band.upper),
            )
            for band in self.scale.bands
        ]
        return [(band, left, round(right - left, 1)) for band, left, right in edges]

    @property
    def cutoffs(self) -> list[tuple[Reference, tuple[Mark, ...], float]]:
        """Cut-offs with the place of the last one, where their label begins."""
        return [
            (reference, marks, self.axis.x(marks[-1].at)) for reference, marks in self.scale.cutoffs
        ]


@dataclass(frozen=True)
class FrameBox:
    """A frame on the time line: left edge, width, and the share of it that was averaged."""

    x: float
    width: float
    share: float


@dataclass(frozen=True)
class TimelineDrawing:
    """When the scan was made: minutes after injection.

    Attributes
    ----------
    axis : minutes
    tick_step : minutes
    window : left edge and width of the tracer's window, None when unknown
    frames : every frame of the raw PET
    """

    axis: Axis
    tick_step: float
    window: tuple[float, float] | None
    frames: tuple[FrameBox, ...]

    @classmethod
    def of(cls, record: ScanRecord) -> TimelineDrawing | None:
        """Draw the frames of a record; None when it lists none."""
        if not record.frames:
            return None
        ends = [(frame.start_s + frame.duration_s) / 60 for frame in record.frames]
        starts = [frame.start_s / 60 for frame in record.frames]
        window = record.tracer_window_min
        axis = Axis(
            min(0.0, math.floor(min(starts))),
            5 * math.ceil(max([*ends, *(window or ())]) / 5 + 0.2),
        )
        boxes = tuple(
            FrameBox(
                axis.x(start),
                round(axis.x(end) - axis.x(start), 1),
                min(frame.weight_s / frame.duration_s, 1.0) if frame.duration_s > 0 else 0.0,
            )
            for start, end, frame in zip(starts, ends, record.frames, strict=True)
        )
        span = None
        if window is not None:
            span = (axis.x(window[0]), round(axis.x(window[1]) - axis.x(window[0]), 1))
        return cls(axis, _tick_step(axis.high - axis.low), span, boxes)

    @property
    def n_used(self) -> int:
        """Number of frames that were averaged, in part or whole."""
        return sum(frame.share > 0 for frame in self.frames)


def _tick_step(span: float, steps: Sequence[float] = (5, 10, 20, 30, 60)) -> float:
    return next((step for step in steps if span / step <= 14), steps[-1])
