"""Descriptions of participant and scanner from the raw tables and the sidecar of a record."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from bidsapp.bids.covariates import AGE_COLUMNS, SEX_COLUMNS, SEXES, age_years, first_known
from bidsapp.record.model import ScanRecord

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # no 007: that is a name


def typed(text: str | None) -> str | int | float | None:
    """Value of a cell of a raw table: a number where it is written as one.

    Parameters
    ----------
    text : of the cell, None without

    Returns
    -------
    str or int or float or None
    """
    if text is None or not _NUMBER.fullmatch(text):
        return text
    value = int(text) if text.lstrip("-").isdigit() else float(text)
    return value if math.isfinite(value) else text


def known_of(record: ScanRecord, names: Sequence[str]) -> str | None:
    """First known value of any of some columns, the session's before the participant's.

    Parameters
    ----------
    record : of a scan
    names : of columns, in lower case

    Returns
    -------
    str or None
    """
    return first_known((record.session, record.participant), names)


def age_of(record: ScanRecord) -> int | float | None:
    """Age in years; BIDS lets ``89+`` stand for all that is above.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    int or float or None
    """
    return age_years(known_of(record, AGE_COLUMNS))


def sex_of(record: ScanRecord) -> str | None:
    """Sex by one letter for what BIDS lets people write; other codes as they are.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    str or None
    """
    text = known_of(record, SEX_COLUMNS)
    return None if text is None else SEXES.get(text.lower(), text)


def scanner_of(record: ScanRecord) -> str | None:
    """Manufacturer and model, the manufacturer not twice.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    str or None
    """
    acquisition = record.acquisition
    maker, model = (_plain(acquisition.get(k)) for k in ("Manufacturer", "ManufacturersModelName"))
    if maker and model and model.lower().startswith(maker.lower()):
        maker = None
    return " ".join(part for part in (maker, model) if part) or None


def dose_of(record: ScanRecord) -> str | None:
    """Injected activity in the unit that the sidecar states.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    str or None
    """
    parts = map(record.acquisition.get, ("InjectedRadioactivity", "InjectedRadioactivityUnits"))
    dose, unit = map(_plain, parts)
    return f"{dose} {unit or 'in no stated unit'}" if dose else None


def reconstruction_of(record: ScanRecord) -> str | None:
    """Method, its parameters, and the filter with its size.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    str or None
    """
    acquisition = record.acquisition
    labels = acquisition.get("ReconMethodParameterLabels")
    values = acquisition.get("ReconMethodParameterValues")
    if not (isinstance(labels, list) and isinstance(values, list) and len(labels) == len(values)):
        labels, values = [], []
    pairs = [f"{_plain(k)} {_plain(v)}" for k, v in zip(labels, values, strict=True) if _plain(v)]
    kind = _plain(acquisition.get("ReconFilterType"))
    if kind and kind.lower() != "none":
        size = _plain(acquisition.get("ReconFilterSize"))
        kind = f"filter {kind} {size} mm" if size else f"filter {kind}"
    elif kind:
        kind = "no filter"
    parts = [_plain(acquisition.get("ReconMethodName")), *pairs, kind]
    return ", ".join(part for part in parts if part) or None


def _plain(value: Any) -> str | None:
    """Text of a field of a sidecar, of a list its different values; None for what says nothing."""
    several = value if isinstance(value, list) else [value]
    texts = dict.fromkeys(
        f"{item:g}" if isinstance(item, int | float) else " ".join(str(item).split())
        for item in several
        if item is not None
    )
    return " ".join(text for text in texts if text.lower() not in ("", "n/a", "unknown")) or None
