"""Zip and tar archives below the DICOM folder, unpacked where they can do no harm.

Members are written into folders of our own, so no member can leave the target; links and devices
are passed over; what unpacks to more than the limits is refused as a bomb.  Folder names
``sub-XX`` and ``ses-YY`` are kept, because they are labels; every other folder becomes a number,
and of names of files stays what a file system anywhere takes, because a NIfTI image and its
sidecar find each other by it.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import IO

from bidsapp.errors import BadDataError, StorageError

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LABEL = re.compile(r"(sub|ses)-[A-Za-z0-9]+")
_MAX_FILE = 4 * 2**30  # bytes; larger than any DICOM file
_MAX_TOTAL = 200 * 2**30
_MAX_RATIO = 200  # of unpacked to packed bytes; DICOM compresses some ten times at best
_ALWAYS_ALLOWED = 2**28  # bytes; a few empty images may well compress a thousand times
_BLOCK = 2**20
_LONGEST_NAME = 150  # characters

Member = tuple[str, AbstractContextManager[IO[bytes]]]


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive this module reads."""
    return path.name.lower().endswith(_SUFFIXES)


def unpack(archive: Path, target: Path) -> int:
    """Unpack the regular files of an archive below ``target``; return their number.

    Raises
    ------
    BadDataError
        The archive is broken, encrypted, or unpacks to far more than it is.
    StorageError
        The disk is full.
    """
    left = min(max(_ALWAYS_ALLOWED, _MAX_RATIO * archive.stat().st_size), _MAX_TOTAL)
    count = 0
    folders: dict[str, int] = {}
    try:
        for name, opened in _members(archive):
            number = folders.setdefault(str(PurePosixPath(name).parent), len(folders))
            folder = target.joinpath(*_labels(name), f"{number:06d}")
            folder.mkdir(parents=True, exist_ok=True)
            with opened as source, (folder / _file_name(name, folder)).open("wb") as sink:
                left -= _copy(source, sink, min(left, _MAX_FILE), archive)
            count += 1
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, LookupError,
            NotImplementedError, ValueError) as error:  # fmt: skip
        shutil.rmtree(target, ignore_errors=True)
        raise BadDataError(
            f"{archive.name}: cannot be unpacked ({type(error).__name__}); unpack it yourself"
        ) from error
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise StorageError(
            f"{archive.name}: cannot be unpacked ({error.strerror or type(error).__name__}); "
            "set TMPDIR to a folder with more space"
        ) from error
    return count


def _members(archive: Path) -> Iterator[Member]:
    """Regular members of an archive: name and opened stream."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir() and (info.external_attr >> 28) in (0, 0o10):
                    yield info.filename, zipped.open(info)
        return
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if member.isreg() and (stream := tar.extractfile(member)):
                yield member.name, stream


def _labels(name: str) -> list[str]:
    """Folders of a member that are labels."""
    return [part for part in PurePosixPath(name).parts[:-1] if _LABEL.fullmatch(part)]


def _file_name(name: str, folder: Path) -> str:
    """Name of a member without what may do harm; numbered when there is one of that name."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(name).name)[-_LONGEST_NAME:].lstrip(".")
    if not plain or (folder / plain).exists():
        return f"{len(list(folder.iterdir())):08d}_{plain}"
    return plain


def _copy(source: IO[bytes], sink: IO[bytes], limit: int, archive: Path) -> int:
    """Copy a member, counting; the sizes an archive declares may be lies."""
    copied = 0
    while block := source.read(_BLOCK):
        copied += len(block)
        if copied > limit:
            raise BadDataError(
                f"{archive.name}: unpacks to far more than an archive of images would; "
                "unpack it yourself"
            )
        sink.write(block)
    return copied
