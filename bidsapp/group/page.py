"""The group page: the table, sortable and searchable, and how the Centiloids are distributed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from bidsapp import __version__
from bidsapp.data.tracers import tracers
from bidsapp.report.drawings import Axis
from bidsapp.report.literature import Band, scale
from bidsapp.report.render import render_page

Row = Mapping[str, Any]

_DOT = 6.5  # distance of neighbouring dots, units of the drawing
_HALF_ROW = 28.0


@dataclass(frozen=True)
class Dot:
    """One scan in the distribution: where it is drawn and what it is."""

    x: float
    y: float
    row: Row


@dataclass(frozen=True)
class TracerSummary:
    """Centiloids of the scans with one tracer.

    Attributes
    ----------
    name : for people
    centiloids : sorted
    dots : around a centre line at y = 0
    bands : band -> number of scans
    """

    name: str
    centiloids: tuple[float, ...]
    dots: tuple[Dot, ...]
    bands: tuple[tuple[Band, int], ...]

    @property
    def median(self) -> float:
        """Median, CL."""
        return median(self.centiloids)

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """First and third quartile, CL; None for fewer than three scans."""
        if len(self.centiloids) < 3:
            return None
        first, _, third = quantiles(self.centiloids, n=4, method="inclusive")
        return first, third


def group_page(rows: Sequence[Row], warnings: Sequence[str]) -> str:
    """Return the page over the rows of ``group_centiloid.tsv``.

    Parameters
    ----------
    rows : of `bidsapp.group.tables.centiloid_rows`
    warnings : sentences about the cohort as a whole
    """
    axis = Axis(scale().low, scale().high)
    return render_page(
        "group.html",
        ("table.js",),
        ("page.css", "chart.css", "group.css", "print.css"),
        rows=rows,
        summaries=summaries(rows, axis),
        axis=axis,
        scale=scale(),
        warnings=warnings,
        version=__version__,
    )


def summaries(rows: Iterable[Row], axis: Axis) -> list[TracerSummary]:
    """Summarise the Centiloids of each tracer, in the order of the table of tracers."""
    by_tracer: dict[str, list[Row]] = {code: [] for code in tracers()}
    for row in rows:
        if row["centiloid"] is not None:
            by_tracer.setdefault(str(row["tracer"]), []).append(row)
    return [
        TracerSummary(
            name=tracers()[code].name if code in tracers() else code,
            centiloids=tuple(sorted(row["centiloid"] for row in found)),
            dots=_swarm(found, axis),
            bands=tuple(
                (band, sum(band.holds(row["centiloid"]) for row in found)) for band in scale().bands
            ),
        )
        for code, found in by_tracer.items()
        if found
    ]


def _swarm(rows: Sequence[Row], axis: Axis) -> tuple[Dot, ...]:
    """Put dots of like value beside each other, alternately above and below the line."""
    columns: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["centiloid"]):
        columns.setdefault(round(axis.x(row["centiloid"]) / _DOT), []).append(row)
    tallest = max(map(len, columns.values()))
    step = min(_DOT, 2 * _HALF_ROW / tallest)
    return tuple(
        Dot(axis.x(row["centiloid"]), round((-1) ** i * ((i + 1) // 2) * step, 1), row)
        for column in columns.values()
        for i, row in enumerate(column)
    )
