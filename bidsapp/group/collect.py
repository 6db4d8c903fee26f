"""The group level: collect every record of a derivative dataset into tables."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from bidsapp.errors import NoInputError, NoMatchError
from bidsapp.group.select import is_wanted
from bidsapp.group.tables import centiloid_rows, cohort_flags, dictionary, to_tsv, voi_rows
from bidsapp.nifti import write_text
from bidsapp.report.records import ScanRecord, find_records
from bidsapp.settings import Filters

_LOG = logging.getLogger(__name__)


def run_group(output_dir: Path, filters: Filters) -> list[Path]:
    """Write the group tables and their dictionaries, from the records alone.

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
    _warn_of_mixture(wanted)
    return [
        write_text(output_dir / "group_centiloid.tsv", to_tsv("centiloid", centiloid_rows(wanted))),
        write_text(output_dir / "group_centiloid.json", dictionary("centiloid")),
        write_text(output_dir / "group_vois.tsv", to_tsv("vois", voi_rows(wanted))),
        write_text(output_dir / "group_vois.json", dictionary("vois")),
    ]


def _warn_of_mixture(records: list[ScanRecord]) -> None:
    flags = cohort_flags(records)
    counts = Counter(flag.code for found in flags.values() for flag in found)
    for code, count in counts.items():
        example = next(path for path, found in flags.items() if code in {f.code for f in found})
        _LOG.warning(
            "%s: %d of %d scans were made by another version or with other parameters than the "
            "rest (%s, for example); run the participant level again for scans to be compared",
            code, count, len(records), example,
        )  # fmt: skip
