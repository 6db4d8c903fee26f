"""NIfTI images with their JSON sidecars, and ECAT 7 files, told in the words of DICOM.

Every slice of every frame becomes a `Header` with the tags that a DICOM file of it would have, so
that classification, time model, identity and decision table are the same for all input.  What the
sidecar calls otherwise, or counts in another unit, is translated by ``[volumes]`` of
``tables.toml``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.ecat import EcatImage
from numpy.typing import NDArray

from bidsapp.bids.pet_metadata import clock_seconds, is_number
from bidsapp.dicom.header import MIDNIGHT, YEARS, Header, Values
from bidsapp.dicom.tables import name_matches, tables
from bidsapp.dicom.timing import mean_decay_moment
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.nifti import load_volume, read_shape

_EQUALISED = r"_Eq(_\d+)?$"
_NIFTI = (".nii", ".nii.gz")
_ECAT = ".v"
_NO_DAY = MIDNIGHT + timedelta(days=1)  # there is a day before it in the year without dates
_SMALLEST_VOXEL_MM3 = 1e-6
_LONGEST_S = 1e7  # four months
_ROUNDING_S = 0.11  # six digits of 9999.9 s, twice
_HASHED = 2**20  # bytes of an image that tell it from others
_HEAD_FIRST_SUPINE, _UNKNOWN_ORIENTATION = 3, 8
_ECAT_DECAY_CORRECTED = 512  # bit of corrections_applied
_MAX_DOSE_MBQ = 1e5  # a larger number is in Bq, whatever the sidecar says


def is_volume(path: Path) -> bool:
    """Tell by its name whether a file is an image this module reads."""
    return path.name.lower().endswith((*_NIFTI, _ECAT))


def read_volume(path: Path) -> list[Header]:
    """Read what is known of a NIfTI or ECAT image, without its voxels.

    Returns
    -------
    list of Header
        One per slice and frame, frame by frame; none when the file only has the name of one.

    Raises
    ------
    BadDataError
        The image or its sidecar is broken.
    """
    if path.name.lower().endswith(_ECAT):
        with path.open("rb") as file:
            if file.read(6) != b"MATRIX":
                return []
        ecat = _load(path, EcatImage)
        return list(_slices(path, ecat.shape, ecat.affine, *_ecat_tags(ecat, path)))
    try:
        shape = (*read_shape(path), 1)[:4]
    except CentipetError as error:
        raise BadDataError(str(error).replace(str(path), path.name)) from error
    tags = _nifti_tags(read_sidecar(path), path, shape[3])
    return list(_slices(path, shape, _load(path, nib.Nifti1Image).affine, *tags))


def in_words_of(path: Path, text: str) -> str:
    """Say what DICOM calls something in the words of a sidecar, for an image that has one."""
    if not is_volume(path):
        return text
    names = {keyword: key for key, keyword in tables()["volumes"]["tags"].items()}
    names |= tables()["volumes"]["words"]
    return re.sub(r"\(\w{4},\w{4}\) (\w+)", lambda tag: names.get(tag[1], tag[1]), text)


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON of a NIfTI image; empty when there is none.

    Raises
    ------
    BadDataError
        It is no JSON object.
    """
    side = path.with_name(f"{_stem(path)}.json")
    if not side.exists():  # dcm2niix writes none for the equalised image
        side = path.with_name(re.sub(_EQUALISED, "", _stem(path)) + ".json")
    if not side.exists() or not is_volume(path):
        return {}
    try:
        content = json.loads(side.read_text("utf-8-sig"))
    except ValueError as error:
        raise BadDataError(f"{side.name}: is no JSON; correct or remove it") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{side.name}: must hold one JSON object of names and values")
    return content


def load_image(path: Path) -> nib.Nifti1Image:
    """Load an image as NIfTI; an ECAT file is calibrated and turned to RAS.

    Raises
    ------
    BadDataError
        It cannot be read.
    """
    if not path.name.lower().endswith(_ECAT):
        stored = _load(path, nib.Nifti1Image)
        scaled = stored.header.get_slope_inter() != (None, None)
        dtype = np.float32 if scaled else stored.get_data_dtype()
        volume = load_volume(path, dtype=dtype)  # refuses a file that is cut
        return nib.Nifti1Image(volume.data, volume.affine, dtype=dtype)
    ecat = _load(path, EcatImage)
    reader = ecat.get_subheaders()
    # ECAT stores from the left, the front and the head; "neurological" turns all three axes.
    frames = [reader.data_from_fileobj(i, "neurological") for i in _frames_in_time(ecat)]
    image = nib.Nifti1Image(np.stack(frames, axis=-1).astype(np.float32), ecat.affine)
    image.header.set_xyzt_units("mm", "sec")
    return image


def _load(path: Path, kind: Any) -> Any:
    try:
        return kind.from_filename(path)
    except Exception as error:  # nibabel and gzip raise many classes on broken files
        raise BadDataError(
            f"{path.name}: cannot be read as {kind.__name__} ({type(error).__name__}); export it "
            "again"
        ) from error


def _slices(
    path: Path,
    shape: Sequence[int],
    affine: NDArray[np.float64],
    common: Values,
    frames: Sequence[Values],
) -> Iterator[Header]:
    """Headers of the slices of an image, each with its place in space.

    Parameters
    ----------
    shape, affine : of the image; the affine counts in mm, RAS
    common : tags of the whole image
    frames : tags of each frame
    """
    if abs(np.linalg.det(affine[:3, :3])) < _SMALLEST_VOXEL_MM3:
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
            yield Header(path, {**common, **frame, **place}, index)


def _uid(path: Path) -> str:
    """Name an image by what it holds, so that a copy of it is the same series."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_HASHED))
    digest.update(f"{path.stat().st_size} {read_sidecar(path)}".encode())
    return f"volume-{digest.hexdigest()[:32]}"


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(f"{value:.9g}" for value in np.ravel(values))


# --------------------------------------------------------------------------------------- NIfTI


def _nifti_tags(
    sidecar: Mapping[str, Any], path: Path, n_frames: int
) -> tuple[Values, list[Values]]:
    """Tags of a NIfTI image and of its frames, as its sidecar gives them."""
    table = tables()["volumes"]
    name = _stem(path)
    tags: Values = {"SeriesDescription": (name,)}
    for key, keyword in table["tags"].items():
        value = sidecar.get(key)
        if value not in (None, "", [], "n/a") and not isinstance(value, dict):
            tags[keyword] = tuple(str(v) for v in (value if isinstance(value, list) else [value]))
    for keyword in table["split"]:
        tags[keyword] = tuple(re.split(r"[\\_]", " ".join(tags.get(keyword, ()))))
    for key, keyword in table["milliseconds"].items():
        if (value := _number(sidecar.get(key))) is not None:
            tags[keyword] = (f"{value * 1000:.9g}",)
    if reason := _left_out(path):
        tags["LeftOut"] = (reason,)
    tags["Modality"] = (_modality(sidecar, tags, name),)
    if tags["Modality"] != ("PT",):
        return tags | _moment("Acquisition", _scan_start(sidecar)), [{}] * n_frames
    tags |= _dose(sidecar) | _decay(sidecar) | _injection(sidecar)
    return tags, _frames(sidecar, n_frames)


def _left_out(path: Path) -> str | None:
    """Why one of several images that dcm2niix made of a series is not the one to use."""
    name = _stem(path)
    if any(
        re.search(_EQUALISED, _stem(other)) for other in path.parent.glob(f"{name}_[eE]q*.nii*")
    ):
        return "slices are missing in it; the equalised image of dcm2niix beside it has its place"
    return "dcm2niix made it from another image" if name_matches("remade", name) else None


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _modality(sidecar: Mapping[str, Any], tags: Values, name: str) -> str:
    """Modality by the sidecar; without it by what only a PET has, then by the name."""
    if tags.get("Modality"):
        return tags["Modality"][0]
    if "FrameDuration" in sidecar or "Radiopharmaceutical" in tags:
        return "PT"
    return "MR" if name_matches("t1w", name) else "unknown"


def _dose(sidecar: Mapping[str, Any]) -> Values:
    """Injected activity in Bq.

    Versions of dcm2niix until 2025 wrote becquerels and called them MBq.
    """
    dose = _number(sidecar.get("InjectedRadioactivity"))
    if dose is None:
        return {}
    unit = str(sidecar.get("InjectedRadioactivityUnits", "Bq")).lower()
    factor = tables()["volumes"]["dose_units"].get(unit, 1.0) if dose < _MAX_DOSE_MBQ else 1.0
    return {"RadionuclideTotalDose": (f"{dose * factor:.9g}",)}


def _decay(sidecar: Mapping[str, Any]) -> Values:
    """Decay correction of a sidecar without DICOM's own word for it."""
    corrected, after_zero = (
        sidecar.get(key) for key in ("ImageDecayCorrected", "ImageDecayCorrectionTime")
    )
    if "DecayCorrection" in sidecar or not isinstance(corrected, bool):
        return {}
    if not corrected:
        return {"DecayCorrection": ("NONE",)}
    zero, seconds = _time_zero(sidecar), _seconds(after_zero)
    if zero is None or seconds is None:
        return {"CorrectedImage": ("ATTN", "DECY")}  # the time model asks the factors
    return _moment("DecayCorrection", zero + timedelta(seconds=seconds))


def _injection(sidecar: Mapping[str, Any]) -> Values:
    """Time of day of the injection; dcm2niix does not write it, PET-BIDS has InjectionStart."""
    zero, seconds = _time_zero(sidecar), _seconds(sidecar.get("InjectionStart"))
    if zero is None or seconds is None or "TimeZero" not in sidecar:
        return {}
    return {"RadiopharmaceuticalStartTime": (f"{zero + timedelta(seconds=seconds):%H%M%S.%f}",)}


def _frames(sidecar: Mapping[str, Any], n_frames: int) -> list[Values]:
    """Times and decay factors of every frame."""
    start, offsets = _scan_start(sidecar), _list(sidecar, n_frames, "FrameTimesStart")
    if offsets and None in map(_seconds, offsets):
        offsets = None
    if offsets is None:
        offsets = _back_to_back(sidecar, n_frames)
    columns: dict[str, Sequence[str]] = {}
    for keyword, scale, keys in (
        ("ActualFrameDuration", 1000, ("FrameDuration",)),
        ("FrameReferenceTime", 1000, ("FrameReferenceTime",)),
        ("DecayFactor", 1, ("DecayCorrectionFactor", "DecayFactor")),
    ):
        if values := _list(sidecar, n_frames, *keys):
            columns[keyword] = [f"{value * scale:.9g}" for value in values]
    frames: list[Values] = [
        {keyword: (values[i],) for keyword, values in columns.items()} for i in range(n_frames)
    ]
    for i, frame in enumerate(frames):
        since = timedelta(seconds=offsets[i] - offsets[0] if offsets else 0.0)
        frame |= _moment("Acquisition", start and start + since)
        frame["TemporalPositionIdentifier"] = (str(i + 1),)
    return frames


def _back_to_back(sidecar: Mapping[str, Any], n_frames: int) -> list[float] | None:
    """Starts of frames without pauses, when FrameReferenceTime agrees but for its rounding.

    dcm2niix writes six digits, which is too few for the time model to see that frames touch.
    """
    durations = _list(sidecar, n_frames, "FrameDuration")
    if n_frames == 1 or durations is None:
        return [0.0] if n_frames == 1 else None
    half_life = _number(sidecar.get("RadionuclideHalfLife"))
    references = _list(sidecar, n_frames, "FrameReferenceTime")
    starts = [sum(durations[:i]) for i in range(n_frames)]
    if references is None or min(durations) < 1e-3 or (half_life is not None and half_life < 1):
        return None
    moments = [s + mean_decay_moment(d, half_life) for s, d in zip(starts, durations, strict=True)]
    off = [r - m for r, m in zip(references, moments, strict=True)]
    return starts if max(off) - min(off) <= _ROUNDING_S else None


def _time_zero(sidecar: Mapping[str, Any]) -> datetime | None:
    """TimeZero on the day that suits AcquisitionTime.

    What counts from it in a sidecar of dcm2niix without it counts from the scan.
    """
    seconds, acquired = clock_seconds(sidecar.get("TimeZero")), _acquisition(sidecar)
    if seconds is None or acquired is None:
        return acquired if seconds is None else _NO_DAY + timedelta(seconds=seconds)
    start = acquired - timedelta(seconds=_seconds(sidecar.get("ScanStart")) or 0.0)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=shift, seconds=seconds) for shift in (-1, 0, 1)]
    return min(days, key=lambda zero: abs(zero - start))


def _scan_start(sidecar: Mapping[str, Any]) -> datetime | None:
    """Start of the first frame: AcquisitionTime, else by TimeZero."""
    if (acquired := _acquisition(sidecar)) is not None:
        return acquired
    zero, seconds = _time_zero(sidecar), _seconds(sidecar.get("ScanStart"))
    if seconds is None:
        starts = sidecar.get("FrameTimesStart")
        seconds = _seconds(starts[0] if isinstance(starts, list) and starts else starts)
    return zero and zero + timedelta(seconds=seconds or 0.0)


def _acquisition(sidecar: Mapping[str, Any]) -> datetime | None:
    """AcquisitionDateTime or, in the year 1900, AcquisitionTime."""
    try:
        moment = datetime.fromisoformat(str(sidecar["AcquisitionDateTime"])).replace(tzinfo=None)
        if moment.year in YEARS:
            return moment
    except (KeyError, ValueError):
        pass
    seconds = clock_seconds(sidecar.get("AcquisitionTime"))
    return None if seconds is None else _NO_DAY + timedelta(seconds=seconds)


def _moment(kind: str, moment: datetime | None) -> Values:
    return {} if moment is None else {f"{kind}DateTime": (f"{moment:%Y%m%d%H%M%S.%f}",)}


def _list(sidecar: Mapping[str, Any], length: int, *keys: str) -> list[float] | None:
    """Return the first of ``keys`` that holds one number per frame."""
    for key in keys:
        value = sidecar.get(key)
        values = [_number(item) for item in (value if isinstance(value, list) else [value])]
        if len(values) == length and None not in values:
            return [value for value in values if value is not None]
    return None


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _seconds(value: object) -> float | None:
    """Return a number of seconds that a clock can count."""
    number = _number(value)
    return number if number is not None and abs(number) < _LONGEST_S else None


# ---------------------------------------------------------------------------------------- ECAT


def _ecat_tags(ecat: EcatImage, path: Path) -> tuple[Values, list[Values]]:
    """Tags of an ECAT image and of its frames; the clock of ECAT counts in UTC."""
    header = ecat.header
    if int(header["patient_orientation"]) not in (_HEAD_FIRST_SUPINE, _UNKNOWN_ORIENTATION):
        raise BadDataError(
            f"{path.name}: patient_orientation is {ecat.header.get_patient_orient()}; only head "
            "first and supine is read, so convert it to NIfTI with a sidecar first"
        )
    fields = tables()["volumes"]["ecat"]
    texts = {k: bytes(header[field].item()) for field, k in fields.items()}
    tags: Values = {
        "Modality": ("PT",),
        "Manufacturer": ("CTI/Siemens ECAT",),
        **{k: (v.decode("latin-1").strip(" \0"),) for k, v in texts.items() if v.strip(b" \0")},
    }
    for keyword, field in (("RadionuclideHalfLife", "isotope_halflife"),
                           ("RadionuclideTotalDose", "dosage")):  # fmt: skip
        if (value := float(header[field])) > 0:
            tags[keyword] = (f"{value:.9g}",)
    scan, dose = (int(header[f"{name}_start_time"]) for name in ("scan", "dose"))
    if dose:
        tags |= _moment("RadiopharmaceuticalStart", _utc(dose))
    if int(header["patient_orientation"]) == _UNKNOWN_ORIENTATION:
        tags["Remark"] = ("patient_orientation is unknown, head first and supine was assumed",)
    frames = [_ecat_frame(ecat.get_subheaders().subheaders[i], scan) for i in _frames_in_time(ecat)]
    tags["DecayCorrection"] = (frames[0].pop("DecayCorrection")[0],)
    return tags, frames


def _ecat_frame(sub: Any, scan: int) -> Values:
    """Tags of one frame; its times count in ms from the start of the scan."""
    corrected = int(sub["corrections_applied"]) & _ECAT_DECAY_CORRECTED
    start = timedelta(milliseconds=int(sub["frame_start_time"]))
    frame = {
        "ActualFrameDuration": (str(int(sub["frame_duration"])),),
        "DecayCorrection": ("START" if corrected else "NONE",),
        **(_moment("Acquisition", _utc(scan) + start) if scan else {}),
    }
    if corrected and float(sub["decay_corr_fctr"]) > 0:
        frame["DecayFactor"] = (f"{float(sub['decay_corr_fctr']):.7g}",)
    return frame


def _frames_in_time(ecat: EcatImage) -> list[int]:
    """Places of the frames in an ECAT file, in the order of their starts."""
    starts = [int(sub["frame_start_time"]) for sub in ecat.get_subheaders().subheaders]
    return sorted(range(len(starts)), key=starts.__getitem__)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
