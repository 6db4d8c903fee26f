"""Figures as SVG files in a folder, with a table of their descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bidsapp.errors import StorageError
from bidsapp.io.atomic import write_lines
from bidsapp.io.tsv import line
from bidsapp.report.figure import Figure

CAPTIONS = "captions.tsv"


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures as SVG files; those of an earlier run are removed.

    Parameters
    ----------
    folder : where; nothing else belongs into it
    figures : file name without ``.svg`` -> figure

    Returns
    -------
    list of Path
        The files, the table of captions last; empty without figures.

    Raises
    ------
    StorageError
        A file cannot be written or removed.
    """
    _remove_others(folder, figures)
    if not figures:
        return []
    written = [figure.save(folder / f"{name}.svg") for name, figure in figures.items()]
    rows = [("file", "title", "caption")]
    rows += [(f"{name}.svg", figure.title, figure.caption) for name, figure in figures.items()]
    return [*written, write_lines(folder / CAPTIONS, map(line, rows))]


def _remove_others(folder: Path, kept: Mapping[str, Figure]) -> None:
    """A figure of a scan that failed since must not look like a result."""
    try:
        for path in folder.glob("*.svg"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)
        if not kept:
            (folder / CAPTIONS).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be cleared ({error.strerror})") from error
