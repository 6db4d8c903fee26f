"""The group level: collect every record of a derivative dataset into tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.command import group_command
from bidsapp.bids.derivative_root import remove_leftovers
from bidsapp.bids.folders import unreadable_people
from bidsapp.bids.seals import write_manifest
from bidsapp.data import read_table
from bidsapp.errors import NoInputError, NoMatchError, StorageError
from bidsapp.group.absent import absence, absent_people, read_facts, unknown_people, vanished
from bidsapp.group.courses import treatment_warnings
from bidsapp.group.page import group_figures, group_page
from bidsapp.group.quality import qc_columns, qc_rows
from bidsapp.group.ratings import (
    COUNTS,
    NAME,
    Rating,
    latest,
    rating_rows,
    read_ratings,
    sentences,
    states,
    stored,
    with_ratings,
)
from bidsapp.group.regional import read_tables
from bidsapp.group.select import is_wanted
from bidsapp.group.study import Study, study, study_tables
from bidsapp.group.tables import (
    Table,
    centiloid_columns,
    centiloid_rows,
    columns_of,
    mixture_warnings,
    voi_columns,
    voi_rows,
)
from bidsapp.group.tacs import tac_rows
from bidsapp.io.atomic import write_text
from bidsapp.io.locks import holding
from bidsapp.io.tsv import write_rows
from bidsapp.record import ScanRecord, find_records
from bidsapp.record.tracers import using_tracers_of
from bidsapp.report.figure import save_figures
from bidsapp.report.study_methods import cohort_methods, reading
from bidsapp.settings import USUAL_STUDY, Filters, StudyOptions

_LOG = logging.getLogger(__name__)
_BUSY = "another group run is processing this dataset: waiting until it ends"

# What made a table: its records are many, so that they and their hashes stand in one place.
_ABOUT = {"CentiPET": {"Version": __version__, "Sources": ["bids::group_manifest.json"]}}


@dataclass(frozen=True)
class Cohort:
    """What the tables of a group run are made from.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    records : scans that the filters leave, sorted
    study : what they show together; its rows are one per record, in the same order
    facts : what is known of the raw dataset (`bidsapp.group.absent.read_facts`)
    ratings : of readers, with whether they count (`bidsapp.group.ratings.states`)
    """

    output_dir: Path
    records: Sequence[ScanRecord]
    study: Study
    facts: Mapping[str, Any]
    ratings: Sequence[tuple[Rating, str]]


def run_group(
    output_dir: Path,
    filters: Filters,
    ratings: Sequence[Path] = (),
    bids_dir: Path | None = None,
    options: StudyOptions = USUAL_STUDY,
) -> list[Path]:
    """Write the group tables, their dictionaries, the page and its figures, from records alone.

    Parameters
    ----------
    output_dir : root of the derivative dataset, also where the tables go
    filters : which scans; empty for all
    ratings : tables of ratings, which join those that the dataset has
    bids_dir : raw dataset, to report what it no longer has; it need not exist
    options : how scans are taken together

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
        records = find_records(output_dir)
        if not records:
            raise NoInputError(
                f"{output_dir}: contains no sub-*/**/*_centiloid.json; run the participant level "
                "first"
            )
        with using_tracers_of(records):
            gone = vanished(records, bids_dir)
            return _tabulate(output_dir, records, filters, ratings, gone, options)


@contextmanager
def one_at_a_time(output_dir: Path) -> Iterator[None]:
    """Wait until no other group run works on this dataset.

    Where the file system has no locks, runs are not kept apart; each file is still written whole.

    Parameters
    ----------
    output_dir : root of the derivative dataset

    Yields
    ------
    None

    Raises
    ------
    StorageError
        The folder of the logs cannot be written.
    """
    folder = output_dir / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with holding(folder / "group.lock", when_busy=partial(_LOG.warning, _BUSY)):
            yield
    except PermissionError as error:
        raise StorageError(f"{error.filename}: cannot be written ({error.strerror})") from error


def _tabulate(
    output_dir: Path,
    records: Sequence[ScanRecord],
    filters: Filters,
    given: Sequence[Path],
    gone: Sequence[str],
    options: StudyOptions,
) -> list[Path]:
    wanted = [record for record in records if is_wanted(record, filters)]
    unknown = unknown_people(output_dir, filters)
    if not wanted:
        hint = "".join(f"; {sentence}" for sentence in unknown.values())
        raise NoMatchError(
            f"{output_dir}: none of the {len(records)} scans matches the labels or the filter "
            f"file; give labels as they appear in the file names{hint}"
        )
    ratings = _ratings(output_dir, given)
    cohort = cohort_of(output_dir, wanted, options, states(output_dir, records, ratings), records)
    mixture = mixture_warnings(wanted)
    closed = unreadable_people(output_dir)
    absent = absent_people(cohort.facts, records, filters)
    absent = [name for name in absent if name.removeprefix("sub-") not in closed]
    missing = unknown.keys() | {name.removeprefix("sub-") for name in absent}
    others = replace(filters, participant=tuple(p for p in filters.participant if p not in missing))
    unmatched = others.unmatched(lambda alone: any(is_wanted(scan, alone) for scan in wanted))
    warnings = [*unknown.values(), *unmatched, *mixture, *closed.values(), *absence(absent), *gone]
    warnings += [*treatment_warnings(wanted), *sentences(cohort.ratings)]
    for sentence in warnings:
        _LOG.warning("%s", sentence)
    written: list[Path] = []
    for table in group_tables(cohort):
        written += _write_table(output_dir / f"{table.name}.tsv", table)
    figures = group_figures(cohort.study)
    methods = cohort_methods(
        wanted, mixture, _read(cohort, options), cohort.study.amyloid_tau.sentence,
        [_automatic(row["flags"]) for row in cohort.study.rows],
    )  # fmt: skip
    written.append(write_text(output_dir / "group_methods.md", methods.as_markdown()))
    page = group_page(cohort.study, warnings, figures, methods)
    written.append(write_text(output_dir / "group_centiloid.html", page))
    named = {f"group_{figure.name}": figure for figure in figures}
    written += save_figures(output_dir / "figures", named)
    manifest, sources = output_dir / "group_manifest.json", [record.path for record in wanted]
    provenance = {
        "Version": __version__,
        "Command": group_command(filters, options),
        "Options": asdict(filters) | asdict(options),
    }
    written.append(write_manifest(manifest, output_dir, written, sources, **provenance))
    return written


def _write_table(path: Path, table: Table) -> list[Path]:
    """Write a table and its dictionary; one without a row is removed, were it of an earlier run."""
    both = [path, path.with_suffix(".json")]
    rows = iter(table.rows)
    first = next(rows, None)
    if first is None:
        for stale in both:
            stale.unlink(missing_ok=True)
        return []
    write_rows(path, chain([first], rows), table.columns, _ABOUT)
    return both


def _ratings(output_dir: Path, given: Sequence[Path]) -> list[Rating]:
    """Those that the dataset has and those of files, the latest of each reader."""
    said, complaints = stored(output_dir)
    for path in given:
        more, problems = read_ratings(path)
        said, complaints = [*said, *more], [*complaints, *problems]
    for sentence in complaints:
        _LOG.warning("%s", sentence)
    return latest(said)


def _automatic(flags: str | None) -> list[str]:
    """Codes of flags that no reader gave."""
    codes = filter(None, (flags or "").split(";"))
    return [code for code in codes if not code.startswith(("rated-", "rating"))]


def _read(cohort: Cohort, options: StudyOptions) -> str:
    """Sentences of the methods text about ratings; empty without any."""
    counting = [rating for rating, state in cohort.ratings if state == COUNTS]
    return reading(
        [row["rating"] for row in cohort.study.rows],
        len({rating.rater for rating in counting}),
        left_out=options.leave_out_rejected,
    )


def cohort_of(
    output_dir: Path,
    records: Sequence[ScanRecord],
    options: StudyOptions,
    ratings: Sequence[tuple[Rating, str]],
    unfiltered: Sequence[ScanRecord] | None = None,
) -> Cohort:
    """Collect the input of the tables.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    records : scans
    options : of the group level
    ratings : of readers, with their state
    unfiltered : every scan of the dataset; None if these are all

    Returns
    -------
    Cohort
    """
    rows = centiloid_rows(records, unfiltered)
    rows = with_ratings(rows, [record.name for record in records], ratings)
    analysed = study(records, rows, options)
    return Cohort(output_dir, records, analysed, read_facts(output_dir), ratings)


def group_tables(cohort: Cohort) -> list[Table]:
    """Every table of the group level.

    Parameters
    ----------
    cohort : of `cohort_of`

    Returns
    -------
    list of Table
    """
    folder, records = cohort.output_dir, cohort.records
    regional = read_tables(folder, records, [*voi_columns(), "suvr_wc", "centiloid_wc"])
    return [
        Table("group_centiloid", centiloid_columns(records, cohort.facts), cohort.study.rows),
        Table("group_qc", qc_columns(), qc_rows(records)),
        *study_tables(cohort.study),
        Table(NAME, columns_of("group_columns", "ratings"), rating_rows(cohort.ratings)),
        Table("group_regions", voi_columns(regional.references), voi_rows(records, regional)),
        Table("group_curves", read_table("group_columns")["curves"], tac_rows(folder, records)),
    ]
