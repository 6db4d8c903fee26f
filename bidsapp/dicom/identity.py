"""Who is who, without saying so: labels that reveal nobody, and text cleaned of names.

A label is derived from PatientID and birth date with scrypt, so the same person gets the same
label in every run on every machine, and nobody can read the person from it.  scrypt is slow on
purpose: trying all numbers a hospital has issued takes months instead of a second.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from bidsapp.dicom.header import Header
from bidsapp.dicom.volumes import is_volume
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.reading import read_text

_FOLDER = re.compile(r"(sub|ses)-([A-Za-z0-9]+)")
_NAME_TAGS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "PatientBirthDate",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "AccessionNumber",
)
# What consoles and anonymisers write where a name or an identifier is missing.
_PLACEHOLDER = r"|anon\w*([^\w]+\w*)?|unknown|none|n/?a|no[ ^_]?(name|id)|patient|test|x+|0+|-+"
_SHIFT_DAYS, _SHIFT_SPREAD_DAYS = 43_830, 3_653  # 120 years, and up to ten more
_SHORTEST_WORD = 3  # shorter parts of names would blank out ordinary text


@dataclass(frozen=True)
class Labels:
    """BIDS labels of a series, without prefix; ``session`` None where the plan numbers it."""

    participant: str
    session: str | None = None


@dataclass(frozen=True)
class LabelMap:
    """The ``--dicom-map`` table: (PatientID, StudyInstanceUID or '') -> labels."""

    rows: dict[tuple[str, str], Labels]

    def find(self, header: Header, place: str) -> Labels | None:
        """Labels for a series: a row of its study before a row of its patient.

        Images without PatientID are found by the folder they lie in, from the input's name on.
        """
        patient = header.text("PatientID") or place
        for study in (header.text("StudyInstanceUID"), ""):
            if labels := self.rows.get((patient, study)):
                return labels
        return None


def read_label_map(path: Path) -> LabelMap:
    """Read a table with the columns patient_id, participant_id and maybe study_uid, session_id.

    Raises
    ------
    NoInputError, BadDataError
        The file is missing, lacks a column, or holds a label that BIDS forbids.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NoInputError(f"{path}: cannot be read as text; give a TSV file") from error
    table = csv.DictReader(lines, delimiter="\t")
    table.fieldnames = [_column(name) for name in table.fieldnames or ()]
    missing = {"patient_id", "participant_id"} - set(table.fieldnames)
    if missing:
        raise BadDataError(f"{path}: lacks the column {sorted(missing)[0]}; add it")
    rows = {}
    for number, row in enumerate(table, start=2):
        subject = _label(row["participant_id"], "sub", path, number)
        session_text = row.get("session_id") or ""
        session = None if session_text in ("", "n/a") else _label(session_text, "ses", path, number)
        study = row.get("study_uid") or ""
        key = ((row["patient_id"] or "").strip(), "" if study == "n/a" else study.strip())
        rows[key] = Labels(subject, session)
    return LabelMap(rows)


def _column(name: str) -> str:
    """Name of a column as this module writes it; DICOM keywords are understood, too."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    known = {"patientid": "patient_id", "participantid": "participant_id"}
    known |= {"sessionid": "session_id", "studyuid": "study_uid", "studyinstanceuid": "study_uid"}
    return known.get(plain, name)


def _label(text: str | None, prefix: str, path: Path, number: int) -> str:
    label = (text or "").strip().removeprefix(f"{prefix}-")
    if not re.fullmatch(r"[A-Za-z0-9]+", label):
        raise BadDataError(
            f"{path}: line {number} has a label for {prefix}- that is empty or has other "
            "characters than letters and digits; correct it"
        )
    return label


Person = tuple[str, ...]


def person_keys(headers: Sequence[Header], places: Sequence[str]) -> list[Person]:
    """Identify the person of every header by identifier and birth date.

    Without PatientID the name stands in for it, and without a name the study or, for images that
    are no DICOM, the folder: two people who both lack an identifier must not become one.
    Identifiers are reused ("ANON"): with two birth dates, two sexes, or two names that share no
    word while no birth date confirms them, one identifier makes two persons.  What a series lacks
    is completed from the others of its identifier when these agree.

    Parameters
    ----------
    headers : one per series
    places : folder of each, from the name of the input on
    """
    keys: list[Person] = [
        (_identifier(header, place), "") for header, place in zip(headers, places, strict=True)
    ]
    births = [re.sub(r"\D", "", header.text("PatientBirthDate")) for header in headers]
    sexes = [sex if (sex := header.text("PatientSex")) in ("M", "F") else "" for header in headers]
    keys = [(key[0], birth) for key, birth in zip(keys, _completed(keys, births), strict=True)]
    keys = _split(keys, sexes)
    return _split(keys, _clashing_names(keys, headers))


def _split(keys: Sequence[Person], values: Sequence[str]) -> list[Person]:
    """Make several persons of a key that comes with several values."""
    known = _values_by_key(keys, values)
    told = zip(keys, _completed(keys, values), strict=True)
    return [(*key, value) if len(known[key]) > 1 else key for key, value in told]


def _completed(keys: Sequence[Person], values: Sequence[str]) -> list[str]:
    """Fill missing values from the others of the same key when these agree."""
    known = _values_by_key(keys, values)
    return [
        value or (next(iter(known[key])) if len(known[key]) == 1 else "")
        for key, value in zip(keys, values, strict=True)
    ]


def _values_by_key(keys: Sequence[Person], values: Sequence[str]) -> dict[Person, set[str]]:
    known: dict[Person, set[str]] = defaultdict(set)
    for key, value in zip(keys, values, strict=True):
        known[key] |= {value} - {""}
    return known


def _clashing_names(keys: Sequence[Person], headers: Sequence[Header]) -> list[str]:
    """Name of every header, the same for names that share a word with the first of their key.

    Empty where a birth date confirms one person, or where there is no name.
    """
    names = [header.text("PatientName") for header in headers]
    names = [
        "" if key[1] or _is_placeholder(name) else " ".join(sorted(_words(name)))
        for key, name in zip(keys, names, strict=True)
    ]
    known = _values_by_key(keys, names)
    return [
        next((other for other in sorted(known[key]) if _words(other) & _words(name)), "")
        for key, name in zip(keys, names, strict=True)
    ]


def _words(name: str) -> set[str]:
    """Words of a name whatever their order, case and separators."""
    return set(re.findall(r"[^\W_]+", name.upper()))


def _identifier(header: Header, place: str) -> str:
    tags = ("PatientID", "PatientName")
    stated = [text for tag in tags if not _is_placeholder(text := header.text(tag))]
    if stated:
        return stated[0]
    return place if is_volume(header.path) else header.text("StudyInstanceUID")


def _is_placeholder(text: str) -> bool:
    """Whether a name or identifier is what software writes when there is none."""
    return re.fullmatch(_PLACEHOLDER, text, re.IGNORECASE) is not None


def mismatch(headers: Iterable[Header]) -> str | None:
    """Say in what the series of one participant disagree about the person; None when they agree.

    Names are compared by their letters, whatever their order, case and separators.
    """
    headers = tuple(headers)
    tags = {
        "PatientID": lambda text: text.upper(),
        "PatientBirthDate": lambda text: re.sub(r"\D", "", text),
        "PatientSex": lambda text: text.upper(),
        "PatientName": lambda text: tuple(sorted(_words(text))),
    }
    for keyword, normal in tags.items():
        texts = [header.text(keyword) for header in headers]
        if len({normal(text) for text in texts if not _is_placeholder(text)}) > 1:
            return f"{keyword} differs between the series of this participant; check the person"
    return None


def same_people(headers: Sequence[Header], labels: Sequence[Labels]) -> set[str]:
    """Participants that share name and birth date with another: maybe one with two identifiers."""
    found: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for header, label in zip(headers, labels, strict=True):
        name, birth = header.text("PatientName"), header.text("PatientBirthDate")
        if birth and not _is_placeholder(name):
            found[(*sorted(_words(name)), re.sub(r"\D", "", birth))].add(label.participant)
    return {person for people in found.values() if len(people) > 1 for person in people}


def pseudonym(person: Person) -> str:
    """Label of a person: eight hexadecimal digits, the same everywhere."""
    return _digest(person)[:4].hex()


def shifted(moment: datetime, person: Person) -> datetime:
    """Move a date by a number of days of its own for each person, before 1925 as BIDS asks.

    Intervals and times of day stay; nobody can read the number from the label.
    """
    days = _SHIFT_DAYS + int.from_bytes(_digest(person)[4:8]) % _SHIFT_SPREAD_DAYS
    return moment - timedelta(days=days)


@lru_cache
def _digest(person: Person) -> bytes:
    secret = "\0".join(part.strip().upper() for part in person).encode()
    return hashlib.scrypt(secret, salt=b"CentiPET participant label", n=2**14, r=8, p=1, dklen=8)


def place(path: Path, roots: Sequence[Path]) -> str:
    """Folder of a file from the name of the input on."""
    root = next(root for root in roots if path.is_relative_to(root))
    return path.parent.relative_to(root.parent).as_posix()


def folder_labels(path: Path, roots: Sequence[Path]) -> tuple[str | None, str | None]:
    """Labels that the user gave by folder names ``sub-XX`` and ``ses-YY`` from a root on."""
    root = next(root for root in roots if path.is_relative_to(root))
    found: dict[str, str] = {}
    for part in (root.name, *path.relative_to(root).parts[:-1]):
        if match := _FOLDER.fullmatch(part):
            found[match[1]] = match[2]
    if is_volume(path):  # a BIDS name says it, too
        for part in path.name.split("_"):
            if match := _FOLDER.fullmatch(part):
                found.setdefault(match[1], match[2])
    return found.get("sub"), found.get("ses")


class Scrubber:
    """Removes words that identify people from text.

    Only whole words are removed: Mrs Beta must not turn florbetaben into something unknown.
    """

    def __init__(self, headers: Iterable[Header]) -> None:
        """Collect names, identifiers and birth dates from ``headers``."""
        words: set[str] = set()
        for header in headers:
            for keyword in _NAME_TAGS:
                text = header.text(keyword)
                words.update(re.split(r"[\s^=,;\\]+", text))
                words.add(text)
        kept = sorted((w for w in words if len(w) >= _SHORTEST_WORD), key=len, reverse=True)
        pattern = "|".join(map(_whole_word, kept))
        self._pattern = re.compile(pattern, re.IGNORECASE) if kept else None

    def __call__(self, text: str) -> str:
        """Return ``text`` with every such word replaced by ``***``."""
        return self._pattern.sub("***", text) if self._pattern else text


def _whole_word(word: str) -> str:
    """Pattern of a word that is no part of a longer one; a number may follow a name."""
    before, after = ("[0-9]" if c.isdigit() else r"[^\W\d_]" for c in (word[0], word[-1]))
    return f"(?<!{before}){re.escape(word)}(?!{after})"
