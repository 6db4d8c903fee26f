"""``scans.tsv`` and ``sessions.tsv`` of a participant: results in the tables of BIDS.

They are views of the participant's records, written by the participant's own jobs. Two jobs of one
participant may end at once: whoever writes looks again afterwards, so that the last one to write
has seen all records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.data import read_table
from bidsapp.group.tables import Row, centiloid_rows
from bidsapp.io.tsv import write_rows
from bidsapp.record import ScanRecord, Status, find_records
from bidsapp.record.stored import StoredScan

_INTERVALS = (
    "rescan_sd", "rescan_low", "rescan_high", "centiloid_sd", "centiloid_low", "centiloid_high",
)  # fmt: skip
_SCAN = (
    "tracer", "centiloid", *_INTERVALS, "band", "suvr_wc",
    "reference_region", "window_start_min", "window_end_min", "method", "flags", "version",
)  # fmt: skip
_SESSION = ("tracer", "centiloid", *_INTERVALS, "years")
_MOST_ROUNDS = 20

Table = dict[str, list[Row]]


def write_scan_tables(output_dir: Path, people: Iterable[str]) -> None:
    """Write the tables of some participants by their records; those without a result go.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    people : labels without ``sub-``

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    for label in people:
        tables = None
        for _ in range(_MOST_ROUNDS):
            current = scan_tables(output_dir, find_records(output_dir, label))
            if current == tables:
                break
            _write(output_dir, label, current)
            tables = current


def scan_tables(output_dir: Path, records: Sequence[ScanRecord]) -> Table:
    """Rows by name of the table, relative to the dataset.

    Parameters
    ----------
    output_dir : root of the derivative dataset, to see that images are there
    records : all of one participant

    Returns
    -------
    Table
    """
    tables: Table = {}
    sessions: dict[str, list[Row]] = {}
    for record, row in _done(records):
        if row["session_id"] is not None:
            sessions.setdefault(row["session_id"], []).append(row)
        image = StoredScan(output_dir, record).path("pet_native")
        if image.is_file():
            folder = image.parent.parent
            name = "_".join(folder.relative_to(output_dir).parts)
            path = (folder / f"{name}_scans.tsv").relative_to(output_dir).as_posix()
            file = {"filename": image.relative_to(folder).as_posix()}
            tables.setdefault(path, []).append(file | {key: row[key] for key in _SCAN})
    if sessions:
        person = f"sub-{records[0].entities['sub']}"
        tables[f"{person}/{person}_sessions.tsv"] = [
            _session_row(session, rows) for session, rows in sessions.items()
        ]
    return tables


def _done(records: Sequence[ScanRecord]) -> list[tuple[ScanRecord, Row]]:
    """Scans with a result, and their rows, without what only a cohort can show."""
    rows = centiloid_rows(records)
    done = []
    for record, row in zip(records, rows, strict=True):
        if record.status is Status.OK:
            flags = {"flags": ";".join(flag.code for flag in record.flags)}
            done.append((record, row | flags))
    return done


def _session_row(session: str, rows: Sequence[Row]) -> Row:
    """The result of a session; none is chosen where there are several."""
    chosen: Mapping[str, Any] = rows[0] if len(rows) == 1 else {}
    values = {key: chosen.get(key) for key in _SESSION}
    return {"session_id": session, **values, "n_results": len(rows)}


def _write(output_dir: Path, label: str, tables: Table) -> None:
    folder = output_dir / f"sub-{label}"
    kinds = ("sub-*_scans.tsv", "ses-*/sub-*_scans.tsv", "sub-*_sessions.tsv")
    for path in [path for kind in kinds for path in folder.glob(kind)]:
        if path.relative_to(output_dir).as_posix() not in tables:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
    # the manifest of the participant has the records these are made from, and their hashes
    sources = [f"bids::sub-{label}/figures/manifest.json"]
    about = {"CentiPET": {"Version": __version__, "Sources": sources}}
    for name, rows in tables.items():
        write_rows(output_dir / name, rows, _columns(rows[0]), about)


def _columns(row: Row) -> dict[str, Any]:
    """Dictionary of a table with these columns."""
    described = read_table("group_columns")
    return {name: (described["scans"] | described["centiloid"])[name] for name in row}
