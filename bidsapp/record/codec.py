"""Frozen dataclasses as JSON, and back from JSON that others may have touched.

The type of a field says what it looks like in JSON: ``float``, ``int``, ``bool``, ``str``, an
enumeration of texts, ``tuple[X, ...]`` (a list), ``Mapping[str, X]`` and dataclasses (objects),
``X | None``, and ``object`` for any JSON. Reading keeps what fits and names what does not.

attrs with cattrs, pydantic and msgspec were tried: none keeps the rest of an object of which one
field does not fit and says which one it was (msgspec does not name the entry of a mapping), and
pydantic, which comes nearest, takes 0.3 s to import.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

# Beyond, whole numbers have gaps in double precision: nothing that is measured is so large.
_LARGEST = 2.0**53
_ABSENT = ("", "n/a")


def structured(kind: type[T], content: Any, misfits: list[str]) -> T | None:
    """An object from JSON, without the parts that cannot be read as their type.

    Parameters
    ----------
    kind : dataclass
    content : JSON, parsed
    misfits : takes the names of the parts that are left out, such as ``band.crossed``

    Returns
    -------
    object of the class or None
        None where a field without default is missing. A list fits as a whole or not at all, so
        that lists that belong together stay so. Names that the class does not have are ignored.
    """
    made: T | None = _read(kind, content, "", misfits)
    return made


def plain(value: Any) -> Any:
    """JSON of a value: dataclasses and mappings as objects, tuples as lists.

    Parameters
    ----------
    value : of any type that a record has

    Returns
    -------
    Any
        JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in written_fields(type(value))}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, StrEnum) else value


@cache
def written_fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """Fields of a dataclass that are in its JSON: its own before those that it inherits.

    Parameters
    ----------
    kind : dataclass

    Returns
    -------
    tuple of Field
    """
    own_fields = inspect.get_annotations(kind)
    known = [part for part in dataclasses.fields(kind) if part.metadata.get("written", True)]
    return tuple(sorted(known, key=lambda part: part.name not in own_fields))


@cache
def hints(kind: Any) -> Mapping[str, Any]:
    """Types of the fields of a dataclass by name.

    Parameters
    ----------
    kind : dataclass

    Returns
    -------
    dict
    """
    return typing.get_type_hints(kind)


def without_none(hint: Any) -> tuple[Any, bool]:
    """``X`` of ``X | None``, and whether it was that.

    Parameters
    ----------
    hint : type

    Returns
    -------
    (Any, bool)
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        [inner] = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
        return inner, True
    return hint, False


def _read(hint: Any, value: Any, where: str, misfits: list[str]) -> Any:
    """Value of a type, None without one; ``misfits`` takes the names of what does not fit."""
    hint, origin, arguments = _parts(hint)
    if hint is object or value is None:
        return value
    if origin is tuple:
        return _list(arguments, value, where, misfits)
    if origin is not None:
        if isinstance(value, dict):
            read = _object if origin is dict else _mapping
            return read(hint, value, where, misfits)
        misfits.append(where)
        return None
    fitted = _scalar(hint, value)
    if fitted is None and value not in _ABSENT:
        misfits.append(where)
    return fitted


@cache
def _parts(hint: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """A type without None, what it is made from (``dict`` for a dataclass), and its arguments."""
    bare, _ = without_none(hint)
    origin = dict if dataclasses.is_dataclass(bare) else typing.get_origin(bare)
    return bare, origin, typing.get_args(bare)


def _scalar(hint: Any, value: Any) -> Any:
    if hint in (float, int):
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not (known and math.isfinite(value) and abs(value) <= _LARGEST):
            return None
        return value if hint is float else int(value) if value == int(value) else None
    if issubclass(hint, StrEnum):
        return hint(value) if value in list(hint) else None
    return value if isinstance(value, hint) and value not in _ABSENT else None


def _list(arguments: tuple[Any, ...], value: Any, where: str, misfits: list[str]) -> Any:
    items = value if isinstance(value, list) else [None]
    kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
    if len(kinds) == len(items):
        lost: list[str] = []
        kept = tuple(
            _read(kind, item, where, lost) for kind, item in zip(kinds, items, strict=True)
        )
        if not lost and None not in kept:
            return kept
    misfits.append(where)
    return None


def _mapping(hint: Any, value: dict[str, Any], where: str, misfits: list[str]) -> Any:
    kind = _parts(hint)[2][1]
    kept = {name: _read(kind, item, f"{where}.{name}", misfits) for name, item in value.items()}
    if kind is object or without_none(kind)[1]:
        return kept
    return {name: item for name, item in kept.items() if item is not None}


def _object(kind: Any, value: dict[str, Any], where: str, misfits: list[str]) -> Any:
    given: dict[str, Any] = {}
    for name, (hint, needed, without_default) in _fields(kind).items():
        inside = f"{where}.{name}" if where else name
        inner = _read(hint, value.get(name), inside, misfits)
        if inner is not None or without_default:
            given[name] = inner
        if inner is None and needed:
            if inside not in misfits:
                misfits.append(inside)
            return None
    return kind(**given)


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool, bool]]:
    """Type of every field by name, whether it has to be there, and whether it has no default."""
    missing, fields = dataclasses.MISSING, {}
    for part in written_fields(kind):
        hint = hints(kind)[part.name]
        bare = part.default is missing and part.default_factory is missing
        fields[part.name] = hint, bare and not without_none(hint)[1], bare
    return fields
