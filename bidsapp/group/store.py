"""What the next group run may take from this one: nothing is computed twice from the same files.

The store ``logs/group_store.json`` is no result: without it, or with one that is torn, of another
version or of other code, everything is made anew and comes out the same to the bit.

A file counts as unchanged when size, time of change, time of its entry and inode are as they were.
What changed within two seconds before it was read could have changed again within one tick of a
coarse clock; there the content decides.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import IO

from bidsapp import __version__
from bidsapp.bids.dataset import RAW_FACTS
from bidsapp.errors import StorageError
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.report.records import RECORD_SUFFIX
from bidsapp.settings import Filters

_LOG = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]  # size, mtime and ctime in ns, inode

# What group tables are made from: of each scan its record and its tables, and what the participant
# level tells of the raw dataset. A table that reads anything else must add it here.
_INPUTS = (RECORD_SUFFIX, ".tsv")
_ROOT_INPUTS = (RAW_FACTS,)
_NAME = "group_store.json"
_DOUBT_NS = 2_000_000_000


@dataclass(frozen=True)
class Blocks:
    """Where the rows of each scan stand in a long table.

    Attributes
    ----------
    layout : hash of what rows depend on besides the files of their scan
    places : path of a record -> first byte and number of bytes
    """

    layout: str
    places: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Store:
    """A group run, as far as the next one can use it.

    Attributes
    ----------
    filters : which scans, as text
    inputs : stamps by name relative to the dataset
    doubtful : hashes of the inputs that changed just before they were read
    outputs : stamps of what was written, in the order of writing
    told : warnings
    blocks : of long tables, by name
    """

    filters: str = ""
    inputs: Mapping[str, Stamp] = field(default_factory=dict)
    doubtful: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Stamp] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    blocks: Mapping[str, Blocks] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The inputs of this run, and which of them are as the last run read them."""

    output_dir: Path
    inputs: Mapping[str, Stamp]
    doubtful: Mapping[str, str]
    same: frozenset[str]
    last: Store

    def is_current(self, filters: Filters) -> bool:
        """Whether all that the last run wrote is there and would be written again."""
        last = self.last
        return (
            bool(last.outputs)
            and last.filters == repr(filters)
            and len(self.same) == len(self.inputs) == len(last.inputs)
            and all(stamp(self.output_dir / name) == was for name, was in last.outputs.items())
        )

    def unchanged_scans(self) -> frozenset[str]:
        """Paths of the records whose scan has the same files as in the last run."""
        changed = (self.inputs.keys() | self.last.inputs.keys()) - self.same
        folders: dict[str, list[str]] = {}
        for name in changed:
            folder, _, file = name.rpartition("/")
            folders.setdefault(folder, []).append(file)
        found = set()
        for name in self.same:
            if name.endswith(RECORD_SUFFIX):
                folder, _, file = name.rpartition("/")
                stem = file.removesuffix(RECORD_SUFFIX)
                if not any(other.startswith(stem) for other in folders.get(folder, ())):
                    found.add(name)
        return frozenset(found)


@contextmanager
def one_at_a_time(output_dir: Path) -> Iterator[Path]:
    """Wait until no other group run works on this dataset; give the folder of the logs.

    The lock goes with the process, however it ends. Where the file system has none, runs are not
    kept apart; each file is still written whole.

    Raises
    ------
    StorageError
        The folder of the logs cannot be written.
    """
    folder = output_dir / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "group.lock").open("a") as file:
            _wait_for(file)
            os.utime(folder / "group.lock")  # the clock of the file system, see `look`
            yield folder
    except PermissionError as error:
        raise StorageError(f"{error.filename}: cannot be written ({error.strerror})") from error


def _wait_for(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _LOG.warning("another group run is at work on this dataset: waiting for its end")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return  # a file system without locks


def look(output_dir: Path) -> Found:
    """Find the inputs and compare them with those of the last run, inside `one_at_a_time`."""
    last = _read(output_dir / "logs" / _NAME)
    now_ns = (output_dir / "logs" / "group.lock").stat().st_mtime_ns
    inputs = dict(sorted(_inputs(output_dir)))
    alike = {name for name, was in last.inputs.items() if inputs.get(name) == was}
    for name, was in last.doubtful.items():
        if name in alike and _hash(output_dir / name) != was:
            alike.discard(name)
    fresh = [n for n, one in inputs.items() if max(one[1], one[2]) > now_ns - _DOUBT_NS]
    doubtful = {name: _hash(output_dir / name) for name in fresh}
    return Found(output_dir, inputs, doubtful, frozenset(alike), last)


def keep(
    found: Found,
    filters: Filters,
    outputs: Iterable[Path],
    told: Iterable[str],
    blocks: Mapping[str, Blocks],
) -> None:
    """Write what the next run may use.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    names = (path.relative_to(found.output_dir).as_posix() for path in outputs)
    stamps = {name: stamp(found.output_dir / name) for name in names}
    store = Store(repr(filters), found.inputs, found.doubtful, stamps, tuple(told), blocks)
    text = json.dumps(asdict(store) | {"code": _code()}, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_text(found.output_dir / "logs" / _NAME, f"{digest}\n{text}\n")


def stamp(path: Path) -> Stamp | None:
    """What tells a file from itself after a change; None when there is none."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


def stamp_of(status: os.stat_result) -> Stamp:
    """`stamp` of an open file or of an entry of a folder."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _inputs(output_dir: Path) -> Iterator[tuple[str, Stamp]]:
    for folder in _folders(output_dir):
        with suppress(PermissionError), os.scandir(folder) as entries:  # told by the tables
            for entry in entries:
                if entry.name.startswith("sub-") and entry.name.endswith(_INPUTS):
                    name = Path(entry.path).relative_to(output_dir).as_posix()
                    try:
                        yield name, stamp_of(entry.stat())
                    except OSError:  # replaced or removed meanwhile
                        continue
    for name in _ROOT_INPUTS:
        if (found := stamp(output_dir / name)) is not None:
            yield name, found


def _folders(output_dir: Path) -> Iterator[Path]:
    for pattern in ("sub-*/pet", "sub-*/ses-*/pet"):
        yield from (path for path in output_dir.glob(pattern) if path.is_dir())


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError:
        return ""  # like no hash there is


def _read(path: Path) -> Store:
    """The store of the last run; an empty one when it cannot be trusted."""
    try:
        digest, text, _ = path.read_text("utf-8").split("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return Store()
        content = json.loads(text)
        if content.pop("code") != _code():
            return Store()
        for name in ("inputs", "outputs"):
            content[name] = {key: tuple(value) for key, value in content[name].items()}
        content["blocks"] = {key: Blocks(**value) for key, value in content["blocks"].items()}
        return Store(**{**content, "told": tuple(content["told"])})
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return Store()


@cache
def _code() -> str:
    """What stands for the program that makes the tables: its version, and its files as they lie."""
    package = Path(str(files("bidsapp")))
    parts = [__version__]
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".toml", ".html", ".js", ".css", ".tsv", ".json"):
            status = path.stat()
            parts.append(f"{path.relative_to(package)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
