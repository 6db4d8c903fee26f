"""Rendering of templates: data are escaped, missing values are errors."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bidsapp.data import read_table
from bidsapp.plain import count, plain, sentence

_STATUS = {"ok": "quantified", "failed": "failed", "incomplete": "not finished",
           "skipped": "left out"}  # fmt: skip


def render(template: str, **context: Any) -> str:
    """Fill ``templates/<template>.j2`` with values; strings are escaped as HTML.

    Parameters
    ----------
    template : name without ending
    **context : values by name

    Returns
    -------
    str
    """
    return _environment().get_template(f"{template}.j2").render(context)


def render_page(
    template: str, scripts: Iterable[str], styles: Iterable[str], **context: Any
) -> str:
    """Fill the template of a page, with its scripts, style sheets and the policy that allows them.

    Parameters
    ----------
    template : name without ending
    scripts, styles : names of files in ``assets/``, in order
    **context : values by name

    Returns
    -------
    str
    """
    script = "".join(map(asset, scripts))
    digest = base64_text(hashlib.sha256(script.encode()).digest())
    page = render(
        template,
        script=script,
        script_hash=f"sha256-{digest}",
        style="".join(map(asset, styles)),
        **context,
    )
    return _each_image_once(page)


def _each_image_once(page: str) -> str:
    """Let pictures that share an image use the first one: a T1w lies below several."""
    known: dict[str, str] = {}

    def used(match: re.Match[str]) -> str:
        if (name := known.get(match[1])) is not None:
            return f'<use href="#{name}"/>'
        known[match[1]] = name = f"image-{len(known)}"
        return f'<image id="{name}"{match[1]}/>'

    return re.sub(r'<image( href="data:[^"]*"[^>]*)/>', used, page)


def base64_text(content: bytes) -> str:
    """Bytes as base64 text.

    Parameters
    ----------
    content : to encode

    Returns
    -------
    str
    """
    return base64.b64encode(content).decode("ascii")


@cache
def asset(name: str) -> str:
    """Text of a script or style sheet in ``assets/``.

    Parameters
    ----------
    name : of the file

    Returns
    -------
    str
    """
    return (files("bidsapp.report") / "assets" / name).read_text("utf-8")


def number(value: float | None, digits: int = 1) -> str:
    """Format a number: fixed decimals, a minus sign instead of a hyphen, ``n/a`` for None.

    Parameters
    ----------
    value : to format
    digits : decimals

    Returns
    -------
    str

    >>> number(-3.14159, 2), number(None)
    ('−3.14', 'n/a')
    """
    if value is None:
        return "n/a"
    text = f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if not text.strip("-0.\N{NARROW NO-BREAK SPACE}"):
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def typeset(text: str) -> str:
    """Text as a sentence, with a space before every per cent sign.

    Parameters
    ----------
    text : clause or sentence

    Returns
    -------
    str

    >>> typeset("head moved (5%): look")
    'Head moved (5\\xa0%): look.'
    """
    return re.sub(r"(?<=\d)%", "\N{NO-BREAK SPACE}%", sentence(text))


def outcome(statuses: Iterable[str]) -> str:
    """Count the scans by status, in words.

    Parameters
    ----------
    statuses : of every scan

    Returns
    -------
    str

    >>> outcome(["ok", "skipped", "ok"])
    '2 quantified, 1 left out'
    """
    counts = Counter(map(str, statuses))
    return ", ".join(f"{counts[key]} {word}" for key, word in _STATUS.items() if counts[key])


def _placement(method: str) -> str:
    """Column ``method`` in words."""
    words = read_table("group_columns")["centiloid"]["method"]["Levels"]
    return str(words.get(method, method))


def _without_controls(value: Any) -> Any:
    """Text without what ends a line or turns it round; markup of our own stays as it is."""
    return plain(value) if type(value) is str else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bidsapp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_controls,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["many"] = count
    environment.filters["outcome"] = outcome
    environment.filters["status"] = _STATUS.get
    environment.filters["sentence"] = typeset
    environment.filters["placement"] = _placement
    return environment
