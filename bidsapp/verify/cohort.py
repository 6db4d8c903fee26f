"""The tables of the group level, made again from the records and compared cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from bidsapp.errors import BadDataError
from bidsapp.group.collect import Cohort, group_tables
from bidsapp.group.tables import LongTable, Row, Table, centiloid_rows
from bidsapp.report.records import ScanRecord
from bidsapp.tables import cell
from bidsapp.verify.compare import How, unlike_cells
from bidsapp.verify.files import Findings
from bidsapp.verify.numbers import read_rows

_MOST_TOLD = 20  # differences of one table; an older table differs everywhere


def check_group_tables(output_dir: Path, records: Sequence[ScanRecord], found: Findings) -> None:
    """Compare every table with what the records of its scans give today.

    Parameters
    ----------
    output_dir : root of the dataset
    records : all of it; those that ``group_centiloid.tsv`` does not list were filtered out
    found : told what differs
    """
    try:
        listed = [row.get("record") for row in read_rows(output_dir / "group_centiloid.tsv")]
    except BadDataError as error:
        found.broken("group_centiloid.tsv", str(error))
        return
    known = {record.path for record in records}
    for path in listed:
        if path not in known:
            found.broken("group_centiloid.tsv", f"has a row of {path}, which is no record")
    wanted = [record for record in records if record.path in listed]
    for table in group_tables(Cohort(output_dir, wanted, centiloid_rows(wanted))):
        rows = _rows(table, wanted)
        texts = [{column: cell(row[column]) for column in table.columns} for row in rows]
        _check_table(output_dir, table, texts, found)


def _rows(table: Table | LongTable, records: Sequence[ScanRecord]) -> Iterable[Row]:
    if isinstance(table, LongTable):
        return chain.from_iterable(map(table.rows_of, records))
    return table.rows


def _check_table(
    output_dir: Path, table: Table | LongTable, rows: list[dict[str, str]], found: Findings
) -> None:
    name = f"{table.name}.tsv"
    if not rows and not (output_dir / name).exists():
        return
    try:
        told = read_rows(output_dir / name)
    except BadDataError as error:
        found.broken(name, str(error))
        return
    if told and list(told[0]) != list(table.columns):
        found.differ(name, "columns", list(told[0]), list(table.columns), "has this version")
        return
    names = [_name(row) for row in rows]
    count = 0
    for count, (where, one, other) in enumerate(unlike_cells(told, rows, names, {}), start=1):
        if count <= _MOST_TOLD:
            found.differ(name, where, one, other, "by the records")
    if count > _MOST_TOLD:
        found.broken(name, f"differs from the records in {count} cells")
    found.files[name] = How.NUMBERS


def _name(row: dict[str, str]) -> str:
    """What a row is called: its scan, and its region where it has one."""
    parts = ("participant_id", "session_id", "tracer", "run", "atlas", "region", "frame_start")
    return " ".join(row[part] for part in parts if row.get(part) not in (None, "n/a"))
