"""Serialisation of values between nodes: files in the work folder, or nipype traits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from nipype.interfaces.base import File, traits
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.frames.position_means import PositionMean
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
    """How values of a type are passed between nodes; in `Annotated`, or chosen by `transfer_of`.

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


# Kept in the work folder
Image = Annotated[Volume, _file(".npz", keep_volume, fetch_volume)]
PositionMeans = Annotated[
    list[PositionMean], _file(".npz", keep_position_means, fetch_position_means)
]
Arrays = Annotated[dict[str, NDArray[Any]], _file(".npz", keep, fetch)]
WarpArrays = Annotated[
    Warp,
    _file(
        ".npz",
        lambda path, warp: keep(path, warp.to_arrays()),
        lambda path: Warp.from_arrays(fetch(path)),
    ),
]
Tables = Annotated[
    dict[str, Any], _file(".json", _write_json, lambda path: json.loads(Path(path).read_text()))
]
# 4 x 4, RAS mm, as nested lists
Rigid = Annotated[
    NDArray[np.float64], Transfer(traits.List, lambda _, matrix: matrix.tolist(), np.array)
]

_SIMPLE = {
    Any: traits.Any, str: traits.Str, float: traits.Float, int: traits.Int, bool: traits.Bool,
}  # fmt: skip


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
    if get_origin(kind) in (Union, UnionType):
        [kind] = [argument for argument in get_args(kind) if argument is not NoneType]
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
    if kind is Path:  # relative to the folder of the node that gives it
        return Transfer(_EXISTING, lambda path, file: str(path.parent / file), Path)
    return Transfer(_SIMPLE[kind] if kind in _SIMPLE else partial(traits.Instance, kind))
