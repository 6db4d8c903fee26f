"""What the nodes share: hashed inputs, arrays stored between nodes, errors that name the image.

Arrays lie in the work folder as they are in memory, uncompressed.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from errno import ENOMEM
from io import BytesIO
from itertools import chain
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from isal.isal_zlib import crc32
from nipype.interfaces.base import BaseInterfaceInputSpec
from numpy.typing import NDArray

from bidsapp.core.frames.position_means import PositionMean
from bidsapp.core.grid.volume import Volume
from bidsapp.data.sentences import worded
from bidsapp.errors import StorageError
from bidsapp.io.hashes import remembered_hash

_ALIGNED = 64  # bytes, as numpy aligns within .npy
# Of a ZIP file: the local header, which ends with the lengths of name and extra fields; an extra
# field begins with its kind and length. That of padding is the one of zipalign.
_LOCAL_HEADER = 30
_LENGTHS = struct.Struct("<HH")
_FIELD = struct.Struct("<HH")
_PADDING = 0xD935


class InputSpec(BaseInterfaceInputSpec):
    """Inputs of a node; files are compared by their content, hashed once per process.

    nipype would read every file twice whenever it checks whether a node has to run, and would not
    look into dataclasses for names of files.
    """

    def _get_sorteddict(
        self,
        value: Any,
        dictwithhash: bool = False,
        hash_method: str | None = None,
        hash_files: bool = True,
    ) -> Any:
        if hash_files and isinstance(value, str):
            with suppress(OSError, ValueError):  # any text at all
                digest = remembered_hash(value)
                return (value, digest) if dictwithhash else digest
        if is_dataclass(value):
            paths = [str(path) for path in _paths(value)]
            return repr(value), super()._get_sorteddict(paths, hash_files=hash_files)
        return super()._get_sorteddict(value, dictwithhash, hash_method, hash_files)


def _paths(value: Any) -> Iterator[Path]:
    """Paths in a dataclass, and in what it is made of."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        yield from _paths(tuple(value.values()))
    elif isinstance(value, tuple | list):
        yield from chain.from_iterable(map(_paths, value))
    elif is_dataclass(value):
        yield from _paths([getattr(value, field.name) for field in fields(value)])


def keep(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write named arrays as an uncompressed ``.npz``.

    Each begins at a multiple of 64 bytes, so that `fetch` can map it without a copy.

    Parameters
    ----------
    path : of the file
    arrays : by name

    Returns
    -------
    str
        The path; nipype's traits take no `pathlib.Path`.
    """
    with Path(path).open("wb") as file, ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            head = BytesIO()
            about = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(head, about)  # a multiple of 64 bytes
            info = ZipInfo(f"{name}.npy")
            info.file_size = len(head.getvalue()) + array.nbytes
            begin = file.tell() + _LOCAL_HEADER + len(info.filename) + _FIELD.size
            padding = bytes(-begin % _ALIGNED)
            info.extra = _FIELD.pack(_PADDING, len(padding)) + padding
            lines = array.T if about["fortran_order"] else np.ascontiguousarray(array)
            with archive.open(info, "w") as entry:
                entry.write(head.getvalue())
                entry.write(lines.reshape(-1).view(np.uint8).data)
    return str(path)


def fetch(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays that `keep` wrote.

    They are mapped into memory (copy on write), which all processes share.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    dict of ndarray

    Raises
    ------
    StorageError
        The file is missing or damaged: the disk failed, or the work folder was cleared.
    """
    try:
        with Path(path).open("rb") as file, ZipFile(file) as archive:
            mapped = mmap(file.fileno(), 0, access=ACCESS_COPY)
            return {i.filename.removesuffix(".npy"): _array(mapped, i) for i in archive.infolist()}
    except (
        OSError, ValueError, EOFError, KeyError, BadZipFile, struct.error, zlib.error,
    ) as error:  # fmt: skip
        if isinstance(error, OSError) and error.errno == ENOMEM:
            raise MemoryError from error
        raise StorageError(worded("workers", "damaged", path=path)) from error


def _array(mapped: mmap, info: ZipInfo) -> NDArray[Any]:
    """Map an array of a file whose checksum is right."""
    name, extra = _LENGTHS.unpack_from(mapped, info.header_offset + _LOCAL_HEADER - _LENGTHS.size)
    begin = info.header_offset + _LOCAL_HEADER + name + extra
    end = begin + info.file_size
    with memoryview(mapped) as whole:
        if info.compress_type or crc32(whole[begin:end]) != info.CRC:
            raise ValueError(f"{info.filename}: is not as it was written")
    mapped.seek(begin)
    np.lib.format.read_magic(mapped)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(mapped)
    at = mapped.tell()
    count = math.prod(shape)
    array = np.frombuffer(mapped, dtype, count, at) if count else np.empty(0, dtype)
    aligned = array.copy() if at % _ALIGNED else array
    return aligned.reshape(shape, order="F" if is_fortran else "C")


def keep_volume(path: str | Path, volume: Volume) -> str:
    """Write an image as `keep` does.

    Parameters
    ----------
    path : of the file
    volume : the image

    Returns
    -------
    str
        The path.
    """
    return keep(path, {"data": volume.data, "affine": volume.affine})


def fetch_volume(path: str | Path) -> Volume:
    """Read the image that `keep_volume` wrote.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    Volume
    """
    return Volume(**fetch(path))


def keep_position_means(path: str | Path, position_means: Sequence[PositionMean]) -> str:
    """Write the images of a window as `keep` does.

    Parameters
    ----------
    path : of the file
    position_means : on one grid

    Returns
    -------
    str
        The path.
    """
    return keep(
        path,
        {
            "data": np.stack([position_mean.image.data for position_mean in position_means]),
            "affine": position_means[0].image.affine,
            "seconds": np.array([position_mean.seconds for position_mean in position_means]),
            "motion": np.stack([position_mean.motion for position_mean in position_means]),
        },
    )


def fetch_position_means(path: str | Path) -> list[PositionMean]:
    """Read the images that `keep_position_means` wrote.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    list of PositionMean
    """
    stored = fetch(path)
    each = zip(stored["data"], stored["seconds"].tolist(), stored["motion"], strict=True)
    return [
        PositionMean(Volume(data, stored["affine"]), time, motion) for data, time, motion in each
    ]
