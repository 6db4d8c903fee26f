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
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
# Value of JSON, its name, and the names of what does not fit -> value of the type; None without.
Reader = Callable[[Any, str, list[str]], Any]

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
    reader: Reader = _reader(kind)  # type: ignore[arg-type] # every class can be hashed
    made: T | None = reader(content, "", misfits)
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


@cache
def _reader(hint: Any) -> Reader:
    hint, _ = without_none(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _object(hint)
    if origin is tuple:
        return _list(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments[1])
    if hint is object:
        return lambda value, where, misfits: value
    if issubclass(hint, StrEnum):
        return _scalar(lambda value: hint(value) if value in list(hint) else None)
    if hint in (float, int):
        return _scalar(_number if hint is float else _whole)
    return _scalar(lambda value: value if isinstance(value, hint) else None)


def _scalar(fitting: Callable[[Any], Any]) -> Reader:
    def read(value: Any, where: str, misfits: list[str]) -> Any:
        if value is None or (isinstance(value, str) and value in _ABSENT):
            return None
        fitted = fitting(value)
        if fitted is None:
            misfits.append(where)
        return fitted

    return read


def _number(value: Any) -> float | int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) and abs(value) <= _LARGEST else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number != int(number) else int(number)


def _list(arguments: tuple[Any, ...]) -> Reader:
    any_length = arguments[-1] is Ellipsis
    inner = [_reader(argument) for argument in arguments if argument is not Ellipsis]

    def read(value: Any, where: str, misfits: list[str]) -> Any:
        if value is None:
            return None
        lost: list[str] = []
        items = value if isinstance(value, list) else [None]
        readers = inner * len(items) if any_length else inner
        if len(readers) == len(items):
            kept = tuple(r(item, where, lost) for r, item in zip(readers, items, strict=True))
            if not lost and None not in kept:
                return kept
        misfits.append(where)
        return None

    return read


def _mapping(hint: Any) -> Reader:
    item_hint, optional = without_none(hint)
    read_item = _reader(item_hint)

    def read(value: dict[str, Any], where: str, misfits: list[str]) -> Any:
        kept = {}
        for name, item in value.items():
            kept_item = read_item(item, f"{where}.{name}", misfits)
            if kept_item is not None or optional or hint is object:
                kept[name] = kept_item
        return kept

    return _of_dict(read)


def _object(kind: Any) -> Reader:
    fields = []
    for part in written_fields(kind):
        hint = hints(kind)[part.name]
        fields.append((part.name, _reader(hint), _is_needed(part) and not without_none(hint)[1]))

    def read(value: dict[str, Any], where: str, misfits: list[str]) -> Any:
        given: dict[str, Any] = {}
        for name, reader, needed in fields:
            inside = f"{where}.{name}" if where else name
            inner = reader(value.get(name), inside, misfits)
            if inner is not None:
                given[name] = inner
            elif needed:
                if inside not in misfits:
                    misfits.append(inside)
                return None
        return kind(**_with_none(kind, given))

    return _of_dict(read)


def _of_dict(read: Reader) -> Reader:
    def read_dict(value: Any, where: str, misfits: list[str]) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            misfits.append(where)
            return None
        return read(value, where, misfits)

    return read_dict


def _is_needed(part: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return part.default is missing and part.default_factory is missing


def _with_none(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments with None for optional fields that have no default."""
    lacking = [part.name for part in written_fields(kind) if _is_needed(part)]
    return dict.fromkeys(lacking) | given
