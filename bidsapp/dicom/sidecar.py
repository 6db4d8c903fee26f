"""Sidecars of the raw dataset: every required key, and where each value comes from.

The sources stand in the sidecar itself, under the key ``CentiPET``: BIDS allows keys of an
application there, and so they travel with the values they explain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from bidsapp.bids.limits import DOSE_BQ
from bidsapp.bids.stated import STATED_KEYS
from bidsapp.bids.values import finite, map_text
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.data.tracers import Tracer, half_lives_s
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, tag_name
from bidsapp.dicom.nifti_ecat import in_words_of
from bidsapp.dicom.pet_frames import half_life
from bidsapp.dicom.scan_times import STATED, ScanClock, TimeModel
from bidsapp.dicom.words import known_words
from bidsapp.errors import BadDataError

Sidecar = dict[str, Any]
_CARRIED = "the sidecar of the image"
_NOT_STATED = "not in the headers; --dicom-metadata can supply it"
_IN_MBQ = {"InjectedRadioactivityUnits": ("MBq", "the unit of doses here, as none was stated")}
_NOT_IN_HEADERS = ("InjectedMass", "InjectedMassUnits", "SpecificRadioactivity",
                   "SpecificRadioactivityUnits")  # fmt: skip
_HALF_LIFE_TOLERANCE, _OTHER_NUCLIDE = 0.01, 0.05
_USUAL_DOSE_BQ = (3.7e7, 1.11e9)  # 1 to 30 mCi
_DOSE_UNITS = {"GBq": 1e9, "mCi": 3.7e7, "MBq": 1e6, "uCi": 3.7e4, "kBq": 1e3}


@dataclass(frozen=True)
class PetFacts:
    """What the sidecar of a PET is made of.

    Attributes
    ----------
    header : first header of the series
    clock, times : what its headers say about time, and the time model made of it
    tracer, tracer_source : the tracer and the tag or option that names it
    stated : values a person states (``--dicom-metadata``); they win
    carried : the sidecar an image came with; empty for DICOM
    units_source : what says that voxels are, or how they become, Bq/mL
    """

    header: Header
    clock: ScanClock
    times: TimeModel
    tracer: Tracer
    tracer_source: str
    stated: Mapping[str, Any]
    carried: Mapping[str, Any]
    units_source: str = ""

    @property
    def half_life_s(self) -> float:
        """Half-life by the headers, else of the tracer, s."""
        return self.clock.half_life_s or self.tracer.half_life_s


def pet_sidecar(facts: PetFacts, dcm2niix: Mapping[str, Any]) -> Sidecar:
    """Sidecar of a PET image.

    Parameters
    ----------
    facts : what is known of the series
    dcm2niix : the sidecar dcm2niix wrote, used for what it reads from private tags

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        A required value is missing or impossible.
    """
    header, tracer = facts.header, facts.tracer
    entries: dict[str, tuple[Any, str]] = {
        "TracerName": (tracer.name, facts.tracer_source),
        **_radiochemistry(header, tracer, facts.stated),
        **_times(facts.times),
        **_corrections(header, facts.clock),
        **_reconstruction(header, dcm2niix),
    }
    taken = {key: value for key, value in _taken("pet", dcm2niix).items() if key not in entries}
    carried = {key: finite(facts.carried.get(key)) for key in STATED_KEYS}
    kept = [key for key, value in carried.items() if value not in (None, "n/a")]
    known = ("InjectedRadioactivity", "InjectedRadioactivityUnits", "Manufacturer")
    entries.update({k: (_in_words(carried[k]), _CARRIED) for k in kept if k not in known})
    entries.update({key: (value, STATED) for key, value in facts.stated.items()})
    sources = {
        "Manufacturer": "(0008,0070) Manufacturer",
        "ManufacturersModelName": "(0008,1090) ManufacturerModelName",
        "Units": facts.units_source,
        **{key: source for key, (_, source) in entries.items()},
        **dict.fromkeys(taken, _CARRIED if facts.carried else "dcm2niix"),
    }
    return {
        "Manufacturer": manufacturer(header),
        "ManufacturersModelName": header.shown("ManufacturerModelName") or "n/a",
        "Units": "Bq/mL",
        **{key: value for key, (value, _) in entries.items()},
        **taken,
        "CentiPET": {"Sources": map_text(sources, partial(in_words_of, header.path))},
    }


def t1w_sidecar(dcm2niix: Mapping[str, Any]) -> Sidecar:
    """Sidecar of a T1w image: what dcm2niix read, without free text, dates and identifiers.

    Parameters
    ----------
    dcm2niix : the sidecar dcm2niix wrote

    Returns
    -------
    dict
    """
    return {**_taken("t1w", dcm2niix), "CentiPET": {"Sources": {"*": "dcm2niix"}}}


def _taken(kind: str, dcm2niix: Mapping[str, Any]) -> Sidecar:
    """What a sidecar takes over from that of dcm2niix, which copies texts out of the headers."""
    fixed = {*tables()["fixed_vocabulary"]["keys"]} - {"ImageType"}
    return {
        key: dcm2niix[key] if key in fixed else _in_words(dcm2niix[key])
        for key in tables()["dcm2niix_keys"][kind]
        if key in dcm2niix
    }


def _in_words(value: Any) -> Any:
    """Value with nothing but words of imaging in its texts."""
    return map_text(value, lambda text: text if text == "n/a" else known_words(text))


def manufacturer(header: Header) -> str:
    """Name of the manufacturer as other converters write it.

    Parameters
    ----------
    header : of the series

    Returns
    -------
    str
    """
    text = header.text("Manufacturer").lower()
    for start, name in tables()["manufacturer"].items():
        if text.startswith(start):
            return str(name)
    return header.shown("Manufacturer") or "n/a"


def _times(times: TimeModel) -> dict[str, tuple[Any, str]]:
    """Times counted from TimeZero, the whole second in which the injection began."""
    zero = times.injection.replace(microsecond=0)
    injection = _seconds((times.injection - zero) / timedelta(seconds=1))
    decay_s = times.decay_reference_s
    values = {
        "InjectionStart": injection,
        "ScanStart": _seconds(injection + times.scan_start_s),
        "FrameTimesStart": [_seconds(injection + start) for start in times.frame_start_s],
        "FrameDuration": [_seconds(duration) for duration in times.frame_duration_s],
        "ImageDecayCorrected": decay_s is not None,
        "ImageDecayCorrectionTime": 0 if decay_s is None else _seconds(injection + decay_s),
    }
    sources = times.sources
    sources = {**sources, "ImageDecayCorrected": sources["ImageDecayCorrectionTime"]}
    return {
        "TimeZero": (f"{zero:%H:%M:%S}", f"the injection: {sources['InjectionStart']}"),
        **{key: (value, sources[key]) for key, value in values.items()},
    }


def _seconds(value: float) -> float | int:
    """Round to microseconds, the resolution of DICOM clocks; whole numbers without a point."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _radiochemistry(
    header: Header, tracer: Tracer, stated: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    nuclide = radionuclide(header)
    if nuclide is not None and nuclide != tracer.radionuclide:
        raise refused("tracer", "other-nuclide", header=header, nuclide=nuclide, tracer=tracer)
    entries: dict[str, tuple[Any, str]] = {
        "TracerRadionuclide": (
            tracer.radionuclide,
            "(0054,0300) RadionuclideCodeSequence" if nuclide else "the tracer",
        ),
        **(_IN_MBQ if "InjectedRadioactivity" in stated else _dose(header)),
        **dict.fromkeys(_NOT_IN_HEADERS, ("n/a", _NOT_STATED)),
        "ModeOfAdministration": ("bolus", worded("dose", "bolus")),
    }
    for key in ("RadionuclidePositronFraction", "RadionuclideHalfLife", "DoseCalibrationFactor"):
        value = half_life(header) if key == "RadionuclideHalfLife" else header.readable_number(key)
        if value is not None:
            entries[key] = (_seconds(value), tag_name(key))
    if (volume := header.readable_number("RadiopharmaceuticalVolume")) is not None:
        entries["InjectedVolume"] = (volume, f"{tag_name('RadiopharmaceuticalVolume')}, mL")
    if (molar := header.readable_number("RadiopharmaceuticalSpecificActivity")) is not None:
        source = tag_name("RadiopharmaceuticalSpecificActivity")
        entries["MolarActivity"] = (molar, source)
        entries["MolarActivityUnits"] = ("Bq/umol", f"{source}: DICOM counts per micromole")
    return entries


def _dose(header: Header) -> dict[str, tuple[Any, str]]:
    """Injected activity in MBq."""
    dose, source, _ = dose_bq(header)
    return {
        "InjectedRadioactivity": (_seconds(dose / 1e6), source),
        "InjectedRadioactivityUnits": ("MBq", source),
    }


def dose_bq(header: Header) -> tuple[float, str, Flag | None]:
    """Injected activity in Bq, its source, and a remark about it.

    (0018,1074) counts in Bq; some scanners and consoles write other units into it.  The doses of
    PET scans span a factor of 30 and the units lie further apart, so that a number is a dose in
    one unit only.

    Parameters
    ----------
    header : of the series

    Returns
    -------
    (float, str, Flag or None)

    Raises
    ------
    BadDataError
        It is missing, or no dose of a scan in any unit.
    """
    dose = header.number("RadionuclideTotalDose")
    source = "(0018,1074) RadionuclideTotalDose"
    if dose is None:
        raise refused("dose", "missing", header=header)
    if DOSE_BQ[0] <= dose <= DOSE_BQ[1]:
        return dose, source, None
    for unit, factor in _DOSE_UNITS.items():
        if _USUAL_DOSE_BQ[0] <= dose * factor < _USUAL_DOSE_BQ[1]:
            mbq = dose * factor / 1e6
            doubt = worded_flag("dose", "other-unit", source=source, dose=dose, unit=unit, mbq=mbq)
            return dose * factor, f"{source}, read as {unit}", doubt
    raise refused("dose", "impossible", header=header, dose=dose)


def dose_doubt(header: Header, stated: Mapping[str, Any]) -> Flag | None:
    """Report a dose whose unit was guessed; None when it was not, or when a user states it.

    Parameters
    ----------
    header : of the series
    stated : values a person states

    Returns
    -------
    Flag or None
    """
    return None if "InjectedRadioactivity" in stated else dose_bq(header)[2]


def radionuclide(header: Header) -> str | None:
    """Radionuclide named by (0054,0300) or, without it, by the half-life; None when by neither.

    Parameters
    ----------
    header : of the series

    Returns
    -------
    str or None
        As BIDS writes it: ``F18``.
    """
    text = header.text("RadionuclideCodeMeaning").lower()
    value = half_life(header)
    code = header.text("RadionuclideCodeMeaningCode")
    for name, pattern in tables()["radionuclide"].items():
        if text and re.search(pattern, text):
            return str(name)
    for name, codes in tables()["radionuclide_codes"].items():
        if code in codes:
            return str(name)
    for name in tables()["radionuclide"]:
        if not text and value and _close(value, half_lives_s()[name]):
            return str(name)
    return None


def check_half_life(header: Header, tracer: Tracer) -> Flag | None:
    """Compare the half-life of the header with the tracer's; return a remark.

    Parameters
    ----------
    header : of the series
    tracer : that the PET shows

    Returns
    -------
    Flag or None

    Raises
    ------
    BadDataError
        It is that of another nuclide, so activity was corrected with a wrong decay.
    """
    value = half_life(header)
    if value is None or _close(value, tracer.half_life_s):
        return None
    if abs(value / tracer.half_life_s - 1) > _OTHER_NUCLIDE:
        raise refused("half-life", "other-nuclide", header=header, value=value, tracer=tracer)
    return worded_flag("note", "half-life", value=value, tracer=tracer)


def _close(value: float, expected: float) -> bool:
    return abs(value / expected - 1) <= _HALF_LIFE_TOLERANCE


def _corrections(header: Header, clock: ScanClock) -> dict[str, tuple[Any, str]]:
    entries: dict[str, tuple[Any, str]] = {
        "AttenuationCorrection": _attenuation(header),
        "AcquisitionMode": ("n/a", _NOT_STATED),
    }
    for key in ("ScatterCorrectionMethod", "RandomsCorrectionMethod"):
        if text := header.shown(key):
            entries[key] = (text, tag_name(key))
    factors = [frame.decay_factor for frame in clock.frames]
    if None not in factors:
        entries["DecayCorrectionFactor"] = (factors, "(0054,1321) DecayFactor")
    return entries


def _attenuation(header: Header) -> tuple[str, str]:
    text, source = _stated_by(header, "AttenuationCorrectionMethod")
    if source == _NOT_STATED and header.texts("CorrectedImage"):  # classified as corrected by it
        return "measured, method not stated", "(0028,0051) CorrectedImage lists ATTN"
    return text, source


def _stated_by(header: Header, keyword: str) -> tuple[str, str]:
    """Text of a tag and its source; what to write where it is missing."""
    text = header.shown(keyword)
    return (text, tag_name(keyword)) if text else ("n/a", _NOT_STATED)


def _reconstruction(header: Header, dcm2niix: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Reconstruction method and filter; parameters only where dcm2niix could read them."""
    entries: dict[str, tuple[Any, str]] = {}
    if "ReconMethodName" not in dcm2niix:
        entries["ReconMethodName"] = _stated_by(header, "ReconstructionMethod")
    labels = dcm2niix.get("ReconMethodParameterLabels")
    values = dcm2niix.get("ReconMethodParameterValues")
    if labels and values and len(labels) == len(values):
        units = ["none"] * len(labels)
        entries["ReconMethodParameterUnits"] = (units, "iterations and subsets are counts")
    else:
        source = "(0054,1103) ReconstructionMethod states no parameter"
        entries["ReconMethodParameterLabels"] = (["none"], source)
        entries["ReconMethodParameterUnits"] = (["none"], source)
    kernel = header.shown("ConvolutionKernel")
    source = "(0018,1210) ConvolutionKernel"
    match = re.fullmatch(r"(.*?)[\s_]*(\d+(?:\.\d+)?)\s*(?:mm)?", kernel)
    if not kernel:
        entries["ReconFilterType"] = ("none", f"{source} is missing")
    elif match and match[1]:
        entries["ReconFilterType"] = (match[1], source)
        entries["ReconFilterSize"] = (_seconds(float(match[2])), f"{source}, mm")
    elif kernel.lower() in ("none", "allpass", "all pass", "all-pass"):
        entries["ReconFilterType"] = ("none", source)
    else:
        entries["ReconFilterType"] = (kernel, source)
        entries["ReconFilterSize"] = (0, f"{source} states no width; 0 stands for not stated")
    return entries


def refuse_patient_data(sidecar: Mapping[str, Any], where: str) -> None:
    """Refuse a sidecar with a Patient key other than the harmless position on the table.

    Parameters
    ----------
    sidecar : that is to be written
    where : name of the image, for the message
    """
    leaks = [k for k in sidecar if k.startswith("Patient") and k != "PatientPosition"]
    if leaks:
        raise BadDataError(f"{where}: {leaks[0]} would reveal the patient; leave it out")
