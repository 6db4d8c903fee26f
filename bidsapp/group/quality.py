"""The group table of quality: every number of every scan with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bidsapp.core.quality import QualityLevel
from bidsapp.data import read_table
from bidsapp.group.tables import least_coverage, scan_columns
from bidsapp.record import ScanRecord, Status

VERDICT = "_verdict"
_LEVELS = {
    QualityLevel.GOOD.value: "Within the limit",
    QualityLevel.LOOK.value: "Beyond the limit: a person should look",
    QualityLevel.WRONG.value: "Cannot be right",
}
# What is judged besides the numbers of ``data/qc.toml``: name of the verdict -> column.
_OTHERS = {
    "window": "uptake_window",
    "coverage": "least_coverage",
    "plausible": "centiloid",
}


def qc_columns() -> dict[str, dict[str, Any]]:
    """Describe the columns of ``group_qc.tsv``: every number of a scan, its verdict after it.

    Returns
    -------
    dict
    """
    own = read_table("group_columns")["qc"]
    columns: dict[str, dict[str, Any]] = {name: dict(own[name]) for name in own}
    limits = read_table("limits")
    for name, row in read_table("qc").items():
        meaning = f"{row['label']}: {row['meaning']}"
        columns[name] = {"Description": meaning, "Units": row["unit"] or "unitless"}
        limit = limits.get(row.get("limit", name), {})
        bounds = {key: row[key] for key in ("usual", "possible_above") if key in row}
        limit = {key: limit[key] for key in ("flag", "least", "refuse") if key in limit}
        bounds_text = ", ".join(f"{key} {value}" for key, value in (limit or bounds).items())
        columns[name + VERDICT] = {
            "Description": f"Verdict on {name} ({bounds_text})"
            if bounds_text
            else f"{name} has no limit: n/a",
            "Levels": dict(_LEVELS),
        }
    return columns


def qc_rows(records: Iterable[ScanRecord]) -> Iterator[dict[str, Any]]:
    """One row per scan; a scan without a result has its status and flags only.

    Parameters
    ----------
    records : scans

    Yields
    ------
    dict
    """
    names = tuple(read_table("qc"))
    for record in records:
        words = {name: verdict.level.value for name, verdict in record.verdicts.items()}
        ok = record.status is Status.OK
        row: dict[str, Any] = {
            **scan_columns(record),
            "flags": ";".join(flag.code for flag in record.flags),
            "verdict": record.worst and record.worst.value,
            "centiloid": record.centiloid if ok else None,
            "least_coverage": least_coverage(record) if ok else None,
            "record": record.path,
        }
        row |= {column + VERDICT: words.get(name) for name, column in _OTHERS.items()}
        for name in names:
            row[name] = record.qc.get(name) if ok else None
            row[name + VERDICT] = words.get(name)
        yield row
