"""The group level: collect every record of a derivative dataset into tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.command import group_command
from bidsapp.bids.dataset import remove_leftovers
from bidsapp.bids.folders import unreadable_people
from bidsapp.bids.seals import write_manifest
from bidsapp.errors import NoInputError, NoMatchError
from bidsapp.group.absent import absence, absent_people, read_facts
from bidsapp.group.page import group_figures, group_page
from bidsapp.group.quality import qc_columns, qc_rows
from bidsapp.group.regional import read_tables
from bidsapp.group.select import is_wanted
from bidsapp.group.store import Blocks, Found, keep, look, one_at_a_time
from bidsapp.group.study import Study, study, study_tables
from bidsapp.group.tables import (
    LongTable,
    Table,
    centiloid_columns,
    centiloid_rows,
    mixture_warnings,
    voi_columns,
    voi_rows,
)
from bidsapp.group.tacs import COLUMNS as TAC_COLUMNS
from bidsapp.group.tacs import tac_rows
from bidsapp.group.write import write_long_table, write_short_table
from bidsapp.io.atomic import write_text
from bidsapp.report.cohort import cohort_methods
from bidsapp.report.files import save_figures
from bidsapp.report.records import ScanRecord, find_records
from bidsapp.settings import Filters

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """What the tables of a group run are made from.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    records : scans that the filters leave, sorted
    study : what they show together; its rows are one per record, in the same order
    facts : what is known of the raw dataset (`bidsapp.group.absent.read_facts`)
    """

    output_dir: Path
    records: Sequence[ScanRecord]
    study: Study
    facts: Mapping[str, Any]


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
    with one_at_a_time(output_dir):
        remove_leftovers(output_dir, ())
        found = look(output_dir)
        if found.is_current(filters):
            _LOG.info("no scan has changed since the last group run: nothing to do")
            for sentence in found.last.told:
                _LOG.warning("%s", sentence)
            return [output_dir / name for name in found.last.outputs]
        return _collect(found, filters)


def _collect(found: Found, filters: Filters) -> list[Path]:
    output_dir = found.output_dir
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
    cohort = cohort_of(output_dir, wanted, filters)
    mixture = mixture_warnings(wanted)
    closed = unreadable_people(output_dir)
    absent = absent_people(cohort.facts, records, filters)
    absent = [name for name in absent if name.removeprefix("sub-") not in closed]
    warnings = [*mixture, *closed.values(), *absence(absent)]
    for sentence in warnings:
        _LOG.warning("%s", sentence)
    written: list[Path] = []
    blocks: dict[str, Blocks] = {}
    for table in group_tables(cohort):
        path = output_dir / f"{table.name}.tsv"
        if isinstance(table, LongTable):
            made = write_long_table(path, table, wanted, found)
            has_rows = made is not None
            blocks |= {table.name: made} if made else {}
        else:
            has_rows = write_short_table(path, table)
        if has_rows:
            written += [path, path.with_suffix(".json")]
    figures = group_figures(cohort.study)
    methods = cohort_methods(wanted, mixture)
    written.append(write_text(output_dir / "group_methods.md", methods.as_markdown()))
    page = group_page(cohort.study, warnings, figures, methods)
    written.append(write_text(output_dir / "group_centiloid.html", page))
    named = {f"group_{figure.name}": figure for figure in figures}
    written += save_figures(output_dir / "figures", named)
    manifest, sources = output_dir / "group_manifest.json", [record.path for record in wanted]
    told = {"Version": __version__, "Command": group_command(filters), "Options": asdict(filters)}
    written.append(write_manifest(manifest, output_dir, written, sources, **told))
    keep(found, filters, written, warnings, blocks)
    return written


def cohort_of(output_dir: Path, records: Sequence[ScanRecord], filters: Filters) -> Cohort:
    """What the tables are made from, for scans that the filters leave."""
    made = study(records, centiloid_rows(records), filters.controls)
    return Cohort(output_dir, records, made, read_facts(output_dir))


def group_tables(cohort: Cohort) -> list[Table | LongTable]:
    """Every table of the group level: the one place where they are listed."""
    folder, records = cohort.output_dir, cohort.records
    regional = read_tables(folder, records, [*voi_columns(), "suvr_wc", "centiloid_wc"])
    return [
        Table("group_centiloid", centiloid_columns(records, cohort.facts), cohort.study.rows),
        Table("group_qc", qc_columns(), qc_rows(records)),
        *study_tables(cohort.study),
        LongTable(
            "group_regions",
            voi_columns(regional.references),
            lambda record: voi_rows([record], regional),
            regional.regions,
        ),
        LongTable("group_curves", TAC_COLUMNS, lambda record: tac_rows(folder, [record])),
    ]
