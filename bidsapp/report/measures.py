"""Tables of a scan as charts: uptake by region, activity over time, motion of the head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bidsapp.report.figure import Figure
from bidsapp.report.records import ScanRecord


def time_and_regions(output_dir: Path, record: ScanRecord) -> Iterator[Figure]:
    """Charts of the tables that a scan has; none for a static scan without atlas."""
    yield from ()
