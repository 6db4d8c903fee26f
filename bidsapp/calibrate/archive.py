"""Images of a calibration: the public archive as downloaded, BIDS, or a table of paths.

The archive of the Centiloid project comes as folders per group and kind of image, here as they were
seen in public programs that read it::

    AD-100_PET_5070/nifti/AD01_PiB_5070.nii      AD-100_MR/nifti/AD01_MR.nii
    YC-0_PET_5070/nifti/YC101_PiB_5070.nii       YC-0_MR/nifti/YC101_MR.nii
    FBBproject_E-25_FBB_90110/<id>_PET_FBB/...   FBBproject_E-25_PiB_5070   FBBproject_E-25_MR
    Elder_subject_florbetapir/<id>_.../*.dcm     Elder_subject_PiB          Elder_subject_MRI
    GE_AD_F18_NIFTI/                             GE_AD_C11_NIFTI            GE_AD_MRI_NIFTI

with ``YC-10`` or ``Young_Control`` for the young controls. Folders may be nested (unzipped twice)
and names may differ a little, so words are looked for, in the name of the file first and then in
those of its folders.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp.calibrate.tables import (
    asked_tracer,
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
    """

    person: str
    is_young: bool
    tracer: str
    pet: Path
    t1w: Path
    other_tracer: str | None = None


@dataclass(frozen=True)
class _ArchiveImage:
    """An image of the archive: whose it is and what it shows."""

    path: Path
    person: str
    role: str  # t1w, or the code of a tracer
    is_young: bool
    folder_role: str | None


def find_images(
    folder: Path, converted: Path, *, tracer: str | None = None, passed_over: Iterable[Path] = ()
) -> list[ArchiveScan]:
    """Find every person's PET and T1w.

    Parameters
    ----------
    folder : root of the archive or of a BIDS dataset, or a table of paths
    converted : where DICOM is converted to
    tracer : name of the tracer that file names only call F18
    passed_over : folders that may lie in it and hold none, such as those of results

    Returns
    -------
    list of ArchiveScan

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
        return _from_table(folder, code)
    if not folder.is_dir():
        raise NoInputError(f"{folder}: no such folder; give the unpacked archive")
    paths = _images(folder, converted, {converted, *passed_over})
    images = [_recognised(path, folder, code) for path in paths]
    known = [item for item in images if item is not None]
    if not known:
        raise NoInputError(worded("public-archive", "none", folder=folder))
    roles = sorted({item.role for item in known} - {T1W})
    if code is not None and code not in roles:
        raise BadDataError(
            f"{folder}: --tracer {tracer} fits no image, names say {', '.join(roles) or 'none'}; "
            "leave it out if they are right, or correct them"
        )
    return _joined(known, folder)


def suspects_among(scans: Sequence[ArchiveScan], *, only_pib: bool) -> tuple[Suspect, ...]:
    """Scans whose metadata, folder and file name disagree about the tracer, or that do not belong.

    Parameters
    ----------
    scans : all of them
    only_pib : level 1, which other tracers have no place in

    Returns
    -------
    tuple of Suspect
    """
    strangers = tuple(
        Suspect((scan.person,), "wrong-tracer", worded("public-archive", "not-pib", scan=scan))
        for scan in scans
        if only_pib and scan.tracer != "PIB"
    )
    return strangers + tuple(
        Suspect(
            (scan.person,), "wrong-tracer", worded("public-archive", "doubtful-tracer", scan=scan)
        )
        for scan in scans
        if scan.other_tracer is not None
    )


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
        young = _says_young(name_words(row.get("group", ""))) or _is_young_name(row["person"])
        scans.append(ArchiveScan(row["person"], young, code, pet, t1w, _contradiction(pet, code)))
    return scans


def _images(folder: Path, converted: Path, passed_over: Iterable[Path]) -> Iterator[Path]:
    """NIfTI images of a folder, and those made from its DICOM folders; no volumes of interest."""
    files = sorted(files_below(folder, set(map(os.path.realpath, passed_over))))
    skipped = set(_table()["skipped"])
    wanted = [
        path
        for path in files
        if not skipped & {_plain(part) for part in path.relative_to(folder).parts[:-1]}
        and not path.name.lower().startswith("voi")
    ]
    images = [path for path in wanted if nifti_ending(path)]
    yield from images
    named = {nifti_stem(path) for path in images}
    dicom = dict.fromkeys(path.parent for path in wanted if _is_dicom(path))
    for place in dicom:
        relative = place.relative_to(folder)
        # the archive gives some groups as NIfTI and as DICOM
        if not any(part in name for part in relative.parts[-1:] for name in named):
            yield _converted(place, relative, converted)


def _recognised(path: Path, root: Path, asked: str | None) -> _ArchiveImage | None:
    """Whose image it is and what it shows, or None for what is none of ours."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:  # converted: the name holds the folders
        parts = tuple(nifti_stem(path).split("--"))
    *folders, last = (nifti_stem(Path(part)) if part == parts[-1] else part for part in parts)
    words = [word for part in (*folders, last) for word in name_words(part)]
    fluorine = asked or ("FMM" if "GE" in words else None)  # flutemetamol came from GE
    file_role = _role(last, fluorine)
    folder_role = next(
        (role for part in reversed(folders) if (role := _role(part, fluorine))), None
    )
    role = file_role or folder_role
    if role is None:
        return None
    groups = (name for part in reversed(folders) if (name := _person(part)) and not _group(name))
    person = _person(last) or next(groups, None)
    if person is None:
        return None
    return _ArchiveImage(
        path=path,
        person=person,
        role=role,
        is_young=_says_young(words) or _is_young_name(person),
        folder_role=folder_role,
    )


def _joined(images: list[_ArchiveImage], folder: Path) -> list[ArchiveScan]:
    """PET and T1w of the same person."""
    t1w: dict[str, _ArchiveImage] = {}
    pets: dict[tuple[str, str], _ArchiveImage] = {}
    for item in images:
        place: dict[Any, _ArchiveImage] = t1w if item.role == T1W else pets
        key = item.person if item.role == T1W else (item.person, item.role)
        if key in place:
            raise BadDataError(
                f"{folder}: {item.path} and {place[key].path} both claim to be the "
                f"{'T1w' if item.role == T1W else item.role} of {item.person}; remove one"
            )
        place[key] = item
    scans = [
        ArchiveScan(
            person=person,
            is_young=item.is_young or (person in t1w and t1w[person].is_young),
            tracer=code,
            pet=item.path,
            t1w=t1w[person].path,
            other_tracer=_contradiction(item.path, code)
            or (item.folder_role if item.folder_role not in (None, T1W, code) else None),
        )
        for (person, code), item in sorted(pets.items())
        if person in t1w
    ]
    if not scans:
        raise refused("public-archive", "no-pair", folder=folder)
    return scans


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
        tracer = None if word in table["neutral"] else tracer_from_name(word)
        if tracer is not None:
            return tracer.code
    if "F18" in words:
        if fluorine is None:
            raise UsageError(f"{text}: names no tracer but F18; name it with --tracer")
        return fluorine
    return None


def _person(text: str) -> str | None:
    """Beginning of a name up to the first word that says what is shown, if it has a number."""
    if match := re.search(r"sub-([A-Za-z0-9]+)", text):
        return match[1]
    name = []
    for word in re.findall(r"[A-Za-z0-9]+", text):
        known = {*_table()["neutral"], *_table()["t1w"], *_table()["pib"], "F18"}
        if _base(word.upper()) in known or tracer_from_name(word) is not None:
            break
        name.append(word)
    joined = "".join(name)
    return joined if re.search(r"\d", joined) else None


def _group(name: str) -> bool:
    """Whether the name of a folder is that of a group, AD-100 or YC-10, not of a person."""
    return re.fullmatch(r"([A-Z]*project)?(AD100|YC0|YC10|E\d+)", name, re.IGNORECASE) is not None


def _says_young(words: Iterable[str]) -> bool:
    return bool(set(_table()["young"]) & set(words))


def _is_young_name(person: str) -> bool:
    return re.match(r"Y[A-Z]{0,3}\d", person.upper()) is not None


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


def _converted(place: Path, relative: Path, folder: Path) -> Path:
    """NIfTI of one DICOM folder; its name holds the folders, from which the rest is told."""
    import dcm2niix

    folder.mkdir(parents=True, exist_ok=True)
    name = "--".join(relative.parts)
    target = folder / f"{name}.nii.gz"
    if target.is_file():
        return target
    command = [dcm2niix.bin, "-b", "n", "-z", "y", "-g", "i", "-m", "y", "-f", name, "-o"]
    done = subprocess.run(
        [*command, str(folder), str(place)], capture_output=True, text=True, check=False
    )
    images = sorted(folder.glob(f"{name}*.nii.gz"), key=lambda path: path.stat().st_size)
    if not images:
        last = (done.stdout or done.stderr).strip().splitlines()[-1:]
        raise BadDataError(f"{place}: dcm2niix made no image of it ({' '.join(last)})")
    for other in images[:-1]:
        other.unlink()
    return images[-1].replace(target)
