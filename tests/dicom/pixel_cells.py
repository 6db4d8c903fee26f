"""One tiny series in every way that its pixels, frames, order and scaling can be written down."""

from __future__ import annotations

import copy
import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import gdcm
import nibabel as nib
import numpy as np
import pydicom
from dicom_studies import Mr, Pet, enhanced, place, set_pixels
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from bidsapp.dicom.image import convert_series
from bidsapp.dicom.inventory import take_inventory
from bidsapp.dicom.pet_frames import frames_of
from bidsapp.errors import BadDataError

CODECS = {
    "RLE": (RLELossless, gdcm.TransferSyntax.RLELossless),
    "JPEG lossless": (JPEGLosslessSV1, gdcm.TransferSyntax.JPEGLosslessProcess14_1),
    "JPEG-LS": (JPEGLSLossless, gdcm.TransferSyntax.JPEGLSLossless),
    "JPEG 2000": (JPEG2000Lossless, gdcm.TransferSyntax.JPEG2000Lossless),
}
SHAPE = (20, 18)  # rows, columns


@dataclass(frozen=True)
class Cell:
    """How a series is written.

    Attributes
    ----------
    coding : of its pixels
    structure : of its files
    order : in which files, instance numbers and frames of a file follow place and time
    slope : what has a RescaleSlope of its own
    kind : what it shows
    """

    coding: str
    structure: str
    order: str
    slope: str
    kind: str


AXES: dict[str, Sequence[str]] = {
    "coding": ("uncompressed", *CODECS, "deflated"),
    "structure": ("classic", "enhanced", "one frame per file", "two enhanced files"),
    "order": ("along", "against", "shuffled", "interleaved"),
    "slope": ("one", "per slice", "per frame"),
    "kind": ("T1w", "static", "dynamic"),
}


def all_cells() -> list[Cell]:
    """The whole matrix."""
    return [Cell(*levels) for levels in itertools.product(*AXES.values())]


def pairwise() -> list[Cell]:
    """Cells in which every two levels of two axes meet, greedily chosen."""
    left = {pair for cell in all_cells() for pair in _pairs(cell)}
    candidates = all_cells()
    random.Random(0).shuffle(candidates)
    chosen = []
    while left:
        best = max(candidates, key=lambda cell: len(left & _pairs(cell)))
        left -= _pairs(best)
        chosen.append(best)
    return chosen


def _pairs(cell: Cell) -> set[tuple[tuple[str, str], ...]]:
    levels = [(field.name, getattr(cell, field.name)) for field in fields(cell)]
    return set(itertools.combinations(levels, 2))


def slices(cell: Cell) -> list[Dataset]:
    """Single slices of the series in place and time, with pixels that no two of them share."""
    if cell.kind == "T1w":
        made = list(Mr(shape=SHAPE, positions=range(5)).datasets())
    else:
        starts = (5400, 5700, 6000) if cell.kind == "dynamic" else (5400,)
        made = list(Pet(frames=[(start, 300) for start in starts], n_slices=5).datasets())
    series_uid, study_uid = generate_uid(), generate_uid()
    random_numbers = np.random.default_rng(len(made))
    for number, data in enumerate(made):
        frame, z = divmod(number, 5)
        slope = {"one": 0.5, "per slice": 0.5 + 0.1 * z, "per frame": 0.5 * (1 + frame)}[cell.slope]
        if data.Modality == "PT":
            place(data, SHAPE, (8.0, 9.0), (-30.0, -25.0, 4.0 * z), 4.0)
        data.SeriesInstanceUID, data.StudyInstanceUID = series_uid, study_uid
        pixels = random_numbers.integers(-500, 20000, SHAPE) + 1000 * number
        set_pixels(data, pixels, None if (cell.kind, cell.slope) == ("T1w", "one") else slope)
    return made


def ordered(made: Sequence[Dataset], order: str) -> list[Dataset]:
    """Bring slices into an order, and number them in it."""
    turned = {
        "along": list(made),
        "against": list(made)[::-1],
        "shuffled": random.Random(3).sample(list(made), len(made)),
        "interleaved": [*made[1::2], *made[::2]],
    }[order]
    for number, data in enumerate(turned, start=1):
        data.InstanceNumber = number
        if "ImageIndex" in data:
            data.ImageIndex = number
    return turned


def files(cell: Cell, made: Sequence[Dataset]) -> Iterator[Dataset]:
    """Data sets of the files of a series."""
    groups = {
        "classic": [[data] for data in made],
        "enhanced": [made],
        "one frame per file": [[data] for data in made],
        "two enhanced files": [made[: len(made) // 2], made[len(made) // 2 :]],
    }[cell.structure]
    for number, group in enumerate(groups, start=1):
        whole = group[0] if cell.structure == "classic" else enhanced(group)
        if cell.structure != "enhanced":
            whole.InstanceNumber = number
        yield encoded(whole, cell.coding)


def encoded(data: Dataset, coding: str) -> Dataset:
    """Data set with its pixels in another transfer syntax; that given stays as it is."""
    meta, data = copy.deepcopy(data.file_meta), Dataset(dict(data.items()))
    data.file_meta = meta
    if coding in CODECS:
        uid, syntax = CODECS[coding]
        shape = data.Rows, data.Columns
        size = 2 * data.Rows * data.Columns
        images = [
            _compressed(data.PixelData[start : start + size], shape, syntax)
            for start in range(0, len(data.PixelData), size)
        ]
        data["PixelData"] = DataElement("PixelData", "OB", encapsulate(images))
        data.file_meta.TransferSyntaxUID = uid
    if coding == "deflated":
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return data


@cache
def _compressed(pixels: bytes, shape: tuple[int, int], syntax: int) -> bytes:
    """Code stream of one image; GDCM takes and gives files."""
    image = next(Mr(shape=shape, positions=[0]).datasets())
    image.PixelData = pixels
    with tempfile.TemporaryDirectory() as name:
        plain, coded = f"{name}/plain", f"{name}/coded"
        pydicom.dcmwrite(plain, image, enforce_file_format=True)
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(coded)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        (stream,) = generate_frames(pydicom.dcmread(coded).PixelData, number_of_frames=1)
    return stream


def write_cell(cell: Cell, folder: Path) -> Sequence[Dataset]:
    """Write the files of a cell; return its slices in place and time, before any coding."""
    made = _shared_slices(cell.kind, cell.slope)
    folder.mkdir(parents=True)
    for number, data in enumerate(files(cell, ordered(made, cell.order))):
        pydicom.dcmwrite(folder / f"{number:04d}.dcm", data, enforce_file_format=True)
    return made


@cache
def _shared_slices(kind: str, slope: str) -> Sequence[Dataset]:
    """Slices that many cells hold; only their numbers change from cell to cell."""
    return slices(Cell("uncompressed", "classic", "along", slope, kind))


def outcome(folder: Path, truth: Sequence[Dataset]) -> str:
    """Convert a series and compare it with its slices: ``exact``, ``WRONG`` or why not."""
    try:
        (series,) = take_inventory(folder / "in", folder / "scratch").series
        series.check_grid()
        converted = convert_series(series, frames_of(series), folder / "work")
    except BadDataError as error:
        return f"refused: {error}"
    return "exact" if is_exact(converted.image, truth) else "WRONG"


def is_exact(image: nib.Nifti1Image, truth: Sequence[Dataset]) -> bool:
    """Whether every pixel of some slices is in an image at its place and time, and nothing else."""
    voxels = np.asanyarray(image.dataobj).reshape(*image.shape[:3], -1)
    times = sorted({moment(data) for data in truth} if voxels.shape[3] > 1 else {moment(truth[0])})
    if voxels.size != sum(data.Rows * data.Columns for data in truth):
        return False
    expected = np.full(voxels.shape, np.nan)
    for data in truth:
        row, column = np.indices((data.Rows, data.Columns))
        cosines = np.array(data.ImageOrientationPatient, float)
        lps = (
            np.array(data.ImagePositionPatient, float)
            + column[..., None] * cosines[:3] * float(data.PixelSpacing[1])
            + row[..., None] * cosines[3:] * float(data.PixelSpacing[0])
        )
        exact = nib.affines.apply_affine(np.linalg.inv(image.affine), lps * (-1, -1, 1))
        x, y, z = np.moveaxis(np.rint(exact).astype(int), -1, 0)
        frame = times.index(moment(data)) if len(times) > 1 else 0
        expected[x, y, z, frame] = pixels_of(data)
    limits = 2e-6 * np.nanmax(np.abs(expected), axis=(0, 1, 2))
    return bool((np.abs(voxels - expected) <= limits).all())


def pixels_of(data: Dataset) -> np.ndarray:
    """Pixels of an uncompressed slice in its units."""
    stored = np.frombuffer(data.PixelData, "<i2").reshape(data.Rows, data.Columns)
    return stored * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))


def moment(data: Dataset) -> datetime:
    """When a slice was acquired."""
    clock = timedelta(
        hours=int(data.AcquisitionTime[:2]),
        minutes=int(data.AcquisitionTime[2:4]),
        seconds=float(data.AcquisitionTime[4:]),
    )
    return datetime.strptime(data.AcquisitionDate, "%Y%m%d") + clock
