"""Problems of the tables of a raw dataset, reported once for all participants."""

from __future__ import annotations

import re

from bidsapp.bids import raw_tables
from bidsapp.bids.covariates import holds_date
from bidsapp.bids.raw_dataset import RawDataset
from bidsapp.bids.raw_tables import RawTable
from bidsapp.data.sentences import worded
from bidsapp.plain import some

# Columns that may hold the time of a visit or a scan under another name.
_TIME = re.compile(r"(acq|scan|exam|visit|ses|study|mri?|pet).*(date|time|day)|date(time)?$")


def table_problems(dataset: RawDataset) -> list[str]:
    """What is wrong with the tables about the PETs of a dataset, one sentence each.

    Parameters
    ----------
    dataset : with its tables

    Returns
    -------
    list of str
    """
    bids_dir, pets = dataset.bids_dir, dataset.pets
    people = sorted({pet.participant for pet in pets})
    table = raw_tables.participants(bids_dir)
    problems = [*table.problems]
    if table.rows and (lost := [f"sub-{p}" for p in people if f"sub-{p}" not in table.rows]):
        problems.append(f"participants.tsv: has no row of {some(lost)}")
    sessions = {person: raw_tables.sessions(bids_dir, person) for person in people}
    named = {f"sub-{person}_sessions.tsv": table for person, table in sessions.items()}
    lost = [
        f"sub-{pet.participant} ses-{pet.session}"
        for pet in pets
        if pet.session is not None
        and (rows := sessions[pet.participant].rows)
        and f"ses-{pet.session}" not in rows
    ]
    problems += _of_kind("sessions.tsv", named, lost)
    scans = {
        folder: raw_tables.scans(folder, bids_dir)
        for folder in sorted({pet.path.parent.parent for pet in pets})
    }
    named = {
        f"{'_'.join(folder.relative_to(bids_dir).parts)}_scans.tsv": table
        for folder, table in scans.items()
    }
    lost = [
        pet.path.name
        for pet in pets
        if (rows := scans[pet.path.parent.parent].rows)
        and raw_tables.scan_row(rows, pet.path) is None
    ]
    return problems + _of_kind("scans.tsv", named, lost)


def _of_kind(kind: str, tables: dict[str, RawTable], lost: list[str]) -> list[str]:
    """Sentences about all tables of a kind, by name; ``lost`` is what has no row in its own."""
    problems = [problem for table in tables.values() for problem in table.problems]
    if lost:
        problems.append(f"{kind}: has no row of {some(dict.fromkeys(lost))}")
    unread: dict[str, list[str]] = {}
    elsewhere: dict[str, set[str]] = {}
    for name, table in tables.items():
        for key, row in table.rows.items():
            if raw_tables.acq_text(row) and raw_tables.acq_time(row) is None:
                unread.setdefault(name, []).append(key)
            elif not any(column.lower() == "acq_time" for column in row):
                dated = (column for column, text in row.items() if holds_date(text))
                if columns := {column for column in dated if _TIME.match(column.lower())}:
                    elsewhere.setdefault(name, set()).update(columns)
    if unread:
        keys = dict.fromkeys(key for keys in unread.values() for key in keys)
        problems.append(worded("raw-tables", "acq-time", name=some(unread), keys=some(keys)))
    if elsewhere:
        named = sorted(set().union(*elsewhere.values()))
        problems.append(
            worded("raw-tables", "other-time", name=some(elsewhere), columns=some(named))
        )
    return problems
