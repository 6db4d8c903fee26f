"""Pixels of DICOM files, and the slices of enhanced multi-frame files as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from bidsapp.dicom.header import Header
from bidsapp.dicom.tables import tables
from bidsapp.errors import BadDataError

_CLASSES = {"MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
_WHOLE_NUMBERS = ("US", "UL", "SS", "SL")  # value representations
_PIXEL_TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PatientPosition", "MagneticFieldStrength"),
)


def stored_pixels(path: Path) -> NDArray[Any] | None:
    """Pixels as they are stored, shape ([frames,] rows, columns); None when their codec is missing.

    Raises
    ------
    BadDataError
        They cannot be read.
    """
    return _read_pixels(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # all slices of a multi-frame file are asked for one after the other
def _read_pixels(path: Path, _changed: int) -> NDArray[Any] | None:
    try:
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            return None
        return np.asarray(dataset.pixel_array)
    except Exception as error:  # pydicom raises some twenty classes on broken pixel data
        raise BadDataError(
            f"{path.name}: (7FE0,0010) PixelData cannot be read ({type(error).__name__}); export "
            "it again"
        ) from error


def write_slices(images: Sequence[Header], folder: Path) -> None:
    """Write frames of a multi-frame file as DICOM files of one slice each.

    Raises
    ------
    BadDataError
        The pixels are compressed, or cannot be read.
    """
    path = images[0].path
    pixels = stored_pixels(path)
    if pixels is None:
        raise BadDataError(
            f"{path.name}: dcm2niix does not lay out this multi-frame file as its headers say, and "
            "its pixels are compressed; export it uncompressed or as one file per slice"
        )
    common = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_PIXEL_TAGS))
    for number, image in enumerate(images):
        assert image.frame is not None
        dataset = _slice(image, common, number + 1)
        dataset.PixelData = pixels[image.frame].tobytes()
        pydicom.dcmwrite(folder / f"{number:06d}.dcm", dataset, enforce_file_format=True)


def _slice(image: Header, common: Dataset, number: int) -> Dataset:
    """Data set of one frame with the tags read from its functional groups, without pixels."""
    dataset = Dataset()
    dataset.update({element.tag: element for element in common if element.keyword in _PIXEL_TAGS})
    for keyword in (*tables()["tags"]["instance"], *tables()["tags"]["series"]):
        if (texts := image.texts(keyword)) and keyword != "NumberOfFrames":
            whole = dictionary_VR(keyword) in _WHOLE_NUMBERS
            setattr(dataset, keyword, [int(float(t)) for t in texts] if whole else list(texts))
    dataset.SOPClassUID = _CLASSES[image.text("Modality")]
    dataset.SOPInstanceUID = f"{image.text('SOPInstanceUID')}.{number}"[-64:]
    dataset.InstanceNumber = number
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset
