"""The tables of the group level, made again from the records and compared cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from bidsapp.data import tupled
from bidsapp.errors import BadDataError
from bidsapp.group.collect import cohort_of, group_tables
from bidsapp.group.ratings import latest, states, stored
from bidsapp.group.scans import scan_tables
from bidsapp.group.select import is_wanted
from bidsapp.group.tables import Row
from bidsapp.io.tsv import cell
from bidsapp.record import ScanRecord
from bidsapp.settings import Filters, StudyOptions
from bidsapp.verify.differences import How, unlike_cells
from bidsapp.verify.file_hashes import Findings
from bidsapp.verify.numbers import read_rows

_MOST_TOLD = 100  # differences of one table; an older table differs everywhere


def check_group_tables(
    output_dir: Path,
    records: Sequence[ScanRecord],
    asked: tuple[Filters, StudyOptions],
    findings: Findings,
) -> None:
    """Compare every table with the one recomputed from the records of its scans.

    Parameters
    ----------
    output_dir : root of the dataset
    records : all of it
    asked : filters and options of the run that made the tables
    findings : differences are added to them
    """
    filters, options = asked
    wanted = [record for record in records if is_wanted(record, filters)]
    ratings = states(output_dir, records, latest(stored(output_dir)[0]))
    for table in group_tables(cohort_of(output_dir, wanted, options, ratings, records)):
        _check_table(output_dir, table.name, table.columns, table.rows, findings)


def check_scan_tables(output_dir: Path, records: Sequence[ScanRecord], findings: Findings) -> None:
    """Compare ``scans.tsv`` and ``sessions.tsv`` of a participant with all its records.

    Parameters
    ----------
    output_dir : root of the dataset
    records : of the participant
    findings : takes what differs
    """
    for name, rows in scan_tables(output_dir, records).items():
        columns: dict[str, dict[str, Any]] = {column: {} for column in rows[0]}
        _check_table(output_dir, name.removesuffix(".tsv"), columns, rows, findings)


def group_options(options: Any) -> tuple[Filters, StudyOptions]:
    """Filters and options of the run that made the tables, from its manifest.

    Parameters
    ----------
    options : ``Options`` of the manifest

    Returns
    -------
    (Filters, StudyOptions)

    Raises
    ------
    BadDataError
        It states something else.
    """
    try:
        labels = tupled(options)
        names = [field.name for field in fields(StudyOptions) if field.name in labels]
        study = {name: labels.pop(name) for name in names}
        return Filters(**labels), StudyOptions(**study)
    except (AttributeError, TypeError) as error:
        raise BadDataError(f"Options cannot be read ({error})") from error


def _check_table(
    output_dir: Path,
    stem: str,
    columns: Mapping[str, Any],
    made: Iterable[Row],
    findings: Findings,
) -> None:
    name = f"{stem}.tsv"
    rows = [{column: cell(row[column]) for column in columns} for row in made]
    if not rows and not (output_dir / name).exists():
        return
    try:
        on_disk = read_rows(output_dir / name)
    except BadDataError as error:
        findings.broken(name, str(error))
        return
    if on_disk and list(on_disk[0]) != list(columns):
        findings.differ(name, "columns", list(on_disk[0]), list(columns), "has this version")
        return
    names = [_name(row) for row in rows]
    count = 0
    for count, cell_apart in enumerate(unlike_cells(on_disk, rows, names, {}), start=1):
        if count <= _MOST_TOLD:
            findings.differ(name, *cell_apart, "by the records")
    if count > _MOST_TOLD:
        findings.broken(name, f"differs from the records in {count} cells")
    findings.files[name] = How.NUMBERS


def _name(row: dict[str, str]) -> str:
    """What a row is called: its scan, and its region where it has one."""
    parts = ("participant_id", "session_id", "tracer", "run", "atlas", "region", "frame_start")
    return " ".join(row[part] for part in parts if row.get(part) not in (None, "n/a"))
