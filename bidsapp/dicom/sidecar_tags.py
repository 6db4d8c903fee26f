"""What the sidecar of a NIfTI image says, in the tags of DICOM.

Three generations of dcm2niix and PET-BIDS call things differently and count from different zeros:
``[nifti_ecat]`` of ``tables.toml`` has the names, this module the times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from bidsapp.bids.limits import YEARS
from bidsapp.bids.pet_kind import other_modality
from bidsapp.bids.sidecar_keys import in_right_case
from bidsapp.bids.sidecar_times import (
    clock_doubt,
    decay_reference,
    in_seconds,
    settled_frames,
    without_text,
)
from bidsapp.bids.values import UNDATED, as_list, clock_seconds, is_number, midnight, number_in
from bidsapp.core.frames.decay import mean_decay_moment
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tracers import known_tracer
from bidsapp.dicom.frame_starts import first_frame_after
from bidsapp.dicom.habits import name_matches, tables
from bidsapp.dicom.header import FILE_NAME, PERSON_NAMES, Values
from bidsapp.dicom.remarks import TIMES
from bidsapp.errors import BadDataError
from bidsapp.io.image_names import json_beside, nifti_stem
from bidsapp.io.reading import parse_json, read_bytes

_EQUALISED = r"_Eq(_\d+)?$"
_NO_DAY = UNDATED + timedelta(days=1)  # there is a day before it in the year without dates
_LONGEST_S = 1e7  # four months
_ROUNDING_S = 0.11  # six digits of 9999.9 s, twice
_MAX_DOSE_MBQ = 1e5  # a larger number is in Bq, whatever the sidecar says


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON of a NIfTI image; empty when there is none.

    Parameters
    ----------
    path : of the image

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        It is not a JSON object, or contradicts itself.
    """
    side = json_beside(path)
    if not side.exists():  # dcm2niix writes none for the equalised image
        side = path.with_name(re.sub(_EQUALISED, "", nifti_stem(path)) + ".json")
    if not side.exists():
        return {}
    try:
        content = lenient_json(read_bytes(side))
    except (OSError, ValueError) as error:
        raise BadDataError(f"{side.name}: is not valid JSON; correct or remove it") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{side.name}: must hold one JSON object of names and values")
    return in_right_case(content, Path(side.name))


def lenient_json(content: bytes) -> Any:
    """JSON as dcm2niix writes it: texts of a header stand in it with the bytes they have there.

    Escape bytes and letters of other character sets are read as they can be; a line whose text
    ends early because a character of two bytes looks like a quotation mark is left out.

    Parameters
    ----------
    content : of the file

    Returns
    -------
    Any

    Raises
    ------
    ValueError
        It is not JSON for another reason.
    """
    text = content.decode("utf-8-sig", errors="replace")
    try:
        return parse_json(text, strict=False)
    except ValueError:
        kept = [line for line in text.split("\n") if not _is_broken_text(line)]
        return parse_json(re.sub(r",(\s*\})", r"\1", "\n".join(kept)), strict=False)


def _is_broken_text(line: str) -> bool:
    """Report a name with a text that cannot be read."""
    if not re.match(r'\s*"\w+":\s*"', line):
        return False
    try:
        parse_json(f"{{{line.strip().removesuffix(',')}}}", strict=False)
    except ValueError:
        return True
    return False


def nifti_tags(
    sidecar: Mapping[str, Any], path: Path, n_frames: int
) -> tuple[Values, list[Values], tuple[Flag, ...]]:
    """Tags of a NIfTI image and of its frames, as its sidecar gives them, and remarks.

    Parameters
    ----------
    sidecar : as it was read
    path : of the image
    n_frames : length of its fourth axis, 1 for a volume

    Returns
    -------
    (Values, list of Values, tuple of Flag)
    """
    table = tables()["nifti_ecat"]
    name = nifti_stem(path)
    sidecar, doubts = _as_bids_counts(sidecar, n_frames)
    tags: Values = {"SeriesDescription": (name,), FILE_NAME: (name,)}
    names = [key for key in sidecar if _is_person_name(key)]
    tags[PERSON_NAMES] = tuple(str(sidecar[key]) for key in sorted(names))
    for key, keyword in table["tags"].items():
        value = sidecar.get(key)
        if value not in (None, "", [], "n/a") and not isinstance(value, dict):
            tags[keyword] = tuple(map(str, as_list(value)))
    for keyword in table["split"]:
        tags[keyword] = tuple(re.split(r"[\\_]", " ".join(tags.get(keyword, ()))))
    for key, keyword in table["milliseconds"].items():
        if (value := _number(sidecar.get(key))) is not None:
            tags[keyword] = (f"{value * 1000:.9g}",)
    if reason := _left_out(path):
        tags["LeftOut"] = (reason,)
    tags["Modality"] = (_modality(sidecar, tags, name),)
    if tags["Modality"] != ("PT",):
        return tags | moment_tag("Acquisition", _acquisition(sidecar)[0]), [{}] * n_frames, ()
    decay, about_decay = _decay(sidecar)
    doubts += (*_clock_doubts(sidecar, n_frames), *about_decay)
    tags |= _dose(sidecar) | decay | _injection(sidecar)
    remarks = dict.fromkeys(Flag(TIMES, doubt.message.rstrip(".")) for doubt in doubts)
    return tags, _frames(sidecar, n_frames), tuple(remarks)


def _as_bids_counts(
    sidecar: Mapping[str, Any], n_frames: int
) -> tuple[Mapping[str, Any], tuple[Flag, ...]]:
    """A sidecar with numbers in s and without empty frames, and what was done to it."""
    sidecar, as_text = without_text(sidecar)
    name = str(sidecar.get("TracerName") or sidecar.get("Radiopharmaceutical") or "")
    tracer = known_tracer(name)
    try:
        sidecar, units = in_seconds(sidecar, None if tracer is None else tracer.window_s)
    except BadDataError as error:  # the times may be stated, or no PET
        return sidecar, (Flag(TIMES, str(error)),)
    sidecar, empty = settled_frames(sidecar, n_frames)
    return sidecar, (*as_text, *units, *empty)


def _clock_doubts(sidecar: Mapping[str, Any], n_frames: int) -> list[Flag]:
    """What is doubtful about the time of day of the scan."""
    acquired, doubt = _acquisition(sidecar)
    doubts = [doubt] if doubt else []
    if acquired is None and _by_series(sidecar) is not None and "TimeZero" not in sidecar:
        doubts.append(worded_flag("times", "sidecar-by-series"))
    starts = _list(sidecar, n_frames, "FrameTimesStart")
    scan = _seconds(sidecar.get("ScanStart"))
    first = starts[0] if starts else scan
    if first is not None and scan is not None:
        # Frames that begin at 0 count from the scan.
        doubts += clock_doubt(sidecar, max(first, scan))
    return doubts


def _is_person_name(keyword: str) -> bool:
    """Whether DICOM says that a key of this name holds the name of a person."""
    tag = tag_for_keyword(keyword)
    return tag is not None and dictionary_VR(tag) == "PN"


def _left_out(path: Path) -> str | None:
    """Why one of several images that dcm2niix made of a series is not the one to use."""
    name = nifti_stem(path)
    others = map(nifti_stem, path.parent.glob(f"{name}_[eE]q*.nii*"))
    if any(re.search(_EQUALISED, other) for other in others):
        return "slices are missing in it; the equalised image of dcm2niix beside it has its place"
    return "dcm2niix made it from another image" if name_matches("remade", name) else None


def _modality(sidecar: Mapping[str, Any], tags: Values, name: str) -> str:
    """Modality by the sidecar; without it by what only one kind has, then by the names."""
    if tags.get("Modality"):
        return tags["Modality"][0]
    if "FrameDuration" in sidecar or "Radiopharmaceutical" in tags:
        return "PT"
    names = (name, *tags["SeriesDescription"])
    is_mr = other_modality(sidecar, "PT") or any(name_matches("t1w", text) for text in names)
    return "MR" if is_mr else "unknown"


def _dose(sidecar: Mapping[str, Any]) -> Values:
    """Injected activity in Bq.

    Versions of dcm2niix until 2025 wrote becquerels and called them MBq.
    """
    dose = number_in(sidecar.get("InjectedRadioactivity"))
    if dose is None:
        return {}
    unit = str(sidecar.get("InjectedRadioactivityUnits", "Bq")).lower()
    factor = tables()["nifti_ecat"]["dose_units"].get(unit, 1.0) if dose < _MAX_DOSE_MBQ else 1.0
    return {"RadionuclideTotalDose": (f"{dose * factor:.9g}",)}


def _decay(sidecar: Mapping[str, Any]) -> tuple[Values, Sequence[Flag]]:
    """Decay correction of a sidecar without DICOM's own word for it, and what is odd about it."""
    corrected, after_zero = (
        sidecar.get(key) for key in ("ImageDecayCorrected", "ImageDecayCorrectionTime")
    )
    if "DecayCorrection" in sidecar or not isinstance(corrected, bool):
        return {}, ()
    if not corrected:
        return {"DecayCorrection": ("NONE",)}, ()
    zero, seconds = _time_zero(sidecar), _number(after_zero)
    doubts: Sequence[Flag] = ()
    if zero is not None and seconds is not None:
        try:
            seconds, doubts = decay_reference(
                seconds,
                clock_seconds(sidecar.get("TimeZero")),
                _seconds(sidecar.get("InjectionStart")) or 0.0,
                _span(sidecar),
            )
            return moment_tag("DecayCorrection", zero + timedelta(seconds=seconds)), doubts
        except BadDataError as error:
            doubts = (Flag(TIMES, f"{error}: it was ignored"),)
    return {"CorrectedImage": ("ATTN", "DECY")}, doubts  # the time model asks the factors


def _span(sidecar: Mapping[str, Any]) -> tuple[float, float]:
    """Start and end of the scan in s after TimeZero, as far as the sidecar states them."""
    scan = _seconds(sidecar.get("ScanStart")) or 0.0
    columns = (sidecar.get(key) for key in ("FrameTimesStart", "FrameDuration"))
    starts, durations = (
        [v for item in as_list(column) if (v := _seconds(item)) is not None] for column in columns
    )
    first = max(scan, starts[0] if starts else 0.0)
    return first, first + (starts[-1] - starts[0] if starts else 0.0) + sum(durations)


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
        frame |= moment_tag("Acquisition", start and start + since)
        frame["TemporalPositionIdentifier"] = (str(i + 1),)
    return frames


def _back_to_back(sidecar: Mapping[str, Any], n_frames: int) -> list[float] | None:
    """Starts of frames without pauses, when FrameReferenceTime agrees except for its rounding.

    dcm2niix writes six digits, which is too few for the time model to see that frames touch.
    """
    durations = _list(sidecar, n_frames, "FrameDuration")
    if n_frames == 1 or durations is None:
        return [0.0] if n_frames == 1 else None
    half_life = number_in(sidecar.get("RadionuclideHalfLife"))
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
    seconds, acquired = clock_seconds(sidecar.get("TimeZero")), _acquisition(sidecar)[0]
    if seconds is None:
        return _by_series(sidecar) if acquired is None else acquired
    if acquired is None:
        return _NO_DAY + timedelta(seconds=seconds)
    start = acquired - timedelta(seconds=_seconds(sidecar.get("ScanStart")) or 0.0)
    return _nearest(seconds, start)


def _nearest(clock_s: float, moment: datetime) -> datetime:
    """Time of day in s, on the day that brings it nearest to a moment."""
    day = midnight(moment)
    days = [day + timedelta(days=shift, seconds=clock_s) for shift in (-1, 0, 1)]
    return min(days, key=lambda candidate: abs(candidate - moment))


def _scan_start(sidecar: Mapping[str, Any]) -> datetime | None:
    """Start of the first frame: AcquisitionTime, else by TimeZero, else by SeriesTime."""
    if (acquired := _acquisition(sidecar)[0]) is not None:
        return acquired
    if clock_seconds(sidecar.get("TimeZero")) is None:
        return _by_series(sidecar)
    zero, seconds = _time_zero(sidecar), _seconds(sidecar.get("ScanStart"))
    if seconds is None:
        starts = sidecar.get("FrameTimesStart")
        seconds = _seconds(starts[0] if isinstance(starts, list) and starts else starts)
    return zero and zero + timedelta(seconds=seconds or 0.0)


def _by_series(sidecar: Mapping[str, Any]) -> datetime | None:
    """Start of the first frame by SeriesTime.

    FrameReferenceTime counts from it and, as dcm2niix writes them since 2026, FrameTimesStart.
    """
    clock = clock_seconds(sidecar.get("SeriesTime"))
    if not clock:  # 00:00:00 stands for a time that was removed
        return None
    reference, duration, first = (
        _number(value[0] if isinstance(value, list) and value else value)
        for value in map(sidecar.get, ("FrameReferenceTime", "FrameDuration", "FrameTimesStart"))
    )
    half_life = number_in(sidecar.get("RadionuclideHalfLife"))
    after = 0.0
    plausible = duration is not None and 0 < duration < _LONGEST_S
    if first is not None and 0 < first < _LONGEST_S:
        after = first
    elif plausible and reference is not None and 0 <= reference < _LONGEST_S:
        usable = half_life if half_life is not None and half_life >= 1 else None
        after = first_frame_after(reference, duration or 0.0, usable)
    return _NO_DAY + timedelta(seconds=clock + after)


def _acquisition(sidecar: Mapping[str, Any]) -> tuple[datetime | None, Flag | None]:
    """AcquisitionDateTime or, in the year 1900, AcquisitionTime; and what is doubtful about it.

    AcquisitionTime counts on the clock of TimeZero, AcquisitionDateTime may have a zone of its own.
    """
    clock, day = clock_seconds(sidecar.get("AcquisitionTime")), None
    try:
        moment = datetime.fromisoformat(str(sidecar["AcquisitionDateTime"]))
    except (KeyError, ValueError):
        moment = None
    doubt = None
    if moment is not None and moment.year in YEARS:
        if moment.tzinfo is not None and not clock:
            doubt = worded_flag("times", "sidecar-zone")
        moment = moment.replace(tzinfo=None)
        day = midnight(moment)
        if moment != day and not clock:
            return moment, doubt
        if moment != day and clock:
            return _nearest(clock, moment), None
    if not clock:  # 00:00:00 stands for a time that was removed
        return None, None
    return (day or _NO_DAY) + timedelta(seconds=clock), None


def moment_tag(kind: str, moment: datetime | None) -> Values:
    """Tag of a moment: ``kind`` + ``DateTime``.

    Parameters
    ----------
    kind : keyword without ``DateTime``
    moment : None for no tag

    Returns
    -------
    Values
    """
    return {} if moment is None else {f"{kind}DateTime": (f"{moment:%Y%m%d%H%M%S.%f}",)}


def _list(sidecar: Mapping[str, Any], length: int, *keys: str) -> list[float] | None:
    """Return the first of ``keys`` that holds one number per frame."""
    for key in keys:
        value = sidecar.get(key)
        values = list(map(_number, as_list(value)))
        if len(values) == length and None not in values:
            return [value for value in values if value is not None]
    return None


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _seconds(value: object) -> float | None:
    """Return a number of seconds that a clock can count."""
    number = _number(value)
    return number if number is not None and abs(number) < _LONGEST_S else None
