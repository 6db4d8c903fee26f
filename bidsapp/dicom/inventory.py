"""Inventory: which DICOM images lie in a folder, and which of them belong together.

Only headers are read, in parallel. Files are grouped by SeriesInstanceUID, and a series that
holds several images (echoes, phase beside magnitude, stacks of other orientation, repeated
volumes of an MR, other units) is split into parts.
"""

from __future__ import annotations

import filecmp
import os
from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import cast

from bidsapp.data.sentences import worded, worded_flag
from bidsapp.data.tracers import Tracer, own_tracers, using_tracers
from bidsapp.dicom.archives import (
    decompress,
    is_compressed,
    is_packed,
    is_unread_archive,
    unpack,
)
from bidsapp.dicom.files import doubtful_files, files_below
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, Values, begins_like_dicom, read_headers
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat, read_nifti_or_ecat
from bidsapp.dicom.series import SAME_PLACE_MM, Series, numbers_of
from bidsapp.errors import BadDataError, NoInputError, WorkerLostError
from bidsapp.execution.workers import workers
from bidsapp.grouping import grouped
from bidsapp.plain import count

_CHUNK = 200  # files per task: small enough for progress, large enough to hide the transport
_FILES_PER_LINE = 2000  # of progress
_SERIAL_BELOW = 400  # files; starting workers takes as long as reading these
_SAME_COSINE = 0.005
_POSITION = "ImagePositionPatient"
_MOMENT = ("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime")
_MOST_REPEATS = 4  # of a T1w in one series; short functional ones have ten
_LEAST_OF_ONE = 10  # single images that make a series; scouts have three


@dataclass(frozen=True)
class Inventory:
    """Everything found in a folder."""

    series: tuple[Series, ...]
    broken: tuple[str, ...]  # one sentence per DICOM file or archive that cannot be read
    roots: tuple[Path, ...]  # the folder, and one folder per unpacked archive
    remarks: tuple[str, ...] = ()  # one sentence each


def take_inventory(
    folder: Path,
    scratch: Path,
    *,
    nprocs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
    passed_over: Iterable[Path] = (),
) -> Inventory:
    """Read the headers of all files below ``folder`` and group them into series.

    Archives, of which ``folder`` may be one itself, are unpacked below ``scratch``, which must
    live as long as the files are needed. Datasets of CentiPET below ``folder`` are not input.

    Parameters
    ----------
    folder : of the input, or an archive
    scratch : folder for what is unpacked
    nprocs : processes that read headers
    progress : called with a line of text as work proceeds
    passed_over : folders that may lie below ``folder`` and are not input

    Returns
    -------
    Inventory

    Raises
    ------
    NoInputError
        The folder is missing or contains no image.
    """
    if folder.is_file() and not is_packed(folder):
        raise NoInputError(worded("inventory", "one-file", folder=folder))
    if not (folder.is_file() or folder.is_dir()):
        raise NoInputError(worded("inventory", "no-folder", folder=folder))
    no_input = frozenset(map(os.path.realpath, passed_over))
    roots, broken = _unpacked(folder, scratch, progress, no_input)
    closed: list[OSError] = []
    lost: list[Path] = []
    files = [
        path
        for root in filter(Path.is_dir, roots)
        for path in files_below(root, no_input, closed.append, lost.append)
        if not _is_packed(path)
    ]
    broken += [_unreadable(Path(error.filename), error) for error in closed]
    groups: dict[str, dict[str, Header]] = defaultdict(dict)
    shared: dict[str, Values] = {}
    n_seen = 0
    for outcomes in _read_all(files, nprocs):
        n_reported, n_seen = n_seen // _FILES_PER_LINE, min(n_seen + _CHUNK, len(files))
        for outcome in outcomes:
            if isinstance(outcome, str):
                broken.append(outcome)
            elif outcome is not None:
                broken += _file(outcome, groups, shared)
        if n_seen == len(files) or n_seen // _FILES_PER_LINE > n_reported:
            progress(f"Read {n_seen} of {len(files)} files, {len(groups)} series")
    remarks = doubtful_files(files, lost)
    if not groups:
        more = "".join(f"; {sentence}" for sentence in (*in_one_sentence(broken), *remarks))
        number = count(len(files), "file")
        text = worded("inventory", "no-image", folder=folder, files=number, more=more)
        raise NoInputError(text)
    _join_singles(groups)
    series = [part for uid in sorted(groups) for part in _split(uid, list(groups[uid].values()))]
    return Inventory(tuple(series), tuple(broken), tuple(roots), remarks)


def _join_singles(groups: dict[str, dict[str, Header]]) -> None:
    """Make one series of images that each have a SeriesInstanceUID of their own.

    Some scanners and anonymisers write them so, and may give each a study of its own, too.
    """
    one_scan = tables()["compared"]["one_scan"]
    for tags in ((*one_scan, "StudyInstanceUID"), one_scan):
        alone = defaultdict(list)
        for uid in sorted(groups):
            (header, *others) = groups[uid].values()
            number = header.text("SeriesNumber") or header.text("SeriesTime")
            if not others and header.frame is None and number:
                alone[tuple(header.plain(tag) for tag in tags)].append(uid)
        for uids in alone.values():
            if len(uids) >= _LEAST_OF_ONE:
                images = [header for uid in uids for header in groups.pop(uid).values()]
                remarks = (worded_flag("note", "singles"),)
                groups[uids[0]] = {str(h.path): replace(h, remarks=remarks) for h in images}


def _unpacked(
    folder: Path, scratch: Path, progress: Callable[[str], None], no_input: Collection[str]
) -> tuple[list[Path], list[str]]:
    """Unpack the archives of a folder; return all folders to read, and what went wrong."""
    roots, broken = [folder], []
    inside = [folder] if folder.is_file() else filter(_is_packed, files_below(folder, no_input))
    top = folder.parent if folder.is_file() else folder
    # The folders above an archive, and its name, are kept: they may be labels.
    single = scratch / "files" / top.name
    for number, archive in enumerate(inside):
        where = archive.parent.relative_to(top)
        try:
            if is_compressed(archive):
                decompress(archive, single / where)
                continue
            progress(f"Unpacking archive {number + 1}")
            root = scratch / f"{number:04d}" / top.name
            broken += unpack(archive, root / where / archive.name.split(".")[0])
            roots.append(root)
        except BadDataError as error:
            broken.append(str(error))
    if single.is_dir():
        roots.append(single)
    return roots, broken


def _is_packed(path: Path) -> bool:
    """Whether a file has to be unpacked: by its name, unless it is an image all the same."""
    try:
        return is_packed(path) and not (path.is_file() and begins_like_dicom(path))
    except OSError:  # which unpacking it will show
        return True


def in_one_sentence(broken: Sequence[str]) -> list[str]:
    """Report files that cannot be read; a thousand of them say it once.

    Parameters
    ----------
    broken : one sentence per file

    Returns
    -------
    list of str
    """
    if len(broken) < 2:
        return list(broken)
    return [f"{len(broken)} files cannot be read, the first: {broken[0]}"]


def _read_all(files: list[Path], nprocs: int) -> Iterable[list[Header | str | None]]:
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    read = partial(_read_chunk, own=own_tracers())
    if nprocs <= 1 or len(files) < _SERIAL_BELOW:
        yield from map(read, chunks)
        return
    try:
        yield from workers(nprocs).map(read, chunks)
    except BrokenProcessPool as error:
        raise WorkerLostError(worded("inventory", "killed")) from error


def _read_chunk(paths: list[Path], own: tuple[Tracer, ...]) -> list[Header | str | None]:
    """Header, reason why there is none, or None for a file that is not DICOM.

    ``own`` are the tracers of the user, whose names headers are read by in a worker, too.

    Headers of one series share the values they have in common, in memory and on their way from
    the worker: a series of a thousand images holds its description once.
    """
    outcomes: list[Header | str | None] = []
    shared: dict[str, Values] = {}
    pool: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in paths:
        try:
            with using_tracers(own):
                headers = read_nifti_or_ecat(path) if is_nifti_or_ecat(path) else read_headers(path)
            outcomes += [_shared(header, shared, pool) for header in headers] or [_unread(path)]
        except BadDataError as error:
            outcomes.append(str(error))
        except OSError as error:
            outcomes.append(_unreadable(path, error))
    return outcomes


def _unread(path: Path) -> str | None:
    """Sentence about an archive of a kind that is not read; None for other files."""
    if is_nifti_or_ecat(path) and begins_like_dicom(path):
        return worded("inventory", "other-name", path=path)
    return worded("inventory", "unread-archive", path=path) if is_unread_archive(path) else None


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path.name}: cannot be read ({error.strerror}); check permissions"


def _shared(
    header: Header, shared: dict[str, Values], pool: dict[tuple[str, ...], tuple[str, ...]]
) -> Header:
    """Layer the values of one image over those of its series."""
    own_keys = _instance_tags()
    values = {key: pool.setdefault(value, value) for key, value in header.values.items()}
    uid = header.text("SeriesInstanceUID")
    common = shared.setdefault(uid, {k: v for k, v in values.items() if k not in own_keys})
    own = {k: v for k, v in values.items() if k in own_keys or common.get(k) != v}
    # A tag the series has and this image lacks must not shine through.
    own.update(dict.fromkeys(common.keys() - values.keys(), ()))
    return replace(header, values=ChainMap(own, common))


@lru_cache
def _instance_tags() -> frozenset[str]:
    return frozenset(tables()["tags"]["instance"])


def _file(
    header: Header, groups: dict[str, dict[str, Header]], shared: dict[str, Values]
) -> list[str]:
    """Put a header into its series; an instance exported twice counts once.

    Returns
    -------
    list of str
        Sentence about an image that belongs to no series.
    """
    uid = header.text("SeriesInstanceUID")
    if not uid or not header.text("Modality"):
        # A DICOM object without matrix (DICOMDIR under another name) is not an image.
        lost = bool(header.text("Rows"))
        return [worded("inventory", "no-tags", name=header.path.name)] if lost else []
    assert isinstance(header.values, ChainMap)
    own, common = header.values.maps
    known = shared.setdefault(uid, cast(Values, common))
    if common is not known and common == known:  # the same series read by another worker
        header = replace(header, values=ChainMap(own, known))
    name = header.text("SOPInstanceUID") or str(header.path)
    # Some exports give all images of a series one UID; what else they say tells them apart.
    contents = hash(tuple(header.plain(keyword) for keyword in tables()["tags"]["instance"]))
    key = f"{name}/{header.frame}/{contents}"
    first = groups[uid].setdefault(key, header)
    if first is not header and not _is_one_file(first.path, header.path):
        groups[uid][f"{key}/{header.path}"] = header  # whether it is a copy, its pixels will show
    return []


@lru_cache
def _is_one_file(first: Path, other: Path) -> bool:
    """Whether two files are the same to the byte."""
    return filecmp.cmp(first, other, shallow=False)


def _split(uid: str, images: list[Header]) -> list[Series]:
    """Split a series into volumes (MR) or volumes in time (PET)."""
    volumes = [volume for own in _by_visit(images) for volume in _volumes(own)]
    number = range(1, len(volumes) + 1) if len(volumes) > 1 else [0]
    return [
        Series(uid, part, tuple(sorted(volume, key=_order)))
        for part, volume in zip(number, volumes, strict=True)
    ]


def _by_visit(images: list[Header]) -> list[list[Header]]:
    """Images of one SeriesInstanceUID by person, and by studies of other times.

    Anonymisers may give one UID to everything; at one time, images of two studies are copies.
    """
    people = _whole_groups(images, tables()["compared"]["person"])
    return [
        visit
        for own in people
        for visit in _whole_groups(own, ["StudyInstanceUID"], at_other_times=True)
    ]


def _whole_groups(
    images: list[Header], tags: Sequence[str], *, at_other_times: bool = False
) -> list[list[Header]]:
    """Images by tags, where each group has whole volumes of them.

    Where it is a series of which some images alone were renamed, these are a part of the slices.
    """
    groups = grouped((tuple(map(image.plain, tags)), image) for image in images)
    places = {frozenset(image.texts(_POSITION) for image in own) for own in groups.values()}
    moments = [{tuple(map(image.plain, _MOMENT)) for image in own} for own in groups.values()]
    shared = at_other_times and sum(map(len, moments)) > len(set().union(*moments))
    if len(groups) > 1 and len(places) == 1 and not shared:
        return [groups[key] for key in sorted(groups)]
    return [images]


def _volumes(images: list[Header]) -> list[list[Header]]:
    """Images by what tells volumes apart."""
    compared = tables()["compared"]
    told_apart_by = [
        *([tuple(sorted(image.plain(tag))) for image in images] for tag in compared["split_words"]),
        *(numbers_of(images, tag) for tag in compared["split_numbers"]),
        numbers_of(images, "ImageOrientationPatient", _SAME_COSINE),
    ]
    parts = grouped(zip(zip(*told_apart_by, strict=True), images, strict=True))
    return [part for key in sorted(parts, key=str) for part in _repeats(parts[key])]


def _repeats(images: list[Header]) -> list[list[Header]]:
    """Split an MR series in which slice positions repeat by the first tag that makes volumes.

    PET stays whole: its repeated positions are the frames of one time series.
    """
    n_positions = len(set(numbers_of(images, _POSITION, SAME_PLACE_MM)))
    if images[0].text("Modality") != "MR" or n_positions == len(images):
        return [images]
    ways = [
        list(grouped((image.plain(tag), image) for image in images).values())
        for tag in tables()["compared"]["repeats"]
    ]
    volumes = (
        runs
        for runs in ways
        # each image may have its own time, or each volume of a functional series
        if max(map(len, runs)) <= n_positions and len(runs) * n_positions <= 2 * len(images)
    )
    volumes_of_images = next(volumes, ways[0])
    return volumes_of_images if len(volumes_of_images) <= _MOST_REPEATS else [images]


def _order(image: Header) -> tuple[float, str]:
    number = image.readable_number("InstanceNumber")
    return (float("inf") if number is None else number), str(image.path)
