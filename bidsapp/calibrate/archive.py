"""Images of a calibration: the public archive as downloaded, BIDS, or a table of paths.

The archive of the Centiloid project comes as folders per group and kind of image, here as they were
seen in public programs that read it::

    AD-100_PET_5070/nifti/AD01_PiB_5070.nii      AD-100_MR/nifti/AD01_MR.nii
    YC-0_PET_5070/nifti/YC101_PiB_5070.nii       YC-0_MR/nifti/YC101_MR.nii
    FBBproject_E-25_FBB_90110/<id>_PET_FBB/...   FBBproject_E-25_PiB_5070   FBBproject_E-25_MR
    Elder_subject_florbetapir/<id>/scans/<series>/DICOM/*.dcm  Elder_subject_PiB/PiB-<id>/...
    GE_AD_F18_NIFTI/                             GE_AD_C11_NIFTI            GE_AD_MRI_NIFTI

with ``YC-10`` or ``Young_Control`` for the young controls. Folders may be nested (unzipped twice)
and names may differ a little, so words are looked for, in the name of the file first and then in
those of its folders. The frames of a scan may be DICOM series of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import dropwhile, takewhile
from pathlib import Path

from bidsapp.calibrate.tables import (
    asked_tracer,
    is_young,
    name_words,
    read_rows,
    refuse_other,
    tracer_code,
)
from bidsapp.core.statistics.calibration import Suspect
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded
from bidsapp.data.tracers import tracer_from_name
from bidsapp.dicom.files import files_below
from bidsapp.errors import BadDataError, NoInputError, UsageError
from bidsapp.io.image_names import NIFTI, json_beside, nifti_ending, nifti_stem
from bidsapp.io.nifti import load_volume, read_geometry, save_frames
from bidsapp.io.reading import known_object

T1W = "t1w"

_DICOM_MAGIC = slice(128, 132)


@dataclass(frozen=True)
class ArchiveScan:
    """One PET of one person with the T1w that goes with it.

    Attributes
    ----------
    person : name
    is_young : young control
    tracer : code
    pet, t1w : images
    other_tracer : what the image's own metadata call it, when that is another tracer
    n_series : DICOM series that were taken for the frames of the PET
    """

    person: str
    is_young: bool
    tracer: str
    pet: Path
    t1w: Path
    other_tracer: str | None = None
    n_series: int = 1


@dataclass(frozen=True)
class _ArchiveImage:
    """An image of the archive: its person and content."""

    path: Path
    person: str
    role: str  # t1w, or the code of a tracer
    is_young: bool
    folder_role: str | None
    n_series: int = 1


def find_images(
    folder: Path,
    converted: Path,
    *,
    tracer: str | None = None,
    only_pib: bool = False,
    passed_over: Iterable[Path] = (),
) -> tuple[list[ArchiveScan], tuple[Suspect, ...]]:
    """Find every person's PET and T1w.

    Parameters
    ----------
    folder : root of the archive or of a BIDS dataset, or a table of paths
    converted : where DICOM is converted to
    tracer : name of the tracer that file names only call F18
    only_pib : level 1, which other tracers have no place in
    passed_over : folders that may lie in it and hold none, such as those of results

    Returns
    -------
    scans : list of ArchiveScan
    suspects : tuple of Suspect
        Metadata, folder and file name disagree about the tracer, a scan does not belong, has no
        T1w, was made of several series or cannot be read.

    Raises
    ------
    NoInputError
        There is no such folder, or no image in it.
    BadDataError
        Two images claim to be the same; nobody has both PET and T1w.
    UsageError
        ``tracer`` is not known, or is needed.
    """
    code = asked_tracer(tracer)
    if folder.is_file():
        scans = _from_table(folder, code)
        return scans, tuple(_suspects(scans, only_pib=only_pib))
    if not folder.is_dir():
        raise NoInputError(f"{folder}: no such folder; give the unpacked archive")
    unnamed = "PIB" if only_pib else None  # DICOM of level 1 is named PET
    recognised = partial(_recognised, asked=code, unnamed=unnamed)
    images, unread = _images(folder, converted, {converted, *passed_over}, recognised)
    if not images:
        none = worded("public-archive", "none", folder=folder)
        raise NoInputError("; ".join([none, *(suspect.message for suspect in unread[:1])]))
    roles = sorted({image.role for image in images} - {T1W})
    if code is not None and code not in roles:
        raise BadDataError(
            f"{folder}: --tracer {tracer} fits no image, names say {', '.join(roles) or 'none'}; "
            "leave it out if they are right, or correct them"
        )
    scans, alone = _joined(images, folder, converted)
    return scans, (*_suspects(scans, only_pib=only_pib), *alone, *unread)


def _suspects(scans: Sequence[ArchiveScan], *, only_pib: bool) -> Iterator[Suspect]:
    for scan in scans:
        who = (scan.person,)
        if only_pib and scan.tracer != "PIB":
            yield Suspect(who, "wrong-tracer", worded("public-archive", "not-pib", scan=scan))
        if scan.other_tracer is not None:
            message = worded("public-archive", "doubtful-tracer", scan=scan)
            yield Suspect(who, "wrong-tracer", message)
        if scan.n_series > 1:
            message = worded("public-archive", "several-series", scan=scan)
            yield Suspect(who, "several-series", message)


def _from_table(table: Path, asked: str | None) -> list[ArchiveScan]:
    """Scans of a table with columns person, group, tracer, pet, t1w; paths may be relative."""
    rows = read_rows(table)
    if missing := [name for name in ("person", "tracer", "pet", "t1w") if name not in rows[0]]:
        raise BadDataError(f"{table}: column {missing[0]} is missing; add it")
    scans = []
    for row in rows:
        where = f"{table}: {row['person']}"
        code = tracer_code(row["tracer"], where)
        if code != "PIB":
            refuse_other(code, row["tracer"], asked, where)
        pet, t1w = (table.parent / row[name] for name in ("pet", "t1w"))
        for path in (pet, t1w):
            if not path.is_file():
                raise NoInputError(f"{table}: {row['person']}: {path} does not exist")
        young = is_young(row["person"], row.get("group", ""))
        scans.append(ArchiveScan(row["person"], young, code, pet, t1w, _contradiction(pet, code)))
    return scans


def _images(
    folder: Path,
    converted: Path,
    passed_over: Iterable[Path],
    recognised: Callable[[Path, Sequence[str]], _ArchiveImage | None],
) -> tuple[list[_ArchiveImage], list[Suspect]]:
    """Images of a folder, those made from its DICOM folders among them, and what cannot be read.

    Volumes of interest do not count, nor does DICOM of what there is as NIfTI, too.
    """
    files = sorted(files_below(folder, set(map(os.path.realpath, passed_over))))
    skipped = set(_table()["skipped"])
    wanted = [
        path
        for path in files
        if not skipped & {_plain(part) for part in path.relative_to(folder).parts[:-1]}
        and not path.name.lower().startswith("voi")
    ]
    names = {
        path: (*path.relative_to(folder).parts[:-1], nifti_stem(path))
        for path in wanted
        if nifti_ending(path)
    }
    images = [image for path, parts in names.items() if (image := recognised(path, parts))]
    named = {(image.person, image.role) for image in images}
    unread = []
    for place in dict.fromkeys(path.parent for path in wanted if _is_dicom(path)):
        parts = place.relative_to(folder).parts or (folder.name,)
        image = recognised(place, parts)
        if image is None or (image.person, image.role) in named:
            continue
        try:
            path = _converted(place, "--".join(parts), converted)
        except BadDataError as error:
            unread.append(Suspect((image.person,), "unreadable", str(error)))
        else:
            images.append(replace(image, path=path))
    return images, unread


def _recognised(
    path: Path, parts: Sequence[str], *, asked: str | None, unnamed: str | None
) -> _ArchiveImage | None:
    """Whose image it is and what it shows, by its name and those of its folders, or None.

    ``unnamed`` is the tracer of what is called a PET and no more.
    """
    *folders, last = parts
    words = [word for part in (*folders, last) for word in name_words(part)]
    fluorine = asked or ("FMM" if "GE" in words else None)  # flutemetamol came from GE
    file_role = _role(last, fluorine)
    folder_role = next(
        (role for part in reversed(folders) if (role := _role(part, fluorine))), None
    )
    role = file_role or folder_role or (unnamed if "PET" in words else None)
    if role is None:
        return None
    person = _owner(folders, last)
    if person is None:
        return None
    return _ArchiveImage(
        path=path,
        person=person,
        role=role,
        is_young=is_young(person, " ".join(parts)) or is_young(person),
        folder_role=folder_role,
    )


def _owner(folders: Sequence[str], last: str) -> str | None:
    """Person whom an image belongs to, by its name or by the names of its folders.

    Of these the outermost below that of a group or of a kind of image counts, without such a folder
    the innermost.
    """
    names = [*folders, last]
    if "scans" in (lower := [name.lower() for name in names]):  # as XNAT exports: what follows is
        folders, last = names[: lower.index("scans")], ""  # the number of a series
    for behind in (False, True):
        if person := _person(last, behind=behind):
            return person
        people, above = [], None
        for name in folders:
            person = _person(name, behind=behind)
            if person and not _group(person):
                people.append(person)
            elif any(map(_says_what, name_words(name))) and not _is_neutral(name):
                above = len(people)
        if people:
            return people[-1] if above is None or above == len(people) else people[above]
    return None


def _joined(
    images: list[_ArchiveImage], folder: Path, converted: Path
) -> tuple[list[ArchiveScan], tuple[Suspect, ...]]:
    """PET and T1w of the same person, and who has a PET alone."""
    by_scan: dict[tuple[str, str], list[_ArchiveImage]] = {}
    for item in images:
        by_scan.setdefault((item.person, item.role), []).append(item)
    single = {key: _single(group, folder, converted) for key, group in by_scan.items()}
    t1w = {person: item for (person, role), item in single.items() if role == T1W}
    pets = {key: item for key, item in single.items() if key[1] != T1W}
    scans = [
        ArchiveScan(
            person=person,
            is_young=item.is_young or (person in t1w and t1w[person].is_young),
            tracer=code,
            pet=item.path,
            t1w=t1w[person].path,
            other_tracer=_contradiction(item.path, code)
            or (item.folder_role if item.folder_role not in (None, T1W, code) else None),
            n_series=item.n_series,
        )
        for (person, code), item in sorted(pets.items())
        if person in t1w
    ]
    if not scans:
        raise refused("public-archive", "no-pair", folder=folder)
    alone = [item for (person, _), item in sorted(pets.items()) if person not in t1w]
    return scans, tuple(
        Suspect((item.person,), "no-t1w", worded("public-archive", "alone", item=item))
        for item in alone
    )


def _single(images: Sequence[_ArchiveImage], folder: Path, converted: Path) -> _ArchiveImage:
    """The only image of a scan; PETs of several DICOM series on one grid become its frames."""
    first, *others = sorted(images, key=lambda item: item.path)
    if not others:
        return first
    geometries = [read_geometry(item.path) for item in (first, *others)]
    shape, grid = geometries[0]
    if (
        first.role == T1W
        or len(shape) != 3
        or any(item.path.parent != converted for item in images)
        or not all(len(other) == 3 and grid.is_same(place) for other, place in geometries)
    ):
        what = "T1w" if first.role == T1W else first.role
        raise BadDataError(
            f"{folder}: {others[0].path} and {first.path} both claim to be the {what} of "
            f"{first.person}; remove one"
        )
    frames = (load_volume(item.path) for item in (first, *others))
    path = converted / "frames" / f"{first.person}_{first.role}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    save_frames(path, frames, len(images), frame_s=1.0)
    return replace(first, path=path, n_series=len(images))


def _contradiction(pet: Path, code: str) -> str | None:
    """Tracer that a sidecar beside the image names, when it is another one."""
    content = known_object(json_beside(pet))
    for name in map(content.get, ("TracerName", "Radiopharmaceutical")):
        tracer = tracer_from_name(name) if isinstance(name, str) else None
        if tracer is not None and tracer.code != code:
            return tracer.code
    return None


def _role(text: str, fluorine: str | None) -> str | None:
    """``t1w``, a tracer's code, or None: what the words of a name say it shows.

    ``fluorine`` is the tracer that is meant by a mere F18.
    """
    words = [_base(word) for word in name_words(text)]
    table = _table()
    if set(table["t1w"]) & set(words):
        return T1W
    if set(table["pib"]) & set(words):
        return "PIB"
    for word in words:
        if (tracer := tracer_from_name(word)) is not None:
            return tracer.code
    if "F18" in words:
        if fluorine is None:
            raise UsageError(f"{text}: names only F18 as tracer; state the tracer with --tracer")
        return fluorine
    return None


def _person(text: str, *, behind: bool = False) -> str | None:
    """Beginning of a name up to the first word that says what is shown, if it has a number.

    ``behind`` such words where the name begins with them: ``PiB-198665``.
    """
    if match := re.search(r"sub-([A-Za-z0-9]+)", text):
        return match[1]
    words = re.findall(r"[A-Za-z0-9]+", text)
    if behind:
        words = list(dropwhile(_says_what, words))
    joined = "".join(takewhile(lambda word: not _says_what(word), words))
    return joined if re.search(r"\d", joined) else None


def _is_neutral(text: str) -> bool:
    return set(name_words(text)) <= set(_table()["neutral"])


def _says_what(word: str) -> bool:
    """Whether a word says what an image shows, not whom."""
    known = {*_table()["neutral"], *_table()["t1w"], *_table()["pib"], "F18"}
    return _base(word.upper()) in known or tracer_from_name(word) is not None


def _group(name: str) -> bool:
    """Whether the name of a folder is that of a group, AD-100 or YC-10, not of a person."""
    return re.fullmatch(r"([A-Z]*project)?(AD100|YC0|YC10|E\d+)", name, re.IGNORECASE) is not None


def _base(word: str) -> str:
    """``PIB`` for ``PIB3``: numbered repeats of what is shown."""
    bare = word.rstrip("0123456789")
    return bare if bare in {*_table()["t1w"], *_table()["pib"]} else word


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z]", "", text.upper())


def _table() -> Mapping[str, list[str]]:
    return read_table("calibration")["archive"]


@cache
def _is_dicom(path: Path) -> bool:
    if path.name.lower().endswith((*NIFTI, ".json", ".txt", ".xlsx", ".csv", ".tsv", ".pdf")):
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[_DICOM_MAGIC] == b"DICM"
    except OSError:
        return False


def _converted(place: Path, name: str, folder: Path) -> Path:
    """NIfTI of one DICOM folder: the largest image that is made of it."""
    import dcm2niix

    target = folder / f"{name}.nii.gz"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        command = [dcm2niix.bin, "-b", "n", "-z", "y", "-g", "i", "-m", "y", "-f", "%s", "-o"]
        done = subprocess.run(
            [*command, made, str(place)], capture_output=True, text=True, check=False
        )
        images = sorted(Path(made).glob("*.nii.gz"), key=lambda path: path.stat().st_size)
        if not images:
            last = (done.stdout or done.stderr).strip().splitlines()[-1:]
            raise BadDataError(f"{place}: dcm2niix made no image of it ({' '.join(last)})")
        return images[-1].replace(target)
