"""One DICOM image as plain text values, and typed access that names the tag when it is wrong.

Values stay the text they were until somebody asks for a number or a time: a broken tag that
nobody needs does no harm, and one that is needed is an error that names it.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from bidsapp.bids.limits import YEARS
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.dicom.habits import tables
from bidsapp.dicom.words import known_words
from bidsapp.errors import BadDataError

# pydicom warns about odd values by printing them, and they may be a patient's: keep them unsaid.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.ERROR)

Values = dict[str, tuple[str, ...]]

_RADIOPHARMACEUTICAL = "RadiopharmaceuticalInformationSequence"
_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME = re.compile(r"([01]\d|2[0-3]):?([0-5]\d)?:?([0-5]\d)?(?:\.(\d{1,6})\d*)?")
_ROUNDING = 1e-4  # of a number; 1 ms of 10 s
_PREAMBLE, _MAGIC = 128, b"DICM"
_LONGEST_FIRST = 64  # bytes of the first element, group length or character set
_PADDING = " \0\t\r\n"
_TEXT_VRS = {"AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"}
_ZONE = re.compile(r"[+\-]\d{4}$")
_NUMBERS = r"[0-9+\-.:eE ]*"
_CODED = dict.fromkeys(("DA", "DS", "DT", "FD", "FL", "IS", "TM", "UI", "UL", "US"), _NUMBERS)
PERSON_NAMES = "PersonNames"  # all names of a file, whatever the tag, under a keyword of ours
FILE_NAME = "FileName"  # of an image that nothing else names: for its kind, never to be shown


def tag_name(keyword: str) -> str:
    """Return a keyword with its numbers, as ``(0018,1242) ActualFrameDuration``.

    Parameters
    ----------
    keyword : of the tag

    Returns
    -------
    str
    """
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword}"


@dataclass(frozen=True, slots=True)
class Header:
    """Tags of one file.

    Attributes
    ----------
    path : where the file is, for messages and for the converter
    values : keyword -> values as text, one element per DICOM value
    frame : index within a file that holds many images, None in a file of one image
    remarks : what was noticed when it was read
    """

    path: Path
    values: Mapping[str, tuple[str, ...]]
    frame: int | None = None
    remarks: tuple[Flag, ...] = ()

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All values of a tag, stripped; empty when it is absent or empty.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        tuple of str
        """
        return self.values.get(keyword, ())

    def text(self, keyword: str) -> str:
        """All values of a tag in one string; empty when it is absent or empty.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        str
        """
        return " ".join(self.texts(keyword))

    def plain(self, keyword: str) -> tuple[str, ...]:
        """Values of a tag for comparisons: two ways to write one number or word are the same.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        tuple of str
        """
        return tuple(map(_plain, self.texts(keyword)))

    def numbers(self, keyword: str, length: int | None = None) -> tuple[float, ...]:
        """Return the values of a tag as finite numbers; empty when it is absent.

        Parameters
        ----------
        keyword : of the tag
        length : how many there have to be; None for any number

        Returns
        -------
        tuple of float

        Raises
        ------
        BadDataError
            A value is not a finite number, or there are not ``length`` of them.
        """
        texts = self.texts(keyword)
        try:
            values = tuple(float(text) for text in texts)
        except ValueError:
            values = (math.nan,)
        if not all(map(math.isfinite, values)) or (length and values and len(values) != length):
            raise self.error(keyword, f"is '{self.shown(keyword)}', not a number on a scale")
        return values

    def required(self, keyword: str, length: int) -> tuple[float, ...]:
        """Return ``length`` numbers; a missing tag is an error like a broken one.

        Parameters
        ----------
        keyword : of the tag
        length : how many there have to be

        Returns
        -------
        tuple of float
        """
        values = self.numbers(keyword, length)
        if not values:
            raise self.error(keyword, "is missing; export the series again")
        return values

    def number(self, keyword: str) -> float | None:
        """Return the single number of a tag, None when it is absent.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        float or None
        """
        values = self.numbers(keyword, 1)
        return values[0] if values else None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image; a missing or broken tag is an error."""
        rows, columns = (int(self.required(key, 1)[0]) for key in ("Rows", "Columns"))
        return rows, columns

    def readable_number(self, keyword: str) -> float | None:
        """`number` where nothing rests on it: None for a broken tag, too.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        float or None
        """
        try:
            return self.number(keyword)
        except BadDataError:
            return None

    def date(self, keyword: str) -> datetime | None:
        """Midnight of a DICOM date (``20210302``), None when it is absent.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        datetime or None
        """
        text = self.text(keyword)
        if not text:
            return None
        match = _DATE.fullmatch(text)
        try:
            if match is None or int(match[1]) not in YEARS:
                raise ValueError(text)
            return datetime(int(match[1]), int(match[2]), int(match[3]))
        except ValueError as error:
            raise self.error(keyword, f"is '{self.shown(keyword)}', not a date") from error

    def time(self, keyword: str) -> timedelta | None:
        """Time since midnight of a DICOM time (``113430.25``), None when it is absent.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        timedelta or None
        """
        text = self.text(keyword)
        if not text:
            return None
        match = _TIME.fullmatch(text)
        if match is None:
            raise self.error(keyword, f"is '{self.shown(keyword)}', not a time of day")
        micro = int((match[4] or "0").ljust(6, "0"))
        clock = [int(part or 0) for part in match.groups()[:3]]
        return timedelta(hours=clock[0], minutes=clock[1], seconds=clock[2], microseconds=micro)

    def date_time(self, keyword: str) -> datetime | None:
        """Moment of a DICOM date-time as written, None when it is absent or has no time.

        What its zone means for other times is for `bidsapp.dicom.clocks` to say.

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        datetime or None
        """
        text = _ZONE.sub("", self.text(keyword))
        if len(text) < 10:
            if text and not _DATE.fullmatch(text):
                raise self.error(keyword, f"is '{self.shown(keyword)}', not a date with a time")
            return None
        parts = Header(self.path, {keyword: (text[:8],)}), Header(self.path, {keyword: (text[8:],)})
        day, clock = parts[0].date(keyword), parts[1].time(keyword)
        return None if day is None or clock is None else day + clock

    def shown(self, keyword: str) -> str:
        """A value as text of one line, to stand between single quotes in a message.

        It is whole, because names are searched in whole texts (see `bidsapp.dicom.scrub`), which
        cuts it, too.  Of what people may have typed, and of what is not what its tag should hold,
        only words of imaging are shown (`bidsapp.dicom.words`).

        Parameters
        ----------
        keyword : of the tag

        Returns
        -------
        str
        """
        text = self.text(keyword)
        if not _is_coded(keyword, text):
            text = known_words(text)
        return "".join(c if c.isprintable() else "?" for c in text).replace("'", "\u2019")

    def error(self, keyword: str, problem: str) -> BadDataError:
        """Build the error that a tag of this file has a problem.

        Parameters
        ----------
        keyword : of the tag
        problem : end of the message

        Returns
        -------
        BadDataError
        """
        return BadDataError(f"{self.path.name}: {tag_name(keyword)} {problem}")


def shared_number(images: Sequence[Header], keyword: str, remedy: str) -> float | None:
    """Return the number that a tag has in all of some images except for rounding; None when absent.

    Parameters
    ----------
    images : of a series or a frame
    keyword : of the tag
    remedy : end of the message, after "differs between"

    Returns
    -------
    float or None

    Raises
    ------
    BadDataError
        It differs between them; the message ends with the remedy.
    """
    numbers = {image.number(keyword) for image in images}
    known = [number for number in numbers if number is not None]
    same = not known or max(known) - min(known) <= _ROUNDING * max(map(abs, known))
    if not same or 0 < len(known) < len(numbers):
        raise images[0].error(keyword, f"differs between {remedy}")
    return images[0].number(keyword)


def _is_coded(keyword: str, text: str) -> bool:
    """Whether a text is a number, a time or an identifier of DICOM, as its tag wants it."""
    tag = tag_for_keyword(keyword)
    allowed = None if tag is None else _CODED.get(dictionary_VR(tag))
    return allowed is not None and re.fullmatch(allowed, text) is not None


def _plain(text: str) -> str:
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return " ".join(text.casefold().split())


def read_headers(path: Path) -> list[Header]:
    """Read the tags of ``tables.toml`` from a file, without its pixels.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    list of Header
        One per image: many for an enhanced multi-frame file, none when the file is not DICOM.

    Raises
    ------
    BadDataError
        It starts like DICOM but cannot be parsed.
    """
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + len(_MAGIC))
    beginning = _beginning(start)
    if beginning is None:
        return []
    try:
        dataset = read_dataset(path, stop_before_pixels=True)
        headers = headers_of(dataset, path)
        if not headers[0].text("Rows") and _claims_an_image(dataset):
            raise ValueError("no tag of an image")
    except Exception as error:  # pydicom raises some twenty classes on broken files
        if beginning is _Beginning.IMPLICIT:  # four bytes may be those of anything
            return []
        raise BadDataError(
            f"{path.name}: broken DICOM header ({type(error).__name__}); export it again"
        ) from error
    return headers


def _claims_an_image(dataset: Dataset) -> bool:
    """Whether the meta header says that the file holds an image, whose tags should be there."""
    meta = getattr(dataset, "file_meta", {})
    return str(meta.get("MediaStorageSOPClassUID", "")) in tables()["image_classes"]["uids"]


class _Beginning(Enum):
    """What a DICOM file begins with."""

    PREAMBLE = 0
    MAGIC = 1  # somebody cut the preamble off
    EXPLICIT = 2  # the first element, as in old archives; its VR is two letters
    IMPLICIT = 3  # an element without its VR


def _beginning(start: bytes) -> _Beginning | None:
    """How a file begins, None where it is not DICOM."""
    if start[_PREAMBLE:] == _MAGIC:
        return _Beginning.PREAMBLE
    if start.startswith(_MAGIC):
        return _Beginning.MAGIC
    if start[:2] in (b"\x02\0", b"\x08\0", b"\0\x08") and start[4:6].isalpha():
        return _Beginning.EXPLICIT
    if start[:2] == b"\x08\0" and 0 < int.from_bytes(start[4:8], "little") <= _LONGEST_FIRST:
        return _Beginning.IMPLICIT
    return None


def begins_like_dicom(path: Path) -> bool:
    """Whether a file has the DICOM preamble, whatever its name.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    with path.open("rb") as file:
        return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC


def read_dataset(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    """Read a DICOM file, also one that lacks its preamble or does not say how it is encoded.

    Parameters
    ----------
    path : of the file
    stop_before_pixels : read the tags before the pixels alone

    Returns
    -------
    Dataset
    """
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + len(_MAGIC))
        beginning = _beginning(start)
        file.seek(len(_MAGIC) if beginning is _Beginning.MAGIC else 0)
        force = beginning is not _Beginning.PREAMBLE
        content = BytesIO(file.read()) if beginning is _Beginning.MAGIC else file
        return pydicom.dcmread(content, stop_before_pixels=stop_before_pixels, force=force)


@lru_cache
def _tags(*groups: str) -> dict[int, tuple[str, str]]:
    """Tag -> (keyword, VR) of the keywords that ``[tags]`` lists under ``groups``."""
    known = {}
    for keyword in (keyword for group in groups for keyword in tables()["tags"][group]):
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        known[int(tag)] = keyword, dictionary_VR(tag)
    return known


def headers_of(dataset: Dataset, path: Path) -> list[Header]:
    """Take the tags of ``tables.toml`` out of a data set, for every image it holds.

    Parameters
    ----------
    dataset : as pydicom reads it
    path : its file, for messages

    Returns
    -------
    list of Header
        One per image.
    """
    values = _texts(dataset, "instance", "series")
    values |= {**_radiopharmaceutical(dataset), **_private(dataset)}
    values |= _code_meanings(dataset, "file_code_meaning")
    if syntax := getattr(dataset, "file_meta", {}).get("TransferSyntaxUID"):
        values["TransferSyntaxUID"] = (str(syntax),)
    if names := tuple(sorted(set(_person_names(dataset)))):
        values[PERSON_NAMES] = names
    completed, remarks = _without_identifiers(values)
    values |= completed
    frames = dataset.get(_PER_FRAME)
    if not frames:
        return [Header(path, values, remarks=remarks)]
    shared = values | _texts(dataset, "enhanced")
    for group in dataset.get(_SHARED) or ():
        shared |= _functional_groups(group)
    return [
        Header(path, _classic(shared | _functional_groups(group), number), number, remarks)
        for number, group in enumerate(frames)
    ]


def _without_identifiers(values: Values) -> tuple[Values, tuple[Flag, ...]]:
    """Modality and series of an image from which somebody removed them, by what it says besides.

    Images of one series share number, description, time and matrix.
    """
    stated = values.get("Modality", ())
    by_class = tables()["image_classes"]["modality"].get(" ".join(values.get("SOPClassUID", ())))
    modality = stated or ((by_class,) if by_class else ())
    if not modality or "Rows" not in values:
        return {}, ()
    if "SeriesInstanceUID" in values:
        return {"Modality": modality}, ()
    # Without the person, for the series is written into the sidecar as a hash.
    tags = ("StudyInstanceUID", *tables()["compared"]["one_scan"])
    text = "/".join(" ".join(values.get(tag, ())) for tag in tags if "Patient" not in tag)
    uid = f"none-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:32]}"
    remarks = (worded_flag("note", "no-series"),)
    return {"Modality": modality, "SeriesInstanceUID": (uid,)}, remarks


def _functional_groups(group: Dataset) -> Values:
    """Tags inside the sequences of a functional group, at any depth; of the first item each."""
    values = _radiopharmaceutical(group)  # here in files converted from single images
    for element in group:
        if element.VR != "SQ" or not element.value:
            continue
        item = next(filter(_is_activity, element.value), element.value[0])
        if element.keyword == "MeasurementUnitsCodeSequence":
            values["MeasurementUnits"] = (str(item.get("CodeValue", "")),)
        values |= _texts(item, "instance", "series", "enhanced") | _functional_groups(item)
    return values


def _is_activity(item: Dataset) -> bool:
    """Whether an item maps to activity, which may stand beside the same as SUV."""
    codes = item.get("MeasurementUnitsCodeSequence") or ()
    table = tables()["enhanced"]["units"]
    return any(table.get(str(code.get("CodeValue", ""))) == "BQML" for code in codes)


def _classic(values: Values, number: int) -> Values:
    """Say what an enhanced image states with the tags that files of one image have.

    Parameters
    ----------
    values : tags of the file and of the functional groups of one frame
    number : index of the frame in its file
    """
    table = tables()["enhanced"]
    plain = values | {new: values[old] for old, new in table["rename"].items() if old in values}
    for keyword, flags in table["flags"].items():
        meanings = [flags[flag].get(" ".join(values.get(flag, ())), "") for flag in flags]
        if words := " ".join(meanings).split():
            plain.setdefault(keyword, tuple(words))
    units = table["units"].get(" ".join(values.get("MeasurementUnits", ())))
    if units and "Units" not in values:
        # These units are those of the real-world mapping, so its slope counts.
        plain["Units"] = (units,)
        for name in ("Slope", "Intercept"):
            plain[f"Rescale{name}"] = values.get(f"RealWorldValue{name}", ())
    if " ".join(values.get("NumberOfFrames", ())) in ("", "1"):
        return plain
    return {**plain, "InstanceNumber": (str(number + 1),)}


def _private(dataset: Dataset) -> Values:
    """Values of the private elements in ``[[tags.private]]``."""
    values: Values = {}
    groups = {tag.group for tag in dataset.keys()}  # noqa: SIM118
    for row in tables()["tags"]["private"]:
        if row["group"] not in groups:
            continue
        try:
            tag = dataset.private_block(row["group"], row["creator"]).get_tag(row["element"])
        except KeyError:
            continue
        if tag in dataset:
            values[row["keyword"]] = tuple(
                str(v).strip(_PADDING) for v in _values(dataset, tag, row.get("vr", "DT"))
            )
    return values


def _radiopharmaceutical(dataset: Dataset) -> Values:
    """Tags of the first radiopharmaceutical, and the names of others that were injected."""
    items = dataset.get(_RADIOPHARMACEUTICAL)
    if not items or not isinstance(items[0], Dataset):
        return {}
    first, *others = (_one_radiopharmaceutical(item) for item in items if isinstance(item, Dataset))
    names = [
        " ".join(other.get("Radiopharmaceutical", other.get("RadiopharmaceuticalCodeMeaning", ())))
        for other in others
        if other and other != first
    ]
    return first | (
        {"OtherRadiopharmaceuticals": tuple(n or "unnamed" for n in names)} if names else {}
    )


def _one_radiopharmaceutical(item: Dataset) -> Values:
    """Tags of a radiopharmaceutical, with the meaning of its code sequences."""
    return _texts(item, "radiopharmaceutical") | _code_meanings(item, "code_meaning")


def _code_meanings(dataset: Dataset, group: str) -> Values:
    """First meaning and code in the sequences of codes that ``[tags]`` lists under ``group``."""
    names: Values = {}
    for sequence, name in tables()["tags"][group].items():
        codes = dataset.get(sequence)
        if codes and isinstance(codes[0], Dataset):
            texts = _texts(codes[0], "code")
            names |= {
                kept: texts[keyword]
                for keyword, kept in (("CodeMeaning", name), ("CodeValue", f"{name}Code"))
                if keyword in texts
            }
    return names


def _person_names(dataset: Dataset) -> Iterator[str]:
    """Every value of VR PN in a data set, in private tags and in sequences too."""
    for tag in dataset.keys():  # noqa: SIM118  a Dataset iterates over elements, not tags
        vr = dataset.get_item(tag).VR
        if vr == "PN":
            yield from (str(value).strip(_PADDING) for value in _values(dataset, tag, "PN"))
        elif vr == "SQ":
            for item in _values(dataset, tag, "SQ"):
                if isinstance(item, Dataset):
                    yield from _person_names(item)


def _texts(dataset: Dataset, *groups: str) -> Values:
    """Keyword -> values as stripped text, of the non-empty elements listed under ``groups``."""
    known = _tags(*groups)
    texts_by_keyword = {}
    for tag in dataset.keys():  # noqa: SIM118  a Dataset iterates over elements, not tags
        keyword, vr = known.get(int(tag), ("", ""))
        if keyword:
            texts = tuple(str(item).strip(_PADDING) for item in _values(dataset, tag, vr))
            if any(texts):
                texts_by_keyword[keyword] = texts
    return texts_by_keyword


def _values(dataset: Dataset, tag: BaseTag, vr: str) -> Iterable[Any]:
    """Values of one element; the text as it is written when it does not fit its VR."""
    raw = dataset.get_item(tag).value
    if isinstance(raw, bytes) and vr in _TEXT_VRS and raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").split("\\")  # what pydicom would do, ten times as fast
    try:
        value: Any = dataset[tag].value
    except Exception:  # pydicom raises many classes on values that do not fit their VR
        value = raw
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    if value is None:
        return ()
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
