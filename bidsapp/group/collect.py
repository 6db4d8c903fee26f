"""The group level: collect every record of a derivative dataset into tables."""

from __future__ import annotations

import logging
from pathlib import Path

from bidsapp.errors import NoInputError, NoMatchError
from bidsapp.group.page import group_figures, group_page
from bidsapp.group.regional import read_tables
from bidsapp.group.select import is_wanted
from bidsapp.group.tables import (
    centiloid_rows,
    dictionary,
    mixture_warnings,
    to_tsv,
    voi_columns,
    voi_rows,
)
from bidsapp.group.tacs import COLUMNS as TAC_COLUMNS
from bidsapp.group.tacs import tac_rows
from bidsapp.nifti import write_text
from bidsapp.report.files import save_figures
from bidsapp.report.records import find_records
from bidsapp.settings import Filters
from bidsapp.tables import write_table

_LOG = logging.getLogger(__name__)


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
    regional = read_tables(output_dir, wanted, [*voi_columns(), "suvr_wc", "centiloid_wc"])
    rows, warnings = centiloid_rows(wanted), mixture_warnings(wanted)
    for sentence in warnings:
        _LOG.warning("%s", sentence)
    figures = group_figures(rows)
    files = {
        "group_centiloid.tsv": to_tsv("centiloid", rows),
        "group_centiloid.json": dictionary("centiloid"),
        "group_vois.tsv": to_tsv("vois", voi_rows(wanted, regional), regional.references),
        "group_vois.json": dictionary("vois", regional.references),
        "group_centiloid.html": group_page(rows, warnings, figures),
    }
    written = [write_text(output_dir / name, text) for name, text in files.items()]
    if curves := list(tac_rows(output_dir, wanted)):
        columns = {name: [row[name] for row in curves] for name in TAC_COLUMNS}
        path = write_table(output_dir / "group_tacs.tsv", columns, TAC_COLUMNS, {})
        written += [path, path.with_suffix(".json")]
    named = {f"group_{figure.name}": figure for figure in figures}
    return [*written, *save_figures(output_dir / "figures", named)]
