"""Tables of a raw dataset: ``participants.tsv``, ``sessions.tsv``, ``scans.tsv``.

They come out of spreadsheets. What can be read is read; what had to be guessed, or could not be
read, is reported.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from bidsapp.bids.entities import bids_stem
from bidsapp.bids.folders import folders_named
from bidsapp.data.sentences import refused
from bidsapp.errors import NoInputError
from bidsapp.io.reading import read_bytes
from bidsapp.plain import some

# Other names of the column that says whom or what a row is about, without signs.
_KEY_NAMES = {
    "participant_id": ("participant", "subject", "subjectid", "subid", "subjid", "patientid", "id"),
    "session_id": ("session", "ses", "visit", "visitid", "viscode", "id"),
    "filename": ("file", "path"),
}
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")  # of no width; web pages give them along
# Also as pandas and SAS write it, and errors of spreadsheets.
_MISSING = frozenset(
    ["", "n/a", "N/A", "NA", "NaN", "nan", "<NA>", "NULL", "null", ".", "#N/A", "#NA", "#REF!",
     "#VALUE!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!"]
)  # fmt: skip


@dataclass(frozen=True)
class RawTable:
    """Rows of a table by their key.

    Attributes
    ----------
    rows : key -> column -> value, without blanks around; the column of the keys is left out, and
        so are values that rows of one key contradict each other in
    problems : what was wrong, one sentence each, beginning with the name of the file
    contradicted : key -> columns left out
    """

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    contradicted: dict[str, tuple[str, ...]] = field(default_factory=dict)


def participants(bids_dir: Path) -> RawTable:
    """``participants.tsv`` by ``sub-<label>``.

    Parameters
    ----------
    bids_dir : root of the raw dataset

    Returns
    -------
    RawTable
        Empty when there is no file.
    """
    return _read(bids_dir / "participants.tsv", "participant_id", "sub-")


def sessions(bids_dir: Path, participant: str) -> RawTable:
    """``sessions.tsv`` of a participant (label without ``sub-``) by ``ses-<label>``.

    Parameters
    ----------
    bids_dir : root of the raw dataset
    participant : label without ``sub-``

    Returns
    -------
    RawTable
        Empty when there is no file.
    """
    name = f"sub-{participant}"
    return _read(bids_dir / name / f"{name}_sessions.tsv", "session_id", "ses-")


def scans(folder: Path, bids_dir: Path) -> RawTable:
    """``scans.tsv`` of a participant's or a session's folder by `scan_key`.

    Parameters
    ----------
    folder : of the participant or the session
    bids_dir : root of the raw dataset

    Returns
    -------
    RawTable
        Empty when there is no file.
    """
    prefix = "_".join(folder.relative_to(bids_dir).parts)
    return _read(folder / f"{prefix}_scans.tsv", "filename", "")


def scan_key(name: str) -> str:
    """``anat/sub-01_T1w`` of a path as it stands in a ``scans.tsv``: folder and name, no ending.

    Parameters
    ----------
    name : as a table writes it

    Returns
    -------
    str
    """
    folder, _, file = name.replace("\\", "/").rpartition("/")
    return f"{folder.rpartition('/')[2]}/{bids_stem(file)}" if folder else bids_stem(file)


def scan_row(rows: Mapping[str, dict[str, str]], image: Path) -> dict[str, str] | None:
    """Row of an image among those of its ``scans.tsv``, also where these name no folder.

    Parameters
    ----------
    rows : by `scan_key`
    image : its path

    Returns
    -------
    dict or None
        None where there is no row.
    """
    key = scan_key(f"{image.parent.name}/{image.name}")
    return rows.get(key, rows.get(scan_key(image.name)))


def acq_time(row: Mapping[str, str]) -> datetime | None:
    """When a session or an image was made by its row; None where it says nothing, or no time.

    Parameters
    ----------
    row : of ``sessions.tsv`` or ``scans.tsv``

    Returns
    -------
    datetime or None
    """
    try:
        return datetime.fromisoformat(acq_text(row)).replace(tzinfo=None)
    except ValueError:
        return None


def acq_text(row: Mapping[str, str]) -> str:
    """What a row says about the time; empty where it says nothing.

    Parameters
    ----------
    row : of ``sessions.tsv`` or ``scans.tsv``

    Returns
    -------
    str
    """
    text = next((value for name, value in row.items() if name.lower() == "acq_time"), "")
    return "" if text == "n/a" else text


def read_cells(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Header and rows of a table in any separator and encoding; remarks about these.

    Rows are those that are not blank; cells have no blanks around them.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    (list of str, list of list of str, list of str)

    Raises
    ------
    NoInputError, BadDataError
        It cannot be read; it is not text.
    """
    try:
        text, problems = _decoded(read_bytes(path))
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise refused("raw-tables", "no-text", path=path) from error
    header, rows, _ = _split(text)
    return header, rows, [f"{path.name}: {problem}" for problem in problems]


def _read(path: Path, column: str, prefix: str) -> RawTable:
    try:
        changed = path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    except OSError:
        return RawTable()  # nobody has to give it
    return _table(path, changed, column, prefix)


@lru_cache(maxsize=64)
def _table(path: Path, _changed: tuple[int, int], column: str, prefix: str) -> RawTable:
    """Table of a file; kept as long as neither the file nor what lies beside it changes."""
    try:
        text, problems = _decoded(read_bytes(path))
    except OSError as error:
        return RawTable(problems=(f"{path.name}: cannot be read ({error.strerror})",))
    except UnicodeDecodeError:
        return RawTable(problems=(f"{path.name}: is not text and was not used",))
    header, lines, separator = _split(text)
    if separator != "\t":
        problems.append(f"its columns are separated by {separator!r}, not by tabs as BIDS requires")
    if not header:
        return RawTable(problems=(f"{path.name}: is empty",))
    key_of = scan_key if not prefix else lambda value: _prefixed(value, prefix)
    where = _key_column(header, lines, column, prefix, problems)
    if prefix and re.match(rf"{prefix}(?!id$)\w", header[where], re.IGNORECASE):
        return RawTable(problems=(f"{path.name}: has no line of column names and was not used",))
    if prefix:
        meant = _meant({key_of(line[where]) for line in lines if where < len(line)}, path, prefix)
        key_of = _renaming(key_of, meant)
    rows, contradicted = _by_key(header, lines, where, key_of, problems)
    return RawTable(rows, tuple(f"{path.name}: {text}" for text in problems), contradicted)


def _meant(keys: Iterable[str], table: Path, prefix: str) -> dict[str, str]:
    """Folders beside a table that keys without one mean, where a spreadsheet took zeros off, say.

    Only where one key alone and one folder alone are alike.
    """
    folders = {folder.name for folder in folders_named(table.parent, prefix)}
    alike: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for key in {*keys} - folders - {""}:
        alike[_bare(key, prefix)][0].add(key)
    for folder in folders - {*keys}:
        alike[_bare(folder, prefix)][1].add(folder)
    return {min(k): min(f) for k, f in alike.values() if len(k) == len(f) == 1}


def _bare(key: str, prefix: str) -> str:
    """A label without case, signs and leading zeros.

    >>> _bare("sub-002_S_0295", "sub-"), _bare("sub-sub_1.0", "sub-"), _bare("ses-M006", "ses-")
    ('2s295', '1', 'm6')
    """
    label = re.sub(r"\.0+$", "", key[len(prefix) :].lower())
    label = re.sub(rf"^{prefix[:-1]}[\W_]+|[\W_]", "", label)
    return re.sub(r"(?<!\d)0+(?=\d)", "", label)


def _renaming(key_of: Callable[[str], str], meant: dict[str, str]) -> Callable[[str], str]:
    return lambda value: meant.get(key := key_of(value), key)


def _decoded(raw: bytes) -> tuple[str, list[str]]:
    """Text in any encoding, and a remark about that."""
    if raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return raw.decode("utf-32"), ["is UTF-32 and was read as such; save it as UTF-8"]
    marked = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    zeros = raw[:200].count(0), len(raw[:200])
    if marked or (0.3 < zeros[0] / max(zeros[1], 1) < 0.7):
        encoding = "utf-16" if marked else "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
        return raw.decode(encoding), ["is UTF-16 and was read as such; save it as UTF-8"]
    if b"\0" in raw:
        raise UnicodeDecodeError("utf-8", raw, 0, 1, "zeros")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
        return text, ["is not UTF-8 and was read as Latin-1: check names with accents"]


def _split(text: str) -> tuple[list[str], list[list[str]], str]:
    """Header and rows of cells without blanks around them, and what separates these."""
    text = _INVISIBLE.sub("", text)
    lines = [line for line in re.split("\r\n|\r|\n", text) if line.strip()]
    if lines and re.fullmatch("sep=.", lines[0].strip() or "-", re.IGNORECASE):  # for Excel alone
        lines.pop(0)
    if not lines:
        return [], [], "\t"
    separators = [sign for sign in ("\t", ";", ",") if sign in lines[0]]
    separator = separators[0] if separators else "\t"
    if separator == "\t":
        cells = [line.split("\t") for line in lines]
    else:
        cells = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    rows = [[cell.strip().strip('"').strip() for cell in row] for row in cells]
    return rows[0], rows[1:], separator


def _prefixed(value: str, prefix: str) -> str:
    """``sub-01`` for ``01`` and ``Sub-01``."""
    label = value[len(prefix) :] if value.lower().startswith(prefix) else value
    return prefix + label if label else ""


def _key_column(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    column: str,
    prefix: str,
    problems: list[str],
) -> int:
    """Index of the column that says whom a row is about: by its name, else by its values."""
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in header]
    wanted = column.replace("_", "")
    if wanted in plain:
        where = plain.index(wanted)
        if where:
            problems.append(f"{column} is its column {where + 1}, not the first as BIDS requires")
        return where
    share = [
        sum(line[i].lower().startswith(prefix or "anat/") for line in lines if i < len(line))
        for i in range(len(header))
    ]
    by_name = [plain.index(name) for name in _KEY_NAMES[column] if name in plain]
    where = share.index(max(share)) if max(share) or not by_name else by_name[0]
    problems.append(f"has no column {column}; {header[where]!r} was used instead")
    return where


def _by_key(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    where: int,
    key_of: Callable[[str], str],
    problems: list[str],
) -> tuple[dict[str, dict[str, str]], dict[str, tuple[str, ...]]]:
    """Rows by key; what rows of one key contradict each other in is left out."""
    seen: dict[str, dict[str, set[str]]] = {}
    ragged, longer, nameless, renamed = [], [], [], {}
    spelled: dict[str, str] = {}  # age and Age are one column
    header = [spelled.setdefault(name.lower(), name) for name in header]
    for number, line in enumerate(lines, start=2):
        if any(line[len(header) :]):  # which cell is too many is not known
            longer.append(number)
            continue
        if len(line) < len(header):
            ragged.append(number)
        key = key_of(line[where]) if where < len(line) else ""
        if not key:
            nameless.append(number)
            continue
        if key != line[where] and key_of is not scan_key:
            renamed[line[where]] = key
        row = seen.setdefault(key, {})
        for i, name in enumerate(header):
            if i != where and name:
                row.setdefault(name, set()).update(line[i : i + 1])
    if ragged:
        problems.append(f"fewer cells than in the header in line {some(ragged)}")
    if longer:
        problems.append(f"more cells than in the header in line {some(longer)}, which was left out")
    if nameless:
        problems.append(f"no participant is named in line {some(nameless)}, which was left out")
    if renamed:
        problems.append(f"{some(renamed)} was read as {some(renamed.values())}")
    rows, contradicted = {}, {}
    for key, columns in seen.items():
        known = {name: (values - _MISSING) or {"n/a"} for name, values in columns.items()}
        rows[key] = {name: min(values) for name, values in known.items() if len(values) == 1}
        if left := tuple(name for name in known if name not in rows[key]):
            contradicted[key] = left
            problems.append(
                f"rows of {key} contradict each other in {', '.join(left)}, which was left out"
            )
    return rows, contradicted
