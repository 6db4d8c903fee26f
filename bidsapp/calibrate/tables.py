"""Tables of SUVRs: the public ones of the Centiloid project, our group table, and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.raw_tables import read_cells
from bidsapp.data import FOLDER, REFERENCES, read_table
from bidsapp.data.sentences import refused, worded
from bidsapp.data.tracers import named_tracers, tracer_from_name
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.tsv import finite_number

Row = Mapping[str, str]

_MISSING = {"", "n/a", "na", "nan", "none", "null"}


@dataclass(frozen=True)
class Person:
    """SUVRs and Centiloids of one person with one tracer.

    Attributes
    ----------
    name : of the person
    is_young : young control
    suvr : by reference region
    cl : Centiloids that the table gives, by reference region
    """

    name: str
    is_young: bool
    suvr: Mapping[str, float]
    cl: Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """One person with PiB and with another tracer.

    Attributes
    ----------
    name, is_young : as in `Person`
    tracer : code of the other tracer
    pib, other : SUVRs by reference region; none of PiB where the table has its Centiloid alone
    pib_cl, other_cl : Centiloids that the table gives (whole cerebellum), None without
    """

    name: str
    is_young: bool
    tracer: str
    pib: Mapping[str, float]
    other: Mapping[str, float]
    pib_cl: float | None = None
    other_cl: float | None = None


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV or CSV in any encoding; values are stripped, ``n/a`` is empty.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    list of dict
        Text by column.

    Raises
    ------
    NoInputError, BadDataError
        The file cannot be read; it has no rows, or a row of another length.
    """
    header, rows, _ = read_cells(path)
    if not rows:
        raise BadDataError(f"{path}: has no rows; give a TSV or CSV with a header")
    if len({name.lower() for name in header}) < len(header):
        raise BadDataError(f"{path}: a column name occurs twice in the header; rename one")
    scans = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BadDataError(
                f"{path}: line {number} has {len(row)} values, the header {len(header)}; correct it"
            )
        scans.append(
            {n: "" if v.lower() in _MISSING else v for n, v in zip(header, row, strict=True)}
        )
    return scans


def read_people(path: Path) -> list[Person]:
    """People of level 1, of any table with a person and SUVRs of PiB per row.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    list of Person

    Raises
    ------
    BadDataError
        A column is missing, a value is not a number, or a person appears twice.
    """
    rows = _renamed(read_rows(path), read_table("calibration")["public"]["pib"])
    tracer = _column(rows, "tracer")
    if tracer is not None:  # a group table: other tracers do not matter here
        rows = [row for row in rows if _code(row[tracer]) == "PIB"]
        if not rows:
            raise BadDataError(f"{path}: no row has the tracer PiB; level 1 needs PiB scans")
    person, suvr = needed(rows, "person", path), _by_reference(rows, "suvr")
    if not suvr:
        raise BadDataError(f"{path}: no column suvr_wc (or suvr_cg, suvr_wcb, suvr_pons)")
    cl, group = _by_reference(rows, "cl"), _column(rows, "group")
    people = [
        Person(
            name=row[person],
            is_young=is_young(row[person], row[group] if group else ""),
            suvr=_values(row, suvr, path, suvr_of),
            cl=_values(row, cl, path, number_of),
        )
        for row in rows
    ]
    people = [item for item in people if item.suvr]
    _refuse_twice([item.name for item in people], path)
    return people


def asked_tracer(name: str | None) -> str | None:
    """Code of the tracer of ``--tracer``; None without it.

    Parameters
    ----------
    name : of the tracer, None without

    Returns
    -------
    str or None

    Raises
    ------
    UsageError
        It is not known, or PiB itself.
    """
    if name is None:
        return None
    code = _code(name)
    if code is None:
        raise UsageError(worded("suvr-table", "option-tracer", name=name))
    if code == "PIB":
        raise UsageError(f"--tracer {name}: is the reference tracer; give the other tracer")
    return code


def read_pairs(path: Path, tracer: str | None = None) -> list[Pair]:
    """Pairs of level 2: a pair per row, or a scan per row as in the group table.

    Parameters
    ----------
    path : of the table
    tracer : code of the other tracer, where the table does not state it

    Returns
    -------
    list of Pair

    Raises
    ------
    BadDataError
        As `read_people`; or nobody has PiB and another tracer, or the other is not ``tracer``.
    """
    rows = read_rows(path)
    public = read_table("calibration")["public"]["pairs"]
    rows = _renamed(rows, public) if not _column(rows, "pib_suvr", ref="wc") else rows
    pib, other = _by_reference(rows, "pib_suvr"), _by_reference(rows, "other_suvr")
    if other and (pib or _column(rows, "pib_cl")):
        return _wide_pairs(rows, pib, other, path, tracer)
    if _column(rows, "tracer") is None or not _by_reference(rows, "suvr"):
        raise refused("suvr-table", "columns", path=path)
    return _long_pairs(rows, path, tracer)


def public_people() -> list[Person]:
    """The 79 people of the public table, with their published Centiloids.

    Returns
    -------
    list of Person
    """
    return read_people(FOLDER / "gaain_pib.tsv")


def not_among(names: Iterable[str]) -> tuple[str, ...]:
    """People of the public table who are missing here; none if nobody is in that table.

    Parameters
    ----------
    names : of people

    Returns
    -------
    tuple of str
        Names.
    """
    present = {_key(name) for name in names}
    absent = tuple(item.name for item in public_people() if _key(item.name) not in present)
    return absent if len(absent) < len(public_people()) else ()


def with_published(people: Iterable[Person]) -> list[Person]:
    """The same people with the published Centiloids of the public table where they have none.

    Parameters
    ----------
    people : of any table

    Returns
    -------
    list of Person
    """
    published = {_key(item.name): item for item in public_people()}
    return [
        replace(item, is_young=known.is_young, cl=known.cl)
        if not item.cl and (known := published.get(_key(item.name)))
        else item
        for item in people
    ]


def pairs_with_pib(
    suvr: Mapping[str, Mapping[str, Mapping[str, float]]], young: Mapping[str, bool]
) -> list[Pair]:
    """Pairs of everybody who has a scan with PiB.

    Parameters
    ----------
    suvr : SUVRs by person, tracer and reference region
    young : whether a person is a young control, by person

    Returns
    -------
    list of Pair
    """
    return [
        Pair(name, young[name], code, by_tracer["PIB"], values)
        for name, by_tracer in suvr.items()
        if "PIB" in by_tracer
        for code, values in by_tracer.items()
        if code != "PIB"
    ]


def array(values: Iterable[float]) -> NDArray[np.float64]:
    """Values as an array.

    Parameters
    ----------
    values : numbers

    Returns
    -------
    ndarray
        Shape (N,).
    """
    return np.fromiter(values, np.float64)


def _wide_pairs(
    rows: Sequence[Row],
    pib: Mapping[str, str],
    other: Mapping[str, str],
    path: Path,
    asked: str | None,
) -> list[Pair]:
    person, tracer = needed(rows, "person", path), _column(rows, "tracer")
    if tracer is None and asked is None:
        raise BadDataError(f"{path}: column tracer is missing; add it, or give --tracer NAME")
    group, pib_cl, other_cl = (_column(rows, key) for key in ("group", "pib_cl", "other_cl"))
    pairs = []
    for row in rows:
        text, where = row[tracer] if tracer else "", f"{path}: {row[person]}"
        code = tracer_code(text, where) if text or asked is None else asked
        refuse_other(code, text, asked, where)
        if code == "PIB":
            raise refused("suvr-table", "pib-twice", where=where)
        pairs.append(
            Pair(
                name=row[person],
                is_young=is_young(row[person], row[group] if group else ""),
                tracer=code,
                pib=_values(row, pib, path, suvr_of),
                other=_values(row, other, path, suvr_of),
                pib_cl=_number(row[pib_cl], path, pib_cl) if pib_cl else None,
                other_cl=_number(row[other_cl], path, other_cl) if other_cl else None,
            )
        )
    for code in {pair.tracer for pair in pairs}:
        _refuse_twice([pair.name for pair in pairs if pair.tracer == code], path)
    return pairs


def _long_pairs(rows: Sequence[Row], path: Path, asked: str | None) -> list[Pair]:
    person, tracer = needed(rows, "person", path), needed(rows, "tracer", path)
    suvr, group = _by_reference(rows, "suvr"), _column(rows, "group")
    scans: dict[str, dict[str, dict[str, float]]] = {}
    young: dict[str, bool] = {}
    strangers: set[str] = set()
    for row in rows:
        code, values = _code(row[tracer]), _values(row, suvr, path, suvr_of)
        if code is None and row[tracer]:
            if not named_tracers(row[tracer]).understood:
                tracer_code(row[tracer], f"{path}: {row[person]}")
            strangers.add(row[tracer])
        if code is None or not values:
            continue
        if code != "PIB":
            refuse_other(code, row[tracer], asked, f"{path}: {row[person]}")
        if code in scans.setdefault(row[person], {}):
            raise BadDataError(f"{path}: {row[person]} has two scans with {code}; keep one")
        scans[row[person]][code] = values
        young[row[person]] = is_young(row[person], row[group] if group else "")
    pairs = pairs_with_pib(scans, young)
    if not pairs:
        remedy = f"; {min(strangers)} has to be described in a --tracer-file" if strangers else ""
        raise refused("suvr-table", "no-pair", path=path, remedy=remedy)
    return pairs


def _renamed(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, str]]:
    return [{names.get(key.lower(), key): value for key, value in row.items()} for row in rows]


def _column(rows: Sequence[Row], key: str, **parts: str) -> str | None:
    """Column of the table for a key of the table of columns, in whatever case; None without."""
    names = {name.lower(): name for name in rows[0]} if rows else {}
    wanted = (name.format(**parts) for name in read_table("calibration")["columns"][key])
    return next((names[name] for name in wanted if name in names), None)


def needed(rows: Sequence[Row], key: str, path: Path) -> str:
    """Column of a table for a row of the table of columns, or a `BadDataError`.

    Parameters
    ----------
    rows : of the table
    key : of the table of columns
    path : of the table, for the message

    Returns
    -------
    str
    """
    column = _column(rows, key)
    if column is None:
        names = " or ".join(read_table("calibration")["columns"][key])
        raise BadDataError(f"{path}: column {names} is missing; add it")
    return column


def _by_reference(rows: Sequence[Row], key: str) -> dict[str, str]:
    columns = {ref: _column(rows, key, ref=ref) for ref in REFERENCES}
    return {ref: name for ref, name in columns.items() if name is not None}


def _values(
    row: Row, columns: Mapping[str, str], path: Path, read: Callable[[str, str], float]
) -> dict[str, float]:
    """Numbers by reference region, of the columns in which the row has one."""
    return {ref: read(row[name], f"{path}: {name}") for ref, name in columns.items() if row[name]}


def _number(text: str, path: Path, column: str) -> float | None:
    return number_of(text, f"{path}: {column}") if text else None


def number_of(text: str, where: str) -> float:
    """Number of a cell of a table, or a `BadDataError`.

    Parameters
    ----------
    text : of the cell
    where : table and row, for the message

    Returns
    -------
    float
    """
    value = finite_number(text)
    if value is None:
        raise BadDataError(f"{where}: {text!r} is not a number; correct it or write n/a")
    return value


def suvr_of(text: str, where: str) -> float:
    """SUVR of a cell of a table, or a `BadDataError`.

    Parameters
    ----------
    text, where : as of `number_of`

    Returns
    -------
    float
    """
    value, limits = number_of(text, where), read_table("calibration")["suvr"]
    if not limits["lowest"] <= value <= limits["highest"]:
        raise refused("suvr-table", "no-suvr", where=where, text=text, **limits)
    return value


def _code(text: str) -> str | None:
    tracer = tracer_from_name(text)
    return tracer.code if tracer else None


def tracer_code(name: str, where: str) -> str:
    """Code of a tracer that a cell of a table names, or a `BadDataError`.

    Parameters
    ----------
    name : of the tracer
    where : table and row, for the message

    Returns
    -------
    str
    """
    if (code := _code(name)) is None:
        if named_tracers(name).other:
            raise refused("suvr-table", "no-amyloid", where=where, name=name)
        raise refused("suvr-table", "unknown-tracer", where=where, name=name)
    return code


def refuse_other(code: str, text: str, asked: str | None, where: str) -> None:
    """Refuse a row of another tracer than ``--tracer``.

    Parameters
    ----------
    code, text : tracer of the row, and how it is written there
    asked : code of ``--tracer``, None without
    where : table and row, for the message
    """
    if asked is not None and code != asked:
        raise refused("suvr-table", "other-tracer", where=where, text=text, asked=asked)


def is_young(name: str, group: str = "") -> bool:
    """Whether group, or the name of a person without one, says young control.

    Parameters
    ----------
    name : of the person
    group : empty without

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_young(name) for name in ("YC101", "sub-Y-12", "YK12", "AD01")]
    [True, True, False, False]
    >>> [is_young("YC101", group) for group in ("YHV", "Young_Control", "elderly")]
    [True, True, False]
    """
    words = read_table("calibration")["archive"]["young"]
    if group:
        return "young" in group.lower() or not {*words}.isdisjoint(name_words(group))
    return re.match(rf"(SUB-)?(Y|{'|'.join(words)})[_-]?\d", name.upper()) is not None


def name_words(text: str) -> list[str]:
    """Words of a name in upper case.

    Parameters
    ----------
    text : any

    Returns
    -------
    list of str
    """
    return re.findall(r"[A-Z0-9]+", text.upper())


def _key(name: str) -> str:
    """Name of a person without prefix and signs: ``sub-AD01`` and ``AD_01`` are AD01."""
    return re.sub(r"[^A-Z0-9]", "", name.upper().removeprefix("SUB-"))


def _refuse_twice(names: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadDataError(f"{path}: {', '.join(twice)} appears in two rows; keep the right one")
