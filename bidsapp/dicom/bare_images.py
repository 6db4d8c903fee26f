"""PET and T1w among NIfTI images without sidecars, by their names and those of their folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bidsapp.data.sentences import refused
from bidsapp.data.series_texts import names_contrast, names_no_attenuation
from bidsapp.data.tracers import named_tracers
from bidsapp.dicom.files import files_below
from bidsapp.dicom.habits import name_matches
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.image_names import nifti_ending, nifti_stem
from bidsapp.plain import some

_OTHER_PET = ("attenuation_map", "projection")
_OTHER_MR = (
    *("t2w", "flair", "localizer", "fieldmap", "perfusion", "diffusion", "functional"),
    *("angiography", "susceptibility", "mr_for_attenuation", "projection", "remade"),
)
_PREFIXED_T1 = re.compile(r"(^|[^a-z0-9])([rwmsu]|c\d)+t1(?!\d)")  # as SPM writes them: rT1, wmT1
_MOST_SHOWN = 5
_REMEDY = "name PET and T1w themselves: centipet quantify PET T1W --tracer NAME, or a --table"


@dataclass(frozen=True)
class PairByName:
    """Which image was taken as PET and which as T1w.

    Attributes
    ----------
    pet : Path
    t1w : Path or None
        None when no image is one and every other image is known to be something else.
    sentences : tuple of str
        A sentence for each image.
    """

    pet: Path
    t1w: Path | None
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Named:
    """An image, the name that says what it is, and what that is."""

    path: Path
    shown: str
    name: str = ""
    kind: str = ""  # pet, t1w, what else it is in words, or empty


def find_pair(folder: Path, tracer: str, passed_over: Iterable[Path] = ()) -> PairByName:
    """Find the PET and the T1w of one person in a folder of NIfTI images and its subfolders.

    Parameters
    ----------
    folder : Path
    tracer : name of the tracer; images that name another do not count
    passed_over : folders that may lie in it and hold none, such as those of results

    Returns
    -------
    PairByName

    Raises
    ------
    NoInputError
        It contains no NIfTI image.
    BadDataError
        No image, or more than one, may be the PET or the T1w; the sentence names them.
    """
    paths = sorted(
        path
        for path in files_below(folder, set(map(os.path.realpath, passed_over)))
        if nifti_ending(path) and not path.name.startswith(".")
    )
    if not paths:
        raise NoInputError(
            f"{folder}: contains no NIfTI image; for DICOM: centipet BIDS OUT participant "
            f"--dicom-dir {folder}"
        )
    images = [_named(path, folder) for path in paths]
    unknown = [image for image in images if not image.kind]
    pet = _only(folder, "PET", _of_tracer(folder, images, tracer), unknown)
    plain = [image for image in images if image.kind == "t1w"]
    if len(plain) > 1:
        plain = [image for image in plain if not names_contrast(image.name)] or plain
    t1w = _only(folder, "T1w", plain, unknown) if plain or unknown else None
    sentences = [f"PET: {pet.shown}", "no T1w: the PET will be aligned directly with the template"]
    if t1w is not None:
        sentences[1] = f"T1w: {t1w.shown}"
    sentences += [
        f"left out: {image.shown} ({image.kind or 'its name says nothing'})"
        for image in images
        if image not in (pet, t1w)
    ]
    return PairByName(pet.path, None if t1w is None else t1w.path, tuple(sentences))


def _named(path: Path, folder: Path) -> _Named:
    """What the name of an image says, or else that of the nearest folder that says anything."""
    relative = path.relative_to(folder)
    for name in (nifti_stem(path), *(part.name for part in relative.parents if part.name)):
        if kind := _kind(name):
            return _Named(path, relative.as_posix(), name, kind)
    return _Named(path, relative.as_posix())


def _kind(name: str) -> str:
    is_pet = name_matches("pet", name) or named_tracers(name).understood
    is_t1w = name_matches("t1w", name) or _PREFIXED_T1.search(name.lower()) is not None
    if is_pet and is_t1w:
        return "its name says PET and T1w"
    if is_pet and names_no_attenuation(name):
        return "without attenuation correction"
    others = [kind for kind in (_OTHER_PET if is_pet else _OTHER_MR) if name_matches(kind, name)]
    if others:
        return others[0].replace("_", " ")
    return "pet" if is_pet else "t1w" if is_t1w else ""


def _of_tracer(folder: Path, images: Iterable[_Named], wanted: str) -> list[_Named]:
    """The PETs that name the tracer; if none does, those that name none."""
    pets = [image for image in images if image.kind == "pet"]
    codes = named_tracers(wanted).codes
    named = {image: named_tracers(image.name) for image in pets}
    matching = [image for image, names in named.items() if names.codes & codes]
    silent = [image for image, names in named.items() if not names.understood]
    if pets and not matching and not silent:
        raise refused(
            "pair-by-name", "other-tracer", folder=folder, names=_names(pets), wanted=wanted
        )
    return matching or silent


def _only(
    folder: Path, kind: str, candidates: Sequence[_Named], unknown: Sequence[_Named]
) -> _Named:
    if len(candidates) > 1:
        raise refused("pair-by-name", "several", folder=folder, names=_names(candidates), what=kind)
    if not candidates:
        hint = f" ({_names(unknown)} may be it)" if unknown else ""
        raise BadDataError(f"{folder}: no image is a {kind} by its name{hint}; {_REMEDY}")
    return candidates[0]


def _names(images: Iterable[_Named]) -> str:
    return some((image.shown for image in images), _MOST_SHOWN, "others")
