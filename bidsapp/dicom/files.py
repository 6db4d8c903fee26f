"""Files below the input folder, and problems with unreadable ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bidsapp.bids.derivative_root import APP_NAME
from bidsapp.data.sentences import worded
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.io.reading import known_object
from bidsapp.plain import count


def files_below(
    folder: Path,
    no_input: Collection[str],
    unreadable: Callable[[OSError], None] | None = None,
    lost: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Regular files in a fixed order, without datasets of CentiPET and DICOMDIR.

    Links to folders are followed after all real folders, so that every file is found once and
    under its own folders, which may be labels; not to what holds ``folder`` itself.

    Parameters
    ----------
    folder : Path
    no_input : real paths of folders that are passed over
    unreadable : called with what is wrong with a folder that cannot be listed
    lost : called with links to files that are not there, as of data that was not fetched

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
                paths = _paths(start, seen, links, unreadable)
                yield from filter(partial(_is_there, lost), paths)
        starts = links


def _paths(
    start: Path, seen: set[str], links: list[Path], unreadable: Callable[[OSError], None] | None
) -> Iterator[Path]:
    """What is not a folder below one and not behind links to folders, which are noted."""
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
        yield from (Path(root, name) for name in sorted(names) if name.upper() != "DICOMDIR")


def _is_there(lost: Callable[[Path], None] | None, path: Path) -> bool:
    """Whether a path is that of a file; a link to nothing is noted."""
    is_file = path.is_file()
    if lost is not None and not is_file and path.is_symlink() and not path.exists():
        lost(path)
    return is_file


def doubtful_files(files: Iterable[Path], lost: Sequence[Path]) -> tuple[str, ...]:
    """Sentences about files without content and links to none, as incomplete copies have them.

    Parameters
    ----------
    files : of the input
    lost : links in it to files that are not there

    Returns
    -------
    tuple of str
    """
    # Empty images are reported when they are read.
    others = (p for p in files if not (p.name.startswith(".") or is_nifti_or_ecat(p)))
    empty = [path for path in others if path.stat().st_size == 0]
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
