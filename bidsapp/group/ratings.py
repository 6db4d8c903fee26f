"""Ratings of scans by readers of the participant pages: accept, doubt, reject.

A page gives a table of ratings. The group level puts it with those that it knows into
``group_ratings.tsv``, which it reads from then on. A rating belongs to the bits that were looked
at: when a scan has been processed to another result since, its rating is outdated and counts no
more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bidsapp.bids.raw_tables import read_cells
from bidsapp.errors import BadDataError
from bidsapp.group.tables import Row, with_flags
from bidsapp.io.hashes import file_hash
from bidsapp.plain import some
from bidsapp.record import ScanRecord

NAME = "group_ratings"
WORDS = ("accept", "doubt", "reject")  # from the best on
COUNTS, OUTDATED, GONE = "counts", "outdated", "no-such-scan"
_NEEDED = ("scan", "rating", "record_sha256")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)  # of ratings without a time


@dataclass(frozen=True)
class Rating:
    """What one reader said of one scan.

    Attributes
    ----------
    scan : `ScanRecord.name`
    rating : one of `WORDS`
    rater : name or initials; None where nobody signed
    comment : free text
    rated : when, ISO 8601
    record_sha256 : hash of the record of the scan that the page was made from, ``sha256:<hex>``
    """

    scan: str
    rating: str
    rater: str | None
    comment: str | None
    rated: str | None
    record_sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """Of whom by whom: a later one replaces an earlier one."""
        return self.scan, self.rater or ""


COLUMNS = tuple(field.name for field in fields(Rating))


def read_ratings(path: Path) -> tuple[list[Rating], list[str]]:
    """Ratings of a table, and sentences about rows that are none.

    Parameters
    ----------
    path : TSV with the columns of `Rating`; further ones are not read

    Returns
    -------
    tuple[list[Rating], list[str]]
        And sentences about rows that are not valid.

    Raises
    ------
    NoInputError, BadDataError
        It cannot be read; a column that is needed is missing.
    """
    header, lines, problems = read_cells(path)
    if missing := [name for name in _NEEDED if name not in header]:
        raise BadDataError(
            f"{path}: has no column {', '.join(missing)}; give a table of ratings as the pages of "
            "participants write it"
        )
    ratings = []
    for number, line in enumerate(lines, start=2):
        cells = {name: _known(text) for name, text in zip(header, line, strict=False)}
        rating = cells.get("rating")
        if (rated := cells.get("rated")) is not None and _moment(rated) == _LONG_AGO:
            cells["rated"] = None
            problems.append(
                f"{path.name}, line {number}: rated {rated!r} is not a time such as "
                "2026-11-30T09:00:00Z; a rating of the same reader with a time counts before it"
            )
        if rating in WORDS and cells.get("scan") and cells.get("record_sha256"):
            ratings.append(Rating(**{name: cells.get(name) for name in COLUMNS}))  # type: ignore[arg-type]
        else:
            problems.append(
                f"{path.name}, line {number}: {rating or 'nothing'} of {cells.get('scan')} is not "
                f"a rating; rating is {', '.join(WORDS[:-1])} or {WORDS[-1]}, and scan and "
                "record_sha256 are needed"
            )
    return ratings, problems


def _known(text: str) -> str | None:
    text = text.strip()
    return None if text in ("", "n/a") else text


def _moment(rated: str | None) -> datetime:
    """When somebody rated; times without a zone are UTC, as pages write them."""
    try:
        moment = datetime.fromisoformat(rated or "")
    except ValueError:
        return _LONG_AGO
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def latest(ratings: Iterable[Rating]) -> list[Rating]:
    """The last rating of every scan by every reader, sorted; of equal times the last one given.

    Parameters
    ----------
    ratings : of any time

    Returns
    -------
    list of Rating
    """
    newest: dict[tuple[str, str], Rating] = {}
    for rating in ratings:
        before = newest.get(rating.key)
        if before is None or _moment(rating.rated) >= _moment(before.rated):
            newest[rating.key] = rating
    return [newest[key] for key in sorted(newest)]


def stored(output_dir: Path) -> tuple[list[Rating], list[str]]:
    """Ratings given to earlier group runs, and sentences about rows that are not valid.

    Parameters
    ----------
    output_dir : root of the derivative dataset

    Returns
    -------
    tuple[list[Rating], list[str]]
    """
    path = output_dir / f"{NAME}.tsv"
    return read_ratings(path) if path.is_file() else ([], [])


def states(
    output_dir: Path, records: Sequence[ScanRecord], ratings: Sequence[Rating]
) -> list[tuple[Rating, str]]:
    """Each rating with whether it counts: ``counts``, ``outdated`` or ``no-such-scan``.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    records : scans
    ratings : of readers

    Returns
    -------
    list
    """
    paths = {record.name: output_dir / record.path for record in records}
    rated = {rating.scan for rating in ratings} & paths.keys()
    hashes = {name: file_hash(paths[name]) for name in sorted(rated)}
    return [(rating, _state(rating, hashes.get(rating.scan))) for rating in ratings]


def _state(rating: Rating, today: str | None) -> str:
    if today is None:
        return GONE
    return COUNTS if rating.record_sha256 == today else OUTDATED


def rating_rows(known: Iterable[tuple[Rating, str]]) -> list[Row]:
    """Rows of ``group_ratings.tsv``.

    Parameters
    ----------
    known : of `states`

    Returns
    -------
    list of Row
    """
    return [
        {name: getattr(rating, name) for name in COLUMNS} | {"state": state}
        for rating, state in known
    ]


def with_ratings(
    rows: Sequence[Row], names: Sequence[str], known: Iterable[tuple[Rating, str]]
) -> list[Row]:
    """Rows with the ratings of readers: the worst of those that count, and its flag.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``
    names : of the scans, in the same order
    known : of `states`

    Returns
    -------
    list of Row
    """
    of_scan: dict[str, dict[str, list[Rating]]] = {}
    for rating, state in known:
        of_scan.setdefault(rating.scan, {}).setdefault(state, []).append(rating)
    return [
        _rated(row, of_scan[name]) if name in of_scan else row
        for row, name in zip(rows, names, strict=True)
    ]


def _rated(row: Row, said: Mapping[str, Sequence[Rating]]) -> Row:
    counting = said.get(COUNTS, ())
    words = {rating.rating for rating in counting}
    worst = max(words, key=WORDS.index, default=None)
    codes = [f"rated-{worst}"] if worst in WORDS[1:] else []
    codes += ["ratings-differ"] if len(words) > 1 else []
    codes += ["rating-outdated"] if said.get(OUTDATED) else []
    given: dict[str, Any] = {
        "rating": worst,
        "raters": ";".join(f"{vote.rater or 'unsigned'}: {vote.rating}" for vote in counting)
        or None,
        "rating_comment": "; ".join(vote.comment for vote in counting if vote.comment) or None,
    }
    return with_flags(row, codes) | given


def without_rejected(rows: Sequence[Row]) -> list[Row]:
    """Rows in the same order, those of rejected scans without numbers, for statistics.

    Parameters
    ----------
    rows : of ``group_centiloid.tsv``

    Returns
    -------
    list of Row
    """
    return [
        {name: None if isinstance(value, float) else value for name, value in row.items()}
        | {"status": "skipped"}
        if row["rating"] == "reject"
        else row
        for row in rows
    ]


def sentences(known: Sequence[tuple[Rating, str]]) -> list[str]:
    """Sentences about ratings that do not count.

    Parameters
    ----------
    known : of `states`

    Returns
    -------
    list of str
    """
    lines = []
    for state, text in (
        (OUTDATED, "are of results that were computed again since: look at the pages again"),
        (GONE, "are of scans that are not here"),
    ):
        scans = list(dict.fromkeys(rating.scan for rating, status in known if status == state))
        if scans:
            lines.append(f"ratings of {len(scans)} scans {text} ({some(scans, 5)})")
    return lines
