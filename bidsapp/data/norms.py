"""Norm tables of a user: regional SUVRs of healthy people."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path

from bidsapp.core.regions.regional import Norm
from bidsapp.data.sentences import refused
from bidsapp.errors import BadDataError
from bidsapp.io.reading import given_text
from bidsapp.io.tsv import finite_number

_NEEDED = ("atlas", "region", "mean", "sd")


def read_norms(path: Path, references: Collection[str]) -> dict[tuple[str, str], Norm]:
    """Norms by atlas and region.

    Parameters
    ----------
    path : TSV with the columns ``atlas``, ``region``, ``mean``, ``sd`` of SUVRs, and perhaps
        ``reference`` (``wc`` when absent)
    references : reference regions of the run

    Returns
    -------
    dict of Norm
        By name of the atlas and of the region.

    Raises
    ------
    NoInputError
        The file is missing or cannot be read.
    BadDataError
        It is no such table.
    """
    rows = csv.DictReader(io.StringIO(given_text(path)), delimiter="\t")
    if missing := [name for name in _NEEDED if name not in (rows.fieldnames or ())]:
        lists = map(", ".join, (missing, _NEEDED))
        raise refused("norms", "no-column", path=path, lists=list(lists))
    norms: dict[tuple[str, str], Norm] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{path}, row {number}"
        norm = Norm(row.get("reference") or "wc", _number(row, "mean", where), _sd(row, where))
        if norm.reference not in references:
            known = ", ".join(references)
            raise refused("norms", "reference", where=where, norm=norm, known=known)
        key = (row["atlas"] or "", row["region"] or "")
        if key in norms:
            raise BadDataError(f"{where}: {' '.join(key)} is given twice; keep one")
        norms[key] = norm
    return norms


def _sd(row: dict[str, str], where: str) -> float:
    value = _number(row, "sd", where)
    if value <= 0:
        raise BadDataError(f"{where}: the sd {value:g} is not positive")
    return value


def _number(row: dict[str, str], column: str, where: str) -> float:
    value = finite_number(row[column])
    if value is None:
        raise BadDataError(f"{where}: the {column} {row[column]!r} is not a number")
    return value
