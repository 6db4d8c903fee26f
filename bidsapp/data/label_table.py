"""Label tables of atlases: BIDS ``_dseg.tsv``, other tables with a header, and lookup tables.

Understood are columns separated by tab, semicolon, comma or blanks; with a header that names the
index and the region in one of the usual ways; or without a header, ``index name ...`` a line, as
FreeSurfer, AAL and SPM write them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bidsapp.data.sentences import refused
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.reading import read_bytes

_COLUMNS = {
    "index": ("index", "label_index", "roiid", "roi_id", "id", "value", "labelvalue", "no",
              "number", "label"),
    "name": ("name", "label_name", "labelname", "roiname", "region", "region_name", "label",
             "structure", "roi", "abbreviation", "roiabbr"),
    "hemisphere": ("hemisphere", "hemi", "side"),
    "lobe": ("lobe",),
    "description": ("description", "long_name"),
}  # fmt: skip
_SIDES = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R"}
_WORDS = (("l", "r"), ("lh", "rh"), ("left", "right"))
_OPPOSITE = {
    kind(side): kind(opposite)
    for kind in (str.lower, str.upper, str.title)
    for pair in _WORDS
    for side, opposite in (pair, pair[::-1])
}
_LARGEST_BYTES = 10_000_000


@dataclass(frozen=True)
class Region:
    """One row of a label table.

    Attributes
    ----------
    index : label in the image
    name : unique in its table
    hemisphere : ``L``, ``R``, ``B`` (both), or ``n/a``
    lobe, description : ``n/a`` where the table says nothing
    """

    index: int
    name: str
    hemisphere: str = "n/a"
    lobe: str = "n/a"
    description: str = "n/a"


@dataclass(frozen=True)
class LabelTable:
    """A label table.

    Attributes
    ----------
    rows : in the order of the file, among them that of index 0: background, or the first map
    lookup : no header; may list labels that an image does not have
    """

    rows: tuple[Region, ...]
    lookup: bool

    @property
    def labelled(self) -> tuple[Region, ...]:
        """The rows without the background."""
        return tuple(row for row in self.rows if row.index != 0)


def read_label_table(path: Path) -> LabelTable:
    """Read a label table.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    LabelTable

    Raises
    ------
    NoInputError
        The file is missing or cannot be read.
    BadDataError
        It is not a table of labels.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST_BYTES or b"\0" in content:
        raise BadDataError(f"{path}: is not text; give the label table as TSV with index and name")
    return parse_label_table(content.decode("utf-8-sig", "replace"), str(path))


def parse_label_table(text: str, source: str) -> LabelTable:
    """Rows of a label table given as text; ``source`` names it in errors.

    Parameters
    ----------
    text : of the table
    source : what it is called in messages

    Returns
    -------
    LabelTable
    """
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise BadDataError(f"{source}: is empty; give one row per label with index and name")
    separator = next((mark for mark in "\t;," if mark in lines[0]), None)
    header = [_key(cell) for cell in _cells(lines[0], separator)]
    places = _places(header)
    lookup = "index" not in places and _is_integer(_cells(lines[0], separator)[0])
    if lookup:
        places = {"index": 0, "name": 1}
    elif not {"index", "name"} <= places.keys():
        raise refused("label-table", "columns", source=source, columns=", ".join(header)[:120])
    body = lines if lookup else lines[1:]
    first = 1 if lookup else 2
    numbered = enumerate((_cells(line, separator) for line in body), start=first)
    rows = [_row(cells, places, f"{source}, row {number}") for number, cells in numbered]
    rows = _told_apart(rows)
    if not any(row.index != 0 for row in rows):
        raise BadDataError(f"{source}: lists no label besides the background")
    _check_unique(rows, source)
    return LabelTable(tuple(rows), lookup)


def side_of(name: str) -> str:
    """Hemisphere according to the name of a region: ``L``, ``R``, or ``n/a``.

    Parameters
    ----------
    name : of a region

    Returns
    -------
    str

    Examples
    --------
    >>> side_of("ctx-lh-insula"), side_of("Precentral_R"), side_of("Vermis_6"), side_of("Left-Pons")
    ('L', 'R', 'n/a', 'L')
    """
    words = re.split(r"[^A-Za-z]+", name)
    sides = {_SIDES[word.lower()] for word in words if word.lower() in _SIDES}
    return sides.pop() if len(sides) == 1 else "n/a"


def other_side(name: str) -> str | None:
    """Name of the same region on the other side; None if the name has no side.

    Parameters
    ----------
    name : of a region

    Returns
    -------
    str or None

    Examples
    --------
    >>> [other_side(name) for name in ("ctx-lh-insula", "frontal_R", "rSFG", "Vermis")]
    ['ctx-rh-insula', 'frontal_L', 'lSFG', None]
    """
    parts = re.split(r"([^A-Za-z]+)", name)
    exchanged = [_OPPOSITE.get(part, part) for part in parts]
    if exchanged != parts:
        return "".join(exchanged)
    return _OPPOSITE[name[0]] + name[1:] if name[0] in "lr" else None


def pairs_of_sides(names: Sequence[str], sides: Sequence[str]) -> list[tuple[int, int] | None]:
    """Places of the left and the right region of the same name, for each; None without such a pair.

    Parameters
    ----------
    names : of regions
    sides : ``L``, ``R`` or another text, of each

    Returns
    -------
    list of (int, int) or None
        Places in ``names``, left before right.
    """
    at = {name: place for place, name in enumerate(names)}
    pairs: list[tuple[int, int] | None] = []
    for place, (name, side) in enumerate(zip(names, sides, strict=True)):
        other = at.get(other_side(name) or "")
        pair = None if other is None or other == place or side not in ("L", "R") else (place, other)
        pairs.append(pair if side == "L" or pair is None else pair[::-1])
    return pairs


def _row(cells: Sequence[str], places: dict[str, int], where: str) -> Region:
    def cell(column: str) -> str:
        place = places.get(column)
        return cells[place] if place is not None and place < len(cells) else ""

    index, name = cell("index"), cell("name")
    if not _is_integer(index):
        raise BadDataError(f"{where}: the index {index!r:.40} is not a whole number")
    if not name:
        raise BadDataError(f"{where}: label {index} has no name")
    value = int(float(index))
    if not 0 <= value < 2**31:
        raise BadDataError(f"{where}: the index {index} is not between 0 and {2**31 - 1}")
    side = _SIDES.get(cell("hemisphere").lower(), cell("hemisphere").upper())
    return Region(
        value,
        name,
        side if side in ("L", "R", "B") else side_of(name),
        cell("lobe") or "n/a",
        cell("description") or "n/a",
    )


def _told_apart(rows: Sequence[Region]) -> list[Region]:
    """Add the side to names that both hemispheres have."""
    counts = Counter(row.name for row in rows)
    return [
        replace(row, name=f"{row.name}_{row.hemisphere}")
        if counts[row.name] > 1 and row.hemisphere in ("L", "R")
        else row
        for row in rows
    ]


def _check_unique(rows: Sequence[Region], source: str) -> None:
    for field in ("index", "name"):
        value, count = Counter(getattr(row, field) for row in rows).most_common(1)[0]
        if count > 1:
            raise refused("label-table", "twice", source=source, n=count, field=field, value=value)


def _cells(line: str, separator: str | None) -> list[str]:
    return [re.sub(r"\s+", " ", cell).strip().strip('"') for cell in line.split(separator)]


def _places(header: Sequence[str]) -> dict[str, int]:
    """Column of each field; a column serves one field only, earlier spellings win."""
    places: dict[str, int] = {}
    for field, spellings in _COLUMNS.items():
        free = [word for word in spellings if word in header]
        free = [word for word in free if header.index(word) not in places.values()]
        if free:
            places[field] = header.index(free[0])
    return places


def _key(cell: str) -> str:
    return cell.lower().replace(" ", "_").replace("-", "_")


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"\d{1,12}(\.0*)?", text) is not None
