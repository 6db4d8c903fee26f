"""Tiny DICOM studies made on the spot, with the habits of several vendors."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

F18_S, C11_S = 6586.2, 1221.84
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"


def decay_factor(start_s: float, duration_s: float, half_life_s: float) -> float:
    """DICOM PS3.3 C.8.9.4: decay to the start of the frame times mean decay within the frame."""
    rate = math.log(2) / half_life_s
    return math.exp(rate * start_s) * rate * duration_s / -math.expm1(-rate * duration_s)


@dataclass
class Person:
    name: str = "Mustermann^Erika"
    patient_id: str = "MRN-4711"
    birth: str = "19480229"
    sex: str = "F"


@dataclass
class Pet:
    """What is true of a PET, and the habits of the scanner that writes it down.

    ``scan_s`` and ``frames`` are in s after the injection; ``frames`` holds (start, duration).
    ``reference``: ``start`` (middle of decay after the scan start), ``zero`` or ``absent``.
    """

    injection: datetime = datetime(2021, 3, 2, 10, 4, 30)
    frames: Sequence[tuple[float, float]] = ((5400, 300), (5700, 300), (6000, 300), (6300, 300))
    decay: str = "START"
    half_life: float = F18_S
    nuclide: str = "^18^Fluorine"
    tracer: str = "Florbetaben"
    injection_tags: str = "both"  # both, datetime, time
    reference: str = "start"
    manufacturer: str = "SIEMENS"
    description: str = "PET AC"
    study: str = ""
    n_slices: int = 9
    step: float = 15.0
    corrected: Sequence[str] = ("NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN")
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY")
    units: str = "BQML"
    series_type: str = ""  # by the number of frames
    method: str = "OSEM3D 4i21s"

    def datasets(self, person: Person | None = None, study: str | None = None) -> Iterator[Dataset]:
        """One data set per slice and frame."""
        random = np.random.default_rng(len(self.frames))
        slices = copies(self._common_tags(person or Person(), study or generate_uid()))
        for number, (start, duration) in enumerate(self.frames):
            for z in range(self.n_slices):
                data = next(slices)
                set_times(data, "Acquisition", self.injection + timedelta(seconds=start))
                data.ActualFrameDuration = round(duration * 1000)
                data.ImageIndex = data.InstanceNumber = number * self.n_slices + z + 1
                self._decay_tags(data, start, duration)
                place(data, (20, 18), (8.0, 9.0), (-70.0, -85.0, self.step * z - 60), self.step)
                set_pixels(data, random.integers(0, 20000, (20, 18)), 0.05 + 0.01 * z)
                yield data

    def _common_tags(self, person: Person, study_uid: str) -> Dataset:
        data = base(person, PET_CLASS, study_uid, generate_uid())
        data.Modality, data.Manufacturer = "PT", self.manufacturer
        data.ManufacturerModelName = "Phantom 1"
        data.SeriesDescription = data.ProtocolName = self.description
        data.StudyDescription = self.study
        data.SeriesNumber, data.ImageType = 4, list(self.image_type)
        for kind in ("Study", "Series"):
            set_times(data, kind, self.injection + timedelta(seconds=self.frames[0][0]))
        data.Units, data.CorrectedImage = self.units, list(self.corrected)
        data.AttenuationCorrectionMethod = "CT-derived mu-map"
        data.ReconstructionMethod = self.method
        data.ConvolutionKernel = "XYZ Gaussian 4.0"
        data.NumberOfSlices = self.n_slices
        by_frames = "DYNAMIC" if len(self.frames) > 1 else "STATIC"
        data.SeriesType = [self.series_type or by_frames, "IMAGE"]
        if len(self.frames) > 1:
            data.NumberOfTimeSlices = len(self.frames)
        data.DecayCorrection = self.decay
        self._injection_tags(data)
        return data

    def _decay_tags(self, data: Dataset, start: float, duration: float) -> None:
        origin = {"START": self.frames[0][0], "ADMIN": 0.0, "NONE": start}[self.decay]
        if self.decay != "NONE":
            data.DecayFactor = f"{decay_factor(start - origin, duration, self.half_life):.6f}"
        rate = math.log(2) / self.half_life
        within = math.log(rate * duration / -math.expm1(-rate * duration)) / rate
        if self.reference == "start":
            data.FrameReferenceTime = f"{(start - self.frames[0][0] + within) * 1000:.1f}"
        elif self.reference == "zero":
            data.FrameReferenceTime = "0"

    def _injection_tags(self, data: Dataset) -> None:
        item, code = Dataset(), Dataset()
        item.Radiopharmaceutical = self.tracer
        item.RadionuclideTotalDose = "301700000"
        item.RadiopharmaceuticalVolume = "9.5"
        item.RadiopharmaceuticalSpecificActivity = "2.1e11"
        item.RadionuclideHalfLife = str(self.half_life)
        code.CodeValue, code.CodingSchemeDesignator = "C-111A1", "SRT"
        code.CodeMeaning = self.nuclide
        item.RadionuclideCodeSequence = DicomSequence([code])
        if self.injection_tags in ("both", "time"):
            item.RadiopharmaceuticalStartTime = f"{self.injection:%H%M%S.%f}"
        if self.injection_tags in ("both", "datetime"):
            item.RadiopharmaceuticalStartDateTime = f"{self.injection:%Y%m%d%H%M%S.%f}"
        data.RadiopharmaceuticalInformationSequence = DicomSequence([item])

    def write(self, folder: Path, person: Person | None = None) -> list[Path]:
        """Write the files of the series."""
        return write_files(folder, fresh_files(self, person, None))


@dataclass
class Mr:
    """An MR series; as made, a 3D MPRAGE of 3 mm."""

    acquired: datetime = datetime(2021, 2, 16, 9, 0)
    description: str = "t1_mprage"
    protocol: str = ""
    sequence: Sequence[str] = ("GR", "IR")
    variant: Sequence[str] = ("SP", "MP")
    acquisition: str = "3D"
    echo: float = 3.98
    repetition: float = 2250
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "M", "ND", "NORM")
    step: float = 3.0
    spacing: float = 8.0
    shape: tuple[int, int] = (24, 22)
    positions: Sequence[int] = tuple(range(36))
    contrast: str = ""
    number: int = 2
    flip: float = 9
    inversion: float = 0  # ms
    options: Sequence[str] = ()
    field: float = 0  # T

    def datasets(self, person: Person | None = None, study: str | None = None) -> Iterator[Dataset]:
        """One data set per slice; sagittal slices, as MPRAGE is."""
        ramp = np.add.outer(*map(np.arange, self.shape)) * 10
        slices = copies(self._common_tags(person or Person(), study or generate_uid()))
        for index, data in zip(self.positions, slices, strict=False):
            data.InstanceNumber = index + 1
            position = (self.step * index - 75.0, -90.0, 95.0)
            place(data, self.shape, (self.spacing, self.spacing), position, self.step)
            data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
            noise = np.random.default_rng(index).integers(0, 5, ramp.shape)
            set_pixels(data, ramp + 7 * index + noise, None)
            yield data

    def _common_tags(self, person: Person, study_uid: str) -> Dataset:
        data = base(person, MR_CLASS, study_uid, generate_uid())
        data.Modality, data.Manufacturer = "MR", "SIEMENS"
        data.ManufacturerModelName = "TrioTim"
        data.SeriesDescription = self.description
        data.ProtocolName = self.protocol or self.description
        data.SeriesNumber = self.number
        data.ImageType = list(self.image_type)
        data.ScanningSequence, data.SequenceVariant = list(self.sequence), list(self.variant)
        data.MRAcquisitionType, data.EchoTime = self.acquisition, str(self.echo)
        data.RepetitionTime, data.FlipAngle = str(self.repetition), f"{self.flip:g}"
        if self.inversion:
            data.InversionTime = f"{self.inversion:g}"
        if self.options:
            data.ScanOptions = list(self.options)
        if self.field:
            data.MagneticFieldStrength = f"{self.field:g}"
        data.PerformedProcedureStepDescription = f"{person.name}^Protocol"
        if self.contrast:
            data.ContrastBolusAgent = self.contrast
        for kind in ("Study", "Series", "Acquisition"):
            set_times(data, kind, self.acquired)
        return data

    def write(
        self, folder: Path, person: Person | None = None, study: str | None = None
    ) -> list[Path]:
        """Write the files of the series."""
        return write_files(folder, fresh_files(self, person, study))


ENHANCED = {"MR": "1.2.840.10008.5.1.4.1.1.4.1", "PT": "1.2.840.10008.5.1.4.1.1.130"}


def enhanced(slices: Sequence[Dataset]) -> Dataset:
    """One enhanced multi-frame object (PS3.3 A.36, A.56) of what single slices say."""
    first = slices[0]
    whole = Dataset()
    for keyword in (
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
        *("PatientName", "PatientID", "PatientBirthDate", "PatientPosition", "Modality"),
        *("Manufacturer", "ManufacturerModelName", "SeriesDescription", "ProtocolName"),
        *("SeriesNumber", "StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "ImageType"),
        *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
        *("BitsStored", "HighBit", "PixelRepresentation", "MRAcquisitionType"),
    ):
        if keyword in first:
            setattr(whole, keyword, first.get(keyword))
    whole.SOPClassUID = ENHANCED[first.Modality]
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.InstanceNumber, whole.NumberOfFrames = 1, len(slices)
    shared = Dataset()
    _group(shared, "PixelMeasuresSequence", first, "PixelSpacing", "SliceThickness")
    _group(shared, "PlaneOrientationSequence", first, "ImageOrientationPatient")
    if first.Modality == "PT":
        _enhanced_pet(
            whole, min(slices, key=lambda data: data.AcquisitionDate + data.AcquisitionTime)
        )
    else:
        whole.EchoPulseSequence, whole.EchoPlanarPulseSequence = "GRADIENT", "NO"
        whole.InversionRecovery, whole.Spoiling = "YES", "RF"
        item = Dataset()
        item.EffectiveEchoTime = float(first.EchoTime)
        shared.MREchoSequence = DicomSequence([item])
        _group(shared, "MRTimingAndRelatedParametersSequence", first, "RepetitionTime", "FlipAngle")
    whole.SharedFunctionalGroupsSequence = DicomSequence([shared])
    times = sorted({data.AcquisitionDate + data.AcquisitionTime for data in slices})
    z_order = sorted({float(data.ImagePositionPatient[2]) for data in slices})
    whole.PerFrameFunctionalGroupsSequence = DicomSequence(
        [_frame_groups(data, times, z_order) for data in slices]
    )
    names = ("StackID", "TemporalPositionIndex", "InStackPositionNumber")
    index = [pydicom.datadict.tag_for_keyword(name) for name in names]
    items = []
    for pointer in index:
        item = Dataset()
        item.DimensionIndexPointer = pointer
        item.FunctionalGroupPointer = pydicom.datadict.tag_for_keyword("FrameContentSequence")
        items.append(item)
    whole.DimensionIndexSequence = DicomSequence(items)
    whole.PixelData = b"".join(data.PixelData for data in slices)
    return whole


def _enhanced_pet(whole: Dataset, first: Dataset) -> None:
    whole.DecayCorrected = "YES" if "DECY" in first.CorrectedImage else "NO"
    whole.AttenuationCorrected = "YES" if "ATTN" in first.CorrectedImage else "NO"
    whole.AttenuationCorrectionSource = "CT"
    item = first.RadiopharmaceuticalInformationSequence[0]
    whole.RadiopharmaceuticalInformationSequence = DicomSequence([item])
    injection = item.RadiopharmaceuticalStartDateTime
    start = first.AcquisitionDate + first.AcquisitionTime
    if whole.DecayCorrected == "YES":
        whole.DecayCorrectionDateTime = injection if first.DecayCorrection == "ADMIN" else start


def _frame_groups(data: Dataset, times: Sequence[str], z_order: Sequence[float]) -> Dataset:
    groups = Dataset()
    _group(groups, "PlanePositionSequence", data, "ImagePositionPatient")
    content = Dataset()
    moment = data.AcquisitionDate + data.AcquisitionTime
    content.FrameAcquisitionDateTime = content.FrameReferenceDateTime = moment
    content.FrameAcquisitionDuration = float(data.get("ActualFrameDuration", 1))
    content.StackID, content.TemporalPositionIndex = "1", times.index(moment) + 1
    content.InStackPositionNumber = z_order.index(float(data.ImagePositionPatient[2])) + 1
    content.DimensionIndexValues = [
        1, content.TemporalPositionIndex, content.InStackPositionNumber
    ]  # fmt: skip
    groups.FrameContentSequence = DicomSequence([content])
    kind = Dataset()
    kind.FrameType = list(data.ImageType)
    setattr(groups, f"{'PET' if data.Modality == 'PT' else 'MRImage'}FrameTypeSequence", [kind])
    if "RescaleSlope" in data:
        _group(groups, "PixelValueTransformationSequence", data, "RescaleSlope", "RescaleIntercept")
        groups.PixelValueTransformationSequence[0].RescaleType = "US"
    if data.Modality == "PT":
        if "DecayFactor" in data:
            _group(groups, "PETFrameCorrectionFactorsSequence", data, "DecayFactor")
        mapping, unit = Dataset(), Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator = "Bq/ml", "UCUM"
        unit.CodeMeaning = "Becquerels/milliliter"
        mapping.MeasurementUnitsCodeSequence = DicomSequence([unit])
        mapping.RealWorldValueSlope = float(data.RescaleSlope)
        mapping.RealWorldValueIntercept = 0.0
        groups.RealWorldValueMappingSequence = DicomSequence([mapping])
    return groups


def _group(holder: Dataset, sequence: str, source: Dataset, *keywords: str) -> None:
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, source.get(keyword))
    setattr(holder, sequence, DicomSequence([item]))


def base(person: Person, sop_class: str, study_uid: str, series_uid: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = study_uid, series_uid
    data.FrameOfReferenceUID = study_uid
    data.PatientName, data.PatientID = person.name, person.patient_id
    data.PatientBirthDate, data.PatientSex = person.birth, person.sex
    data.ReferringPhysicianName = "Hausarzt^Hans"
    data.InstitutionName = "Krankenhaus"
    data.PatientPosition = "HFS"
    return data


def copies(common: Dataset) -> Iterator[Dataset]:
    """Data sets that say the same, each under a UID of its own; reading is quicker than setting."""
    common.add_new("PixelData", "OW", b"")
    content = encoded(common)
    while True:
        data = pydicom.dcmread(BytesIO(content))
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        yield data


def set_times(data: Dataset, kind: str, moment: datetime) -> None:
    setattr(data, f"{kind}Date", f"{moment:%Y%m%d}")
    setattr(data, f"{kind}Time", f"{moment:%H%M%S.%f}")


def place(
    data: Dataset,
    shape: tuple[int, int],
    spacing: tuple[float, float],
    position: tuple[float, float, float],
    step: float,
) -> None:
    data.Rows, data.Columns = shape
    data.PixelSpacing = [f"{value:g}" for value in spacing]
    data.ImagePositionPatient = [f"{value:.4f}" for value in position]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.SliceThickness = data.SpacingBetweenSlices = f"{step:g}"


def set_pixels(data: Dataset, pixels: np.ndarray, slope: float | None) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    if slope is not None:
        data.RescaleSlope, data.RescaleIntercept = f"{slope:.6g}", "0"
    data.PixelData = pixels.astype("<i2").tobytes()


def write(folder: Path, datasets: Iterable[Dataset]) -> list[Path]:
    return write_files(folder, map(encoded, datasets))


def write_files(folder: Path, contents: Iterable[bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, content in enumerate(contents, start=len(list(folder.iterdir()))):
        paths.append(folder / f"I{number:05d}")
        paths[-1].write_bytes(content)
    return paths


def encoded(data: Dataset) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Files:
    """The files of a series as first made; ``uids`` has the own one of each."""

    contents: list[bytes]
    uids: list[bytes]
    series: bytes
    study: bytes


_MADE: dict[str, _Files] = {}


def fresh_files(series: Pet | Mr, person: Person | None, study: str | None) -> Iterator[bytes]:
    """The files of a series under new UIDs: encoding is slow, and most studies are alike."""
    key = repr((series, person, study))
    if key not in _MADE:
        made = list(series.datasets(person, study))
        _MADE[key] = _Files(
            list(map(encoded, made)),
            [data.SOPInstanceUID.encode() for data in made],
            made[0].SeriesInstanceUID.encode(),
            made[0].StudyInstanceUID.encode(),
        )
    kept = _MADE[key]
    common = {kept.series: _renewed(kept.series)}
    if study is None:
        common[kept.study] = _renewed(kept.study)
    for content, uid in zip(kept.contents, kept.uids, strict=True):
        for old, new in (common | {uid: _renewed(uid)}).items():
            content = content.replace(old, new)
        yield content


def _renewed(uid: bytes) -> bytes:
    """Another UID of the same length."""
    return uid[:-18] + b"%018d" % secrets.randbelow(10**18)


def many_files(folder: Path, total: int) -> None:
    """Write ``total`` files of PETs of 100 images each, one a person, a thousand per folder."""
    images = []
    for data in Pet(n_slices=25).datasets():
        data.PatientID = data.PatientName = "PERSON000000"
        of_series = (data.SeriesInstanceUID, data.StudyInstanceUID, data.PatientID)
        images.append((encoded(data), data.SOPInstanceUID, of_series))
    for number in range(total):
        content, image, of_series = images[number % len(images)]
        owners = {image: number, **dict.fromkeys(of_series, number // len(images))}
        for name, own in owners.items():
            content = content.replace(name.encode(), f"{name[:-6]}{own:06d}".encode())
        place = folder / f"{number // 1000}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}").write_bytes(content)
