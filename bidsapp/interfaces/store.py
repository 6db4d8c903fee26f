"""What the nodes share: inputs, arrays kept between two of them, and whose fault an error is.

Arrays lie in the work folder as they are in memory, uncompressed.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, isdefined
from numpy.typing import NDArray

from bidsapp.core.frames.stills import Still
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import CentipetError, StorageError
from bidsapp.io.hashes import file_hash


class InputSpec(BaseInterfaceInputSpec):
    """Inputs of a node; files count by what they hold, which is read once in a process.

    nipype reads every file twice whenever it asks whether a node has to run.
    """

    def _get_sorteddict(
        self,
        value: Any,
        dictwithhash: bool = False,
        hash_method: str | None = None,
        hash_files: bool = True,
    ) -> Any:
        digest = _digest_if_file(value) if hash_files and isinstance(value, str) else None
        if digest is None:
            return super()._get_sorteddict(value, dictwithhash, hash_method, hash_files)
        return (value, digest) if dictwithhash else digest


def _digest_if_file(name: str) -> str | None:
    try:
        state = Path(name).stat()
    except (OSError, ValueError):  # any text at all
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    # the time of change of the inode cannot be set back as that of the content can
    return _digest(name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=4096)
def _digest(path: str, *_state: int) -> str:
    return file_hash(path)


def keep(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write named arrays and return the path as nipype wants it, a string."""
    named: Mapping[str, Any] = arrays  # mypy takes any of them for the option allow_pickle
    np.savez(path, **named)
    return str(path)


def fetch(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `keep` wrote.

    Raises
    ------
    StorageError
        It is gone or damaged: a run died with its disk, or somebody cleared the work folder.
    """
    try:
        with np.load(path) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise StorageError(
            f"{path}: this intermediate result is missing or damaged; run again with "
            "--clean-workdir"
        ) from error


def keep_volume(path: str | Path, volume: Volume) -> str:
    """Write an image and return its path."""
    return keep(path, {"data": volume.data, "affine": volume.affine})


def fetch_volume(path: str | Path) -> Volume:
    """Read what `keep_volume` wrote."""
    return Volume(**fetch(path))


def keep_stills(path: str | Path, stills: Sequence[Still]) -> str:
    """Write the images of a window and return the path."""
    return keep(
        path,
        {
            "data": np.stack([still.image.data for still in stills]),
            "affine": stills[0].image.affine,
            "seconds": np.array([still.seconds for still in stills]),
            "motion": np.stack([still.motion for still in stills]),
        },
    )


def fetch_stills(path: str | Path) -> list[Still]:
    """Read what `keep_stills` wrote."""
    stored = fetch(path)
    each = zip(stored["data"], stored["seconds"].tolist(), stored["motion"], strict=True)
    return [Still(Volume(data, stored["affine"]), time, motion) for data, time, motion in each]


def optional(value: Any) -> Any:
    """Value of an optional nipype input, None where it was not given."""
    return value if isdefined(value) else None


@contextmanager
def about(path: str | Path) -> Iterator[None]:
    """Put the name of the raw image before the sentence of an error from the core."""
    try:
        yield
    except CentipetError as error:
        raise type(error)(f"{path}: {error}") from error
