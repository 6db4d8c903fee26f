"""Text from files and headers of others, made fit for a terminal, a log, a table, a page."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What moves a cursor or colours a terminal (escape sequences begin with a control character), ends
# a line, turns text round so that it reads as something else, or is not a character at all.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]+"
)

_DIGITS = re.compile("([0-9]+)")


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which numbers within words count as numbers.

    Parameters
    ----------
    text : any

    Returns
    -------
    tuple of (str, int)

    >>> sorted(["site 10", "site 2", "Site 1b"], key=natural)
    ['Site 1b', 'site 2', 'site 10']
    """
    parts = _DIGITS.split(text.casefold())
    return tuple(zip(parts[::2], map(int, [*parts[1::2], "0"]), strict=True))


def plain(text: str) -> str:
    """One line of text without control characters; each run of them becomes a blank.

    Parameters
    ----------
    text : any

    Returns
    -------
    str

    >>> plain("a\\x1b[31mb\\r\\nc\\u202ed")
    'a [31mb c d'
    """
    return _HARMFUL.sub(" ", text)


def shortened(text: str, letters: int) -> str:
    """Text that takes no more than some letters, one of which says that it goes on.

    Parameters
    ----------
    text : any
    letters : at most

    Returns
    -------
    str

    >>> shortened("precuneus", 9), shortened("precuneus", 5)
    ('precuneus', 'prec…')
    """
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def some(items: Iterable[object], most: int = 3, rest: str = "more") -> str:
    """Items of a list, the first of a long one, in words.

    Parameters
    ----------
    items : to list
    most : that are named
    rest : noun for the others

    Returns
    -------
    str

    >>> some("abc"), some("abcde"), some("abcde", 2, "others")
    ('a, b, c', 'a, b, c and 2 more', 'a, b and 3 others')
    """
    texts = list(map(str, items))
    more = f" and {len(texts) - most} {rest}" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def count(n: int, noun: str) -> str:
    """``1 scan``, ``2 scans``.

    Parameters
    ----------
    n : how many
    noun : in the singular

    Returns
    -------
    str
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def of_suvr(slope: float, intercept: float, digits: int) -> str:
    """Line from an SUVR to a scale.

    Parameters
    ----------
    slope, intercept : of the equation
    digits : decimals

    Returns
    -------
    str

    >>> of_suvr(93.7, -94.6, 2)
    '93.70 × SUVR − 94.60'
    """
    sign = "−" if intercept < 0 else "+"
    return f"{slope:.{digits}f} × SUVR {sign} {abs(intercept):.{digits}f}"


def sentence(text: str) -> str:
    """Text as a sentence: a capital at its beginning unless that is a name, and a full stop.

    Parameters
    ----------
    text : clause or sentence

    Returns
    -------
    str

    >>> sentence("the dates contradict each other"), sentence("a.json: x is missing.")
    ('The dates contradict each other.', 'a.json: x is missing.')
    """
    first = text.split(" ", 1)[0].rstrip(",:;")
    begun = text[:1].upper() + text[1:] if first.isalpha() else text
    return begun if not begun or begun[-1] in ".!?" else f"{begun}."
