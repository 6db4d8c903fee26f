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
from functools import lru_cache
from pathlib import Path

from bidsapp.dicom.header import Header
from bidsapp.errors import BadDataError, NoInputError

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

    def find(self, header: Header) -> Labels | None:
        """Labels for a series: a row of its study before a row of its patient."""
        patient = header.text("PatientID")
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
        lines = path.read_text("utf-8-sig").splitlines()
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


def person_keys(headers: Sequence[Header]) -> list[tuple[str, str]]:
    """Identify the person of every header by (PatientID, birth date).

    Without PatientID the name stands in for it, and without a name the study: two people who
    both lack an identifier must not become one.  A missing birth date is completed from other
    series of the same PatientID when these agree.
    The same PatientID with two birth dates makes two persons: identifiers like "ANON" are reused.
    """
    births: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        if birth := header.text("PatientBirthDate"):
            births[_identifier(header)].add(birth)
    keys = []
    for header in headers:
        patient, birth = _identifier(header), header.text("PatientBirthDate")
        known = births[patient]
        keys.append((patient, birth or (next(iter(known)) if len(known) == 1 else "")))
    return keys


def _identifier(header: Header) -> str:
    tags = ("PatientID", "PatientName", "StudyInstanceUID")
    return next((header.text(tag) for tag in tags if header.text(tag)), "")


def mismatch(headers: Iterable[Header]) -> str | None:
    """Say in what the series of one participant disagree about the person; None when they agree.

    Names are compared by their letters, whatever their order, case and separators.
    """
    headers = tuple(headers)
    tags = {
        "PatientID": lambda text: text.upper(),
        "PatientBirthDate": lambda text: text,
        "PatientName": lambda text: tuple(sorted(re.findall(r"[^\W\d_]+", text.upper()))),
    }
    for keyword, normal in tags.items():
        if len({normal(header.text(keyword)) for header in headers if header.text(keyword)}) > 1:
            return f"{keyword} differs between the series of this participant; check the person"
    return None


@lru_cache
def pseudonym(person: tuple[str, str]) -> str:
    """Label of a person: eight hexadecimal digits, the same everywhere."""
    secret = "\0".join(part.strip().upper() for part in person).encode()
    digest = hashlib.scrypt(secret, salt=b"CentiPET participant label", n=2**14, r=8, p=1, dklen=4)
    return digest.hex()


def folder_labels(path: Path, roots: Sequence[Path]) -> tuple[str | None, str | None]:
    """Labels that the user gave by folder names ``sub-XX`` and ``ses-YY`` from a root on."""
    root = next(root for root in roots if path.is_relative_to(root))
    found: dict[str, str] = {}
    for part in (root.name, *path.relative_to(root).parts[:-1]):
        if match := _FOLDER.fullmatch(part):
            found[match[1]] = match[2]
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
