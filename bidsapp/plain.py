"""Text from files and headers of others, made fit for a terminal, a log, a table, a page."""

from __future__ import annotations

import re

# What moves a cursor or colours a terminal (escape sequences begin with a control character), ends
# a line, turns text round so that it reads as something else, or is no character at all.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]+"
)

_DIGITS = re.compile("([0-9]+)")


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which numbers within words count as numbers.

    >>> sorted(["site 10", "site 2", "Site 1b"], key=natural)
    ['Site 1b', 'site 2', 'site 10']
    """
    parts = _DIGITS.split(text.casefold())
    return tuple(zip(parts[::2], map(int, [*parts[1::2], "0"]), strict=True))


def plain(text: str) -> str:
    """One line of text without control characters; each run of them becomes a blank.

    >>> plain("a\\x1b[31mb\\r\\nc\\u202ed")
    'a [31mb c d'
    """
    return _HARMFUL.sub(" ", text)


def shortened(text: str, letters: int) -> str:
    """Text that takes no more than some letters, one of which says that it goes on.

    >>> shortened("precuneus", 9), shortened("precuneus", 5)
    ('precuneus', 'prec…')
    """
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
