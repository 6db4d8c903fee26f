"""The group table of activity over time: one row per scan, atlas, region and frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.group.tables import scan_columns
from bidsapp.io.tsv import finite_number, read_rows
from bidsapp.record import ScanRecord, Status
from bidsapp.record.stored import StoredScan

_TIMES = ("frame_start", "frame_end")


def tac_rows(output_dir: Path, records: Sequence[ScanRecord]) -> Iterator[dict[str, Any]]:
    """Rows of all scans with time-activity curves, scan by scan, region by region.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    records : scans

    Yields
    ------
    dict
    """
    for record in records:
        if record.status is not Status.OK:
            continue
        scan = scan_columns(record) | {"scan": join_entities(record.entities)}
        stored = StoredScan(output_dir, record)
        for atlas in record.tacs:
            activity, suv = (_read(stored.path(key, atlas=atlas)) for key in ("tacs", "tacs_suv"))
            regions = (
                [name for name in activity[0] if name and name not in _TIMES] if activity else []
            )
            for region in regions:
                for index, row in enumerate(activity):
                    yield scan | {
                        "atlas": atlas,
                        "region": region,
                        "frame_start": float(row["frame_start"]),
                        "frame_end": float(row["frame_end"]),
                        "uptake": finite_number(row[region]),
                        "suv": finite_number(suv[index].get(region)) if index < len(suv) else None,
                    }


def _read(path: Path) -> list[dict[str, str]]:
    """Rows of a table; none when it cannot be read or has no times."""
    try:
        rows = read_rows(path)
        whole = all(float(row["frame_end"]) > float(row["frame_start"]) for row in rows)
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return rows if whole else []
