"""Group tables on disk: whole or not at all, and long ones from the rows that did not change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from bidsapp import __version__
from bidsapp.group.store import Blocks, Found, stamp_of
from bidsapp.group.tables import LongTable, Table
from bidsapp.io.atomic import write_json, write_lines
from bidsapp.io.tsv import line, write_rows
from bidsapp.report.records import ScanRecord

# What made a table: its records are many, so that they and their hashes stand in one place.
_ABOUT = {"CentiPET": {"Version": __version__, "Sources": ["bids::group_manifest.json"]}}


def write_short_table(path: Path, table: Table) -> bool:
    """Write a table and its dictionary; one without a row is removed, were it of an earlier run.

    Returns
    -------
    bool
        Whether there is a row.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    rows = iter(table.rows)
    first = next(rows, None)
    if first is None:
        _remove(path)
        return False
    write_rows(path, chain([first], rows), table.columns, _ABOUT)
    return True


def write_long_table(
    path: Path, table: LongTable, records: Sequence[ScanRecord], found: Found
) -> Blocks | None:
    """Write a long table and its dictionary, as `write_short_table`.

    Rows of scans whose files did not change are copied from the table of the last run.

    Parameters
    ----------
    path : of the table
    table : what to write
    records : scans, in order
    found : inputs of this run and the last run

    Returns
    -------
    Blocks or None
        Where the rows of each scan stand; None without a row.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    recipe = json.dumps([table.columns, table.layout], separators=(",", ":"))
    layout = hashlib.sha256(recipe.encode()).hexdigest()
    head = line(table.columns)
    places: dict[str, tuple[int, int]] = {}

    def texts(old: dict[str, tuple[int, int]], file: IO[bytes] | None) -> Iterator[str]:
        at = len(head.encode())
        for record in records:
            if file is not None and record.path in old:
                first, length = old[record.path]
                text = os.pread(file.fileno(), length, first).decode()
            else:
                rows = ([row[name] for name in table.columns] for row in table.rows_of(record))
                text = "".join(map(line, rows))
            places[record.path] = (at, len(text.encode()))
            at += places[record.path][1]
            yield text

    old, file = _old(path, layout, found)
    try:
        every = texts(old, file)
        begun = []
        for text in every:
            begun.append(text)
            if text:
                break
        else:
            _remove(path)
            return None
        write_lines(path, chain([head, *begun], every))
    finally:
        if file is not None:
            file.close()
    write_json(path.with_suffix(".json"), _ABOUT | dict(table.columns))
    return Blocks(layout, places)


def _old(
    path: Path, layout: str, found: Found
) -> tuple[dict[str, tuple[int, int]], IO[bytes] | None]:
    """Rows of the last run that still hold, by scan, and the file they stand in."""
    last = found.last.blocks.get(path.stem)
    if last is None or last.layout != layout:
        return {}, None
    try:
        file = path.open("rb")
    except OSError:
        return {}, None
    if stamp_of(os.fstat(file.fileno())) != found.last.outputs.get(path.name):
        file.close()
        return {}, None
    same = found.unchanged_scans()
    return {name: tuple(place) for name, place in last.places.items() if name in same}, file


def _remove(path: Path) -> None:
    for one in (path, path.with_suffix(".json")):
        one.unlink(missing_ok=True)
