"""Tracers that a user describes (``--tracer-file``): TOML of the form of ``tracers.toml``, checked.

What is wrong is named by file, table and field: a name that any text may hold, or that is another
tracer's, would make amyloid scans of scans that are none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bidsapp.data import read_table
from bidsapp.data.tracers import (
    Tracer,
    bare_name,
    half_lives_s,
    named_tracers,
    other_amyloid_tracers,
    using_tracers,
)
from bidsapp.errors import BadDataError
from bidsapp.io.reading import given_text

_FLAG = "--tracer-file"
_FIELDS = ("name", "synonyms", "radionuclide", "window_min")
_ELSEWHERE = {
    "equations": "equations come with --calibration FILE, of centipet-calibrate level2",
    "half_life_s": "the half-life is that of the radionuclide",
}
_SHORTEST = 3  # letters and digits of a name that is looked for in texts
_LARGEST = 1e9  # number that is looked at
_MOST_HALF_LIVES = 10.0  # after injection: a thousandth of the activity is left


def read_tracers(path: Path | None) -> tuple[Tracer, ...]:
    """Tracers of a file; none without one.

    Parameters
    ----------
    path : of ``--tracer-file``

    Returns
    -------
    tuple of Tracer

    Raises
    ------
    NoInputError
        The file cannot be read.
    BadDataError
        It is not TOML, describes no tracer, or one that cannot be.
    """
    if path is None:
        return ()
    where = f"{_FLAG} {path}"
    try:
        content = tomllib.loads(given_text(path, _FLAG))
    except (ValueError, RecursionError) as error:
        raise BadDataError(f"{where}: is not valid TOML ({error}); correct it") from error
    if others := sorted(content.keys() - {"tracers"}):
        raise BadDataError(
            f"{where}: {others[0]} is unknown; a tracer is a table such as [tracers.FC119S]"
        )
    rows = content.get("tracers")
    if not isinstance(rows, dict) or not rows:
        raise BadDataError(f"{where}: describes no tracer; write a table such as [tracers.FC119S]")
    tracers: list[Tracer] = []
    for code, row in rows.items():
        tracers.append(_Row(where, code, row).tracer(tracers))
    return tuple(tracers)


def using_tracer_file(path: Path | None) -> AbstractContextManager[None]:
    """Context in which the tracers of a file are added to the built-in ones.

    Parameters
    ----------
    path : of ``--tracer-file``; None for no file

    Returns
    -------
    context manager
    """
    return using_tracers(read_tracers(path))


class _Row:
    """A table of the file, read with care."""

    def __init__(self, where: str, code: str, row: Any) -> None:
        self._where, self._code, self._row = where, code, row

    def tracer(self, before: list[Tracer]) -> Tracer:
        """Tracer of the table, which must not be one of ``before`` nor of the package."""
        if not isinstance(self._row, Mapping):
            self._refuse("", f"is not a table; write {', '.join(_FIELDS)} below it")
        if not re.fullmatch(r"[A-Za-z0-9]+", self._code):
            self._refuse("", "cannot be a BIDS label (trc-); use letters and digits only")
        if unknown := sorted(self._row.keys() - set(_FIELDS)):
            hint = _ELSEWHERE.get(unknown[0], f"use {', '.join(_FIELDS)}")
            self._refuse(unknown[0], f"is unknown here; {hint}")
        if missing := [name for name in _FIELDS if name not in self._row]:
            self._refuse(missing[0], "is missing; add it")
        name, synonyms = self._text("name", self._row["name"]), self._row["synonyms"]
        if not isinstance(synonyms, list):
            self._refuse("synonyms", 'must be a list, such as ["florapronol"], or []')
        stated = tuple(self._text("synonyms", synonym) for synonym in synonyms)
        nuclide = self._radionuclide()
        window = self._window(nuclide)
        described = Tracer(self._code, name, stated, nuclide, half_lives_s()[nuclide], window)
        self._check_names(described, before)
        alike = named_tracers(" ".join(described.names), own=()).codes
        known = (names for code, names in other_amyloid_tracers().items() if code in alike)
        more = [n for names in known for n in names if bare_name(n) != bare_name(described.code)]
        return replace(described, synonyms=tuple(dict.fromkeys((*stated, *more))))

    def _text(self, field: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self._refuse(field, f"{value!r:.60} is not a name; write a text of one line")
        return value.strip()

    def _radionuclide(self) -> str:
        value = self._row["radionuclide"]
        if not isinstance(value, str) or value not in half_lives_s():
            self._refuse("radionuclide", f"{value!r:.40} is not one of {', '.join(half_lives_s())}")
        return value

    def _window(self, nuclide: str) -> tuple[float, float]:
        value = self._row["window_min"]
        numbers = value if isinstance(value, list) else []
        if len(numbers) != 2 or not all(map(_is_number, numbers)):
            self._refuse("window_min", "must be two minutes after injection, such as [50.0, 70.0]")
        start, end = map(float, numbers)
        if not 0 <= start < end:
            self._refuse(
                "window_min",
                f"must rise from 0 or later, not go from {start:g} to {end:g}; give minutes after "
                "injection",
            )
        longest = _MOST_HALF_LIVES * half_lives_s()[nuclide] / 60
        if end > longest:
            self._refuse(
                "window_min",
                f"ends {end:g} min after injection, when {_MOST_HALF_LIVES:g} half-lives of "
                f"{nuclide} ({longest:.0f} min) are over; give minutes, not seconds",
            )
        return start, end

    def _check_names(self, tracer: Tracer, before: list[Tracer]) -> None:
        """Refuse names that are too general, or belong to another tracer."""
        words = {word for topic, text in read_table("words").items() if topic != "tracers"
                 for word in text.split()}  # fmt: skip
        taken = {bare_name(name): tracer.code for tracer in before for name in tracer.names}
        fields = ["", "name", *["synonyms"] * len(tracer.synonyms)]
        for field, name in zip(fields, tracer.names, strict=True):
            bare, named = bare_name(name), named_tracers(name, own=())
            if isotopes := sorted(named.isotopes - {tracer.radionuclide}):
                self._refuse(field, f"{name!r} says {isotopes[0]}, radionuclide says "
                             f"{tracer.radionuclide}; correct one")  # fmt: skip
            parts = re.findall(r"[a-z0-9]+", name.lower())
            if len(bare) < _SHORTEST or all(part.isdigit() or part in words for part in parts):
                self._refuse(field, f"{name!r} may stand in the texts of any scan; give a name "
                             "that only this tracer has")  # fmt: skip
            if others := named.codes - other_amyloid_tracers().keys():
                self._refuse(field, f"{name!r} names {min(others)}, a tracer of the package; leave "
                             "it out")  # fmt: skip
            if bare in taken:
                self._refuse(field, f"{name!r} is also a name of {taken[bare]}; keep one")
            if named_tracers(name, own=(tracer,)).codes != {tracer.code}:
                self._refuse(field, f"{name!r} has too many words to be found in texts; shorten it")

    def _refuse(self, field: str, problem: str) -> NoReturn:
        place = f"[tracers.{self._code}]{f' {field}' if field else ''}"
        raise BadDataError(f"{self._where}: {place}: {problem}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST
