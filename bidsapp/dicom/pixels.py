"""Pixels of DICOM files in their place in a series."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.decompress import decompress, needs_decoding
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, read_dataset, tag_name
from bidsapp.dicom.pet_frames import Frame
from bidsapp.grouping import grouped

_Value = TypeVar("_Value")
_SAME_SLOPE = 1e-4  # one number in binary and in decimals


@dataclass(frozen=True)
class Plane:
    """Pixels of one image.

    Attributes
    ----------
    frame, z : its place in the series: number of the frame, and of the slice in it
    header : of the image
    stored : pixels before slope and intercept, shape (rows, columns)
    """

    frame: int
    z: int
    header: Header
    stored: NDArray[Any]

    @property
    def rescaled(self) -> NDArray[np.float64]:
        """Pixels in the units of the image, shape (rows, columns)."""
        slope, intercept = scaling(self.header)
        return np.asarray(self.stored * np.float64(slope) + intercept)


def scaling(header: Header) -> tuple[float, float]:
    """Slope and intercept of an image; 1 and 0 in an MR, which need not state them.

    Parameters
    ----------
    header : of the image

    Returns
    -------
    (float, float)
    """
    slope, intercept = (header.number(f"Rescale{name}") for name in ("Slope", "Intercept"))
    return 1.0 if slope is None else slope, intercept or 0.0


def lossy_compression(images: Iterable[Header]) -> Flag | None:
    """Say that images were compressed with loss, which decoding does not undo; None if not.

    (0028,2110) stays 01 for good, also where the pixels are no longer compressed.

    Parameters
    ----------
    images : of a series

    Returns
    -------
    Flag or None
    """
    for image in images:
        syntax = UID(image.text("TransferSyntaxUID"))
        if image.text("LossyImageCompression") == "01":
            evidence = f"{tag_name('LossyImageCompression')} is 01"
        elif syntax in tables()["lossy"]["syntaxes"]:
            evidence = f"{tag_name('TransferSyntaxUID')} is {syntax.name}"
        else:
            continue
        method = image.text("LossyImageCompressionMethod")
        method_name = tables()["lossy"]["methods"].get(method)
        facts = (
            image.shown("LossyImageCompressionRatio"),
            method_name or image.shown("LossyImageCompressionMethod"),
        )
        stated = " ".join(filter(None, facts)) or "not stated"
        return worded_flag("lossy", said=evidence, stated=stated)
    return None


def planes(frames: Sequence[Frame]) -> Iterator[Plane]:
    """Decode the images of some frames, each file once, so not in their order.

    Parameters
    ----------
    frames : of a series

    Yields
    ------
    Plane

    Raises
    ------
    BadDataError
        Pixels cannot be decoded, are not those the header announces, or are not numbers.
    """
    of_files = grouped(
        (header.path, (number, z, header))
        for number, frame in enumerate(frames)
        for z, header in enumerate(frame)
    )
    for path, images in of_files.items():
        pixels = _decoded(path)
        for number, z, header in images:
            index = header.frame or 0
            if index >= len(pixels) or pixels[index].shape != header.shape:
                raise refused("pixels", "other-shape", path=path)
            yield Plane(number, z, header, pixels[index])


def same_pixels(first: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Whether the images of two series, or their copies under other names, are the same.

    Parameters
    ----------
    first, other : frames of two series

    Returns
    -------
    bool

    Raises
    ------
    BadDataError
        Pixels cannot be decoded.
    """
    mine, its = _of_planes(first, other, _digest)
    return mine == its


def alike(first: Sequence[Frame], other: Sequence[Frame], factor: float) -> bool:
    """Whether the images of two series are the same except for the rounding of their slopes.

    Parameters
    ----------
    first, other : frames of two series
    factor : that takes the other to the units of the first

    Returns
    -------
    bool

    Raises
    ------
    BadDataError
        Pixels cannot be decoded.
    """
    mine, its = _of_planes(first, other, lambda plane: plane.rescaled)
    return mine.keys() == its.keys() and all(
        pixels.shape == its[place].shape
        and np.allclose(pixels, factor * its[place], rtol=_SAME_SLOPE, atol=0.0)
        for place, pixels in mine.items()
    )


def _of_planes(
    first: Sequence[Frame], other: Sequence[Frame], value: Callable[[Plane], _Value]
) -> list[dict[tuple[int, int], _Value]]:
    """Frame and slice -> what a function says of the pixels, however they are coded."""
    with tempfile.TemporaryDirectory() as name:
        return [
            {(p.frame, p.z): value(p) for p in planes(uncompressed(frames, Path(name, f"{n}")))}
            for n, frames in enumerate((first, other))
        ]


def _digest(plane: Plane) -> bytes:
    return hashlib.sha256(plane.rescaled.tobytes()).digest()


def _decoded(path: Path) -> NDArray[np.generic]:
    """Pixels of a file as they are stored, shape (images, rows, columns)."""
    try:
        dataset = _read(path)
        dataset.pixel_array_options(correct_unused_bits=False)
        pixels = np.asarray(dataset.pixel_array)
    except NotImplementedError as error:
        raise refused("pixels", "own-syntax", path=path) from error
    except Exception as error:  # pydicom raises some twenty classes on broken pixel data
        raise refused("pixels", "not-decoded", path=path, error=type(error).__name__) from error
    if pixels.dtype.kind in "iu":
        pixels = _without_padding(_without_spare_bits(pixels, dataset, path), dataset)
    elif not np.isfinite(pixels).all():
        raise refused("pixels", "not-finite", path=path)
    return pixels if int(dataset.get("NumberOfFrames") or 1) > 1 else pixels[np.newaxis]


def _without_padding(pixels: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Zero where a pixel holds (0028,0120) PixelPaddingValue, which stands for no measurement."""
    ends = [dataset.get(key) for key in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    known = [int(end) for end in ends if isinstance(end, int)]
    if not known or not any(known):
        return pixels
    if pixels.dtype.kind == "i":  # 63536 of a signed image is -2000, written under another VR
        known = [end - 2**16 if end >= 2**15 else end for end in known]
    outside = (pixels >= min(known)) & (pixels <= max(known))
    return np.where(outside, pixels.dtype.type(0), pixels) if outside.any() else pixels


def _without_spare_bits(
    pixels: NDArray[np.generic], dataset: Dataset, path: Path
) -> NDArray[np.generic]:
    """Extend the sign of integers that are stored in fewer bits than they are allotted."""
    used, spare = dataset.BitsStored, 8 * pixels.dtype.itemsize - dataset.BitsStored
    exact = np.right_shift(np.left_shift(pixels, spare), spare)
    if np.array_equal(exact, pixels):
        return pixels
    if np.right_shift(pixels, used).any():
        raise refused("pixels", "bits", path=path, used=used)
    return np.asarray(exact)


def _read(path: Path) -> Dataset:
    """Read a file; those of old archives do not say how they are encoded."""
    dataset = read_dataset(path)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        syntax = ImplicitVRLittleEndian if implicit else explicit
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def uncompressed(frames: Sequence[Frame], folder: Path) -> tuple[Frame, ...]:
    """Put copies that are not compressed, written to a folder, in the place of files that are.

    Parameters
    ----------
    frames : of a series
    folder : for the copies; need not exist

    Returns
    -------
    tuple of Frame

    Raises
    ------
    BadDataError
        Pixels cannot be decoded.
    """
    paths = dict.fromkeys(image.path for frame in frames for image in frame)
    if not (compressed := [path for path in paths if needs_decoding(path)]):
        return tuple(frames)
    copies = decompress(compressed, folder)
    return tuple(
        tuple(replace(image, path=copies.get(image.path, image.path)) for image in frame)
        for frame in frames
    )
