"""Identification of people: labels that reveal nobody.

A label is derived from PatientID and birth date with scrypt, so the same person gets the same
label in every run on every machine, and nobody can read the person from it.  scrypt is slow on
purpose: trying all numbers a hospital has issued takes months instead of a second.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from bidsapp.bids.raw_tables import read_cells
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.dicom.header import Header
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.errors import BadDataError
from bidsapp.grouping import grouped
from bidsapp.plain import some

_FOLDER = re.compile(r"(sub|ses)-([A-Za-z0-9]+)")
_SHIFT_DAYS, _SHIFT_SPREAD_DAYS = 43_830, 3_653  # 120 years, and up to ten more
_FIRST_BIRTH = "19010000"  # earlier dates stand for none
_SMALLEST_M, _TALLEST_M, _GROWN_M = 1.0, 2.5, 0.1  # heights of adults, and what they do not grow
_COUNTING = "01234567890"
_IDENTIFIERS = ("PatientID", "ClinicalTrialSubjectID", "PatientName")  # in the order of trust
# Whose number an identifier is; the same number of two issuers is that of two people.
_ISSUERS = (
    "ClinicalTrialSubjectID",
    "IssuerOfPatientID",
    "ClinicalTrialSiteID",
    "ClinicalTrialProtocolID",
)
_OF_PERSON = ("PatientID", "PatientBirthDate", "PatientSex", "PatientName", "PatientSize")


@dataclass(frozen=True)
class Labels:
    """BIDS labels of a series, without prefix; ``session`` None where the plan numbers it."""

    participant: str
    session: str | None = None


@dataclass(frozen=True)
class LabelMap:
    """The ``--dicom-map`` table: (PatientID, StudyInstanceUID or '') -> labels, and its line."""

    rows: dict[tuple[str, str], Labels]
    lines: dict[tuple[str, str], int]

    def find(self, header: Header, place: str) -> Labels | None:
        """Labels for a series: a row of its study before a row of its patient.

        Images without PatientID are found by the folder they lie in, from the input's name on.

        Parameters
        ----------
        header : of the series
        place : its folder, as `place` gives it

        Returns
        -------
        Labels or None
            None without a row.
        """
        rows = (self.rows.get(key) for key in _keys(header, place))
        return next(filter(None, rows), None)

    def unused(self, headers: Iterable[Header], places: Iterable[str]) -> list[str]:
        """Sentence about lines that no series of the input fits; the lines alone name nobody.

        Parameters
        ----------
        headers : one per series
        places : of each

        Returns
        -------
        list of str
            One sentence, or none.
        """
        asked = {key for pair in zip(headers, places, strict=True) for key in _keys(*pair)}
        lost = [str(line) for key, line in self.lines.items() if key not in asked]
        if not lost:
            return []
        return [worded("dicom-map", "unused", lines=some(lost))]


def _keys(header: Header, place: str) -> list[tuple[str, str]]:
    """What rows of a map a series may have: of its study, of its patient."""
    patient = header.text("PatientID") or place
    return [(patient, header.text("StudyInstanceUID")), (patient, "")]


def read_label_map(path: Path) -> LabelMap:
    """Read a table with the columns patient_id, participant_id and maybe study_uid, session_id.

    Parameters
    ----------
    path : of the table

    Returns
    -------
    LabelMap

    Raises
    ------
    NoInputError, BadDataError
        The file is missing, lacks a column, holds a label that BIDS forbids, or two for one study.
    """
    header, lines, _ = read_cells(path)
    names = [_column(name) for name in header]
    if missing := {"patient_id", "participant_id"} - set(names):
        raise BadDataError(f"{path}: lacks the column {sorted(missing)[0]}; add it")
    label_map = LabelMap({}, {})
    for number, line in enumerate(lines, start=2):
        row = {n: "" if v == "n/a" else v for n, v in zip(names, line, strict=False)}
        subject = _label(row.get("participant_id"), "sub", path, number)
        text = row.get("session_id")
        labels = Labels(subject, _label(text, "ses", path, number) if text else None)
        key = row["patient_id"], row.get("study_uid", "")
        if label_map.rows.setdefault(key, labels) != labels:
            raise refused(
                "dicom-map", "two-labels", path=path, first=label_map.lines[key], number=number
            )
        label_map.lines.setdefault(key, number)
    return label_map


def _column(name: str) -> str:
    """Name of a column as this module writes it; DICOM keywords are understood, too."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    known = {"patientid": "patient_id", "participantid": "participant_id"}
    known |= {"sessionid": "session_id", "studyuid": "study_uid", "studyinstanceuid": "study_uid"}
    return known.get(plain, name)


def _label(text: str | None, prefix: str, path: Path, number: int) -> str:
    label = (text or "").strip().removeprefix(f"{prefix}-")
    if not re.fullmatch(r"[A-Za-z0-9]+", label):
        raise refused("dicom-map", "label", path=path, number=number, prefix=prefix)
    return label


Person = tuple[str, ...]


def person_keys(headers: Sequence[Header], places: Sequence[str]) -> list[Person]:
    """Identify the person of every header by identifier and birth date.

    Anonymisers write one text for everybody, and no list knows them all.  So an identifier counts
    by itself only when it has the form of one that was issued (see `_issued`).  Else it counts
    together with a birth date; without one the name of a person does, and without that the study
    or, for images that are not DICOM, the folder: two people who both lack an identifier must not
    become one.  With two birth dates, two sexes, or two names that share no word or two issuers of
    the identifier while no birth date confirms them, one identifier makes two persons.  What a
    series lacks is completed from the others of its study and identifier when these agree.

    Parameters
    ----------
    headers : one per series
    places : folder of each, from the name of the input on

    Returns
    -------
    list of Person
        One per header.
    """
    births, own_names = list(map(_birth, headers)), _own_names(headers)
    keys: list[Person] = [(text, "") for text in _identifiers(headers, places, births, own_names)]
    sexes = [sex if (sex := header.text("PatientSex")) in ("M", "F") else "" for header in headers]
    keys = [(key[0], birth) for key, birth in zip(keys, _completed(keys, births), strict=True)]
    keys = _split(keys, sexes)
    keys = _split(keys, _clashing_names(keys, own_names))
    for issuer in _ISSUERS:
        own = [
            "" if key[1] or name else header.text(issuer)  # which confirm one person
            for header, key, name in zip(headers, keys, own_names, strict=True)
        ]
        keys = _split(keys, own)
    return keys


def _own_names(headers: Sequence[Header]) -> list[str]:
    """Name of the person of every header; empty where it is none, or that of many."""
    names = [_name(header) for header in headers]
    shared = _names_of_many(headers, names, _issued(headers))
    return ["" if name in shared else name for name in names]


def _identifiers(
    headers: Sequence[Header], places: Sequence[str], births: Sequence[str], names: Sequence[str]
) -> Iterator[str]:
    """What stands for the person of each header: an identifier, a name, else study or place."""
    issued = _issued(headers)
    studies = [(header.text("StudyInstanceUID"),) for header in headers]
    numbers = [(header.text("PatientID"),) for header in headers]
    named = [(*n, name) if name else () for n, name in zip(numbers, names, strict=True)]
    births = _completed(named, _completed(studies, births))
    names = _completed(numbers, _completed(studies, names))
    for header, place, birth, name in zip(headers, places, births, names, strict=True):
        texts = [text for key in _IDENTIFIERS if (text := header.text(key))]
        stated = [text for text in texts if text.upper() in issued]
        if stated or (texts and birth and not _is_removed(header)):
            yield (stated or texts)[0].upper()
        elif name:
            yield name
        else:
            yield place if is_nifti_or_ecat(header.path) else header.text("StudyInstanceUID")


def _issued(headers: Sequence[Header]) -> set[str]:
    """Identifiers and names, in capitals, that have the form of an identifier somebody issued.

    Those have a digit and are neither one character repeated nor a count (``ANON001``, not
    ``ANON``, ``1``, ``0000`` or ``12345``); or others of the input differ from them in digits alone
    (``1``, ``2``, ``12``).
    """
    texts = {header.text(key).upper() for header in headers for key in _IDENTIFIERS}
    series: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        series[re.sub(r"\d+", "#", text)].add(text)
    return {
        text
        for form, members in series.items()
        for text in members
        if "#" in form and (len(members) > 1 or not _is_filler(text))
    }


def _is_filler(text: str) -> bool:
    """Whether an identifier is what fingers type: one character again and again, or counting."""
    written = "".join(re.findall(r"\w", text))
    return len(set(written)) < 2 or written in _COUNTING or written[::-1] in _COUNTING


def _name(header: Header) -> str:
    """Words of the name of a person in order of the alphabet; empty where it is none.

    A person has two names and no number, other ones than the identifier, and none where
    (0012,0062) says that they were removed.
    """
    words = _words(header.text("PatientName"))
    is_name = len(words) > 1 and not any(c.isdigit() for c in "".join(words))
    is_name &= not _is_removed(header) and words != _words(header.text("PatientID"))
    return " ".join(sorted(words)) if is_name else ""


def _names_of_many(headers: Sequence[Header], names: Sequence[str], issued: set[str]) -> set[str]:
    """Names that tell nobody apart: they come with two birth dates, sexes or identifiers."""
    known: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header, name in zip(headers, names, strict=True):
        number = header.text("PatientID").upper()
        items = {
            "birth": _birth(header),
            "sex": header.text("PatientSex"),
            "number": number if number in issued else "",
        }
        known[name] |= {item for item in items.items() if item[1]}
    return {name for name, items in known.items() if len(items) > len(dict(items))}


def _birth(header: Header) -> str:
    """Birth date in digits; empty where it is none that a person alive can have."""
    digits = re.sub(r"\D", "", header.text("PatientBirthDate"))
    return digits if digits > _FIRST_BIRTH else ""


def _confirms(header: Header) -> bool:
    """Whether the birth date proves a person; the first of January stands for an unknown day."""
    birth = _birth(header)
    return bool(birth) and not _is_removed(header) and not birth.endswith("0101")


def _is_removed(header: Header) -> bool:
    """Whether somebody says that the identity was removed: what is left may be the same for all."""
    return header.text("PatientIdentityRemoved").upper() == "YES"


def _split(keys: Sequence[Person], values: Sequence[str]) -> list[Person]:
    """Make several persons of a key that comes with several values."""
    known = _values_by_key(keys, values)
    completed = zip(keys, _completed(keys, values), strict=True)
    return [(*key, value) if len(known[key]) > 1 else key for key, value in completed]


def _completed(keys: Sequence[Person], values: Sequence[str]) -> list[str]:
    """Fill missing values from the others of the same key when these agree."""
    known = _values_by_key(keys, values)
    return [
        value or (next(iter(known[key])) if any(key) and len(known[key]) == 1 else "")
        for key, value in zip(keys, values, strict=True)
    ]


def _values_by_key(keys: Sequence[Person], values: Sequence[str]) -> dict[Person, set[str]]:
    known: dict[Person, set[str]] = defaultdict(set)
    for key, value in zip(keys, values, strict=True):
        known[key] |= {value} - {""}
    return known


def _clashing_names(keys: Sequence[Person], names: Sequence[str]) -> list[str]:
    """Name of every header, the same for names that share a word with the first of their key.

    Empty where a birth date confirms one person, or where there is no name.
    """
    names = ["" if key[1] else name for key, name in zip(keys, names, strict=True)]
    known = _values_by_key(keys, names)
    return [
        next((other for other in sorted(known[key]) if _words(other) & _words(name)), "")
        for key, name in zip(keys, names, strict=True)
    ]


def _words(name: str) -> set[str]:
    """Words of a name whatever their order, case and separators."""
    return set(re.findall(r"[^\W_]+", name.upper()))


def doubts(headers: Sequence[Header], persons: Sequence[Person]) -> dict[Person, tuple[Flag, ...]]:
    """Doubts about the identity of every person.

    Parameters
    ----------
    headers : one per series
    persons : of each, by `person_keys`

    Returns
    -------
    dict of tuple of Flag
    """
    issued = _issued(headers)
    by_number: dict[str, set[Person]] = defaultdict(set)
    for header, person in zip(headers, persons, strict=True):
        if not is_nifti_or_ecat(header.path):
            stated = (header.text(key).upper() for key in _IDENTIFIERS)
            number = next((text for text in stated if text in issued), header.text("PatientID"))
            by_number[number.upper()].add(person)
    doubts: dict[Person, list[str]] = defaultdict(list)
    for number, people in by_number.items():
        for person in people if len(people) > 1 else ():
            doubts[person].append("split" if number in issued else "no-identifier")
    for person, group in grouped(zip(persons, headers, strict=True)).items():
        texts = {header.text(key).upper() for header in group for key in _IDENTIFIERS}
        studies = {header.text("StudyInstanceUID") for header in group} - {""}
        if len(studies) > 1 and not texts & issued and not any(map(_confirms, group)):
            doubts[person].append("weak")
    return {
        person: tuple(worded_flag("identity", why) for why in dict.fromkeys(whys))
        for person, whys in doubts.items()
    }


def unlike(images: Iterable[Header]) -> list[Header]:
    """Images of a series that say other things of the person, the first of each kind.

    Parameters
    ----------
    images : of one series

    Returns
    -------
    list of Header
    """
    kinds: dict[tuple[str, ...], Header] = {}
    for image in images:
        kinds.setdefault(tuple(image.text(key) for key in _OF_PERSON), image)
    return list(kinds.values())


def mismatch(headers: Iterable[Header]) -> Flag | None:
    """How the images of one participant disagree about the person; None if they agree.

    Names are compared by their letters, whatever their order, case and separators.

    Parameters
    ----------
    headers : of all series of the participant

    Returns
    -------
    Flag or None
    """
    headers = tuple(headers)
    issued = _issued(headers)
    stated = {
        "PatientID": {header.text("PatientID").upper() for header in headers} & issued,
        "PatientBirthDate": {*map(_birth, headers)} - {""},
        "PatientSex": {header.text("PatientSex").upper() for header in headers} & {"M", "F"},
        "PatientName": {*map(_name, headers)} - {""},
    }
    heights = [height for header in headers if (height := _height_m(header))]
    differs = [keyword for keyword, values in stated.items() if len(values) > 1]
    if heights and max(heights) - min(heights) > _GROWN_M:
        differs.append("PatientSize")
    if not differs:
        return None
    return worded_flag("identity", "mismatch", keyword=differs[0])


def _height_m(header: Header) -> float | None:
    """Height in m, of an adult; people type it in cm, too."""
    value = header.readable_number("PatientSize") or 0.0
    value = value / 100 if value > _TALLEST_M else value
    return value if _SMALLEST_M < value <= _TALLEST_M else None


def same_people(headers: Sequence[Header], labels: Sequence[Labels]) -> set[str]:
    """Participants that share name and birth date with another: maybe one with two identifiers.

    Parameters
    ----------
    headers : one per series
    labels : of each

    Returns
    -------
    set of str
        Labels without ``sub-``.
    """
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for header, label in zip(headers, labels, strict=True):
        if (name := _name(header)) and _confirms(header):
            holders[name, _birth(header)].add(label.participant)
    return {person for people in holders.values() if len(people) > 1 for person in people}


def pseudonym(person: Person) -> str:
    """Label of a person: eight hexadecimal digits, the same everywhere.

    Parameters
    ----------
    person : as `person_keys` gives it

    Returns
    -------
    str
    """
    return _digest(person)[:4].hex()


def shifted(moment: datetime, person: Person) -> datetime:
    """Move a date by a number of days of its own for each person, before 1925 as BIDS asks.

    Intervals and times of day stay; nobody can read the number from the label.

    Parameters
    ----------
    moment : to move
    person : whose it is

    Returns
    -------
    datetime
    """
    days = _SHIFT_DAYS + int.from_bytes(_digest(person)[4:8]) % _SHIFT_SPREAD_DAYS
    return moment - timedelta(days=days)


@lru_cache
def _digest(person: Person) -> bytes:
    secret = "\0".join(part.strip().upper() for part in person).encode(errors="surrogateescape")
    return hashlib.scrypt(secret, salt=b"CentiPET participant label", n=2**14, r=8, p=1, dklen=8)


def place(path: Path, roots: Sequence[Path]) -> str:
    """Folder of a file from the name of the input on.

    Parameters
    ----------
    path : of the file
    roots : folders of the input, and of what was unpacked

    Returns
    -------
    str
    """
    root = next(root for root in roots if path.is_relative_to(root))
    return path.parent.relative_to(root.parent).as_posix()


def folder_labels(path: Path, roots: Sequence[Path]) -> tuple[str | None, str | None]:
    """Labels that the user gave by folder names ``sub-XX`` and ``ses-YY`` from a root on.

    Parameters
    ----------
    path : of the file
    roots : folders of the input, and of what was unpacked

    Returns
    -------
    (str or None, str or None)
        Without ``sub-`` and ``ses-``; None where no folder has one.
    """
    root = next(root for root in roots if path.is_relative_to(root))
    labels: dict[str, str] = {}
    for part in (root.name, *path.relative_to(root).parts[:-1]):
        if match := _FOLDER.fullmatch(part):
            labels[match[1]] = match[2]
    if is_nifti_or_ecat(path):  # a BIDS name says it, too
        for part in path.name.split("_"):
            if match := _FOLDER.fullmatch(part):
                labels.setdefault(match[1], match[2])
    return labels.get("sub"), labels.get("ses")
