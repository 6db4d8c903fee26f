"""A row per scan or series: a table where there is room, else lines that break between words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from bidsapp.cli.logs import Progress
from bidsapp.plain import plain

Row = tuple[Sequence[str], str | None]
"""Cells of a scan, its name first, and a style of rich."""


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Row],
    progress: Progress,
    right: Sequence[str] = (),
    title: int = 1,
) -> None:
    """Print rows so that no word is broken.

    Parameters
    ----------
    columns : headings
    rows : of the table
    progress : where to
    right : headings of columns of numbers
    title : number of cells that name the row
    """
    from rich.box import SIMPLE_HEAD
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    rows = [([plain(cell) for cell in cells], style) for cells, style in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for cells, style in rows:  # as text: what stands in brackets in a name is not a colour
        table.add_row(*map(Text, cells), style=style)
    console = progress.console
    unlimited = console.options.update(max_width=10_000)
    if Measurement.get(console, unlimited, table).maximum <= console.width:
        console.print(table)
        return
    for cells, style in rows:
        named = " ".join(cells[:title])
        lines = [named, *_block(columns[title:], cells[title:], console.width)]
        console.print(Text("\n".join(lines)), style=style, soft_wrap=True)


def _block(columns: Sequence[str], cells: Sequence[str], width: int) -> Iterable[str]:
    """``tracer FBB; SUVR 1.800; ...`` in lines, indented; what is not known is left out."""
    known = [
        f"{column} {cell}".strip()
        for column, cell in zip(columns, cells, strict=True)
        if cell not in ("", "n/a")
    ]
    return textwrap.wrap(
        "; ".join(known), max(width, 20), initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
