"""NIfTI images with JSON sidecars, and ECAT 7 files, described in DICOM terms.

Every slice of every frame becomes a `Header` with the tags that a DICOM file of it would have, so
that classification, time model, identity and decision table are the same for all input.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.ecat import EcatImage
from numpy.typing import NDArray

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused
from bidsapp.dicom.ecat import ecat_tags, ecat_voxels
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, Values
from bidsapp.dicom.sidecar_tags import nifti_tags, read_sidecar
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.io.image_names import nifti_ending
from bidsapp.io.nifti import load_volume, read_shape

SMALLEST_VOXEL_MM3 = 1e-6
_HASHED = 2**20  # bytes of an image that tell it from others


def is_nifti_or_ecat(path: Path) -> bool:
    """Whether a file is, by its name, an image this module reads.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    bool
    """
    return nifti_ending(path) is not None or _is_ecat(path)


def _is_ecat(path: Path) -> bool:
    return path.suffix.lower() == ".v"


def read_nifti_or_ecat(path: Path) -> list[Header]:
    """Read the metadata of a NIfTI or ECAT image, without its voxels.

    Parameters
    ----------
    path : of the image

    Returns
    -------
    list of Header
        One per slice and frame, frame by frame; none when the file only has the name of one.

    Raises
    ------
    BadDataError
        The image or its sidecar is broken.
    """
    if _is_ecat(path):
        with path.open("rb") as file:
            if file.read(6) != b"MATRIX":
                return []
        ecat = _load(path, EcatImage)
        return list(_slices(path, ecat.shape, ecat.affine, *ecat_tags(ecat, path)))
    with _by_name(path):
        shape = (*read_shape(path), 1)[:4]
    tags = nifti_tags(read_sidecar(path), path, shape[3])
    return list(_slices(path, shape, _load(path, nib.Nifti1Image).affine, *tags))


def in_words_of(path: Path, text: str) -> str:
    """Say what DICOM calls something in the words of a sidecar, for an image that has one.

    Parameters
    ----------
    path : of the image
    text : with names of tags

    Returns
    -------
    str
    """
    if not is_nifti_or_ecat(path):
        return text
    names = {keyword: key for key, keyword in tables()["nifti_ecat"]["tags"].items()}
    names |= tables()["nifti_ecat"]["words"]
    return re.sub(r"\(\w{4},\w{4}\) (\w+)", lambda tag: str(names.get(tag[1], tag[1])), text)


def load_image(path: Path) -> nib.Nifti1Image:
    """Load an image as NIfTI; an ECAT file is calibrated and turned to RAS.

    Parameters
    ----------
    path : of the image

    Returns
    -------
    Nifti1Image
        Affine in RAS mm.

    Raises
    ------
    BadDataError
        It cannot be read.
    """
    if _is_ecat(path):
        return ecat_voxels(_load(path, EcatImage))
    stored = _load(path, nib.Nifti1Image)
    scaled = stored.header.get_slope_inter() != (None, None)
    dtype = np.float32 if scaled else stored.get_data_dtype()
    with _by_name(path):
        volume = load_volume(path, dtype=dtype)  # refuses a file that is cut
    return nib.Nifti1Image(volume.data, volume.affine, dtype=dtype)


@contextmanager
def _by_name(path: Path) -> Iterator[None]:
    """Call a file by its name alone: folders, which decision tables would show, name people."""
    try:
        yield
    except CentipetError as error:
        raise BadDataError(str(error).replace(str(path), path.name)) from error


def _load(path: Path, kind: Any) -> Any:
    try:
        return kind.from_filename(path)
    except Exception as error:  # nibabel and gzip raise many classes on broken files
        raise refused(
            "nifti-ecat", "unreadable", path=path, kind=kind.__name__, error=type(error).__name__
        ) from error


def _slices(
    path: Path,
    shape: Sequence[int],
    affine: NDArray[np.float64],
    common: Values,
    frames: Sequence[Values],
    remarks: tuple[Flag, ...],
) -> Iterator[Header]:
    """Headers of the slices of an image, each with its place in space.

    Parameters
    ----------
    shape, affine : of the image; the affine counts in mm, RAS
    common : tags of the whole image
    frames : tags of each frame
    remarks : what was noticed in them
    """
    if abs(np.linalg.det(affine[:3, :3])) < SMALLEST_VOXEL_MM3:
        raise BadDataError(f"{path.name}: its affine gives no place in space; convert it again")
    axes = affine[:3, :3] * np.array([[-1], [-1], [1]])  # DICOM's axes point to left, back, head
    columns, rows, step = axes.T
    spacing = np.linalg.norm(rows), np.linalg.norm(columns)
    cosines = np.concatenate([columns / spacing[1], rows / spacing[0]])
    corner = affine[:3, 3] * (-1, -1, 1)
    common = {
        **common,
        "Rows": (str(shape[1]),),
        "Columns": (str(shape[0]),),
        "PixelSpacing": _texts(spacing),
        "ImageOrientationPatient": _texts(cosines),
    }
    uid = _uid(path)
    for number, frame in enumerate(frames):
        for z in range(shape[2]):
            index = number * shape[2] + z
            place = {
                "SeriesInstanceUID": (uid,),
                "InstanceNumber": (str(index + 1),),
                "ImagePositionPatient": _texts(corner + z * step),
            }
            yield Header(path, {**common, **frame, **place}, index, remarks)


def _uid(path: Path) -> str:
    """Name an image by what it holds, so that a copy of it is the same series."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_HASHED))
    digest.update(f"{path.stat().st_size} {read_sidecar(path)}".encode())
    return f"volume-{digest.hexdigest()[:32]}"


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(f"{value:.9g}" for value in np.ravel(values))
