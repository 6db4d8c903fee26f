"""SVG elements as escaped markup: data remain text."""

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


def stroke(
    kind: str | None, x: tuple[float, float], y: tuple[float, float], **attributes: Any
) -> Markup:
    """Write a straight line.

    Parameters
    ----------
    kind : class of the style sheet; None without
    x, y : of its two ends
    **attributes : as of `tag`

    Returns
    -------
    Markup

    >>> stroke("tick", (1, 1), (2, 7))
    Markup('<line class="tick" x1="1" x2="1" y1="2" y2="7"/>')
    """
    return tag("line", class_=kind, x1=x[0], x2=x[1], y1=y[0], y2=y[1], **attributes)


def polyline(points: Iterable[tuple[float, float]], colour: str, **attributes: Any) -> Markup:
    """Write a line through points.

    Parameters
    ----------
    points : in order
    colour : CSS
    **attributes : as of `tag`

    Returns
    -------
    Markup
    """
    return tag("path", class_="line", d=path(points), stroke=colour, **attributes)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Path through points.

    Parameters
    ----------
    points : in order

    Returns
    -------
    str

    >>> path([(1, 2.5), (3, 4)])
    'M1 2.5L3 4'
    """
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


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
