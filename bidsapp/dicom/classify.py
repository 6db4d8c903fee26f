"""What a series is and whether it is wanted: by its tags, by its name as the last resort."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np

from bidsapp.bids.limits import LEAST_EXTENT_MM, LEAST_SLICES, THICKEST_SLICE_MM
from bidsapp.core.anatomy.mr_contrast import inverted_contrast, spoiled_contrast
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.data.series_texts import (
    denies_attenuation,
    names_contrast,
    names_no_attenuation,
    states_agent,
)
from bidsapp.dicom.habits import name_matches, tables
from bidsapp.dicom.header import Header, tag_name
from bidsapp.dicom.series import Series

_MAX_T1W_ECHO_MS = 12.0  # longer echoes are T2*-weighted
_WHOLE_BODY_MM = 500.0
# A longer TR counts from inversion to inversion, a shorter between echoes.
_INVERSION_CYCLE_MS = 1000.0
_LEAST_INVERTED, _LEAST_SPOILED = 1.2, 1.0  # white over grey; an MPRAGE has 1.4 to 5
_FIELDS_T = (1.5, 3.0)  # where no tag says the field, what either would show
_GAUSS_PER_T = 1e4
_PREPARED = 10.0  # stands for the contrast of an MPRAGE: more than any without inversion


class Kind(StrEnum):
    """What a series is."""

    T1W = "T1w"
    T2W = "T2w"
    FLAIR = "FLAIR"
    LOCALIZER = "localizer"
    FIELDMAP = "field map"
    PERFUSION = "perfusion"
    DIFFUSION = "diffusion"
    FUNCTIONAL = "functional"
    ANGIOGRAPHY = "angiography"
    SUSCEPTIBILITY = "susceptibility"
    OTHER_MR = "other MR"
    PET = "PET"
    ATTENUATION_MAP = "attenuation map"
    PET_NAC = "PET without attenuation correction"
    PROJECTION = "projection"
    DERIVED = "derived"
    WHOLE_BODY = "whole-body PET"
    OTHER = "other"


class Agent(IntEnum):
    """Whether there is contrast agent in an image, the better for a T1w the smaller."""

    WITHOUT = 0
    DOUBTFUL = 1
    WITH = 2


# By their names, as ``[names]`` of the table spells them, in this order.
_NAMED_KINDS = (Kind.LOCALIZER, Kind.FIELDMAP, Kind.DIFFUSION, Kind.PERFUSION, Kind.FLAIR,
                Kind.FUNCTIONAL, Kind.ANGIOGRAPHY, Kind.SUSCEPTIBILITY)  # fmt: skip


@dataclass(frozen=True)
class SeriesVerdict:
    """What a series is, whether it is wanted, and why; ``remarks`` to see if it is used."""

    kind: Kind
    reason: str
    wanted: bool = False
    remarks: tuple[Flag, ...] = ()


def classify(series: Series, *, include_derived: bool = False) -> SeriesVerdict:
    """Classify a series from its headers.

    Parameters
    ----------
    series : Series
    include_derived : keep derived reformats of PET and T1w too (never projections)

    Returns
    -------
    SeriesVerdict

    Raises
    ------
    BadDataError
        A tag the decision needs is broken.
    """
    header = series.header
    modality = header.text("Modality").upper()
    if reason := header.text("LeftOut"):
        return SeriesVerdict(Kind.DERIVED, reason)
    if modality in ("MR", "PT", "PET") and _is_no_image(header):
        return SeriesVerdict(Kind.OTHER, "(0008,0016) SOPClassUID is not that of an image in space")
    if modality in ("MR", "PT", "PET") and (header.readable_number("SamplesPerPixel") or 1) > 1:
        return SeriesVerdict(Kind.OTHER, "(0028,0002) SamplesPerPixel: a colour picture")
    if modality == "MR":
        return _classify_mr(series, include_derived)
    if modality in ("PT", "PET"):
        return _classify_pet(series, include_derived)
    if modality == "UNKNOWN":
        return SeriesVerdict(
            Kind.OTHER,
            "neither a sidecar nor its name says what it is; images without sidecars: centipet "
            "quantify",
        )
    return SeriesVerdict(Kind.OTHER, f"modality '{header.shown('Modality')}' is neither MR nor PET")


def _is_no_image(header: Header) -> bool:
    """Screenshots, reports, raw data: they carry the modality, but no place in space."""
    classes = tables()["image_classes"]["uids"]
    return header.text("SOPClassUID") not in ("", *classes) and not header.texts(
        "ImageOrientationPatient"
    )


def described(series: Series) -> str:
    """Name of a series, the last resort of the classification.

    (0018,1030) ProtocolName is left out: some scanners name the whole examination there.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    str
    """
    return series.header.text("SeriesDescription") or series.header.text("ProtocolName")


def _image_type(series: Series, group: str) -> list[str]:
    """Words of ImageType that ``[image_type]`` lists under ``group``."""
    words = tables()["image_type"][group]
    return [word for word in series.header.texts("ImageType") if word.upper() in words]


def _classify_mr(series: Series, include_derived: bool) -> SeriesVerdict:
    for group, kind in (
        ("localizer", Kind.LOCALIZER),
        ("projection", Kind.PROJECTION),
        ("map", Kind.OTHER_MR),
    ):
        if words := _image_type(series, group):
            return SeriesVerdict(kind, f"ImageType says {words[0]}: not a T1w magnitude image")
    if reason := _complex_component(series.header):
        return SeriesVerdict(Kind.OTHER_MR, reason)
    kind, evidence = _weighting(series)
    if kind is not Kind.T1W:
        return SeriesVerdict(kind, evidence)
    derived = _image_type(series, "derived")
    if derived and not include_derived and not _is_uniform(series):
        reason = f"ImageType says {derived[0]}: made from other images; --include-derived keeps it"
        return SeriesVerdict(Kind.DERIVED, reason)
    if problem := _coverage_problem(series):
        return SeriesVerdict(Kind.T1W, problem)
    return SeriesVerdict(Kind.T1W, evidence, True, _t1w_remarks(series))


def _complex_component(header: Header) -> str | None:
    """Why an image is not a magnitude image though ImageType does not say so; None if it may be."""
    component = header.text("ComplexImageComponent").upper()
    if component in ("PHASE", "REAL", "IMAGINARY"):
        return f"(0008,9208) ComplexImageComponent is {component}: not a T1w magnitude image"
    if header.readable_number("GEImageComponent") in (1, 2, 3):
        return "GE's private (0043,102F) says phase, real or imaginary: not a T1w magnitude image"
    return None


def _is_uniform(series: Series) -> bool:
    """Recognise the quotient of the two inversions of an MP2RAGE: derived, and its T1w."""
    if _image_type(series, "map"):
        return False
    return bool(_image_type(series, "uniform")) or name_matches("uniform", described(series))


def _is_noisy(series: Series) -> bool:
    return _is_uniform(series) and not name_matches("denoised", described(series))


def _t1w_remarks(series: Series) -> tuple[Flag, ...]:
    """What a person should see where this T1w is used."""
    remarks = [*_other_part(series.header)]
    if agent := _agent(series):
        was = "was made" if agent is Agent.WITH else "may have been made, for its tags disagree,"
        remarks.append(worded_flag("t1w-contrast-agent", "dicom", made=was))
    if _is_noisy(series):
        remarks.append(worded_flag("t1w-mp2rage"))
    return tuple(remarks)


def _other_part(header: Header) -> tuple[Flag, ...]:
    """Doubt about an image that is not of the head by what was entered at the console."""
    part = header.text("BodyPartExamined").upper()
    if part not in tables()["body_parts"]["others"]:
        return ()
    return (worded_flag("body-part", part=part),)


def _agent(series: Series) -> Agent:
    return contrast_agent(series.header, described(series))


def contrast_agent(header: Header, name: str) -> Agent:
    """Judge from tags and name; what contradicts itself is doubtful, silence is without.

    Parameters
    ----------
    header : of the series
    name : of the series, as people type it

    Returns
    -------
    Agent
    """
    text = " ".join(header.texts("ContrastBolusAgent") + header.texts("ContrastBolusAgentMeaning"))
    votes = {
        {"YES": True, "NO": False}.get(header.text("ContrastBolusAgentAdministered").upper()),
        _amount(header),
        states_agent(text),
        names_contrast(name),
    } - {None}
    if len(votes) == 2:
        return Agent.DOUBTFUL
    return Agent.WITH if True in votes else Agent.WITHOUT


def _amount(header: Header) -> bool | None:
    """Vote of volume and dose; None where no number is stated."""
    amounts = map(header.readable_number, ("ContrastBolusVolume", "ContrastBolusTotalDose"))
    known = [amount for amount in amounts if amount is not None]
    return max(known) > 0 if known else None


def _weighting(series: Series) -> tuple[Kind, str]:
    """What an MR shows, and the evidence: decisive tags, then names, then weaker tags."""
    header, name = series.header, described(series)
    sequence, variant = set(header.texts("ScanningSequence")), header.texts("SequenceVariant")
    acquisition = header.text("MRAcquisitionType").upper()
    three_d = acquisition == "3D" or (not acquisition and name_matches("t1w", name))
    echo = _known(header, "EchoTime")
    short_echo = echo is None or echo <= _MAX_T1W_ECHO_MS
    gradient_3d = "GR" in sequence and "EP" not in sequence and three_d and short_echo
    if header.text("AngioFlag").upper() == "Y":
        return Kind.ANGIOGRAPHY, "(0018,0025) AngioFlag is set"
    if name_matches("mr_for_attenuation", name):
        return Kind.ATTENUATION_MAP, "the series name says attenuation map"
    if name_matches("inversion", name):
        return Kind.OTHER_MR, "one inversion of an MP2RAGE is not a T1w; its UNI-DEN image is one"
    if _is_uniform(series) and three_d:
        return Kind.T1W, "uniform image of an MP2RAGE" + (", denoised" * (not _is_noisy(series)))
    problem = _contrast_problem(header) if not {"SE", "EP"} & sequence and three_d else None
    if gradient_3d and _is_prepared(header):
        if problem:
            return Kind.OTHER_MR, problem
        return Kind.T1W, "3D gradient echo with inversion (MPRAGE type)"
    for kind in _NAMED_KINDS:
        if name_matches(kind.name.lower(), name):
            return kind, f"the series name says {kind}"
    if "SE" in sequence and "GR" not in sequence and echo is not None and echo > 40:
        return Kind.T2W, f"spin echo with an echo time of {echo:g} ms"
    if name_matches("t2w", name) and not name_matches("t1w", name):
        return Kind.T2W, "the series name says T2"
    if problem:
        return Kind.OTHER_MR, problem
    repetition = _known(header, "RepetitionTime")
    spoiled = "SP" in variant and repetition is not None
    named = name_matches("t1w", name)
    flow = any(re.match(r"FC(_|$)", option.upper()) for option in header.texts("ScanOptions"))
    if gradient_3d and not named and flow:
        return (
            Kind.ANGIOGRAPHY,
            "(0018,0022) ScanOptions says flow compensation: angiography or SWI",
        )
    if gradient_3d and (named or (spoiled and (repetition or 0) < 50)):
        return Kind.T1W, "3D spoiled gradient echo"
    if header.text("AcquisitionContrast").upper() == "T1" and short_echo and three_d:
        return Kind.T1W, "(0008,9209) AcquisitionContrast is T1, 3D"
    if not sequence and named:
        return Kind.T1W, "the series name says T1; the sequence tags are missing"
    if not {"SE", "EP"} & sequence and three_d and short_echo and named:
        return Kind.T1W, "3D with a short echo, and the series name says T1"
    return Kind.OTHER_MR, "neither its tags nor its name say a 3D T1w"


def _is_prepared(header: Header) -> bool:
    """Whether an inversion precedes the echoes: what makes an MPRAGE of a gradient echo."""
    return (
        "IR" in header.texts("ScanningSequence")
        or "MP" in header.texts("SequenceVariant")
        or any(option.upper().startswith("IR") for option in header.texts("ScanOptions"))
        or bool(_known(header, "InversionTime"))
    )


def _contrast_problem(header: Header) -> str | None:
    """Why flip angle, repetition and inversion time make no T1w; None where they do or are unknown.

    Names do not count here: a flip angle of 2 degrees or a nulled white matter is stronger.
    """
    if "MTC" in header.texts("SequenceVariant") and not _is_prepared(header):
        return "(0018,0021) SequenceVariant says magnetization transfer: no T1w"
    contrast = _contrast(header)
    if contrast is None or contrast >= (
        _LEAST_INVERTED if _is_prepared(header) else _LEAST_SPOILED
    ):
        return None
    tags = ("InversionTime",) if _is_prepared(header) else ("FlipAngle",)
    contrasts = ", ".join(
        f"{tag_name(tag)} {_known(header, tag):g}" for tag in (*tags, "RepetitionTime")
    )
    return f"{contrasts}: white matter is not brighter than cortex, so it is not a T1w"


def _contrast(header: Header) -> float | None:
    """White over grey signal by the parameters of a gradient echo; None where they are unknown."""
    repetition = _known(header, "RepetitionTime")
    field_t = _known(header, "MagneticFieldStrength")
    if field_t and field_t > _GAUSS_PER_T / 100:
        field_t /= _GAUSS_PER_T
    fields = (field_t,) if field_t else _FIELDS_T
    if _is_prepared(header):
        inversion = _known(header, "InversionTime")
        if not inversion or not repetition or repetition < _INVERSION_CYCLE_MS:
            return None
        return max(inverted_contrast(inversion / 1e3, repetition / 1e3, f) for f in fields)
    flip = _known(header, "FlipAngle")
    if not flip or not repetition or repetition >= _INVERSION_CYCLE_MS:
        return None
    return max(spoiled_contrast(flip, repetition / 1e3, f) for f in fields)


def _known(header: Header, keyword: str) -> float | None:
    """Return a positive number; None where the tag is absent, broken or zero."""
    value = header.readable_number(keyword)
    return value if value and value > 0 else None


def _coverage_problem(series: Series) -> str | None:
    """Why a T1w does not cover a whole brain; None if it does."""
    n_slices, extent, step = extent_of(series)
    if n_slices < LEAST_SLICES or extent < LEAST_EXTENT_MM:
        return f"does not cover a whole brain ({n_slices} slices over {extent:.0f} mm)"
    if step > THICKEST_SLICE_MM:
        return f"slices {step:.1f} mm apart are too coarse for a 3D T1w"
    return None


def extent_of(series: Series) -> tuple[int, float, float]:
    """Number of slice positions, their extent and their median distance in mm.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    (int, float, float)
        Number, mm, mm.
    """
    positions = series.slice_positions()
    step = float(np.median(np.diff(positions))) if len(positions) > 1 else 0.0
    return len(positions), float(np.ptp(positions)) + step, step


def _classify_pet(series: Series, include_derived: bool) -> SeriesVerdict:
    header, name = series.header, described(series)
    if words := _image_type(series, "projection"):
        return SeriesVerdict(Kind.PROJECTION, f"ImageType says {words[0]}")
    if name_matches("projection", name):
        return SeriesVerdict(Kind.PROJECTION, "the series name says MIP")
    if name_matches("attenuation_map", name) or header.text("Units").upper() == "1CM":
        return SeriesVerdict(Kind.ATTENUATION_MAP, "a map of attenuation, not of activity")
    if (units := header.text("Units").upper()) in tables()["units_of_function"]["units"]:
        return SeriesVerdict(Kind.DERIVED, f"(0054,1001) Units is {units}: a parametric map")
    corrected = header.texts("CorrectedImage")
    attenuation = tables()["corrected_image"]["attenuation"]
    if corrected and attenuation not in " ".join(corrected).upper():
        return SeriesVerdict(Kind.PET_NAC, f"(0028,0051) CorrectedImage lacks {attenuation}")
    if denies_attenuation(header.text("AttenuationCorrectionMethod")):
        return SeriesVerdict(Kind.PET_NAC, "(0054,1101) AttenuationCorrectionMethod is none")
    if not corrected and names_no_attenuation(name):
        return SeriesVerdict(Kind.PET_NAC, "the series name says NAC; CorrectedImage is missing")
    if "REPROJECTION" in header.texts("SeriesType"):
        return SeriesVerdict(Kind.PROJECTION, "(0054,1000) SeriesType is REPROJECTION")
    if "GATED" in header.texts("SeriesType"):
        return SeriesVerdict(Kind.PET, "(0054,1000) SeriesType is GATED: phases, not frames")
    derived = [w for w in _image_type(series, "derived") if w.upper() != "SECONDARY"]
    if derived and not include_derived:
        return SeriesVerdict(
            Kind.DERIVED, f"ImageType says {derived[0]}; --include-derived keeps it"
        )
    n_slices, extent, _ = extent_of(series)
    if extent > _WHOLE_BODY_MM:
        return SeriesVerdict(Kind.WHOLE_BODY, f"covers {extent:.0f} mm: more than a head")
    if extent < LEAST_EXTENT_MM:
        return SeriesVerdict(
            Kind.PET, f"does not cover a whole brain ({n_slices} slices, {extent:.0f} mm)"
        )
    remarks = _other_part(header)
    return SeriesVerdict(Kind.PET, "attenuation-corrected PET of the head", True, remarks)


def t1w_rank(series: Series) -> tuple[float, ...]:
    """Sort key of T1w candidates, the best first (smaller is better).

    Of the head, no contrast agent, original, prepared by an inversion or else most T1 contrast,
    finest worst voxel edge, most slices, all echoes combined, intensity-normalised, corrected for
    gradient distortion (the PET has none).

    Parameters
    ----------
    series : a T1w

    Returns
    -------
    tuple of float
    """
    return tuple(_merits(series).values())


def _merits(series: Series) -> dict[str, float]:
    """What speaks for a T1w, in the order of weight: the less the better."""
    header = series.header
    derived = bool(_image_type(series, "derived")) or _is_uniform(series)
    contrast = _PREPARED if _is_prepared(header) else _contrast(header) or 1.0
    combined = _image_type(series, "combined") or name_matches("combined", described(series))
    words = set(header.texts("ImageType"))
    return {
        "part": float(bool(_other_part(header))),
        "agent": float(_agent(series)),
        "original": float(derived) + float(_is_noisy(series)),
        "contrast": -round(contrast, 1),
        "voxels": round(coarsest_edge(series), 2),
        "slices": -float(len(series.images)),
        "echoes": -float(bool(combined)),
        "normalised": -float("NORM" in words),
        "undistorted": -float(bool({"DIS2D", "DIS3D"} & words)),
    }


def coarsest_edge(series: Series) -> float:
    """Longest edge of a voxel in mm.

    Parameters
    ----------
    series : its headers

    Returns
    -------
    float
        mm.
    """
    return max(*series.header.required("PixelSpacing", 2), extent_of(series)[2])


def rank_reason(best: Series, other: Series) -> str:
    """Why ``best`` was preferred over ``other``.

    Parameters
    ----------
    best, other : T1w series, the better one first

    Returns
    -------
    str
    """
    merits = _merits(other)
    why = next((name for name, merit in _merits(best).items() if merit != merits[name]), "earlier")
    if why == "agent" and _agent(best) is not Agent.WITHOUT:
        why = "less-agent"
    if why == "original" and _is_noisy(other):
        why = "noise"
    edges = {"edge": coarsest_edge(best), "other": coarsest_edge(other)}
    return str(tables()["preferred"][why].format(**edges))
