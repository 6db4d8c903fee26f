"""Files below the input folder, and what there stands for files that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from bidsapp.bids.derivative_root import APP_NAME
from bidsapp.data.sentences import worded
from bidsapp.dicom.volumes import is_volume
from bidsapp.io.reading import known_object
from bidsapp.plain import count


def files_below(
    folder: Path,
    no_input: Collection[str],
    unreadable: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Regular files in a fixed order, without datasets of CentiPET; DICOMDIR is no image.

    Links to folders are followed after all real folders, so that every file is found once and
    under its own folders, which may be labels; not to what holds ``folder`` itself.

    Parameters
    ----------
    folder : Path
    no_input : real paths of folders that are passed over
    unreadable : called with what is wrong with a folder that cannot be listed

    Yields
    ------
    Path
    """
    seen = {*no_input}
    starts = [folder]
    while starts:
        links: list[Path] = []
        for start in starts:
            real = Path(os.path.realpath(start))
            if start is folder or not (str(real) in seen or folder.resolve().is_relative_to(real)):
                yield from _files(start, seen, links, unreadable)
        starts = links


def _files(
    start: Path, seen: set[str], links: list[Path], unreadable: Callable[[OSError], None] | None
) -> Iterator[Path]:
    """Files below a folder that are not behind links to folders, which are noted."""
    for root, folders, names in os.walk(start, onerror=unreadable):
        seen.add(os.path.realpath(root))
        inner = [Path(root, name) for name in sorted(folders)]
        links += [path for path in inner if path.is_symlink()]
        folders[:] = [
            path.name
            for path in inner
            if os.path.realpath(path) not in seen
            and not path.is_symlink()
            and not _is_own_dataset(path)
        ]
        for name in sorted(names):
            path = Path(root, name)
            if name.upper() != "DICOMDIR" and path.is_file():
                yield path


def lost_files(folder: Path) -> Iterator[Path]:
    """Links below a folder to files that are not there, as of data that was not fetched.

    Parameters
    ----------
    folder : of the input

    Yields
    ------
    Path
    """
    for root, _, names in os.walk(folder):
        yield from (
            path
            for name in sorted(names)
            if (path := Path(root, name)).is_symlink() and not path.exists()
        )


def doubtful_files(folder: Path, files: Iterable[Path]) -> tuple[str, ...]:
    """Sentences about files without content and links to none, as incomplete copies have them.

    Parameters
    ----------
    folder : of the input
    files : below it, and unpacked from it

    Returns
    -------
    tuple of str
    """
    others = (p for p in files if not (p.name.startswith(".") or is_volume(p)))  # that are told
    empty = [path for path in others if path.stat().st_size == 0]
    lost = list(lost_files(folder))
    sentences = []
    if empty:
        number = count(len(empty), "file")
        sentences.append(worded("inventory", "empty-files", files=number, first=empty[0].name))
    if lost:
        number = count(len(lost), "link")
        sentences.append(worded("inventory", "lost-files", files=number, first=lost[0].name))
    return tuple(sentences)


def _is_own_dataset(folder: Path) -> bool:
    """Whether CentiPET made a folder: by a conversion, or of results."""
    makers = known_object(folder / "dataset_description.json").get("GeneratedBy")
    first = makers[0] if isinstance(makers, list) and makers else None
    return isinstance(first, dict) and first.get("Name") == APP_NAME
