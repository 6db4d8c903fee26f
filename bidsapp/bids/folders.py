"""Unreadable folders of participants: they affect only these, and never count as empty."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from bidsapp.data.sentences import worded
from bidsapp.plain import natural, some

_MOST_NAMED = 10
_DATATYPES = ("anat", "pet")


def unreadable_people(root: Path, participants: Sequence[str] = ()) -> dict[str, str]:
    """Participants with a folder of images that cannot be read.

    Parameters
    ----------
    root : of a dataset, raw or derivative
    participants : labels without ``sub-``; empty for all

    Returns
    -------
    dict
        Label -> sentence.
    """
    reasons: dict[str, str] = {}
    for person in folders_named(root, "sub-"):
        label = person.name.removeprefix("sub-")
        if participants and label not in participants:
            continue
        for folder in _of(person):
            if reason := _closed(folder):
                where = folder.relative_to(root)
                reasons[label] = worded(
                    "dataset", "closed", label=label, where=where, reason=reason
                )
                break
    return reasons


def people_in(root: Path) -> list[str]:
    """Labels, without ``sub-``, of the participants who have a folder in a dataset.

    Parameters
    ----------
    root : of a dataset, raw or derivative

    Returns
    -------
    list of str
    """
    return [folder.name.removeprefix("sub-") for folder in folders_named(root, "sub-")]


def lost_people(asked: Iterable[str], there: Collection[str], where: Path) -> dict[str, str]:
    """Participants who were requested by name but do not exist.

    Parameters
    ----------
    asked, there : labels without ``sub-``
    where : they should be

    Returns
    -------
    dict
        Label -> sentence.
    """
    people = sorted(there, key=natural)
    named = some(people, _MOST_NAMED) or "nobody"
    return {
        label: f"--participant-label {label}: {where} has no sub-{label}, it has {named}"
        for label in asked
        if label not in there
    }


def _of(person: Path) -> Iterator[Path]:
    """Folders of a participant that images lie in, and those above them."""
    yield person
    for above in (person, *folders_named(person, "ses-")):
        if above != person:
            yield above
        yield from (above / name for name in _DATATYPES)


def _closed(folder: Path) -> str | None:
    """Why a folder cannot be looked into; None when it can, or is not there."""
    try:
        with os.scandir(folder):
            pass
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror
    return None if os.access(folder, os.X_OK) else "Permission denied"


def folders_named(folder: Path, prefix: str) -> list[Path]:
    """Folders in a folder whose names begin so, sorted; none where it cannot be listed.

    Files are not asked of, which `Path.is_dir` would do of each of thousands.

    Parameters
    ----------
    folder : Path
    prefix : ``sub-`` or ``ses-``

    Returns
    -------
    list of Path
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.startswith(prefix) and e.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]
