"""The group level: collect every record of a derivative dataset into tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bidsapp.errors import NoInputError, NoMatchError
from bidsapp.group.page import group_figures, group_page
from bidsapp.group.quality import qc_columns, qc_rows
from bidsapp.group.regional import read_tables
from bidsapp.group.select import is_wanted
from bidsapp.group.tables import (
    Row,
    Table,
    centiloid_columns,
    centiloid_rows,
    mixture_warnings,
    voi_columns,
    voi_rows,
)
from bidsapp.group.tacs import COLUMNS as TAC_COLUMNS
from bidsapp.group.tacs import tac_rows
from bidsapp.nifti import write_text
from bidsapp.report.files import save_figures
from bidsapp.report.records import ScanRecord, find_records
from bidsapp.settings import Filters
from bidsapp.tables import write_rows

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """What the tables of a group run are made from.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    records : scans that the filters leave, sorted
    rows : of ``group_centiloid.tsv``, one per record, in the same order
    """

    output_dir: Path
    records: Sequence[ScanRecord]
    rows: Sequence[Row]


def run_group(output_dir: Path, filters: Filters) -> list[Path]:
    """Write the group tables, their dictionaries, the page and its figures, from records alone.

    Parameters
    ----------
    output_dir : root of the derivative dataset, also where the tables go
    filters : which scans; empty for all

    Returns
    -------
    list of Path
        What was written. Each file is replaced as a whole, so participants may still be running.

    Raises
    ------
    NoInputError
        The dataset has no record at all.
    NoMatchError
        The filters leave none.
    StorageError
        A table cannot be written.
    """
    records = find_records(output_dir)
    if not records:
        raise NoInputError(
            f"{output_dir}: holds no sub-*/**/*_centiloid.json; run the participant level first"
        )
    wanted = [record for record in records if is_wanted(record, filters)]
    if not wanted:
        raise NoMatchError(
            f"{output_dir}: none of the {len(records)} scans matches the labels or the filter "
            "file; give labels as they stand in the file names"
        )
    cohort = Cohort(output_dir, wanted, centiloid_rows(wanted))
    warnings = mixture_warnings(wanted)
    for sentence in warnings:
        _LOG.warning("%s", sentence)
    written = [path for table in group_tables(cohort) for path in _write(output_dir, table)]
    figures = group_figures(cohort.rows)
    page = group_page(cohort.rows, warnings, figures)
    written.append(write_text(output_dir / "group_centiloid.html", page))
    named = {f"group_{figure.name}": figure for figure in figures}
    return [*written, *save_figures(output_dir / "figures", named)]


def group_tables(cohort: Cohort) -> list[Table]:
    """Every table of the group level: the one place where they are listed."""
    folder, records = cohort.output_dir, cohort.records
    regional = read_tables(folder, records, [*voi_columns(), "suvr_wc", "centiloid_wc"])
    return [
        Table("group_centiloid", centiloid_columns(records), cohort.rows),
        Table("group_vois", voi_columns(regional.references), voi_rows(records, regional)),
        Table("group_qc", qc_columns(), qc_rows(records)),
        Table("group_tacs", TAC_COLUMNS, tac_rows(folder, records)),
    ]


def _write(output_dir: Path, table: Table) -> list[Path]:
    """Write a table and its dictionary; one without a row is removed, were it of an earlier run."""
    path = output_dir / f"{table.name}.tsv"
    files = [path, path.with_suffix(".json")]
    rows = iter(table.rows)
    first = next(rows, None)
    if first is None:
        for one in files:
            one.unlink(missing_ok=True)
        return []
    write_rows(path, chain([first], rows), table.columns, {})
    return files
