"""Serialisation of values between nodes: files in the work folder, or nipype traits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from nipype.interfaces.base import File, traits
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.frames.position_means import PositionMean
from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.interfaces.store import (
    fetch,
    fetch_position_means,
    fetch_volume,
    keep,
    keep_position_means,
    keep_volume,
)


@dataclass(frozen=True)
class Transfer:
    """How values of a type are passed between nodes, as `transfer_of` chooses.

    Attributes
    ----------
    trait : makes the nipype trait, called with metadata
    encode : (path without suffix, value) -> value of the trait
    decode : value of the trait -> value
    """

    trait: Callable[..., Any]
    encode: Callable[[Path, Any], Any] = lambda _, value: value
    decode: Callable[[Any], Any] = lambda value: value


_EXISTING = partial(File, exists=True)


def _file(ending: str, write: Callable[[Path, Any], Any], read: Callable[[str], Any]) -> Transfer:
    return Transfer(_EXISTING, lambda path, value: write(path.with_suffix(ending), value), read)


def _write_json(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


Arrays = dict[str, NDArray[Any]]
# A file of JSON in the work folder; any other mapping is passed as it is.
Tables = Annotated[
    dict[str, Any], _file(".json", _write_json, lambda path: json.loads(Path(path).read_text()))
]

# Kept in the work folder
_STORED: dict[Any, Transfer] = {
    Volume: _file(".npz", keep_volume, fetch_volume),
    list[PositionMean]: _file(".npz", keep_position_means, fetch_position_means),
    Arrays: _file(".npz", keep, fetch),
    Warp: _file(
        ".npz",
        lambda path, warp: keep(path, warp.to_arrays()),
        lambda path: Warp.from_arrays(fetch(path)),
    ),
}
_SIMPLE = {
    # 4 x 4, RAS mm, as nested lists
    Matrix: Transfer(traits.List, lambda _, matrix: matrix.tolist(), np.array),
    # relative to the folder of the node that gives it
    Path: Transfer(_EXISTING, lambda path, file: str(path.parent / file), Path),
    Any: Transfer(traits.Any), str: Transfer(traits.Str), float: Transfer(traits.Float),
    int: Transfer(traits.Int), bool: Transfer(traits.Bool),
}  # fmt: skip


def without_none(kind: Any) -> Any:
    """``T`` of ``T | None``, any other type as it is.

    Parameters
    ----------
    kind : type or annotation

    Returns
    -------
    Any
    """
    is_union = get_origin(kind) in (Union, UnionType)
    kinds = [argument for argument in get_args(kind) if argument is not NoneType]
    return kinds[0] if is_union and len(kinds) == 1 else kind


def parts_of(kind: Any) -> dict[str, Any] | None:
    """Types of the fields of a dataclass that is passed field by field.

    That is one with images or arrays in it, which are kept in the work folder, a file each.

    Parameters
    ----------
    kind : type or annotation
        ``T | None`` is treated as ``T``.

    Returns
    -------
    dict or None
        By name of the field; None for what is passed as a whole.
    """
    kind = without_none(kind)
    if kind in _STORED or not is_dataclass(kind):
        return None
    hints = get_type_hints(kind, include_extras=True)
    stored = any(without_none(own) in _STORED or parts_of(own) for own in hints.values())
    return hints if stored else None


def transfer_of(kind: Any) -> Transfer:
    """Choose how values of a type are passed between nodes.

    Parameters
    ----------
    kind : type or annotation
        ``T | None`` is treated as ``T``.

    Returns
    -------
    Transfer
    """
    kind = without_none(kind)
    for known in (_STORED, _SIMPLE):
        if kind in known:
            return known[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return next(argument for argument in args if isinstance(argument, Transfer))
    if origin in (list, tuple, Sequence):
        item = transfer_of(args[0])
        return Transfer(
            lambda **about: traits.List(item.trait(), **about),
            lambda path, values: [item.encode(path, value) for value in values],
            lambda values: [item.decode(value) for value in values],
        )
    if origin in (dict, Mapping):
        return Transfer(traits.Dict, decode=dict)
    if origin is Literal:
        return Transfer(partial(traits.Enum, *args))
    return Transfer(partial(traits.Instance, kind))
