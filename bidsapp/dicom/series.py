"""Inventory: which DICOM images lie in a folder, and which of them belong together.

Only headers are read, in parallel. Files are grouped by SeriesInstanceUID, and a series that
holds several images (echoes, phase beside magnitude, stacks of other orientation, repeated
volumes of an MR, other units) is split into parts.
"""

from __future__ import annotations

import filecmp
import os
from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivative_root import APP_NAME
from bidsapp.data.sentences import refused, worded
from bidsapp.data.tracers import adopt_tracers, own_tracers
from bidsapp.dicom.archives import decompress, is_compressed, is_packed, unpack
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, Values, read_headers
from bidsapp.dicom.volumes import is_volume, read_volume
from bidsapp.errors import BadDataError, NoInputError, WorkerLostError
from bidsapp.io.reading import known_object
from bidsapp.plain import count

SeriesKey = tuple[str, int]

_CHUNK = 200  # files per task: small enough for progress, large enough to hide the transport
_TOLD = 2000  # files between two lines of progress
_SERIAL_BELOW = 400  # files; starting workers takes as long as reading these
_MAX_MISSING = 0.02  # fraction of the slices of a T1w that interpolation may replace
_MAX_COORDINATE_MM = 1e5
_SAME_PLACE_MM = 0.02  # what writing and rounding moves a slice; no scanner's slices are as near
_SAME_COSINE = 0.005
_SAME_VALUE = 1e-3  # of a number; rounded and rewritten ones differ by less, echoes by more
_FEWEST_SLICES = 3  # of a PET that others were lost of
_WIDEST_STEP = 1.5  # slice distances of a PET by its slice thickness
_UNEQUAL = 0.1  # slice distances differing by more than this fraction are not equidistant
_LEAST_OF_ONE = 10  # single images that make a series; scouts have three


@dataclass(frozen=True)
class Series:
    """Images that make one volume or one time series of volumes.

    Attributes
    ----------
    uid : SeriesInstanceUID
    part : 1, 2 ... when a series was split, else 0
    images : headers of its files; each holds the tags of ``tables.toml``
    """

    uid: str
    part: int
    images: tuple[Header, ...]

    @property
    def header(self) -> Header:
        """The header of the first image, for what all share."""
        return self.images[0]

    @property
    def key(self) -> SeriesKey:
        """What identifies the series in the decision table."""
        return self.uid, self.part

    def positions(self) -> NDArray[np.float64]:
        """Distance of every image along the slice normal in mm, shape (number of images,).

        Images whose distances differ by rounding have exactly the same.

        Raises
        ------
        BadDataError
            Position or orientation is missing, malformed or not orthonormal.
        """
        orientation = self.header.required("ImageOrientationPatient", 6)
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        if abs(np.linalg.norm(np.cross(row, column)) - 1) > 1e-3:
            raise self.header.error("ImageOrientationPatient", "is not orthonormal")
        normal = np.cross(row, column)
        points = [image.required("ImagePositionPatient", 3) for image in self.images]
        if np.abs(points).max() > _MAX_COORDINATE_MM:
            raise self.header.error("ImagePositionPatient", "lies far outside of any scanner")
        return snapped(np.array(points) @ normal, _SAME_PLACE_MM)

    def missing_slices(self) -> NDArray[np.int_]:
        """Count the slices missing between neighbours, shape (number of positions - 1,).

        Raises
        ------
        BadDataError
            Slices are not equidistant, too many are missing, or one of a PET is, whose activity
            nobody may invent.
        """
        positions = np.unique(self.positions().round(3))
        if len(positions) < 3:
            return np.zeros(max(len(positions) - 1, 0), int)
        steps = np.diff(positions)
        step = float(np.median(steps))
        missing = np.rint(steps / step).astype(int) - 1
        if np.abs(steps / step - (missing + 1)).max() > _UNEQUAL:
            raise refused(
                "slices", "not-equidistant", header=self.header, least=steps.min(), most=steps.max()
            )
        total, whole = int(missing.sum()), int(missing.sum()) + len(positions)
        allowed = max(int(_MAX_MISSING * whole), 1) if self.header.text("Modality") == "MR" else 0
        if total > allowed:
            raise refused("slices", "missing", header=self.header, total=total, whole=whole)
        return np.asarray(missing)

    def check_grid(self) -> None:
        """Refuse a series whose pixels have no size, number or scale, or whose slices make no grid.

        Raises
        ------
        BadDataError
            PixelSpacing, Rows, Columns or the RescaleSlope of a PET is missing or not positive; see
            also `missing_slices`.
        """
        self.missing_slices()
        for keyword, length in (("PixelSpacing", 2), ("Rows", 1), ("Columns", 1)):
            if min(self.header.required(keyword, length)) <= 0:
                raise self.header.error(keyword, f"is '{self.header.shown(keyword)}'; correct it")
        if self.header.text("Modality") == "MR" or is_volume(self.header.path):
            return
        for image in self.images:  # PS3.3 C.8.9.4: what makes activity of the stored numbers
            if image.required("RescaleSlope", 1)[0] <= 0:
                shown = image.shown("RescaleSlope")
                raise image.error("RescaleSlope", f"is '{shown}'; export the series again")
        self._refuse_sparse()

    def _refuse_sparse(self) -> None:
        """Refuse a PET of which single slices are left: whole ones touch or overlap."""
        stated = [
            abs(number)
            for keyword in ("SliceThickness", "SpacingBetweenSlices")
            for number in _numbers([self.header], keyword)[0]
            if isinstance(number, float)
        ]
        positions = np.unique(self.positions().round(3))
        n_stated = self.header.number("NumberOfSlices") or 0
        if len(positions) < _FEWEST_SLICES and n_stated > len(positions):
            raise refused(
                "slices",
                "fewer-than-stated",
                header=self.header,
                n_stated=n_stated,
                n=len(positions),
            )
        if len(positions) < 2 or not any(stated):
            return
        step = float(np.diff(positions).min())
        if step > _WIDEST_STEP * max(stated):
            raise refused("slices", "sparse", header=self.header, step=step, thickness=max(stated))


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
    live as long as the files are needed. Datasets of CentiPET below ``folder`` are no input.

    Parameters
    ----------
    folder : of the input, or an archive
    scratch : folder for what is unpacked
    nprocs : processes that read headers
    progress : called with a line of text as work proceeds
    passed_over : folders that may lie below ``folder`` and are no input

    Raises
    ------
    NoInputError
        The folder is missing or holds no image.
    """
    if not folder.is_dir() and not (folder.is_file() and is_packed(folder)):
        raise NoInputError(worded("inventory", "no-folder", folder=folder))
    no_input = frozenset(map(os.path.realpath, passed_over))
    roots, broken = _unpacked(folder, scratch, progress, no_input)
    files = [path for root in roots for path in files_below(root, no_input) if not is_packed(path)]
    groups: dict[str, dict[str, Header]] = defaultdict(dict)
    shared: dict[str, Values] = {}
    n_seen = 0
    for outcomes in _read_all(files, nprocs):
        n_told, n_seen = n_seen // _TOLD, min(n_seen + _CHUNK, len(files))
        for outcome in outcomes:
            if isinstance(outcome, str):
                broken.append(outcome)
            elif outcome is not None:
                _file(outcome, groups, shared)
        if n_seen == len(files) or n_seen // _TOLD > n_told:
            progress(f"Read {n_seen} of {len(files)} files, {len(groups)} series")
    remarks = _empty(files)
    if not groups:
        more = "".join(f"; {sentence}" for sentence in (*in_one_sentence(broken), *remarks))
        raise NoInputError(worded("inventory", "no-image", folder=folder, n=len(files), more=more))
    _join_singles(groups)
    series = [part for uid in sorted(groups) for part in _split(uid, list(groups[uid].values()))]
    return Inventory(tuple(series), tuple(broken), tuple(roots), remarks)


def _empty(files: Iterable[Path]) -> tuple[str, ...]:
    """Sentence about files without content, as a copy leaves them that had no room."""
    others = (p for p in files if not (p.name.startswith(".") or is_volume(p)))  # that are told
    names = [path.name for path in others if path.stat().st_size == 0]
    if not names:
        return ()
    return (worded("inventory", "empty-files", files=count(len(names), "file"), first=names[0]),)


def _join_singles(groups: dict[str, dict[str, Header]]) -> None:
    """Make one series of images that each have a SeriesInstanceUID of their own.

    Some scanners and anonymisers write them so, and may give each a study of its own, too.
    """
    one_scan = tables()["compared"]["one_scan"]
    for tags in ((*one_scan, "StudyInstanceUID"), one_scan):
        alone = defaultdict(list)
        for uid in sorted(groups):
            (header, *others) = groups[uid].values()
            if not others and header.frame is None and header.text("SeriesNumber"):
                alone[tuple(header.plain(tag) for tag in tags)].append(uid)
        for uids in alone.values():
            if len(uids) >= _LEAST_OF_ONE:
                images = [header for uid in uids for header in groups.pop(uid).values()]
                groups[uids[0]] = {str(header.path): _remarked(header) for header in images}


def _remarked(header: Header) -> Header:
    remark = {"Remark": (worded("inventory", "singles"),)}
    values = ChainMap(remark, *cast(ChainMap[str, Any], header.values).maps)
    return Header(header.path, values, header.frame)


def _unpacked(
    folder: Path, scratch: Path, progress: Callable[[str], None], no_input: Collection[str]
) -> tuple[list[Path], list[str]]:
    """Unpack the archives of a folder; return all folders to read, and what went wrong."""
    roots, broken = [folder], []
    inside = [folder] if folder.is_file() else filter(is_packed, files_below(folder, no_input))
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


def in_one_sentence(broken: Sequence[str]) -> list[str]:
    """Tell of files that cannot be read; a thousand of them say it once."""
    if len(broken) < 2:
        return list(broken)
    return [f"{len(broken)} files cannot be read, the first: {broken[0]}"]


def files_below(folder: Path, no_input: Collection[str]) -> Iterator[Path]:
    """Regular files in a fixed order, without datasets of CentiPET; DICOMDIR is no image.

    Parameters
    ----------
    folder : Path
    no_input : real paths of folders that are passed over
    """
    for root, folders, names in os.walk(folder):
        below = (Path(root, name) for name in sorted(folders))
        folders[:] = [
            path.name
            for path in below
            if os.path.realpath(path) not in no_input and not _is_own_dataset(path)
        ]
        for name in sorted(names):
            path = Path(root, name)
            if name.upper() != "DICOMDIR" and path.is_file():
                yield path


def _is_own_dataset(folder: Path) -> bool:
    """Whether CentiPET made a folder: by a conversion, or of results."""
    makers = known_object(folder / "dataset_description.json").get("GeneratedBy")
    first = makers[0] if isinstance(makers, list) and makers else None
    return isinstance(first, dict) and first.get("Name") == APP_NAME


def _read_all(files: list[Path], nprocs: int) -> Iterable[list[Header | str | None]]:
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    if nprocs <= 1 or len(files) < _SERIAL_BELOW:
        yield from map(_read_chunk, chunks)
        return
    try:
        with ProcessPoolExecutor(
            nprocs,
            mp_context=get_context("forkserver"),
            initializer=adopt_tracers,
            initargs=(own_tracers(),),
        ) as executor:
            yield from executor.map(_read_chunk, chunks)
    except BrokenProcessPool as error:
        raise WorkerLostError(worded("inventory", "killed")) from error


def _read_chunk(paths: list[Path]) -> list[Header | str | None]:
    """Header, reason why there is none, or None for a file that is no DICOM.

    Headers of one series share the values they have in common, in memory and on their way from
    the worker: a series of a thousand images holds its description once.
    """
    outcomes: list[Header | str | None] = []
    shared: dict[str, Values] = {}
    pool: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in paths:
        try:
            headers = read_volume(path) if is_volume(path) else read_headers(path)
            outcomes += [_shared(header, shared, pool) for header in headers] or [None]
        except BadDataError as error:
            outcomes.append(str(error))
        except OSError as error:
            outcomes.append(f"{path.name}: cannot be read ({error.strerror}); check permissions")
    return outcomes


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
    return Header(header.path, ChainMap(own, common), header.frame)


@lru_cache
def _instance_tags() -> frozenset[str]:
    return frozenset(tables()["tags"]["instance"])


def _file(header: Header, groups: dict[str, dict[str, Header]], shared: dict[str, Values]) -> None:
    """Put a header into its series; an instance exported twice counts once."""
    uid = header.text("SeriesInstanceUID")
    if not uid or not header.text("Modality"):
        return  # a DICOM object without series (DICOMDIR under another name) holds no image
    assert isinstance(header.values, ChainMap)
    own, common = header.values.maps
    known = shared.setdefault(uid, cast(Values, common))
    if common is not known and common == known:  # the same series read by another worker
        header = Header(header.path, ChainMap(own, known), header.frame)
    name = header.text("SOPInstanceUID") or str(header.path)
    # Some exports give all images of a series one UID; what else they say tells them apart.
    contents = hash(tuple(header.plain(keyword) for keyword in tables()["tags"]["instance"]))
    key = f"{name}/{header.frame}/{contents}"
    first = groups[uid].setdefault(key, header)
    if first is not header and not _is_one_file(first.path, header.path):
        groups[uid][f"{key}/{header.path}"] = header  # whether it is a copy, its pixels will tell


@lru_cache
def _is_one_file(first: Path, other: Path) -> bool:
    """Whether two files are the same to the byte."""
    return filecmp.cmp(first, other, shallow=False)


def _split(uid: str, images: list[Header]) -> list[Series]:
    """Split a series into volumes (MR) or volumes in time (PET)."""
    compared = tables()["compared"]
    told_apart_by = [
        *([tuple(sorted(image.plain(tag))) for image in images] for tag in compared["split_words"]),
        *(_numbers(images, tag) for tag in compared["split_numbers"]),
        _numbers(images, "ImageOrientationPatient", _SAME_COSINE),
    ]
    parts: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for image, key in zip(images, zip(*told_apart_by, strict=True), strict=True):
        parts[key].append(image)
    volumes = [part for key in sorted(parts, key=str) for part in _repeats(parts[key])]
    number = range(1, len(volumes) + 1) if len(volumes) > 1 else [0]
    return [
        Series(uid, part, tuple(sorted(volume, key=_order)))
        for part, volume in zip(number, volumes, strict=True)
    ]


def _repeats(images: list[Header]) -> list[list[Header]]:
    """Split an MR series in which slice positions repeat by its acquisition number.

    PET stays whole: its repeated positions are the frames of one time series.
    """
    positions = set(_numbers(images, "ImagePositionPatient", _SAME_PLACE_MM))
    if images[0].text("Modality") != "MR" or len(positions) == len(images):
        return [images]
    runs: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for image in images:
        runs[image.plain("AcquisitionNumber")].append(image)
    return list(runs.values())


def _numbers(
    images: Sequence[Header], keyword: str, tolerance: float | None = None
) -> list[tuple[float | str, ...]]:
    """Values of a tag of every image, the same where they differ by no more than rounding.

    Parameters
    ----------
    tolerance : `_SAME_VALUE` of the largest value when None
    """
    values: list[tuple[float | str, ...]] = []
    for image in images:
        try:
            values.append(image.numbers(keyword))
        except BadDataError:
            values.append(image.texts(keyword))
    known = [i for i, value in enumerate(values) if value and isinstance(value[0], float)]
    for length in {len(values[i]) for i in known}:
        here = [i for i in known if len(values[i]) == length]
        table = np.array([values[i] for i in here], float)
        for column in table.T:
            limit = _SAME_VALUE * np.abs(column).max() if tolerance is None else tolerance
            column[:] = snapped(column, limit)
        for i, row in zip(here, table.tolist(), strict=True):
            values[i] = tuple(row)
    return values


def snapped(values: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Give values that lie no further apart than a tolerance, in a chain, the lowest of them.

    Parameters
    ----------
    values : shape (number,)
    tolerance : in their unit
    """
    order = np.argsort(values, kind="stable")
    ascending = np.asarray(values, float)[order]
    begins = np.concatenate([[True], np.diff(ascending) > tolerance])
    result = np.empty(len(ascending))
    result[order] = ascending[begins][np.cumsum(begins) - 1]
    return result


def _order(image: Header) -> tuple[float, str]:
    number = image.readable_number("InstanceNumber")
    return (float("inf") if number is None else number), str(image.path)
