"""The atlas tables ``_atlas-<label>_vois.tsv`` of a dataset, read back for the group table.

Only tables that a scan's record names are read: those that an earlier run with other atlases left
behind do not count. A table that is missing or torn leaves its regions without numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bidsapp.io.tsv import finite_number, known_rows
from bidsapp.record import ScanRecord, Status
from bidsapp.record.stored import StoredScan

Values = Mapping[str, float | int | None]

_REFERENCE_COLUMNS = ("suvr_", "centiloid_")


@dataclass(frozen=True)
class RegionalTables:
    """Atlas tables of a cohort; the numbers are read scan by scan when they are asked for.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    regions : every (atlas, region) of any scan, atlas by atlas, in the order of the tables
    references : columns of reference regions that only some datasets have
    """

    output_dir: Path | None
    regions: tuple[tuple[str, str], ...]
    references: tuple[str, ...]

    def values(self, record: ScanRecord) -> dict[tuple[str, str], Values]:
        """Numbers of a scan.

        Parameters
        ----------
        record : of a scan

        Returns
        -------
        dict
            (atlas, region) -> column -> number.
        """
        if self.output_dir is None or record.status is not Status.OK:
            return {}
        return {
            (atlas, row["name"]): {
                column: finite_number(text) for column, text in row.items() if column != "name"
            }
            for atlas in record.atlases
            for row in _read(StoredScan(self.output_dir, record), atlas)
            if row.get("name") is not None
        }


NOTHING = RegionalTables(None, (), ())


def read_tables(
    output_dir: Path, records: Sequence[ScanRecord], known: Sequence[str]
) -> RegionalTables:
    """Find the regions and columns of the tables of all scans with a result, on the template.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    records : scans
    known : columns of the group table, which are known already

    Returns
    -------
    RegionalTables
    """
    regions: dict[str, dict[str, None]] = {}
    references: dict[str, None] = {}
    for record in records:
        if record.status is not Status.OK:
            continue
        for atlas in record.atlases:
            columns, names = _outline(StoredScan(output_dir, record), atlas)
            regions.setdefault(atlas, {}).update(dict.fromkeys(names))
            if names:
                references |= dict.fromkeys(c for c in columns if c.startswith(_REFERENCE_COLUMNS))
    every = tuple((atlas, region) for atlas, names in regions.items() for region in names)
    return RegionalTables(output_dir, every, tuple(c for c in references if c not in known))


def _outline(scan: StoredScan, atlas: str) -> tuple[list[str], list[str]]:
    """Columns and names of the regions of a table, without its numbers."""
    try:
        text = scan.path("vois", atlas=atlas).read_text("utf-8")
    except (OSError, ValueError):
        return [], []
    first, *lines = text.splitlines() or [""]
    columns = first.split("\t")
    if "name" not in columns:
        return [], []
    index = columns.index("name")
    cells = (line.split("\t", index + 1) for line in lines if line)
    return columns, [row[index] for row in cells if len(row) > index]


def _read(scan: StoredScan, atlas: str) -> list[dict[str, str]]:
    rows = known_rows(scan.path("vois", atlas=atlas))
    return [{key: text for key, text in row.items() if key} for row in rows]
