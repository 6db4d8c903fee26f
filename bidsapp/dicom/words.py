"""Words of typed texts that cannot identify a person (``data/words.toml``).

Names of persons are searched and hidden, too (`bidsapp.dicom.scrub`), but a text may hold what no
tag calls a name: another patient, a relative, a number of an insurance.  So it is turned round:
what is not a word of imaging, a short number or a single letter is hidden.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_uppercase

from bidsapp.data import read_table
from bidsapp.data.tracers import Tracer, all_tracers, own_tracers

HIDDEN = "***"
_SHORTEST_PART = 3  # letters of a word that is looked for inside a longer one
_LONGEST_NUMBER = 3  # digits; longer ones may be dates and identifiers
_MOST_DIGITS = {2: 5, 3: 3}  # of two or three numbers joined by points and dashes: 90-110, 2.5.1
_NUMBER = r"\d+(?:[./-]\d+)*"
_DECIMAL = re.compile(rf"\d{{1,{_LONGEST_NUMBER}}}(\.\d{{1,6}})?", re.ASCII)
# ISO 2022 that nobody decoded (dcm2niix does not): its letters are bytes of other characters.
_ENCODED = re.compile(r"\x1b\$.*?(?:\x1b\([A-Z]|$)|\x1b[()][A-Z]", re.DOTALL)
_HIDDEN_ONES = re.compile(rf"{re.escape(HIDDEN)}(?:[\W_]*{re.escape(HIDDEN)})+")


def known_words(text: str) -> str:
    """Text with all words hidden that are not imaging terms.

    Parameters
    ----------
    text : that somebody typed

    Returns
    -------
    str

    Examples
    --------
    >>> known_words("t1_mprage_sag_p2_iso Mustermann 19480229"), known_words("頭部山田造影前")
    ('t1_mprage_sag_p2_iso ***', '頭部***造影前')
    """
    return _HIDDEN_ONES.sub(HIDDEN, _tokens().sub(_shown, _ENCODED.sub(HIDDEN, text)))


def _shown(match: re.Match[str]) -> str:
    text = match[0]
    if text[0].isdigit():
        return text if _is_short_number(text) else HIDDEN
    if not text.isascii():
        return text if text.casefold() in _vocabulary() else HIDDEN
    if len(text) == 1 or _is_made_of(text.casefold(), _vocabulary()):
        return text
    capitals = text[: len(text) - len(text.lstrip(ascii_uppercase))]
    known = len(capitals) >= _SHORTEST_PART and capitals.casefold() in _vocabulary()
    return f"{capitals}{HIDDEN}" if known else HIDDEN


def _is_short_number(text: str) -> bool:
    if _DECIMAL.fullmatch(text):
        return True
    parts = re.split(r"[./-]", text)
    short = all(len(part) <= _LONGEST_NUMBER for part in parts)
    return text.isascii() and short and sum(map(len, parts)) <= _MOST_DIGITS.get(len(parts), 0)


@lru_cache(maxsize=4096)
def _is_made_of(letters: str, known: frozenset[str]) -> bool:
    """Whether letters are a word, or nothing but words written together."""
    if letters in known:
        return True
    ends = range(_SHORTEST_PART, len(letters) - _SHORTEST_PART + 1)
    return any(letters[:end] in known and _is_made_of(letters[end:], known) for end in ends)


def _vocabulary() -> frozenset[str]:
    return _vocabulary_with(own_tracers())


@lru_cache
def _vocabulary_with(own: tuple[Tracer, ...]) -> frozenset[str]:
    names = [name for tracer in (*all_tracers().values(), *own) for name in tracer.names[1:]]
    texts = " ".join([*_table().values(), *names])
    return frozenset(word.casefold() for word in re.findall(r"[^\W\d_]+", texts))


@lru_cache
def _tokens() -> re.Pattern[str]:
    """Numbers, words of scripts without spaces, runs of letters between those up to a capital."""
    unspaced = sorted(_table()["unspaced"].split(), key=lambda word: (-len(word), word))
    inside = "|".join(map(re.escape, unspaced))
    letter = rf"(?!{inside})[^\W\d_]"
    return re.compile(rf"{_NUMBER}|{inside}|{letter}(?:(?!(?<=[a-z])[A-Z]){letter})*")


@lru_cache
def _table() -> dict[str, str]:
    return {topic: " ".join(words.split()) for topic, words in read_table("words").items()}
