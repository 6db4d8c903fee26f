"""What tables of people and visits say: ages, weights and dates, in the ways people write them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bidsapp.bids.values import is_number, number_in
from bidsapp.data import read_table
from bidsapp.data.series_texts import is_unknown

Row = Mapping[str, str | None]

# Columns in lower case, the likeliest first.
AGE_COLUMNS = ("age", "age_at_scan", "age_years", "age_bl")
SEX_COLUMNS = ("sex", "gender")
WEIGHT_COLUMNS = ("weight", "weight_kg", "bodyweight", "body_weight")
# What BIDS lets people write for one thing.
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
# Others are another unit, a code for a missing value (0, -4, 999) or a mistake.
_AGE_YEARS = (10.0, 120.0)
_LEAST_OPEN_YEARS = 60.0  # "over 18" says that somebody is an adult, not how old
_WEIGHT_KG = (2.0, 300.0)
# Of stone 12.5 may be twelve and five pounds.
_UNIT_KG = {r"kgs?|kilos?|kilogram[a-z]*": 1.0, r"lbs?|pounds?": 0.45359237, r"st|stones?": 0.0}
_AGE = re.compile(
    r"(?P<over>[>\u2265]=?\s*)?0*(?P<years>\d[\d.,]*)\s*((?P<plus>\+)|y|yrs?|years?)?",
    re.IGNORECASE,
)

# More of a moment than its year: in figures, or with a month by name, anywhere in a text; with day
# and month in any language where the text begins with it.
_YEAR, _UP_TO_31 = r"(?:18|19|20|21)\d\d", r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH, _ANY = r"(?:0[1-9]|1[0-2])", r"[^\W\d_]{3,9}"
_ENGLISH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_NAMED = "|".join(read_table("cohort")["dates"]["months"])
_GAP = r"[-./,\s]*"
_GAP_OR_OF = rf"{_GAP}(?:(?:of|de|del|di)\s+)?"


def _spelled(month: str, gap: str = _GAP) -> str:
    """Day, month by name and year in the orders of use."""
    day = rf"{_UP_TO_31}(?:st|nd|rd|th)?"
    orders = (day, month, _YEAR), (_YEAR, month, day), (month, day, rf"(?<!\d){_YEAR}")
    return "|".join(gap.join(order) for order in orders)


_DATE = re.compile(
    rf"""(?<!\d)(?:
      {_YEAR}[-./_\s]{_UP_TO_31}[-./_\s]{_UP_TO_31}
    | {_UP_TO_31}[-./_\s]{_UP_TO_31}[-./_\s]{_YEAR}
    | {_UP_TO_31}[./]{_UP_TO_31}[./]\d\d
    | {_YEAR}{_MONTH}(?:0[1-9]|[12]\d|3[01])(?:\d{{4}}(?:\d\d)?)?
    | (?<![\w.])(?:{_YEAR}[-/]{_MONTH} | (?:{_MONTH}|[1-9])[-/]{_YEAR} | 0[1-9]\.{_YEAR})
    | {_YEAR}\s*[\u5e74\ub144]\s*{_UP_TO_31}\s*[\u6708\uc6d4](?:\s*{_UP_TO_31})?
    | {_spelled(_ENGLISH)} | {_spelled(f"(?:{_NAMED})", _GAP_OR_OF)}
    | (?<![^\W_])(?:{_NAMED}){_GAP}(?:of\s+)?{_YEAR} | {_YEAR}{_GAP}(?:{_NAMED})(?![^\W_])
    | ^\s*(?:{_spelled(_ANY)})
    | ^\s*(?:{_MONTH}\s+{_YEAR} | {_YEAR}\s+{_MONTH} | {_YEAR}/[1-9])\s*$
    | ^\s*{_YEAR}-?W[0-5]\d(?:-?[1-7])?\s*$
    )(?!\d)""",
    re.VERBOSE | re.IGNORECASE,
)
# As spreadsheets show a day or a month: 20-May, May-20. Without a sign between, a code: MAR01.
_SHORT_DATE = re.compile(
    rf"\s*(?:(?:{_NAMED})[-./,'\u2019\s]+\d\d?(?:st|nd|rd|th)?"
    rf"|{_UP_TO_31}(?:st|nd|rd|th)?[-./,\s]+(?:of\s+|de\s+)?(?:{_NAMED}))\s*",
    re.IGNORECASE,
)
# Columns of dates by their names, whatever is in their cells: serial numbers of days, 202005.
_DATE_WORDS = frozenset(
    ["date", "datetime", "dob", "birth", "birthday", "birthdate", "born", "datum", "timestamp"]
)
_LEAST_DATE = 1000  # as a number: a year


def holds_date(text: str) -> bool:
    """Whether a text contains the day or month of a year, in any common notation.

    Parameters
    ----------
    text : of a cell

    Returns
    -------
    bool

    Examples
    --------
    >>> [holds_date(text) for text in ("2020-01-02T09:00", "3-Feb-2021", "seen 02/03/2020 9:00")]
    [True, True, True]
    >>> [holds_date(text) for text in ("2020-05", "05/2020", "May 2020", "May-20")]
    [True, True, True, True]
    >>> [holds_date(text) for text in ("2020", "20259999", "72.5", "site 3 of 2020", "1.2.3")]
    [False, False, False, False, False]
    """
    # most of thousands of cells have fewer than the four digits of a year
    n_digits = sum(map(str.isdigit, text))
    if n_digits and not text.isascii():
        text = "".join(str(unicodedata.decimal(sign, sign)) for sign in text)
    if n_digits >= 4:
        return _DATE.search(text) is not None
    is_word = n_digits > 0 and any(map(str.isalpha, text))
    return is_word and _SHORT_DATE.fullmatch(text) is not None


def is_date_cell(column: str, text: str) -> bool:
    """Whether a table cell is a date, by its text or by the name of its column.

    Parameters
    ----------
    column : its name
    text : of the cell

    Returns
    -------
    bool

    Examples
    --------
    >>> is_date_cell("DateOfBirth", "18341"), is_date_cell("site", "MAR01")
    (True, False)
    >>> is_date_cell("birth_year", "1950"), is_date_cell("age_at_scan_date", "72.583")
    (False, False)
    """
    if holds_date(text):
        return True
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    if _DATE_WORDS.isdisjoint(words):
        return False
    number = number_in(text)  # of years or months since a date
    return sum(map(str.isdigit, text)) > 4 and (number is None or abs(number) >= _LEAST_DATE)


def age_years(text: str | None) -> int | float | None:
    """Age in years; ``89+`` covers all higher ages in BIDS. None if it is not the age of a person.

    A lower limit, as ``18+``, says too little.

    Parameters
    ----------
    text : of a cell; None where it is empty

    Returns
    -------
    int or float or None

    Examples
    --------
    >>> age_years("89+"), age_years("72,5"), age_years("072Y"), age_years("-4"), age_years("999")
    (89, 72.5, 72, None, None)
    """
    match = _AGE.fullmatch((text or "").strip())
    if match is None:
        return None
    lowest = _LEAST_OPEN_YEARS if match["over"] or match["plus"] else _AGE_YEARS[0]
    return _within(match["years"], (lowest, _AGE_YEARS[1]))


def weight_kg(value: Any) -> float | None:
    """Body weight from a cell or a field; None if it is not the weight of a person in kg.

    Parameters
    ----------
    value : number, or text with a point or a comma, in kg where no unit stands behind it

    Returns
    -------
    float or None
        kg.

    Examples
    --------
    >>> weight_kg("77,5kg"), weight_kg("200 lb"), weight_kg("12 st")
    (77.5, 90.718474, None)
    """
    scale = 1.0
    if isinstance(value, str) and (
        match := re.fullmatch(r"([^a-z]*\d)(\W*(?!e[+-]?\d)[a-z].*)", value, re.I)
    ):
        scale, value = _unit_kg(match[2]), match[1]
    number = _within(value, (-math.inf, math.inf))
    return None if number is None else _within(scale * number, _WEIGHT_KG)


def _unit_kg(text: str) -> float:
    """What one of a unit is in kg; 0 where it is not a weight, or more than one unit or number."""
    words = re.findall("[a-z]+", text.lower())
    known = {kg for word in words for name, kg in _UNIT_KG.items() if re.fullmatch(name, word)}
    is_ratio = "per" in words or re.search(r"[/\d\u00b2\u00b3]", text)
    return 0.0 if len(known) != 1 or is_ratio else known.pop()


def with_units(row: Row, dictionary: Mapping[str, Any]) -> dict[str, str | None]:
    """A row with the unit behind each weight whose column has one in the dictionary of the table.

    Parameters
    ----------
    row : values by column
    dictionary : of the table, as ``participants.json``

    Returns
    -------
    dict of str or None
    """
    changed = dict(row)
    for name, value, about in _described(row, dictionary, WEIGHT_COLUMNS):
        unit = str(about.get("Units") or "")
        if value[-1:].isdigit() and re.search("[A-Za-z]", unit) and not is_unknown(unit):
            changed[name] = f"{value} {unit}"
    return changed


def with_sexes(row: Row, dictionary: Mapping[str, Any]) -> dict[str, str | None]:
    """A row with the sex in words where it is a code that the dictionary of the table explains.

    Parameters
    ----------
    row : values by column
    dictionary : of the table, as ``participants.json``

    Returns
    -------
    dict of str or None

    Examples
    --------
    >>> described = {"sex": {"Levels": {"1": "male", "2": "female", "9": "not stated"}}}
    >>> with_sexes({"sex": "2"}, described), with_sexes({"sex": "9"}, described)
    ({'sex': 'female'}, {'sex': '9'})
    """
    changed = dict(row)
    for name, value, about in _described(row, dictionary, SEX_COLUMNS):
        if not isinstance(levels := about.get("Levels"), dict):
            continue
        words = {*re.findall("[a-z]+", str(levels.get(value)).lower())}
        meant = words & {"female", "male", "other", "no", "not", "non"}
        if value.lower() not in SEXES and len(meant) == 1 and meant <= SEXES.keys():
            changed[name] = min(meant)
    return changed


def _described(
    row: Row, dictionary: Mapping[str, Any], columns: Collection[str]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Column, value and description of what is known of some columns and described."""
    described = {name.lower(): about for name, about in dictionary.items()}
    for name, value in row.items():
        about = described.get(name.lower())
        if name.lower() in columns and value is not None and isinstance(about, dict):
            yield name, value, about


def first_known(rows: Iterable[Row], names: Sequence[str]) -> str | None:
    """First known value of any of some columns (lower case), by row, then by column.

    Parameters
    ----------
    rows : values by column, None for what is not known
    names : of the columns, in lower case

    Returns
    -------
    str or None
    """
    for row in rows:
        known = {name.lower(): value for name, value in row.items() if value is not None}
        for name in names:
            if name in known:
                return known[name]
    return None


def unread_covariates(rows: Iterable[Row]) -> list[str]:
    """Ages and weights that are impossible, a phrase each.

    Parameters
    ----------
    rows : values by column, None for what is not known

    Returns
    -------
    list of str
    """
    rows = list(rows)
    readers = {
        AGE_COLUMNS: (age_years, "age in years"),
        WEIGHT_COLUMNS: (weight_kg, "weight in kg"),
    }
    return [
        f"{text[:20]!r}, which is not {'an' if what[0] in 'aeiou' else 'a'} {what}"
        for columns, (reader, what) in readers.items()
        if (text := first_known(rows, columns)) is not None and reader(text) is None
    ]


def without_dates(row: Mapping[str, str]) -> dict[str, str | None]:
    """Values of a row of a raw table, None for ``n/a``; dates could identify a person.

    That of the start of treatment is kept, as that of the scan is: only years between them are
    written into tables.

    Parameters
    ----------
    row : text by column

    Returns
    -------
    dict of str or None
    """
    kept = read_table("cohort")["course"]["treatment_start"]
    return {
        name: None if value in ("", "n/a") else value
        for name, value in row.items()
        if name.lower() != "acq_time" and (name.lower() in kept or not is_date_cell(name, value))
    }


def _within(value: Any, limits: tuple[float, float]) -> int | float | None:
    """A number, perhaps with a decimal comma, between limits."""
    if isinstance(value, str):
        text = value.strip().replace(",", ".")
        try:
            value = int(text) if text.isdigit() else float(text)
        except ValueError:
            return None
    return value if is_number(value) and limits[0] <= value <= limits[1] else None
