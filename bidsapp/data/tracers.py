"""Tracers of amyloid (``tracers.toml``) and tau (``tau.toml``), found by any of their names.

Tracers of a user stand beside those of the table while a command works (`using_tracers`). Steps in
other processes are handed what they need of a tracer, so that nothing there looks it up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from bidsapp.core.frames.frames import WindowRule
from bidsapp.core.quantification.centiloid import Anchors, Equation, Pairs
from bidsapp.data import read_table, tupled

# The reference region of the published equations, and of the Centiloid that is reported.
STANDARD_REFERENCE = "wc"

# "[18F]", "(18)F", "F-18", "F^18^", "18Fflor...", "...C11", "Fluorine-18": the isotope as people
# write it, at the beginning or the end of a word.
_RADIONUCLIDES = {
    ("f", "18"): "F18", ("c", "11"): "C11", ("o", "15"): "O15", ("n", "13"): "N13",
    ("ga", "68"): "Ga68", ("cu", "64"): "Cu64", ("i", "123"): "I123", ("i", "124"): "I124",
}  # fmt: skip
_ELEMENTS = {"fluorine": "f", "carbon": "c", "oxygen": "o", "nitrogen": "n", "gallium": "ga",
             "copper": "cu", "iodine": "i"}  # fmt: skip
_NUMBER = f"(?:{'|'.join(sorted({number for _, number in _RADIONUCLIDES}, key=len, reverse=True))})"
_SYMBOL = f"(?:{'|'.join([*_ELEMENTS, *sorted(_ELEMENTS.values(), key=len, reverse=True)])})"
_BETWEEN = r"[\s^()\[\]-]*"
_EITHER_ORDER = f"(?:{_NUMBER}{_BETWEEN}{_SYMBOL}|{_SYMBOL}{_BETWEEN}{_NUMBER})"
_ISOTOPE = re.compile(rf"\b{_EITHER_ORDER}|{_EITHER_ORDER}\b")
_LONGEST_NAME = 4  # words


@dataclass(frozen=True)
class Tracer:
    """An amyloid tracer with a place on the Centiloid scale.

    Attributes
    ----------
    code : str
        ``PIB FBB FBP FMM NAV``, the value of the BIDS entity ``trc``.
    name : str
        Name for people.
    synonyms : tuple of str
    radionuclide : str
        As BIDS writes it: ``C11``, ``F18``.
    half_life_s : float
        Of the radionuclide, seconds.
    window_min : (float, float)
        Uptake window, minutes after injection.
    equations : dict of Equation
        SUVR to Centiloid, by reference region; ``wc`` for every tracer of the table, others where
        known; none for a tracer of a user, whose equations come with ``--calibration``.
    """

    code: str
    name: str
    synonyms: tuple[str, ...]
    radionuclide: str
    half_life_s: float
    window_min: tuple[float, float]
    equations: Mapping[str, Equation] = field(default_factory=dict, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All its names."""
        return (self.code, self.name, *self.synonyms)

    @property
    def window_s(self) -> tuple[float, float]:
        """Uptake window, seconds after injection."""
        return 60 * self.window_min[0], 60 * self.window_min[1]

    @property
    def equation(self) -> Equation:
        """The published equation: SUVR to the whole cerebellum to Centiloid."""
        return self.equations[STANDARD_REFERENCE]


class _Own:
    """Tracers of the user that are in use."""

    tracers: tuple[Tracer, ...] = ()


@contextmanager
def using_tracers(own: Iterable[Tracer]) -> Iterator[None]:
    """Add the user's tracers to the built-in ones, wherever a tracer is read.

    Parameters
    ----------
    own : Tracer
        As `bidsapp.data.tracer_file` or the records of scans (`bidsapp.record.tracers`) define
        them. Those that already are in use stay so; the inner definition of a code counts.

    Yields
    ------
    None
        The tracers are in use inside the block.
    """
    before = _Own.tracers
    _Own.tracers = tuple(({t.code: t for t in before} | {t.code: t for t in own}).values())
    try:
        yield
    finally:
        _Own.tracers = before


def own_tracers() -> tuple[Tracer, ...]:
    """Tracers of the user that are in use.

    Returns
    -------
    tuple of Tracer
    """
    return _Own.tracers


def tracers() -> dict[str, Tracer]:
    """All tracers by code: those of the table in its order, then those of the user.

    Returns
    -------
    dict of Tracer
    """
    return _of_package() | {t.code: t for t in own_tracers()}


@lru_cache
def _of_package() -> dict[str, Tracer]:
    about, described = read_table("tracers")["anchors"], {}
    for code, row in read_table("tracers")["tracers"].items():
        equations = {
            name: equation_of({**line, "reference_region": name, "anchors": about[name]})
            for name, line in row["equations"].items()
        }
        described[code] = _of_row(code, row, row["radionuclide"], row["window_min"], equations)
    return described


@lru_cache
def tau_tracers() -> dict[str, Tracer]:
    """Tau tracers by code.

    Returns
    -------
    dict of Tracer
    """
    table = read_table("tau")
    return {
        code: _of_row(code, row, table["radionuclide"], row["window"]["min"], {})
        for code, row in table["tracers"].items()
    }


def _of_row(
    code: str,
    row: Mapping[str, Any],
    radionuclide: str,
    window_min: Sequence[float],
    equations: Mapping[str, Equation],
) -> Tracer:
    start, end = window_min
    names = row["name"], tuple(row["synonyms"])
    half_life_s = half_lives_s()[radionuclide]
    return Tracer(code, *names, radionuclide, half_life_s, (start, end), equations)


def all_tracers() -> dict[str, Tracer]:
    """Tracers of amyloid and of tau by code.

    Returns
    -------
    dict of Tracer
    """
    return tracers() | tau_tracers()


def any_tracer(code: str) -> Tracer:
    """Tracer by its code, whether it binds amyloid or tau.

    Parameters
    ----------
    code : of the tracer

    Returns
    -------
    Tracer
    """
    return all_tracers()[code]


def half_lives_s() -> dict[str, float]:
    """Half-life of every radionuclide that a tracer may have, seconds, by its BIDS name.

    Returns
    -------
    dict of float
    """
    return dict(read_table("tracers")["half_life_s"])


@lru_cache
def anchors() -> dict[str, Anchors]:
    """PiB SUVRs of the groups that define 0 and 100 Centiloid, by reference region.

    Returns
    -------
    dict of Anchors
    """
    return {name: Anchors(**row) for name, row in read_table("tracers")["anchors"].items()}


def repeatability() -> float:
    """Within-person coefficient of variation of an SUVR between two scans.

    Returns
    -------
    float
        Part of the SUVR.
    """
    return float(read_table("tracers")["scan_error"]["repeatability"])


def disagreement() -> dict[str, tuple[float, float]]:
    """Expected standard deviation of PiB Centiloids of other reference regions about that of wc.

    At 0 and at 100 Centiloid, by reference region.

    Returns
    -------
    dict of (float, float)
        CL.
    """
    rows = read_table("tracers")["disagreement"]
    return {name: (low, high) for name, (low, high) in rows.items()}


def window_rule() -> WindowRule:
    """How far a scan may miss its tracer's window.

    Returns
    -------
    WindowRule
    """
    return WindowRule(**read_table("tracers")["window_rule"])


@dataclass(frozen=True)
class NamedTracers:
    """What a text says about the tracer.

    Attributes
    ----------
    codes : codes of the tables of amyloid and tau tracers, first names of others
    isotopes : as BIDS writes them
    """

    codes: frozenset[str]
    isotopes: frozenset[str]

    @property
    def amyloid(self) -> Tracer | None:
        """The amyloid tracer, if the text names it and nothing against it."""
        tracer = tracers().get(self._only or "")
        return None if tracer is None or self.isotopes - {tracer.radionuclide} else tracer

    @property
    def other(self) -> str | None:
        """The tracer that is none of ours, if the text names that alone."""
        return None if self._only in tracers() else self._only

    @property
    def _only(self) -> str | None:
        return next(iter(self.codes)) if len(self.codes) == 1 else None

    @property
    def understood(self) -> bool:
        """Whether any tracer is named, be it several or one of another isotope."""
        return bool(self.codes)


def named_tracers(name: str, own: tuple[Tracer, ...] | None = None) -> NamedTracers:
    """Find all tracers that a free text names.

    Parameters
    ----------
    name : text of a sidecar's ``TracerName``, of a DICOM radiopharmaceutical or of a ``trc``
        entity, such as ``[18F]florbetaben``, ``AV45``, ``Florbetapir F^18^ (Amyvid)``
    own : tracers to find besides those of the package; None for those in use

    Returns
    -------
    NamedTracers
    """
    text, isotopes = _without_isotopes(name)
    names = _names(own_tracers() if own is None else own)
    return NamedTracers(frozenset(_known_names(text, names)), frozenset(isotopes))


def other_element(name: str, radionuclide: str) -> bool:
    """Whether the name of a radionuclide is that of another element.

    Parameters
    ----------
    name : of a radionuclide, as people write it
    radionuclide : as BIDS writes it

    Returns
    -------
    bool

    Examples
    --------
    >>> [other_element(name, "F18") for name in ("Carbon", "^18^Fluorine", "unknown")]
    [True, False, False]
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    element = _ELEMENTS.get(letters, letters)
    return element in _ELEMENTS.values() and element != re.sub(r"\d", "", radionuclide).lower()


def tracer_from_name(name: str) -> Tracer | None:
    """Find the amyloid tracer a free text names, or None when it names none or more than one.

    Parameters
    ----------
    name : as for `named_tracers`

    Returns
    -------
    Tracer or None
        None also when the isotope in the text is not the tracer's ([18F]PiB is not PiB), and
        when the text holds the name of a tracer that is not in the table (AV-1451 is not AV-1).
    """
    return named_tracers(name).amyloid


def known_tracer(name: str) -> Tracer | None:
    """Amyloid or tau tracer that a free text names, and nothing against it.

    Parameters
    ----------
    name : as for `named_tracers`

    Returns
    -------
    Tracer or None

    Examples
    --------
    >>> [known_tracer(text).code for text in ("18F-AV-1451", "AV-45", "[18F]PI-2620")]
    ['FTP', 'FBP', 'PI2620']
    """
    named = named_tracers(name)
    tau = tau_tracers().get(named.other or "")
    if tau is not None and named.isotopes - {tau.radionuclide}:
        return None
    return named.amyloid or tau


def same_tracer(first: str, second: str) -> bool:
    """Whether two texts name one tracer, whatever it binds; by the letters where none is known.

    Parameters
    ----------
    first, second : texts

    Returns
    -------
    bool

    Examples
    --------
    >>> same_tracer("flortaucipir", "18FAV1451"), same_tracer("FDG", "FBB")
    (True, False)
    """
    names = named_tracers(first), named_tracers(second)
    if all(name.understood for name in names):
        return names[0].codes == names[1].codes
    return _plain(first) == _plain(second)


def equation_of(row: Mapping[str, Any]) -> Equation:
    """Equation of a row, with its anchors and, where there are any, its pairs.

    Parameters
    ----------
    row : of a table or a calibration file

    Returns
    -------
    Equation
    """
    parts: dict[str, Any] = {"anchors": Anchors(**row["anchors"])}
    if row.get("pairs") is not None:
        parts["pairs"] = Pairs(**tupled(row["pairs"]))
    return Equation(**tupled(row) | parts)


def _without_isotopes(name: str) -> tuple[str, set[str]]:
    """Lower-case text without isotopes, and the isotopes it held, as BIDS writes them."""
    isotopes: set[str] = set()

    def remember(match: re.Match[str]) -> str:
        letters, number = re.sub(r"[^a-z]", "", match[0]), re.sub(r"\D", "", match[0])
        radionuclide = _RADIONUCLIDES.get((_ELEMENTS.get(letters, letters), number))
        if radionuclide is None:  # F-11 or C-18: no isotope of a tracer, so it stays in the text
            return match[0]
        isotopes.add(radionuclide)
        return " "

    # superscripts, and accents of other languages; signs of trade marks would become letters
    letters = unicodedata.normalize("NFKD", re.sub("[\u2122\u00ae]", " ", name))
    plain = "".join(c for c in letters if not unicodedata.combining(c)).lower().replace("_", " ")
    return _ISOTOPE.sub(remember, plain), isotopes


def _known_names(text: str, names: Mapping[str, str]) -> set[str]:
    """Identities of the tracers named in ``text`` (see `NamedTracers`).

    Words are read from the left, the longest name first, so that AV-1451 is not read as AV-1.
    """
    words = re.findall(r"[a-z0-9]+", text.replace("'", ""))
    codes, start = set(), 0
    while start < len(words):
        for stop in range(min(start + _LONGEST_NAME, len(words)), start, -1):
            if (key := "".join(words[start:stop])) in names:
                codes.add(names[key])
                start = stop
                break
        else:
            start += 1
    return codes


@lru_cache
def other_amyloid_tracers() -> dict[str, tuple[str, ...]]:
    """Names of amyloid tracers that no equation is known of, by the first of them.

    Returns
    -------
    dict of tuple of str
    """
    rows = read_table("tracers")["other_tracers"]["amyloid"]
    return {names[0]: tuple(names) for names in rows}


@lru_cache
def _names(own: tuple[Tracer, ...]) -> dict[str, str]:
    """Every name without case, spaces and signs -> identity of its tracer."""
    rows = {names[0]: names for names in read_table("tracers")["other_tracers"]["names"]}
    rows |= other_amyloid_tracers()
    for table in ("tau", "tracers"):
        rows |= {
            code: [code, *row["synonyms"]] for code, row in read_table(table)["tracers"].items()
        }
    identities = {_plain(name): code for code, names in rows.items() for name in names}
    return identities | {bare_name(name): tracer.code for tracer in own for name in tracer.names}


def bare_name(name: str) -> str:
    """Name of a tracer without isotope, case, spaces and signs.

    Parameters
    ----------
    name : of a tracer

    Returns
    -------
    str

    Examples
    --------
    >>> bare_name("[18F]FC-119S")
    'fc119s'
    """
    return _plain(_without_isotopes(name)[0])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
