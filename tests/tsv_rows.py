"""Rows of a table as any program reads it, apart from the reader that is tested."""

from __future__ import annotations

import csv
from pathlib import Path


def table_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV by column; quotes are text, as in BIDS."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
