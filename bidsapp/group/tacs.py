"""The group table of activity over time: one row per scan, atlas, region and frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.io.tsv import finite_number, read_rows
from bidsapp.record import ScanRecord, Status

COLUMNS: dict[str, dict[str, str]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session, n/a when the dataset has none"},
    "scan": {"Description": "Entities of the scan; those of one participant may be several"},
    "tracer": {"Description": "Tracer, as in the entity trc"},
    "atlas": {"Description": "Atlas"},
    "region": {"Description": "Region of the atlas"},
    "frame_start": {"Description": "Start of the frame, after injection", "Units": "s"},
    "frame_end": {"Description": "End of the frame, after injection", "Units": "s"},
    "uptake": {
        "Description": "Mean uptake, decay-corrected to the injection; n/a where less than half "
        "was measured. In the units that the table of the scan names, mostly Bq/mL"
    },
    "suv": {
        "Description": "The same over dose per body weight; n/a where these are not known",
        "Units": "g/mL",
    },
}


def tac_rows(output_dir: Path, records: Sequence[ScanRecord]) -> Iterator[dict[str, Any]]:
    """Rows of all scans that have activity over time, scan by scan, region by region.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    records : scans
    """
    for record in records:
        if record.status is not Status.OK:
            continue
        session = record.entities.get("ses")
        scan = {
            "participant_id": f"sub-{record.entities['sub']}",
            "session_id": f"ses-{session}" if session else "n/a",
            "scan": join_entities(record.entities),
            "tracer": record.tracer,
        }
        for atlas, name in record.tacs.items():
            activity = _read(output_dir / str(name))
            suv = _read(output_dir / str(name).replace("_tacs.tsv", "_desc-suv_tacs.tsv"))
            for region in _regions(activity):
                for index, row in enumerate(activity):
                    yield scan | {
                        "atlas": atlas,
                        "region": region,
                        "frame_start": float(row["frame_start"]),
                        "frame_end": float(row["frame_end"]),
                        "uptake": finite_number(row[region]),
                        "suv": finite_number(suv[index].get(region)) if index < len(suv) else None,
                    }


def _regions(rows: Sequence[Mapping[str, str]]) -> list[str]:
    times = ("frame_start", "frame_end")
    return [name for name in rows[0] if name and name not in times] if rows else []


def _read(path: Path) -> list[dict[str, str]]:
    """Rows of a table; none when it cannot be read or holds no times."""
    try:
        rows = read_rows(path)
        whole = all(float(row["frame_end"]) > float(row["frame_start"]) for row in rows)
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return rows if whole else []
