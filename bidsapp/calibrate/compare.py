"""Two tables of the same scans, by two pipelines or two versions: how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.calibrate.convert import convert
from bidsapp.calibrate.figures import Paired, paired_plots
from bidsapp.calibrate.report import versions
from bidsapp.calibrate.tables import number_of, read_rows
from bidsapp.core.statistics.regression import Agreement, Fit, Line, agreement
from bidsapp.data import REFERENCES, read_table
from bidsapp.data.sentences import worded
from bidsapp.data.tracers import tracer_from_name
from bidsapp.errors import BadDataError
from bidsapp.io.hashes import file_hash

Float = NDArray[np.float64]

# What names a scan in both tables, as far as both have the column.
_KEYS = ("participant_id", "sub_id", "session_id", "tracer", "rec", "run")
_PREFIXES = {"participant_id": "sub-", "session_id": "ses-"}
_NUMBERS = ("centiloid", *(f"suvr_{name}" for name in REFERENCES),
            *(f"centiloid_{name}" for name in REFERENCES if name != "wc"),
            *(f"cl_{name}" for name in REFERENCES))  # fmt: skip
_CENTILOIDS = ("centiloid", "cl_")


@dataclass(frozen=True)
class ClassChange:
    """Scans on either side of a cut-off: by both, by the first only, by the second only, by none.

    Above means strictly above. ``changed`` names the scans that change sides.
    """

    cutoff: float
    both_above: int
    only_first_above: int
    only_second_above: int
    both_below: int
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """One column of two tables.

    Attributes
    ----------
    column : name
    line : second on first
    agreement : second minus first
    classes : by cut-off; empty for anything but Centiloids
    names, first, second : scans and their values
    """

    column: str
    line: Line
    agreement: Agreement
    classes: tuple[ClassChange, ...]
    names: tuple[str, ...]
    first: Float
    second: Float


@dataclass(frozen=True)
class Tables:
    """Two tables compared.

    Attributes
    ----------
    columns : comparisons by column
    only_first, only_second : scans with a value of the main column in one table only
    files : name and hash of both
    """

    columns: Mapping[str, Comparison]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    files: Mapping[str, Mapping[str, Any]]


def usual_cutoffs() -> list[float]:
    """Cut-offs of the literature: edges of the bands and the marks of ``bands.toml``.

    Returns
    -------
    list of float
        CL, ascending.
    """
    table = read_table("bands")
    edges = [band["upper"] for band in table["scale"]["bands"] if "upper" in band]
    marks = [mark["at"] for row in table["cutoffs"] for mark in row["marks"]]
    return sorted({float(value) for value in (*edges, *marks)})


def compare(
    first: Path,
    second: Path,
    cutoffs: Sequence[float],
    fit: Fit,
    *,
    equations: Sequence[str] = (),
    column: str | None = None,
) -> Tables:
    """Compare every number that both tables have.

    Parameters
    ----------
    first, second : TSV or CSV, such as ``group_centiloid.tsv``
    cutoffs : Centiloids at which classes are counted
    fit : regression
    equations, column : published equations that make Centiloids of the SUVRs of the second table,
        as for `bidsapp.calibrate.convert.convert`

    Returns
    -------
    Tables

    Raises
    ------
    NoInputError, BadDataError
        A table cannot be read; has no column that names scans or no number of both; a scan stands
        twice; fewer than three scans are shared.
    """
    other = convert(second, equations, column) if equations else None
    rows = read_rows(first), read_rows(second) if other is None else other.texts
    keys = [name for name in _KEYS if all(name in table[0] for table in rows)]
    if not keys:
        raise BadDataError(f"{first} and {second}: share no column such as participant_id")
    scans = [_by_name(table, keys, path) for table, path in zip(rows, (first, second), strict=True)]
    numbers = [name for name in _NUMBERS if all(name in table[0] for table in rows)]
    if not numbers:
        raise BadDataError(f"{first} and {second}: share no column such as centiloid or suvr_wc")
    columns = {}
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    for column in numbers:
        values = [_values(table, column) for table in scans]
        shared = [name for name in values[0] if name in values[1]]
        if column == numbers[0]:
            only_first, only_second = (
                tuple(name for name in values[i] if name not in values[1 - i]) for i in (0, 1)
            )
            if len(shared) < 3:
                raise BadDataError(
                    f"{first} and {second}: share {len(shared)} scans with a {column}, at least 3 "
                    "are needed; names of scans must be the same in both"
                )
        if len(shared) >= 3:
            columns[column] = _compared(column, shared, values, cutoffs, fit)
    files: dict[str, dict[str, Any]] = {
        which: {"name": path.name, "sha256": file_hash(path)}
        for which, path in (("first", first), ("second", second))
    }
    if other is not None:
        files["second"] |= {"suvr": other.column, "equations": [*map(asdict, other.equations)]}
    return Tables(columns, only_first, only_second, files)


def content(tables: Tables, regression: str) -> dict[str, Any]:
    """The comparison as JSON.

    Parameters
    ----------
    tables : compared
    regression : name

    Returns
    -------
    dict
    """
    return {
        "schema": "centipet-comparison/1",
        "files": dict(tables.files),
        "versions": versions(),
        "regression": regression,
        "only_first": list(tables.only_first),
        "only_second": list(tables.only_second),
        "columns": {
            name: {
                "n": item.line.n,
                "line": asdict(item.line),
                "agreement": asdict(item.agreement),
                "classes": [{**asdict(row), "changed": list(row.changed)} for row in item.classes],
            }
            for name, item in tables.columns.items()
        },
    }


def words(tables: Tables) -> str:
    """Text for the terminal.

    Parameters
    ----------
    tables : compared

    Returns
    -------
    str
    """
    lines = [
        f"{'':16}{'n':>5}{'slope':>9}{'intercept':>11}{'R2':>9}{'bias':>9}{'95 % limits':>20}"
        f"{'largest':>9}"
    ]
    for name, item in tables.columns.items():
        line, limits = item.line, item.agreement
        ends = f"{limits.lower:+.3f} to {limits.upper:+.3f}"
        lines.append(
            f"{name:16}{line.n:5d}{line.slope:9.4f}{line.intercept:+11.4f}{line.r2:9.5f}"
            f"{limits.bias:+9.3f}{ends:>20}{limits.largest:9.3f}"
        )
    for name, item in tables.columns.items():
        for row in item.classes:
            changed = f": {', '.join(row.changed)}" if row.changed else ""
            lines.append(worded("fit", "classes", name=name, row=row, changed=changed))
    for which, names in (("first", tables.only_first), ("second", tables.only_second)):
        if names:
            lines.append(f"only in the {which}: {', '.join(names)}")
    return "\n".join(lines)


def plots(tables: Tables, folder: Path) -> list[Path]:
    """Regression and Bland-Altman plot of every column.

    Parameters
    ----------
    tables : compared
    folder : where they go

    Returns
    -------
    list of Path
    """
    written = []
    for name, item in tables.columns.items():
        unit = " (CL)" if name.startswith(_CENTILOIDS) else ""
        labels = [f"{tables.files[which]['name']}: {name}{unit}" for which in ("first", "second")]
        ends = f"mean of both{unit}", f"second \N{MINUS SIGN} first{unit}"
        written += paired_plots(
            folder / f"compare_{name}",
            Paired(item.first, item.second, *labels),
            item.line,
            Paired(item.first, item.second, *ends),
            item.agreement,
        )
    return written


def class_change(cutoff: float, names: Sequence[str], first: Float, second: Float) -> ClassChange:
    """Count who is above a cut-off by which table.

    Parameters
    ----------
    cutoff : CL
    names : of the scans
    first, second : ndarray, shape (N,)

    Returns
    -------
    ClassChange
    """
    above_first, above_second = first > cutoff, second > cutoff
    return ClassChange(
        cutoff=cutoff,
        both_above=int((above_first & above_second).sum()),
        only_first_above=int((above_first & ~above_second).sum()),
        only_second_above=int((~above_first & above_second).sum()),
        both_below=int((~above_first & ~above_second).sum()),
        changed=tuple(
            name for name, a, b in zip(names, above_first, above_second, strict=True) if a != b
        ),
    )


def _compared(
    column: str,
    shared: Sequence[str],
    values: Sequence[Mapping[str, float]],
    cutoffs: Sequence[float],
    fit: Fit,
) -> Comparison:
    first, second = (np.array([table[name] for name in shared]) for table in values)
    is_centiloid = column.startswith(_CENTILOIDS)
    return Comparison(
        column=column,
        line=fit(first, second),
        agreement=agreement(first, second),
        classes=tuple(
            class_change(cutoff, shared, first, second) for cutoff in cutoffs if is_centiloid
        ),
        names=tuple(shared),
        first=first,
        second=second,
    )


def _by_name(
    rows: Sequence[Mapping[str, str]], keys: Sequence[str], path: Path
) -> dict[str, Mapping[str, str]]:
    by_name: dict[str, Mapping[str, str]] = {}
    for row in rows:
        name = " ".join(_as_named(key, row[key]) for key in keys if row[key])
        if name in by_name:
            raise BadDataError(f"{path}: {name} appears in two rows; keep one")
        by_name[name] = row
    return by_name


def _as_named(key: str, value: str) -> str:
    """A label with the prefix that our tables give it, and the code of a tracer."""
    if key == "tracer":
        tracer = tracer_from_name(value)
        return tracer.code if tracer else value
    prefix = _PREFIXES.get(key, "")
    return prefix + value.removeprefix(prefix)


def _values(scans: Mapping[str, Mapping[str, str]], column: str) -> dict[str, float]:
    return {
        name: number_of(row[column], f"{name}: {column}")
        for name, row in scans.items()
        if row[column]
    }
