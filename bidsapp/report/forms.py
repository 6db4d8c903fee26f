"""Forms of JSON that others may have touched: what fits is kept, what does not is named.

A form is ``NUMBER``, ``TEXT``, ``TRUTH``, a list of one form, or names with their forms (``*``
stands for every other name). What has no form is kept as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NUMBER, TEXT, TRUTH = "number", "text", "truth"
Form = str | list[Any] | Mapping[str, Any]

# Beyond, whole numbers have gaps in double precision: nothing that is measured is so large.
_LARGEST = 2.0**53


def fitting(value: Any, form: Form, where: str, misfits: list[str]) -> Any:
    """A value without the parts that do not have their form.

    Parameters
    ----------
    value : content of JSON; None fits every form
    form : what it should look like
    where : its name, for ``misfits``
    misfits : takes the names of the parts that are left out

    Returns
    -------
    value
        None where it has another form. A list fits as a whole or not at all, so that lists that
        belong together stay so.
    """
    if value is None:
        return None
    if isinstance(form, Mapping):
        return _names(value, form, where, misfits)
    if isinstance(form, list):
        inner: list[str] = []
        items = value if isinstance(value, list) else [None]
        kept = [fitting(item, form[0], where, inner) for item in items]
        if not any(item is None for item in kept) and not inner:
            return kept
    elif form == NUMBER:
        if value == "n/a":
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and abs(value) <= _LARGEST:
            return value
    elif form == TRUTH:
        if isinstance(value, bool):
            return value
    elif isinstance(value, str):
        return None if value in ("", "n/a") else value
    misfits.append(where)
    return None


def _names(value: Any, form: Mapping[str, Any], where: str, misfits: list[str]) -> Any:
    if not isinstance(value, dict):
        misfits.append(where)
        return None
    kept = {}
    for name, item in value.items():
        own = form.get(name, form.get("*"))
        inside = f"{where}.{name}" if where else name
        found = item if own is None else fitting(item, own, inside, misfits)
        if found is not None or not isinstance(own, Mapping | list):  # else as if not there
            kept[name] = found
    return kept
