"""Archives and compressed files below the DICOM folder, unpacked where they can do no harm.

Members are written into folders of our own, so no member can leave the target; links and devices
are passed over; what unpacks to more than the limits is refused as a bomb, whether it does so in
files or in what tar writes between them.  Folder names ``sub-XX`` and ``ses-YY`` are kept, because
they are labels; every other folder becomes a number, and of names of files stays what a file
system anywhere takes, because a NIfTI image and its sidecar find each other by it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from bidsapp.data.sentences import refused, worded
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.errors import BadDataError, StorageError

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_Source = IO[bytes] | io.BufferedIOBase
_Opener = Callable[[Path, Literal["rb"]], io.BufferedIOBase]
_COMPRESSED: dict[str, _Opener] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_OPENERS: dict[bytes, _Opener] = {  # by first bytes
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open,
}  # fmt: skip
# Kinds of archives and disk images that nobody here unpacks, by their first bytes or their names.
_UNREAD_BYTES = (b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd", b"LZIP")
_UNREAD_SUFFIXES = (".7z", ".rar", ".zst", ".tzst", ".lz", ".lz4", ".lzma", ".tlz", ".iso", ".dmg")
# And of those that are, where the name does not say so.
_NAMELESS_BYTES = (b"PK\x03\x04", *_OPENERS)
_LABEL = re.compile(r"(sub|ses)-[A-Za-z0-9]+")
_MAX_FILE = 4 * 2**30  # bytes; larger than any DICOM file
_MAX_TOTAL = 200 * 2**30
_MAX_RATIO = 200  # of unpacked to packed bytes; DICOM compresses some ten times at best
_ALWAYS_ALLOWED = 2**28  # bytes; a few empty images may well compress a thousand times
_MAX_HEADER = 2**20  # bytes that a tar may hold between two files; tarfile keeps them in memory
_TAR_BLOCK = 512  # bytes
_SMALLEST = 4096  # bytes that any file costs on a disk
_BLOCK = 2**20
_LONGEST_NAME = 100  # characters before the first dot, and as many from there
_ENCRYPTED = 0x1  # bit of the flags of a member of a zip
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
           RuntimeError, LookupError, NotImplementedError, ValueError)  # fmt: skip

Member = tuple[str, AbstractContextManager[IO[bytes]]]


def is_archive(path: Path) -> bool:
    """Whether a file is, by its name, an archive this module reads.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    return path.name.lower().endswith(_SUFFIXES)


def is_packed(path: Path) -> bool:
    """Whether this module has to unpack a file, by its name, before it can be read.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    return is_archive(path) or is_compressed(path)


def is_compressed(path: Path) -> bool:
    """Whether a file is, by its name, a single compressed one (``IM0001.dcm.gz``).

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    return path.suffix.lower() in _COMPRESSED and not (is_archive(path) or is_nifti_or_ecat(path))


def is_unread_archive(path: Path) -> bool:
    """Whether a file is an archive or a disk image that this module does not unpack.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    suffix = path.suffix.lower()
    if suffix in _UNREAD_SUFFIXES:
        return True
    with path.open("rb") as file:
        start = file.read(6)
    nameless = suffix in ("", ".dcm", ".ima") or suffix[1:].isdigit()
    return start.startswith(_UNREAD_BYTES) or (nameless and start.startswith(_NAMELESS_BYTES))


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack the regular files of an archive below ``target``, and of archives among them.

    All together they may unpack to what the outer one may.  An inner one that cannot be read
    costs itself alone; those inside it are left packed.

    Parameters
    ----------
    archive : its file
    target : folder that is made

    Returns
    -------
    list of str
        One sentence per inner archive that cannot be read.

    Raises
    ------
    BadDataError
        The archive is broken, encrypted, or unpacks to far more than it is.
    StorageError
        The disk is full.
    """
    problems = []
    with _explained(archive, target):
        budget = _Budget(archive)
        for inner in filter(is_packed, _unpack(archive, target, budget)):
            folder = inner.parent / inner.name.split(".")[0]
            folder = folder if not folder.exists() else inner.with_name(f"{inner.name}-unpacked")
            try:
                if is_compressed(inner):
                    _decompress(inner, inner.parent, budget)
                    deeper = 0
                else:
                    with _explained(inner, folder):
                        deeper = sum(map(is_packed, _unpack(inner, folder, budget)))
            except BombError:
                raise
            except BadDataError as error:
                problems.append(f"{archive.name}: {error}")
                continue
            inner.unlink()
            if deeper:
                problems.append(
                    f"{archive.name}: contains archives within archives; unpack it yourself"
                )
    return [*problems, *budget.incomplete]


def _unpack(archive: Path, target: Path, budget: _Budget) -> list[Path]:
    """Unpack one archive; return the files that were written."""
    layout, written = _Layout(target), []
    for name, opened in _members(archive, budget):
        budget.spend(_SMALLEST)
        with opened as source:
            written.append(layout.path(name))
            _write(source, written[-1], archive, budget)
    return written


def decompress(path: Path, target: Path) -> None:
    """Write the content of a single compressed file to ``target``, without its last suffix.

    Parameters
    ----------
    path : the compressed file
    target : folder to write into

    Raises
    ------
    BadDataError, StorageError
        As `unpack`.
    """
    _decompress(path, target, _Budget(path))


def _decompress(path: Path, target: Path, budget: _Budget) -> None:
    new = target / path.stem
    if new.exists():  # the same file, compressed in two ways
        new = target / f"{path.name}-unpacked"
    with _explained(path, new), _COMPRESSED[path.suffix.lower()](path, "rb") as source:
        _write(source, new, path, budget)


@contextlib.contextmanager
def _explained(archive: Path, new: Path) -> Iterator[None]:
    """Remove what was unpacked from a broken archive; return a sentence about it."""
    try:
        yield
    except (*_BROKEN, BadDataError, StorageError) as error:
        new.unlink(missing_ok=True) if new.is_file() else shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, BadDataError | StorageError):
            raise
        raise _unreadable(archive, error) from error


def _unreadable(archive: Path, error: BaseException) -> BadDataError:
    if isinstance(error, NotImplementedError):
        return refused("archives", "method", archive=archive)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else None
    return BadDataError(
        f"{archive.name}: cannot be unpacked ({reason or type(error).__name__}); unpack it yourself"
    )


class BombError(BadDataError):
    """An archive unpacks to more than it may."""


class _Budget:
    """Bytes an archive may still unpack to; the sizes it declares may be lies."""

    def __init__(self, archive: Path) -> None:
        self._name = archive.name
        self.incomplete: list[str] = []  # sentences
        self._left = min(max(_ALWAYS_ALLOWED, _MAX_RATIO * archive.stat().st_size), _MAX_TOTAL)

    def spend(self, size: int) -> None:
        """Take ``size`` bytes off."""
        self._left -= size
        if self._left < 0:
            self.refuse()

    def refuse(self) -> None:
        """Say that the archive is a bomb."""
        raise BombError(worded("archives", "bomb", name=self._name))


def _members(archive: Path, budget: _Budget) -> Iterator[Member]:
    """Regular members of an archive: name and opened stream."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if info.is_dir() or (info.external_attr >> 28) not in (0, 0o10):
                    continue
                if info.flag_bits & _ENCRYPTED:
                    raise refused("archives", "encrypted", archive=archive)
                yield info.filename, zipped.open(info)
        return
    with archive.open("rb") as packed:
        start = packed.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
    with opener(archive, "rb") as content:
        metered = _Metered(content, budget)
        with tarfile.open(fileobj=metered, mode="r|") as tar:
            while (member := tar.next()) is not None:
                budget.spend(_SMALLEST)
                # Or a million empty files would stay in memory; typeshed does not know the list.
                tar.members.clear()  # type: ignore[attr-defined]
                metered.in_header = False
                if member.isreg() and (stream := tar.extractfile(member)):
                    yield member.name, stream
                metered.start_header()
            if not metered.is_end(tar.offset):
                budget.incomplete.append(worded("archives", "incomplete", name=archive.name))


class _Metered(io.RawIOBase):
    """Content of a tar, refused where too much of it lies between two of its files."""

    def __init__(self, content: io.BufferedIOBase, budget: _Budget) -> None:
        self._content, self._budget = content, budget
        self._last, self._total = deque[bytes](maxlen=4), 0
        self.start_header()

    def is_end(self, offset: int) -> bool:
        """Whether the last bytes that were read have a block of zeros at an offset, a tar's end."""
        tail = b"".join(self._last)
        block = tail[offset - (self._total - len(tail)) :][:_TAR_BLOCK]
        return len(block) == _TAR_BLOCK and not any(block)

    def start_header(self) -> None:
        """Count from here."""
        self.in_header, self._header = True, 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        block = self._content.read(size)
        self._last.append(block)
        self._total += len(block)
        if self.in_header:
            self._header += len(block)
            if self._header > _MAX_HEADER:
                self._budget.refuse()
        return block


class _Layout:
    """Where members go: numbered folders for theirs, another one for the second of a name."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folders: dict[tuple[str, int], int] = {}
        self._copies: dict[Path, int] = {}

    def path(self, name: str) -> Path:
        """Path of a new file for a member of this name."""
        pure = PurePosixPath(name.replace("\\", "/"))
        plain = _file_name(pure.name)
        first = self._folder(pure, 0) / plain
        for copy in count(self._copies.get(first, 0)):
            path = self._folder(pure, copy) / plain
            if not path.exists():
                break
        if copy:
            self._copies[first] = copy + 1
        return path

    def _folder(self, name: PurePosixPath, copy: int) -> Path:
        number = self._folders.setdefault((str(name.parent), copy), len(self._folders))
        labels = (part for part in name.parts[:-1] if _LABEL.fullmatch(part))
        return self._target.joinpath(*labels, f"{number:06d}")


def _file_name(name: str) -> str:
    """Name of a member without what may do harm; other names stay other names."""
    plain = re.sub(r"[^A-Za-z0-9._-]", lambda match: f"_{ord(match[0]):x}", name).lstrip(".")
    stem, dot, extension = plain.partition(".")
    return f"{stem[-_LONGEST_NAME:]}{dot}{extension[-_LONGEST_NAME:]}" or "_"


def _write(source: _Source, path: Path, archive: Path, budget: _Budget) -> None:
    """Copy a member to a new file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as sink:
            for block in _blocks(source, archive, budget):
                sink.write(block)
    except OSError as error:
        why = error.strerror or type(error).__name__
        text = worded("archives", "no-space", archive=archive, why=why)
        raise StorageError(text) from error


def _blocks(source: _Source, archive: Path, budget: _Budget) -> Iterator[bytes]:
    """Content of a member, counted."""
    copied = 0
    try:
        while block := source.read(_BLOCK):
            copied += len(block)
            budget.spend(len(block))
            if copied > _MAX_FILE:
                budget.refuse()
            yield block
    except _BROKEN as error:
        raise _unreadable(archive, error) from error
