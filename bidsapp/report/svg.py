"""SVG elements as escaped markup: whatever comes from data stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

# XML has no way to write these, not even escaped: a file with one cannot be opened.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """Write one element.

    Parameters
    ----------
    name : of the element
    *children : `Markup` is taken as it is, other values are escaped text
    **attributes : None is left out; ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``;
        numbers are rounded to tenths

    Returns
    -------
    Markup

    >>> tag("text", "a < b", x=1.26, class_="mid")
    Markup('<text x="1.3" class="mid">a &lt; b</text>')
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(map(text, children))
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def text(value: Any) -> Markup:
    """Escape a value, without the characters XML cannot hold.

    Parameters
    ----------
    value : any; `Markup` is returned unchanged

    Returns
    -------
    Markup
    """
    if isinstance(value, Markup):
        return value
    return escape(_NOT_XML.sub(" ", str(value)))


def join(parts: Iterable[Markup]) -> Markup:
    """Concatenate elements.

    Parameters
    ----------
    parts : in order

    Returns
    -------
    Markup
    """
    return Markup("").join(parts)


def _attribute(value: Any) -> Markup:
    if isinstance(value, float):
        return Markup(f"{value:.1f}".removesuffix(".0"))
    return text(value)
