"""Text cleaned of people: names of everybody in any tag, identifiers, birth dates.

Sentences of ours are cleaned of words a name may hold by chance ("An", "To") only where they quote
a header, between single quotes; that is also where long values are cut, after they were cleaned.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial

from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import FILE_NAME, PERSON_NAMES, Header
from bidsapp.dicom.words import HIDDEN

_SEPARATORS = r"[\s^=,;\\/_・·]+"
_SHORTEST_WORD = 3  # shorter parts of names would blank out ordinary text
_SHORTEST_INSIDE = 8  # letters of a name that are looked for inside longer words
_LONGEST_QUOTE = 40
_QUOTE = re.compile(r"(?<!\w)'([^']*)'")
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa",
                          "æ": "ae", "œ": "oe"})  # fmt: skip


class Scrubber:
    """Removes what identifies people from text.

    Only whole words are removed: Mrs Beta must not turn florbetaben into something unknown.
    Scripts without spaces between words have no whole words, so there names go wherever they stand.
    """

    def __init__(self, headers: Iterable[Header]) -> None:
        """Collect names, identifiers and birth dates from ``headers``, one per file."""
        names, numbers, births = set[str](), set[str](), set[str]()
        people = tables()["people"]
        of_names = (*people["names"], PERSON_NAMES)
        for header in headers:
            names.update(text for key in of_names for text in header.texts(key))
            numbers.update(text for key in people["identifiers"] for text in header.texts(key))
            births.add(header.text("PatientBirthDate"))
        words = {word for name in names for word in _words_of_name(name)}
        words |= {word for text in numbers for word in (text, *re.split(_SEPARATORS, text))}
        words |= {text for birth in births for text in _dates(birth)}
        words = {_normal(word).strip() for word in words}
        words = {word for word in words if word and not (len(word) < 3 and word.isdigit())}
        long = (word for word in words if len(word) >= _SHORTEST_WORD or not word.isascii())
        # Sentences about many people are few, and a search for all their names takes its time.
        self._without_all = lru_cache(maxsize=4096)(partial(_removed, _pattern(words)))
        self._without_long = lru_cache(maxsize=4096)(partial(_removed, _pattern(long)))

    def __call__(self, sentence: str) -> str:
        """Return a sentence of ours with all such words replaced, and its long quotes cut."""
        parts = _QUOTE.split(sentence)  # what is quoted has the odd places
        return "".join(
            f"'{shortened(self.text(part))}'" if place % 2 else self._without_long(part)
            for place, part in enumerate(parts)
        )

    def text(self, text: str) -> str:
        """Return the text of a header with every such word replaced, the shortest ones too.

        Parameters
        ----------
        text : value of a tag

        Returns
        -------
        str
        """
        return self._without_all(text)


def without_file_name(sentence: str, images: Iterable[Header]) -> str:
    """Say which image is meant by its number: files may be named after a person.

    Parameters
    ----------
    sentence : that may begin with the name of a file
    images : that it may be about

    Returns
    -------
    str
    """
    named = (image for image in images if sentence.startswith(f"{image.path.name}: "))
    if (image := next(named, None)) is None:
        return sentence
    message = sentence.removeprefix(f"{image.path.name}: ")
    number = image.text("InstanceNumber")
    is_single = FILE_NAME in image.values or not number
    return message if is_single else f"image with (0020,0013) InstanceNumber {number}: {message}"


def shortened(text: str) -> str:
    """Cut a text to the length that a table holds.

    Parameters
    ----------
    text : of a header, cleaned

    Returns
    -------
    str
    """
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def _removed(pattern: re.Pattern[str] | None, text: str) -> str:
    if pattern is None:
        return text
    cleaned, count = pattern.subn(HIDDEN, _normal(text))
    return cleaned if count else text


def _normal(text: str) -> str:
    """One form of what can be written in several: wide letters, accents of their own."""
    return unicodedata.normalize("NFKC", text).replace("’", "'")


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    if not longest_first:
        return None
    return re.compile("|".join(map(_whole_word, longest_first)), re.IGNORECASE)


def _words_of_name(name: str) -> Iterator[str]:
    """Words of a name, alone and run together, as written and as typed without accents."""
    for group in (*name.split("="), name):
        words = [word for word in re.split(_SEPARATORS, group) if word]
        parts = [part for word in words for part in re.split(r"[\W]+", word) if part]
        together = ["".join(words[:2]), "".join(words[1::-1])] if len(words) > 1 else []
        for word in (group.strip(), *words, *parts, *together):
            yield word
            plain = unicodedata.normalize("NFKD", word)
            yield "".join(c for c in plain if not unicodedata.combining(c))
            yield word.lower().translate(_SPELLED)


def _dates(birth: str) -> Iterator[str]:
    """Ways to write a birth date."""
    yield birth
    if re.fullmatch(r"\d{8}", birth):
        year, month, day = birth[:4], birth[4:6], birth[6:]
        for mark in ".-/":
            yield mark.join((year, month, day))
            yield mark.join((day, month, year))
            yield mark.join((month, day, year))
        yield from (day + month + year, year[2:] + month + day, day + month + year[2:])


def _whole_word(word: str) -> str:
    """Pattern of a word that is not part of a longer one; a number may follow a name, not a letter.

    An initial T must not turn ``T1`` into something unknown.
    """
    pattern = re.escape(word)
    if any("\u2e80" <= c <= "\ud7ff" or "\uf900" <= c <= "\ufaff" for c in word):
        return pattern
    if len(word) >= _SHORTEST_INSIDE and word.isalpha():
        return pattern
    if len(word) == 1:
        return rf"(?<![^\W_]){pattern}(?![^\W_])"
    before, after = ("[0-9]" if c.isdigit() else r"[^\W\d_]" for c in (word[0], word[-1]))
    return f"(?<!{before}){pattern}(?!{after})"
