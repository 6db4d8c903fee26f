"""Tables on disk: TSV with a JSON dictionary beside it, ``n/a`` for what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bidsapp.nifti import write_text


def write_table(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    described: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> Path:
    """Write a table and its dictionary, each whole.

    Parameters
    ----------
    path : ends in ``.tsv``
    columns : values by column; numbers are written as the shortest text with the same bits
    described : entry of the dictionary by column: these columns are written, in this order
    about : entries of the dictionary about the table as a whole

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    rows = zip(*(columns[name] for name in described), strict=True)
    lines = [list(described), *([_cell(value) for value in row] for row in rows)]
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))
    content = json.dumps({**about, **described}, indent=2, ensure_ascii=False)
    write_text(path.with_suffix(".json"), content + "\n")
    return path


def _cell(value: Any) -> str:
    return "n/a" if value is None else str(value)
