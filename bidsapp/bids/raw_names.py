"""Names and folders of raw images, and images with other names.

Those are never used, and always reported: a participant whose T1w has another name is none without.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bidsapp.bids.entities import RAW_ENTITIES, bids_stem, parse_entities
from bidsapp.data.sentences import worded
from bidsapp.io.image_names import NIFTI

_IMAGES = frozenset(
    ["nii", "img", "hdr", "mgz", "mgh", "mnc", "nrrd", "mha", "v", "dcm", "ima", "zip", "tar"]
)
_TEXTS = frozenset(["json", "tsv", "csv", "txt", "md", "html", "xml", "bval", "bvec"])
# What stands in the names of images, or of folders, that are none by name: in any case.
_LIKE = {
    "pet": (re.compile(r"pet|suvr?|amyloid|pib", re.IGNORECASE), ("pet",)),
    "T1w": (re.compile(r"t1|mpr|spgr|anat", re.IGNORECASE), ("anat", "mri", "mr")),
}
DATATYPES = {"pet": "pet", "T1w": "anat"}
"""Of images that are used, by their suffix."""
_EVERY_DATATYPE = frozenset(["anat", "dwi", "fmap", "func", "perf", "pet"])
_PERSON = re.compile(r"sub[-_ ]?\w", re.IGNORECASE)


@dataclass(frozen=True)
class UnusedImage:
    """An image of a participant that is not used, and why: one phrase."""

    path: Path
    reason: str


def problem_of(path: Path, bids_dir: Path, suffix: str | None) -> str | None:
    """Why an image is none of the raw dataset, by its name and its place; None when it is one.

    Parameters
    ----------
    path : below ``bids_dir``
    bids_dir : root of the dataset
    suffix : what it should be; None for any

    Returns
    -------
    str or None
    """
    entities = parse_entities(path)
    if "sub" not in entities:
        return "its name has no sub-"
    kind = path.parent.name
    own = [f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities]
    folders = [*own, DATATYPES.get(suffix or "", kind)]
    if list(path.relative_to(bids_dir).parts[:-1]) != folders:
        return f"it is not in {'/'.join(folders)}/, where its name belongs"
    if suffix is not None and suffix_of(path) != suffix:
        return f"its suffix is {suffix_of(path)}, not {suffix}"
    keys = [part.split("-", 1)[0] for part in bids_stem(path).split("_") if "-" in part]
    if len(set(keys)) < len(keys):
        return f"{max(keys, key=keys.count)}- occurs twice in its name"
    foreign = sorted(entities.keys() - set(RAW_ENTITIES.get(kind, ())))
    if kind == "pet" and foreign == ["acq"]:
        return "a PET has no acq-: if it names the tracer, rename acq- to trc-"
    if foreign:
        verb = "is not an entity" if len(foreign) == 1 else "are not entities"
        return f"{', '.join(f'{key}-' for key in foreign)} {verb} of a raw image of this kind"
    return None


def suffix_of(path: Path) -> str:
    """``pet`` of ``sub-01_pet.nii.gz``.

    Parameters
    ----------
    path : with a BIDS name

    Returns
    -------
    str
    """
    return bids_stem(path).rsplit("_", 1)[-1]


def misnamed_images(bids_dir: Path, participant: str, suffix: str) -> list[UnusedImage]:
    """Images of a participant that may be meant as PET or T1w, for one who has none of these.

    Parameters
    ----------
    bids_dir : root of the raw dataset
    participant : label without ``sub-``
    suffix : ``pet`` or ``T1w``

    Returns
    -------
    list of UnusedImage
    """
    names, folders = _LIKE[suffix]
    unused = []
    for path in sorted((bids_dir / f"sub-{participant}").rglob("*")):
        endings = path.name.lower().split(".")[1:]
        if path.name.startswith(".") or _TEXTS & {*endings[-1:]} or not _IMAGES & {*endings}:
            continue
        above = {folder.lower() for folder in path.relative_to(bids_dir).parts[1:-1]}
        name = path.name.removeprefix(f"sub-{participant}")  # a label may look like one: PET01
        if name != path.name and path.parent.name in _EVERY_DATATYPE:
            name = suffix_of(path)  # acq-petmr, task-competition
        if above.isdisjoint(folders) and not names.search(name):
            continue
        if (reason := _reason(path, bids_dir, suffix)) is not None:
            unused.append(UnusedImage(path, reason))
    return unused


def misnamed_people(bids_dir: Path) -> Iterator[str]:
    """Sentences about folders that look like those of participants and are not named so.

    Parameters
    ----------
    bids_dir : root of the raw dataset

    Yields
    ------
    str
    """
    with os.scandir(bids_dir) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if _PERSON.match(entry.name) and not entry.name.startswith("sub-") and entry.is_dir()
        )
    for name in names:
        yield worded("dataset", "misnamed", folder=bids_dir / name)


def _reason(path: Path, bids_dir: Path, suffix: str) -> str | None:
    """What is wrong with an image; None for one that filters alone leave out."""
    if path.is_dir():
        return "it is a folder"
    ending = "." + path.name.partition(".")[2]
    if ending not in NIFTI:
        ecat = "; convert ECAT with --dicom-dir" if ending.lower() in (".v", ".v.gz") else ""
        return f"its ending is {ending}, not .nii or .nii.gz{ecat}"
    if reason := problem_of(path, bids_dir, suffix):
        return reason
    is_magnitude = parse_entities(path).get("part", "mag") == "mag"
    return None if is_magnitude else "it is not a magnitude image"
