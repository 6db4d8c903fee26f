"""Files between two nodes: arrays as they are in memory, uncompressed, in the work folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import isdefined
from numpy.typing import NDArray

from bidsapp.volume import Volume


def keep(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write named arrays and return the path as nipype wants it, a string."""
    np.savez(path, **arrays)
    return str(path)


def fetch(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `keep` wrote."""
    with np.load(path) as stored:
        return dict(stored)


def keep_volume(path: str | Path, volume: Volume) -> str:
    """Write an image and return its path."""
    return keep(path, {"data": volume.data, "affine": volume.affine})


def fetch_volume(path: str | Path) -> Volume:
    """Read what `keep_volume` wrote."""
    return Volume(**fetch(path))


def optional(value: Any) -> Any:
    """Value of an optional nipype input, None where it was not given."""
    return value if isdefined(value) else None
