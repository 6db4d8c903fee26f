"""PET sidecars: the times, units and names that quantification rests on, checked.

Datasets arrive with sidecars of many hands.  What contradicts the standard but has one meaning is
read in it and reported (a `Flag`); what has several is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bidsapp.bids.limits import DOSE_BQ, MAX_FRAME_S, MAX_UPTAKE_S
from bidsapp.bids.sidecar_times import (
    clock_doubt,
    decay_reference,
    in_seconds,
    settled_frames,
    starts_by_moments,
    without_text,
)
from bidsapp.bids.values import DAY_S, as_list, clock_seconds, is_number, number_in, shorter_way
from bidsapp.core.frames.decay import decay_between, decay_factors, moments_by_convention, spread
from bidsapp.core.quality import Flag
from bidsapp.data import read_table
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.data.series_texts import is_unknown
from bidsapp.errors import BadDataError, prefixed_errors

# Sidecars round to seconds; frames that begin this much before ScanStart contradict nothing.
_ROUNDING_S = 1.0
_MIN_FRAME_S = 1e-3  # no scanner counts for less
_DECAY_TOLERANCE_S = 60.0
_SAME_FACTOR = 0.001
_USUAL_DOSE_MBQ = 20.0, 1200.0
# What a voxel of one unit is in Bq/mL; dimensionless or unknown units have no such number.
_ACTIVITY_UNITS = {"Bq": 1.0, "kBq": 1e3, "MBq": 1e6, "GBq": 1e9}
_ACTIVITY_UNITS |= {"nCi": 37.0, "uCi": 3.7e4, "mCi": 3.7e7}
_ACTIVITY_NAMES = {name.lower(): name for name in _ACTIVITY_UNITS}
# What is not uptake above zero: binding, volumes of distribution, attenuation, scores.
_NOT_UPTAKE = re.compile(
    r"bp([\W_]*(nd|p|f|t))?|dvr|v[\W_]*(t|nd|s)|k[\W_]*(1|i|2|3|4)|r[\W_]*1|hu|hounsfield.*|(1/|/|1)[cm]m"
    r"|[cm]m\^?[-\u2212\u207b](1|\u00b9)|z|z[\W_]*(scores?|values?)|cl|centiloids?|centaurz?|(m?l|[cm]m3)/([cm]m3|m?l).*"
)
# Counts of a frame, in any words (``PROPCNTS``, ``raw counts``, ``counts/voxel``), not their rate.
_COUNTS, _PER_TIME = re.compile(r"cnt|count"), re.compile(r"(/|per|\W|_)\s*(s|sec\w*|min\w*)\b|cps")
_KEYS = read_table("sidecar_keys")


@dataclass(frozen=True)
class PetTiming:
    """Times and units of the frames.

    Attributes
    ----------
    frame_start_s, frame_duration_s : tuple of float, one per frame
        Seconds; starts count from the injection.
    injection_clock_s : float or None
        Time of day of the injection, seconds after midnight (``TimeZero + InjectionStart``).
    units : str
        As the sidecar names them, for example ``Bq/mL``.
    decay_corrected : bool
        All frames are corrected to one time.
    decay_reference_s : float or None
        Time to which activity is decay-corrected, seconds after injection.
    radionuclide : str or None
        As the sidecar names it, for example ``F18``.
    tracer_name : str or None
        ``TracerName`` of the sidecar.
    frame_reference_s : tuple of float or None
        Times the frames are corrected to, one each, when these differ.
    findings : tuple of Flag
        Contradictions that were resolved, and what is missing.
    """

    frame_start_s: tuple[float, ...]
    frame_duration_s: tuple[float, ...]
    injection_clock_s: float | None
    units: str
    decay_corrected: bool
    decay_reference_s: float | None
    radionuclide: str | None
    tracer_name: str | None
    frame_reference_s: tuple[float, ...] | None = None
    findings: tuple[Flag, ...] = ()

    def shifted(self, seconds: float) -> PetTiming:
        """Return the same scan on a clock that starts ``seconds`` earlier.

        Parameters
        ----------
        seconds : added to the times after injection

        Returns
        -------
        PetTiming
        """
        clock, reference = self.injection_clock_s, self.decay_reference_s
        frames = self.frame_reference_s
        return replace(
            self,
            frame_start_s=tuple(start + seconds for start in self.frame_start_s),
            injection_clock_s=None if clock is None else (clock - seconds) % DAY_S,
            decay_reference_s=None if reference is None else reference + seconds,
            frame_reference_s=frames and tuple(moment + seconds for moment in frames),
        )

    def followed_by(self, *others: PetTiming) -> PetTiming:
        """Return one scan of which the others are later frames, on the same clock.

        Parameters
        ----------
        *others : on the clock of this one

        Returns
        -------
        PetTiming
        """
        timings = (self, *others)
        start = tuple(chain.from_iterable(part.frame_start_s for part in timings))
        moments = tuple(chain.from_iterable(part.decay_moments_s for part in timings))
        apart = self.decay_corrected and len(set(moments)) > 1
        return replace(
            self,
            frame_start_s=start,
            frame_duration_s=tuple(chain.from_iterable(part.frame_duration_s for part in timings)),
            frame_reference_s=moments if apart else None,
            findings=tuple(dict.fromkeys(chain.from_iterable(part.findings for part in timings))),
        )

    @property
    def span_s(self) -> tuple[float, float]:
        """Start and end of the scan, seconds after injection."""
        frames = zip(self.frame_start_s, self.frame_duration_s, strict=True)
        return min(self.frame_start_s), max(start + duration for start, duration in frames)

    @property
    def decay_moments_s(self) -> tuple[float, ...]:
        """Time that each frame is decay-corrected to, if it is, seconds after injection."""
        same = (self.decay_reference_s or 0.0,) * len(self.frame_start_s)
        return self.frame_reference_s or same


def read_timing(
    sidecar: Mapping[str, Any],
    pet: Path,
    n_frames: int,
    window_s: tuple[float, float] | None = None,
    half_life_s: float | None = None,
) -> PetTiming:
    """Check the metadata of a PET image and turn its times into seconds after injection.

    BIDS counts ``FrameTimesStart``, ``ScanStart``, ``InjectionStart`` and
    ``ImageDecayCorrectionTime`` from ``TimeZero``, which need not be the injection.

    Parameters
    ----------
    sidecar : merged metadata of ``pet`` (inheritance applied)
    pet : the image, for the messages
    n_frames : length of the image's fourth axis, 1 for a volume
    window_s : uptake window of the tracer, seconds after injection; None where it is not known
    half_life_s : of the tracer's radionuclide, None where it is not known

    Returns
    -------
    PetTiming

    Raises
    ------
    BadDataError
        A field is missing, of the wrong type or length, or contradicts another. Whether the
        frames agree with each other is checked where they are chosen
        (`bidsapp.core.frames.frames`).
    """
    with prefixed_errors(pet):
        return _timing(sidecar, n_frames, window_s, half_life_s)


def _timing(
    sidecar: Mapping[str, Any],
    n_frames: int,
    window_s: tuple[float, float] | None,
    half_life_s: float | None,
) -> PetTiming:
    sidecar, as_text = without_text(sidecar)
    sidecar, about_time = in_seconds(sidecar, window_s)
    sidecar, dropped = settled_frames(sidecar, n_frames)
    field = _Reader(sidecar)
    duration = field.numbers("FrameDuration", n_frames)
    _check_durations(duration)
    starts, findings = _frame_starts(field, duration, half_life_s)
    _check_minutes(starts, duration)
    injection = field.number("InjectionStart")
    _check_injection(injection, starts, duration)
    corrected = field.boolean("ImageDecayCorrected")
    time_zero = clock_seconds(sidecar.get("TimeZero"))
    reference: float | None = None
    about_decay: list[Flag] = []
    if corrected:
        moment = field.number("ImageDecayCorrectionTime")
        scan = min(starts), max(s + d for s, d in zip(starts, duration, strict=True))
        reference, about_decay = decay_reference(moment, time_zero, injection, scan)
    units, about_units = _units(field)
    about_time = [*as_text, *about_time, *dropped, *findings]
    findings = [*about_time, *clock_doubt(sidecar, min(starts)), *about_decay]
    return PetTiming(
        frame_start_s=tuple(s - injection for s in starts),
        frame_duration_s=duration,
        injection_clock_s=None if time_zero is None else (time_zero + injection) % DAY_S,
        units=units,
        decay_corrected=corrected,
        decay_reference_s=None if reference is None else reference - injection,
        radionuclide=field.optional_text("TracerRadionuclide"),
        tracer_name=field.optional_text("TracerName"),
        findings=(
            *findings,
            *about_units,
            *prefix_doubts(sidecar),
            *_plausibility(sidecar),
            *_administration(sidecar),
            *_completeness(sidecar),
        ),
    )


def missing_keys(sidecar: Mapping[str, Any]) -> list[str]:
    """Keys that a number would rest on and that are not there.

    Parameters
    ----------
    sidecar : merged metadata

    Returns
    -------
    list of str
    """
    unused = {"ImageDecayCorrectionTime"} if sidecar.get("ImageDecayCorrected") is False else set()
    if "ScanStart" in sidecar and "FrameDuration" in sidecar:
        duration = sidecar["FrameDuration"]
        if not isinstance(duration, list) or len(duration) == 1:
            unused.add("FrameTimesStart")
    return [key for key in _KEYS["required"] if key not in sidecar and key not in unused]


# --------------------------------------------------------------------------------------- times


def _frame_starts(
    field: _Reader, duration: tuple[float, ...], half_life_s: float | None
) -> tuple[tuple[float, ...], list[Flag]]:
    """Starts of the frames in s after TimeZero.

    dcm2niix, and hands that follow it, count FrameTimesStart from the scan instead: that is flagged
    by a first frame at 0 with a ScanStart elsewhere, and believed where AcquisitionTime lies
    ScanStart after TimeZero or dcm2niix signed the sidecar.
    """
    sidecar = field.sidecar
    listed, stated = (not _is_empty(sidecar.get(key)) for key in ("FrameTimesStart", "ScanStart"))
    if len(duration) == 1 and not listed and stated:
        return (field.number("ScanStart"),), [worded_flag("frame-times", "single")]
    starts = field.numbers("FrameTimesStart", len(duration))
    begin = field.number("ScanStart") if stated else None
    flags, rounding_s = [], 0.0
    if (begins := starts_by_moments(starts, duration, begin, half_life_s)) is not None:
        starts, rounding_s = begins, _ROUNDING_S
        flags.append(worded_flag("frame-times", "moments"))
    first = min(starts)
    scan_start = first if begin is None else begin
    if first >= scan_start - _ROUNDING_S:
        late = first - scan_start
        if late > _DECAY_TOLERANCE_S:
            flags.append(worded_flag("frame-times", "late", late_s=late))
        if list(starts) != sorted(starts):
            flags.append(worded_flag("frame-times", "order"))
        return starts, flags
    if abs(first) <= rounding_s and _counts_from_scan(sidecar, scan_start):
        flags.append(worded_flag("frame-times", "from-scan", scan_start_s=scan_start))
        return tuple(start + scan_start for start in starts), flags
    raise refused("sidecar", "early-frames", start=first, scan_start=scan_start)


def _is_empty(value: object) -> bool:
    """Whether a key says nothing: unknown, or a list of nothing."""
    return value == [] or is_unknown(value)


def _counts_from_scan(sidecar: Mapping[str, Any], scan_start: float) -> bool:
    """Whether something beside FrameTimesStart proves that the scan began at ScanStart."""
    zero, acquired = (clock_seconds(sidecar.get(key)) for key in ("TimeZero", "AcquisitionTime"))
    if zero is not None and acquired is not None:
        return abs(shorter_way(acquired - zero - scan_start)) <= _ROUNDING_S
    return "dcm2niix" in str(sidecar.get("ConversionSoftware")).lower()


def _check_durations(duration: tuple[float, ...]) -> None:
    """Refuse durations in milliseconds."""
    if min(duration) < _MIN_FRAME_S or max(duration) > MAX_FRAME_S:
        raise refused("sidecar", "durations", shortest=min(duration), longest=max(duration))


def _check_minutes(starts: tuple[float, ...], duration: tuple[float, ...]) -> None:
    """Refuse durations in minutes."""
    steps = [after - before for before, after in pairwise(starts)]
    ratios = [step / length for step, length in zip(steps, duration, strict=False)]
    if ratios and min(ratios) > 59 and max(ratios) < 61:
        raise refused("sidecar", "minutes")


def _check_injection(
    injection: float, starts: tuple[float, ...], duration: tuple[float, ...]
) -> None:
    """Refuse an injection after the scan, or half a day before it, or before any frame of it."""
    before = min(starts) - injection
    end = max(s + d for s, d in zip(starts, duration, strict=True))
    if injection >= end or before > MAX_UPTAKE_S:
        where = "after the scan has ended" if injection >= end else "more than 12 h before it"
        raise refused("sidecar", "injection", injection=injection, where=where)
    if max(starts) - injection > MAX_UPTAKE_S:
        raise refused("sidecar", "late-frame", after_s=max(starts) - injection)


# --------------------------------------------------------------------------------------- decay


def check_decay(timing: PetTiming, sidecar: Mapping[str, Any], half_life_s: float) -> PetTiming:
    """Compare DecayCorrectionFactor with the decay correction that the sidecar states.

    A factor says by how much activity was multiplied, so, with the half-life, to what moment it
    was corrected.  Frames that were each corrected to their own start are recognised by it.

    Parameters
    ----------
    timing : as `read_timing` gives it
    sidecar : merged metadata
    half_life_s : of the tracer's radionuclide

    Returns
    -------
    PetTiming
        The same, or with what the factors say and a flag.

    Raises
    ------
    BadDataError
        ImageDecayCorrected is false but the factors differ from frame to frame.
    """
    key = "DecayCorrectionFactor" if "DecayCorrectionFactor" in sidecar else "DecayFactor"
    factors = sidecar.get(key)
    n_frames = len(timing.frame_start_s)
    if is_unknown(factors):
        return timing
    factors = factors if isinstance(factors, list) else [factors]
    first_alone = len(factors) == 1 < n_frames  # as dcm2niix v1.0.2025 wrote them
    if not factors or (first_alone and timing.decay_corrected):
        return timing
    fitting = first_alone or len(factors) == n_frames
    if not fitting or not all(is_number(factor) and factor > 0 for factor in factors):
        return _flagged(timing, "not-positive", key=key, n=n_frames)
    if not timing.decay_corrected:
        if max(factors) > (1 + _SAME_FACTOR) * min(factors):
            raise refused("sidecar", "decay", key=key, least=min(factors), most=max(factors))
        if abs(factors[0] - 1) > _SAME_FACTOR:
            return _flagged(timing, "uncorrected", key=key, factor=factors[0])
        return timing
    if set(factors) == {1}:
        return _flagged(timing, "ones", key=key)
    starts, durations = timing.frame_start_s, timing.frame_duration_s
    moments = min(moments_by_convention(starts, durations, factors, half_life_s), key=spread)
    own_start = [m - s for m, s in zip(moments, starts, strict=True)]
    reference = timing.decay_reference_s or 0.0
    if spread(moments) <= _DECAY_TOLERANCE_S:
        moment = round(median(moments), 1)
        if abs(moment - reference) <= _DECAY_TOLERANCE_S:
            return timing
        timing = replace(timing, decay_reference_s=moment)
        return _flagged(timing, "other-moment", key=key, moment_s=moment, reference_s=reference)
    if max(map(abs, own_start)) <= _DECAY_TOLERANCE_S:
        timing = replace(timing, frame_reference_s=timing.frame_start_s)
        return _flagged(timing, "own-starts", key=key)
    return _flagged(timing, "no-decay", key=key, half_life_s=half_life_s)


def common_decay_factors(timing: PetTiming, half_life_s: float) -> tuple[float, ...] | None:
    """Factors that take all frames to one decay reference; None when they have one already.

    Frames without decay correction are corrected to the start of the first.

    Parameters
    ----------
    timing : of one PET
    half_life_s : of the radionuclide, s

    Returns
    -------
    tuple of float or None
        One per frame.
    """
    if not timing.decay_corrected:
        return factors_to(timing, half_life_s, timing.frame_start_s[0])
    if timing.frame_reference_s is None:
        return None
    return factors_to(timing, half_life_s, timing.frame_reference_s[0])


def factors_to(timing: PetTiming, half_life_s: float, reference_s: float) -> tuple[float, ...]:
    """Factors that decay-correct every frame to one time, whatever it was corrected to.

    Parameters
    ----------
    timing : of one PET
    half_life_s : of the radionuclide
    reference_s : the moment, seconds after injection; 0 is the injection, as blood and tissue
        curves want it

    Returns
    -------
    tuple of float
        One per frame.
    """
    start = timing.frame_start_s
    if not timing.decay_corrected:
        return decay_factors(start, timing.frame_duration_s, half_life_s, reference_s)
    return tuple(decay_between(each, reference_s, half_life_s) for each in timing.decay_moments_s)


def _flagged(timing: PetTiming, why: str, **values: Any) -> PetTiming:
    flag = worded_flag("decay-correction", why, **values)
    return replace(timing, findings=(*timing.findings, flag))


# ------------------------------------------------------------------------- units, plausibility


def activity_unit(text: str) -> float | None:
    """Bq/mL in one of a unit of activity concentration; None for other units.

    Parameters
    ----------
    text : as sidecars write a unit

    Returns
    -------
    float or None

    Examples
    --------
    >>> activity_unit("BQML"), activity_unit("kBq/cc"), activity_unit("SUV")
    (1.0, 1000.0, None)
    """
    name = _activity_name(text)
    return None if name is None else _ACTIVITY_UNITS[name]


def _activity_name(text: str) -> str | None:
    """Activity of one of a unit of activity concentration, as `_ACTIVITY_UNITS` names it."""
    match = re.fullmatch(
        r"(?i)([a-z]+?)(?:[\s/*.·]|per)*(ml|cc|cm3|cm\^3)(\^?[-−]1)?", _in_letters(text)
    )  # fmt: skip
    return _ACTIVITY_NAMES.get(match[1].lower()) if match else None


def _in_letters(unit: str) -> str:
    """A unit without signs that look like letters."""
    return unicodedata.normalize("NFKC", unit).replace("\N{GREEK SMALL LETTER MU}", "u").strip()


def prefix_doubts(sidecar: Mapping[str, Any]) -> list[Flag]:
    """Units of a sidecar that say milli by their letters and were read as mega.

    Parameters
    ----------
    sidecar : merged metadata

    Returns
    -------
    list of Flag
    """
    units = {key: str(sidecar.get(key)).strip() for key in ("Units", "InjectedRadioactivityUnits")}
    small = {key: unit for key, unit in units.items() if re.match(r"m(?i:bq)", unit)}
    return [
        worded_flag("unit-prefix", key=key, unit=unit, read=f"M{unit[1:]}")
        for key, unit in small.items()
        if _activity_name(unit) or _dose_scale(unit)
    ]


def _units(field: _Reader) -> tuple[str, list[Flag]]:
    """Units in one spelling, and remarks about them."""
    text = field.text("Units")
    if (name := _activity_name(text)) is not None:
        return f"{name}/mL", []
    words = text.strip().lower()
    if _NOT_UPTAKE.fullmatch(words):
        raise refused("sidecar", "not-uptake", text=text)
    if _COUNTS.search(words) and not _PER_TIME.search(words):
        raise refused("sidecar", "counts", text=text)
    return text, [worded_flag("units", text=text)]


def suv_factor(sidecar: Mapping[str, Any], weight_kg: float | None) -> float | None:
    """SUV (body weight, g/mL) of 1 Bq/mL decay-corrected to the injection; None when unknown.

    A dose that nobody injects counts as unknown.

    Parameters
    ----------
    sidecar : merged metadata
    weight_kg : of the participant, kg; None when unknown

    Returns
    -------
    float or None
    """
    dose = dose_mbq(sidecar)
    if weight_kg is None or dose is None or not _is_dose(dose):
        return None
    return 1000 * weight_kg / (1e6 * dose)


def dose_mbq(sidecar: Mapping[str, Any]) -> float | None:
    """Injected activity; from dcm2niix's field in Bq if the unit is not one of activity.

    Parameters
    ----------
    sidecar : merged metadata

    Returns
    -------
    float or None
        MBq; None where it is not known.
    """
    dose = number_in(sidecar.get("InjectedRadioactivity"))
    scale = _dose_scale(sidecar.get("InjectedRadioactivityUnits"))
    if dose is not None and scale is not None and not _is_filler(sidecar):
        return dose * scale
    dose = number_in(sidecar.get("RadionuclideTotalDose"))
    return None if dose is None else dose * 1e-6


def _is_dose(dose_mbq: float) -> bool:
    """Whether anybody injects so much for a scan."""
    return DOSE_BQ[0] <= 1e6 * dose_mbq <= DOSE_BQ[1]


def _is_filler(sidecar: Mapping[str, Any]) -> bool:
    """Whether dose, mass and specific activity are one number, put there to satisfy a validator."""
    keys = ("InjectedRadioactivity", "InjectedMass", "SpecificRadioactivity")
    values = {number_in(sidecar.get(key)) for key in keys}
    return len(values) == 1 and values.isdisjoint({None, 0.0})


def _dose_scale(unit: object) -> float | None:
    """MBq in one of a unit of activity; None for other units."""
    name = _ACTIVITY_NAMES.get(_in_letters(str(unit)).lower())
    return None if name is None else _ACTIVITY_UNITS[name] * 1e-6


def _plausibility(sidecar: Mapping[str, Any]) -> list[Flag]:
    """A dose that nobody or hardly anybody injects, or that is not a number in a known unit."""
    dose, stated = dose_mbq(sidecar), sidecar.get("InjectedRadioactivity")
    unit = sidecar.get("InjectedRadioactivityUnits")
    flags = []
    instead = "SUV is not known" if dose is None else f"{dose:g} MBq was taken from "
    instead += "" if dose is None else "RadionuclideTotalDose"
    if number_in(stated) is None:
        if not is_unknown(stated):
            flags.append(worded_flag("dose", "unread", value=str(stated)[:40], instead=instead))
    elif _is_filler(sidecar):
        flags.append(worded_flag("dose", "filler", value=stated, instead=instead))
    elif _dose_scale(unit) is None:
        flags.append(worded_flag("dose", "unit", unit=str(unit), instead=instead))
    if dose is None or _USUAL_DOSE_MBQ[0] <= dose <= _USUAL_DOSE_MBQ[1]:
        return flags
    what = "an unusual dose: check" if _is_dose(dose) else "an implausible dose: correct"
    return [*flags, worded_flag("dose", "size", dose=dose, doubt=what)]


def _administration(sidecar: Mapping[str, Any]) -> list[Flag]:
    """An infusion, under which uptake takes another course than windows and equations want."""
    mode = str(sidecar.get("ModeOfAdministration"))
    return [worded_flag("infusion", mode=mode[:40])] if "infusion" in mode.lower() else []


def _completeness(sidecar: Mapping[str, Any]) -> list[Flag]:
    """Required keys that are missing without harm to the result."""
    missing = [key for key in _KEYS["informative"] if key not in sidecar]
    if sidecar.get("TimeZero") is not None and clock_seconds(sidecar["TimeZero"]) is None:
        missing.append("TimeZero as hh:mm:ss")
    if not missing:
        return []
    return [worded_flag("sidecar-incomplete", keys=", ".join(missing))]


# ------------------------------------------------------------------------------------- fields


@dataclass(frozen=True)
class _Reader:
    """Reads typed fields; every complaint names the field and what it must hold."""

    sidecar: Mapping[str, Any]

    def number(self, key: str) -> float:
        return float(self._checked(key, is_number, "a number of seconds"))

    def numbers(self, key: str, length: int) -> tuple[float, ...]:
        if length == 1 and is_number(self.sidecar.get(key)):
            return (self.number(key),)
        value = self._checked(key, _are_numbers, "a list of numbers, seconds, one per frame")
        if len(value) != length:
            raise refused("sidecar", "count", key=key, n=len(value), length=length)
        return tuple(float(item) for item in value)

    def boolean(self, key: str) -> bool:
        return bool(self._checked(key, lambda value: isinstance(value, bool), "true or false"))

    def text(self, key: str) -> str:
        return str(
            self._checked(
                key, lambda value: isinstance(value, str) and value.strip() != "", "a text"
            )
        )

    def optional_text(self, key: str) -> str | None:
        value = self.sidecar.get(key)
        text = "" if value is None else ", ".join(map(str, as_list(value)))
        return text if text.strip() else None

    def _checked(self, key: str, is_right: Callable[[Any], bool], wanted: str) -> Any:
        if key not in self.sidecar:
            raise refused("sidecar", "no-key", key=key)
        if not is_right(self.sidecar[key]):
            shown = repr(self.sidecar[key])[:60]
            raise BadDataError(f"{key} must be {wanted}, not {shown}; correct the sidecar")
        return self.sidecar[key]


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_number, value))
