"""Write the phantom as a scanner would: one DICOM file per slice, one folder per series.

The headers follow the habits of Siemens scanners (a 3D MPRAGE of an MR, a list-mode PET/CT). Two
series are there to be left out: the MR localiser and a PET without attenuation correction.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from bidsapp.core.frames.decay import decay_factors
from bidsapp.core.grid.volume import Volume
from bidsapp.demo.phantom import FRAME_DURATION_S, FRAME_START_S, Phantom, centred_grid, sample
from bidsapp.errors import cannot_write

PARTICIPANT = "phantom"
INJECTION = datetime(2026, 3, 17, 10, 31, 0)
TO_LPS = np.array([-1.0, -1.0, 1.0])  # DICOM's patient axes point left, posterior, head


# Attributes by DICOM keyword.
HEADERS: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "headers.toml").read_text("utf-8")
)
HALF_LIFE_S = HEADERS["radiopharmaceutical"]["RadionuclideHalfLife"]  # F-18


@dataclass(frozen=True)
class SeriesToWrite:
    """One series of a study and the properties shared by its files.

    Attributes
    ----------
    study, number, description : the study's name, the series' number and its description
    study_start, start : when the study and this series began
    headers : names of the tables of further attributes
    """

    study: str
    number: int
    description: str
    study_start: datetime
    start: datetime
    headers: Sequence[str]

    @property
    def folder(self) -> str:
        """Name of the folder the series is exported to."""
        return f"{self.number:03d}_{self.description.replace(' ', '_')}"


LOCALIZER_SERIES, T1W_SERIES, PET_SERIES, NAC_SERIES = (
    SeriesToWrite(**row) for row in HEADERS["series"].values()
)


def write_study(directory: Path, phantom: Phantom) -> int:
    """Write the phantom's DICOM study below ``directory/sub-phantom``.

    Parameters
    ----------
    directory : Path
        Made when it is not there.
    phantom : Phantom

    Returns
    -------
    int
        Number of files written.

    Raises
    ------
    CannotCreateError, StorageError
        The folder cannot be written; the disk is full.
    """
    written = 0
    for series, files in (
        (LOCALIZER_SERIES, mr_files(LOCALIZER_SERIES, localizer_planes(phantom.t1w))),
        (T1W_SERIES, mr_files(T1W_SERIES, [phantom.t1w])),
        (PET_SERIES, pet_files(PET_SERIES, phantom.pet, FRAME_START_S, FRAME_DURATION_S)),
        (
            NAC_SERIES,
            pet_files(
                NAC_SERIES,
                Volume(phantom.pet_nac.data[..., None], phantom.pet_nac.affine),
                FRAME_START_S[:1],
                (sum(FRAME_DURATION_S),),
            ),
        ),
    ):
        folder = directory / f"sub-{PARTICIPANT}" / series.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number, file in enumerate(files, start=1):
                file.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)
        except OSError as error:
            raise cannot_write(error, folder, "choose another folder for the demo") from error
        written += number
    return written


def localizer_planes(t1w: Volume) -> Iterator[Volume]:
    """Three thick slices in each of the three planes through the isocentre.

    Parameters
    ----------
    t1w : of the phantom

    Yields
    ------
    Volume
    """
    right, anterior, head = np.eye(3)
    for axes in (
        (-anterior, -head, -right),  # sagittal
        (-right, -head, anterior),  # coronal
        (-right, -anterior, head),  # axial
    ):
        plane = centred_grid((192, 192, 3), 1.3, np.stack(axes, axis=1) * [1, 1, 15.0])
        yield Volume(sample(t1w, plane.world()), plane.affine)


def mr_files(series: SeriesToWrite, stacks: Iterable[Volume]) -> Iterator[Dataset]:
    """Yield one MR file per slice of every stack of slices.

    Parameters
    ----------
    series : that the slices belong to
    stacks : of slices

    Yields
    ------
    Dataset
    """
    number = 0
    for stack in stacks:
        stored = np.clip(np.rint(stack.data), 0, 4095).astype(np.uint16)
        for index in range(stack.data.shape[2]):
            number += 1
            yield slice_file(series, number, stack, index, stored[:, :, index])


def pet_files(
    series: SeriesToWrite, pet: Volume, starts_s: Iterable[float], durations_s: Iterable[float]
) -> Iterator[Dataset]:
    """Yield one PET file per slice and frame, each slice with its own rescale slope.

    Parameters
    ----------
    series : Series
    pet : Volume
        (X, Y, Z, frames), Bq/mL, decay-corrected to the start of the first frame.
    starts_s, durations_s : frame starts after injection and durations, seconds

    Yields
    ------
    Dataset
    """
    slices, frames = pet.data.shape[2:]
    first = FRAME_START_S[0]
    number = 0
    for frame, (start, duration) in enumerate(zip(starts_s, durations_s, strict=True)):
        for index in range(slices):
            number += 1
            values = pet.data[:, :, index, frame]
            # the slope is read back as the decimal text it is stored as
            slope = format_number_as_ds(max(float(values.max()), 1.0) / 32767)
            stored = np.minimum(np.rint(values / float(slope)), 32767).astype(np.int16)
            file = slice_file(series, number, pet, index, stored)
            update(
                file,
                {
                    **date_and_time("Acquisition", series.start + timedelta(seconds=start - first)),
                    "ActualFrameDuration": round(duration * 1000),
                    "RescaleSlope": slope,
                    **decay_tags(start - first, duration),
                    "NumberOfSlices": slices,
                    "NumberOfTimeSlices": frames,
                    "ImageIndex": number,
                    "RadiopharmaceuticalInformationSequence": Items([radiopharmaceutical()]),
                },
            )
            yield file


def decay_tags(start_s: float, duration_s: float) -> dict[str, str]:
    """DICOM's words for the decay of a frame, times after the start of the series.

    ``DecayFactor`` takes the frame's mean activity back to the start of the series;
    ``FrameReferenceTime`` is when the activity equalled that mean (DICOM PS3.3 C.8.9.4), ms.

    Parameters
    ----------
    start_s, duration_s : of the frame

    Returns
    -------
    dict
        Keyword -> value.
    """
    (factor,) = decay_factors([start_s], [duration_s], HALF_LIFE_S, 0.0)
    return {
        "DecayFactor": format_number_as_ds(factor),
        "FrameReferenceTime": format_number_as_ds(1000 * HALF_LIFE_S * log2(factor)),
    }


def radiopharmaceutical() -> Dataset:
    """Item of the radiopharmaceutical sequence.

    Returns
    -------
    Dataset
    """
    item = update(Dataset(), HEADERS["radiopharmaceutical"])
    item.RadiopharmaceuticalStartTime = f"{INJECTION:%H%M%S}.000000"
    item.RadiopharmaceuticalStartDateTime = f"{INJECTION:%Y%m%d%H%M%S}.000000"
    item.RadionuclideCodeSequence = Items([update(Dataset(), HEADERS["radionuclide"])])
    return item


def slice_file(
    series: SeriesToWrite, number: int, stack: Volume, index: int, stored: NDArray[np.integer]
) -> Dataset:
    """File of one slice, without the tags specific to PET.

    Parameters
    ----------
    series : Series
    number : int
        Instance number.
    stack : Volume
        Axes are columns, rows, slices (and frames).
    index : int
        Slice of ``stack``.
    stored : ndarray, shape (columns, rows)
        Pixel values, 16 bits.

    Returns
    -------
    Dataset
    """
    columns, rows = stored.shape
    spacing = stack.grid.voxel_size
    directions = TO_LPS[:, None] * stack.affine[:3, :3] / spacing
    position = TO_LPS * (stack.affine @ [0.0, 0.0, index, 1.0])[:3]
    uid = dicom_uid(series.study, series.number, number)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name in ("patient", *series.headers):
        update(file, HEADERS[name])
    file.file_meta.MediaStorageSOPClassUID = UID(file.SOPClassUID)
    update(
        file,
        {
            "SpecificCharacterSet": "ISO_IR 100",
            "SOPInstanceUID": uid,
            "StudyInstanceUID": dicom_uid(series.study),
            "SeriesInstanceUID": dicom_uid(series.study, series.number),
            "FrameOfReferenceUID": dicom_uid(series.study, "frame of reference"),
            "StudyID": "1",
            "StudyDescription": f"CentiPET phantom {series.study}",
            "SeriesDescription": series.description,
            "ProtocolName": series.description,
            "SeriesNumber": series.number,
            "InstanceNumber": number,
            **date_and_time("Study", series.study_start),
            **date_and_time("Series", series.start),
            **date_and_time("Acquisition", series.start),
            **date_and_time("Content", series.start),
            "ImageOrientationPatient": decimals(directions[:, :2].T.ravel()),
            "ImagePositionPatient": decimals(position),
            "SliceLocation": format_number_as_ds(
                float(np.cross(directions[:, 0], directions[:, 1]) @ position)
            ),
            "PixelSpacing": decimals([spacing[1], spacing[0]]),
            "SliceThickness": format_number_as_ds(float(spacing[2])),
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": rows,
            "Columns": columns,
            "BitsAllocated": 16,
            "HighBit": file.BitsStored - 1,
            "PixelData": stored.T.astype("<i2" if file.PixelRepresentation else "<u2").tobytes(),
        },
    )
    return file


def date_and_time(what: str, moment: datetime) -> dict[str, str]:
    """DICOM's words for a moment.

    Parameters
    ----------
    what : ``Study``, ``Series``, ``Acquisition`` or ``Content``
    moment : local time

    Returns
    -------
    dict
        Keyword -> value.
    """
    return {f"{what}Date": f"{moment:%Y%m%d}", f"{what}Time": f"{moment:%H%M%S}.000000"}


def update(dataset: Dataset, values: Mapping[str, Any]) -> Dataset:
    """Set attributes by keyword and return ``dataset``.

    Parameters
    ----------
    dataset : takes the values
    values : by keyword

    Returns
    -------
    Dataset
    """
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def decimals(values: Iterable[float]) -> list[str]:
    """Numbers as DICOM decimal strings of at most 16 characters.

    Parameters
    ----------
    values : numbers

    Returns
    -------
    list of str
    """
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def dicom_uid(*what: object) -> str:
    """Unique identifier that is the same in every run.

    Parameters
    ----------
    *what : names the object

    Returns
    -------
    str
    """
    return generate_uid(entropy_srcs=["centipet phantom", *map(str, what)])
