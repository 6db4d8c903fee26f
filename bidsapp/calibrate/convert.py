"""SUVRs of another pipeline to Centiloids, by the published equation of that pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.calibrate.tables import read_rows
from bidsapp.core.quality import flagged
from bidsapp.data import read_table, tupled
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.data.tracers import tracer_from_name, tracers
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.hashes import file_hash
from bidsapp.io.reading import known_object
from bidsapp.io.tsv import finite_number, write_rows
from bidsapp.steps.refusing import refuse_impossible

_TRACER = "tracer"
_NEW: dict[str, dict[str, str]] = read_table("calibration")["converted"]


@dataclass(frozen=True)
class Published:
    """A line from the SUVRs of another pipeline to Centiloids: a row of ``equations.toml``.

    Attributes
    ----------
    name : as ``--equation`` takes it
    tracer : code
    pipeline : what made the SUVRs
    slope, intercept : Centiloid = ``slope`` * SUVR + ``intercept``
    source, doi : who published it
    read : where the numbers were read
    status : ``verified`` or ``from code``
    columns : names that the pipeline's own tables give the SUVR
    cutoffs : pairs of SUVR and rounded Centiloid that the source gives
    """

    name: str
    tracer: str
    pipeline: str
    slope: float
    intercept: float
    source: str
    doi: str
    read: str
    status: str
    columns: tuple[str, ...] = ()
    cutoffs: tuple[tuple[float, float], ...] = ()

    def at(self, suvr: float) -> float:
        """Centiloid of an SUVR of this pipeline.

        Parameters
        ----------
        suvr : of this pipeline

        Returns
        -------
        float
            CL.
        """
        return self.slope * suvr + self.intercept


@dataclass(frozen=True)
class Converted:
    """A table with Centiloids.

    Attributes
    ----------
    rows : those of the table, with ``centiloid``, ``centiloid_equation`` and ``centiloid_flags``
    column : that holds the SUVR
    equations : that were used
    flags : by code, what each means
    source : the table
    """

    rows: list[dict[str, Any]]
    column: str
    equations: tuple[Published, ...]
    source: Path
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> list[dict[str, str]]:
        """Rows as text, empty where a value is missing."""
        return [{k: "" if v is None else str(v) for k, v in row.items()} for row in self.rows]


@cache
def published() -> Mapping[str, Published]:
    """Every published equation by its name."""
    return {name: Published(name, **tupled(row)) for name, row in read_table("equations").items()}


def convert(path: Path, names: Sequence[str], column: str | None = None) -> Converted:
    """Read a table of SUVRs of another pipeline and convert every row to Centiloid.

    Parameters
    ----------
    path : TSV or CSV
    names : of the equations, one for each tracer of the table
    column : that holds the SUVR; None for the name that the pipeline's own tables give it

    Returns
    -------
    Converted

    Raises
    ------
    UsageError
        There is no such equation, two are for one tracer, or the column is not stated.
    NoInputError, BadDataError
        The table cannot be read; CentiPET made it; a cell is not an SUVR or of another tracer.
    """
    lines = _by_tracer(names)
    rows = read_rows(path)
    _refuse_own(path, rows[0])
    suvr = _column(path, rows[0], lines.values(), column)
    converted = Converted(rows, suvr, tuple(lines.values()), path)
    problems = []
    for number, row in enumerate(rows, start=1):
        try:
            row.update(_of_row(row, suvr, lines, converted.flags))
        except ValueError as error:
            problems.append(f"row {number}, {error}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise BadDataError(f"{path}: {'; '.join(problems[:3])}{more}")
    return converted


def write_converted(converted: Converted, path: Path) -> Path:
    """Write the table and its dictionary, which names the equations and their sources.

    Parameters
    ----------
    converted : as `convert` gives it
    path : ends in ``.tsv``

    Returns
    -------
    Path
        ``path``.
    """
    description = f"As in {converted.source.name}"
    described = {name: {"Description": description} for name in converted.rows[0]} | _NEW
    about = {
        "GeneratedBy": [{"Name": "CentiPET", "Version": __version__}],
        "Source": {"Name": converted.source.name, "SHA256": file_hash(converted.source)},
        "SUVR": converted.column,
        "Equations": {line.name: asdict(line) for line in converted.equations},
        "Flags": converted.flags,
    }
    rows = [{key: value or None for key, value in row.items()} for row in converted.texts]
    return write_rows(path, rows, described, about)


def _by_tracer(names: Sequence[str]) -> dict[str, Published]:
    by_tracer: dict[str, Published] = {}
    for name in dict.fromkeys(names):
        line = published().get(name)
        if line is None:
            raise UsageError(f"--equation {name}: is not known; known are {', '.join(published())}")
        if (other := by_tracer.get(line.tracer)) is not None:
            raise UsageError(worded("equation", "two-for-one", other=other, name=name, line=line))
        by_tracer[line.tracer] = line
    return by_tracer


def _refuse_own(path: Path, header: Mapping[str, str]) -> None:
    """SUVRs of CentiPET have equations of their own: another pipeline's would be wrong."""
    sidecar = path.with_suffix(".json")
    content = known_object(sidecar)
    our_columns = read_table("group_columns")["centiloid"]
    ours = [name for name in header if name.startswith("suvr_") and name in our_columns]
    by_us = "Equations" not in content and "CentiPET" in str(content)
    if ours or by_us:
        why = f"its column {ours[0]}" if ours else f"{sidecar.name} beside it"
        raise refused("equation", "own-suvr", path=path, why=why)
    if taken := [name for name in _NEW if name in header]:
        raise BadDataError(f"{path}: has a column {taken[0]} already; rename or remove it")


def _column(path: Path, header: Mapping[str, str], lines: Any, column: str | None) -> str:
    lines = tuple(lines)
    if column is None:
        usual = list(dict.fromkeys(name for line in lines for name in line.columns))
        present = [name for name in usual if name in header]
        if len(present) != 1:
            raise UsageError(
                worded("equation", "which-column", path=path, columns=", ".join(header))
            )
        column = present[0]
    if column not in header:
        raise UsageError(
            worded("equation", "no-column", column=column, path=path, columns=", ".join(header))
        )
    for line in lines:
        owners = [line.name for line in published().values() if column in line.columns]
        if owners and line.name not in owners:
            raise BadDataError(
                f"{path}: column {column} holds SUVRs of another pipeline or reference region than "
                f"{line.name} is for; use {' or '.join(owners)}"
            )
    return column


def _of_row(
    row: Mapping[str, str], column: str, lines: Mapping[str, Published], flags: dict[str, str]
) -> dict[str, Any]:
    """The new cells of a row; a ValueError names the column whose cell is wrong."""
    line = _line_of(row, lines)
    cells: dict[str, Any] = dict.fromkeys(_NEW)
    if row[column] == "":
        return cells
    suvr = finite_number(row[column])
    if suvr is None or suvr <= 0:
        raise ValueError(
            f"column {column}: {row[column]!r} is not an SUVR; correct it or write n/a"
        )
    value = line.at(suvr)
    limits = read_table("limits")
    cells["centiloid_equation"] = line.name
    try:
        refuse_impossible(value, **limits["centiloid_possible"])
    except BadDataError as error:
        raised = [worded_flag("suvr-impossible", reason=error)]
    else:
        cells["centiloid"] = value
        raised = list(flagged({"centiloid": value}, limits))
    for flag in raised:
        flags.setdefault(flag.code, flag.message)
    cells["centiloid_flags"] = ";".join(flag.code for flag in raised) or None
    return cells


def _line_of(row: Mapping[str, str], lines: Mapping[str, Published]) -> Published:
    name = next((key for key in row if key.lower() == _TRACER), None)
    if name is None or row[name] == "":
        if len(lines) == 1:
            return next(iter(lines.values()))
        raise ValueError("there is no column tracer to choose the equation by; add one")
    tracer = tracers().get(row[name].upper()) or tracer_from_name(row[name])
    line = None if tracer is None else lines.get(tracer.code)
    if line is None:
        known = ", ".join(line.name for line in lines.values())
        raise ValueError(f"column {name}: {row[name]!r} is not the tracer of {known}")
    return line
