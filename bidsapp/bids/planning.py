"""Decide what happens to every PET scan: its tracer, its frames, its T1w, or why it cannot be used.

One scan that cannot be processed never stops the others: it becomes a `ScanFailure` with the
sentence that says why.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.bids.layout import RawDataset, RawImage
from bidsapp.bids.pet_metadata import (
    PetTiming,
    activity_unit,
    check_decay,
    is_number,
    read_timing,
    suv_factor,
)
from bidsapp.bids.plan import (
    Flag,
    PetPart,
    Plan,
    ScanFailure,
    ScanPlan,
    ScanSkip,
    T1wPlan,
    WindowChoice,
)
from bidsapp.bids.t1w_choice import choose_t1w
from bidsapp.bids.templates import on_template, plan_templates
from bidsapp.core.frames import choose_frames, deviations, nearest_window, refusal
from bidsapp.data.tau import tau_tracer_from_name
from bidsapp.data.tracers import Tracer, tracer_from_name, tracers, window_rule
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.nifti import read_shape
from bidsapp.settings import Processing

_LOG = logging.getLogger("bidsapp.run")  # to the log file alone

# Clocks of two series may be set apart by the scanner's rounding or a resynchronisation.
_SAME_INJECTION_S = 120.0
_OVERLAP_S = 1.0  # rounding of frame times
_DAY_S = 86400.0


@dataclass(frozen=True)
class _Candidate:
    """A PET whose sidecar could be read, before its window and its T1w are chosen."""

    image: RawImage
    tracer: Tracer
    timing: PetTiming
    flags: tuple[Flag, ...]


def make_plan(dataset: RawDataset, processing: Processing) -> Plan:
    """Decide for every PET scan of the dataset whether and how it is processed."""
    failures: list[ScanFailure] = []
    candidates: list[_Candidate] = []
    names = Counter(join_entities(pet.entities) for pet in dataset.pets)
    for pet in dataset.pets:
        try:
            if names[join_entities(pet.entities)] > 1:
                raise BadDataError(
                    f"{pet.path}: there are two images of this name (.nii and .nii.gz); remove one"
                )
            candidates.append(_read_candidate(pet, dataset, processing))
        except Exception as error:
            failures.append(_failure(pet, _told(pet, error), None, dataset))

    in_window = [candidate for candidate in candidates if _is_in_window(candidate, processing)]
    check_t1w = cache(_check_t1w)
    templates = plan_templates(dataset, check_t1w) if processing.longitudinal else {}
    scans: list[ScanPlan] = []
    left_out: list[tuple[_Candidate, _Candidate]] = []
    for candidate in candidates:
        late = None if candidate in in_window else _late_part(candidate, in_window)
        if late is not None:
            left_out.append((candidate, late))
            continue
        pet = candidate.image
        try:
            window = choose_window(candidate.timing, candidate.tracer, processing, pet.path)
            t1w = (None, ()) if processing.pet_only else choose_t1w(pet, dataset)
            if t1w[0] is not None:
                check_t1w(t1w[0].path)
                t1w = t1w[0], (*t1w[1], *_of_conversion(dataset.sidecar(t1w[0])))
            own = on_template(_scan_plan(candidate, window, t1w), templates)
        except Exception as error:
            failures.append(_failure(pet, _told(pet, error), candidate.tracer, dataset))
        else:
            early = [one for one in candidates if one not in in_window]
            early = [one for one in early if _late_part(one, in_window) == candidate]
            found = replace(
                own,
                parts=_parts(early, candidate),
                suv_factor=suv_factor(dataset.sidecar(pet), dataset.weight_kg(pet)),
                site=dataset.site(pet),
                acquired=dataset.acquired(pet),
                about=dataset.about(pet),
            )
            scans.append(found)
    joined = {part.pet for scan in scans for part in scan.parts}
    skipped = [_skip(*pair, pair[0].image.path in joined, dataset) for pair in left_out]
    return Plan(tuple(scans), tuple(failures), tuple(skipped))


def choose_window(
    timing: PetTiming, tracer: Tracer, processing: Processing, pet: Path
) -> tuple[WindowChoice, tuple[Flag, ...]]:
    """Frames to average, and how they differ from what the tracer asks for.

    Parameters
    ----------
    timing : frames of the scan
    tracer : row of the tracer table
    processing : ``window_min`` is averaged instead of the tracer's window; ``allow_off_window``
        takes the nearest part of a scan that misses it
    pet : the image, for the messages

    Raises
    ------
    BadDataError
        The scan misses the window by more than the table allows, or its frames contradict
        each other.
    """
    start, duration = timing.frame_start_s, timing.frame_duration_s
    window, rule = _seconds(tracer.window_min), window_rule()
    asked = _seconds(processing.window_min) if processing.window_min else None
    flags: tuple[Flag, ...] = ()
    try:
        choice = choose_frames(start, duration, window, average_over=asked)
    except BadDataError as error:
        raise BadDataError(f"{pet}: {error}") from error
    if asked and not any(choice.weights):
        raise BadDataError(f"{pet}: no frame lies in --window {asked[0] / 60:g} {asked[1] / 60:g}")
    if reason := refusal(choice, window, rule):
        if not processing.allow_off_window:
            raise BadDataError(
                f"{pet}: {reason}; correct InjectionStart and FrameTimesStart if they are "
                "wrong, or add --allow-off-window to use the nearest frames, flagged"
            )
        nearest = asked or nearest_window(start, duration, window)
        choice = choose_frames(start, duration, window, average_over=nearest)
        flags = (Flag("window-off", f"{reason}: do not read this Centiloid as a standard one"),)
    flags += tuple(Flag(item.code, item.message) for item in deviations(choice, window, rule))
    used_min = choice.window_used_start_s / 60, choice.window_used_end_s / 60
    verdict = "look" if flags else "good"
    chosen = WindowChoice(tracer.window_min, used_min, choice.weights, choice.coverage, verdict)
    return chosen, flags


def _read_candidate(pet: RawImage, dataset: RawDataset, processing: Processing) -> _Candidate:
    shape = read_shape(pet.path)
    sidecar = dataset.sidecar(pet)
    name = sidecar.get("TracerName")
    tau = _tau_tracer(pet, name, processing)
    tracer, flags = (tau, ()) if tau else _find_tracer(pet, name)
    n_frames = shape[3] if len(shape) > 3 else 1
    timing = read_timing(sidecar, pet.path, n_frames, tracer.window_min)
    _check_radionuclide(tracer, timing, sidecar.get("RadionuclideHalfLife"), pet.path)
    try:
        timing = check_decay(timing, sidecar, tracer.half_life_s)
    except BadDataError as error:
        raise BadDataError(f"{pet.path}: {error}") from error
    flags += tuple(Flag(item.code, item.message) for item in timing.findings)
    return _Candidate(pet, tracer, timing, (*flags, *_of_conversion(sidecar)))


def _of_conversion(sidecar: Mapping[str, Any]) -> tuple[Flag, ...]:
    """What the conversion from DICOM wants a person to see (`bidsapp.dicom.sidecar`)."""
    told = sidecar.get("CentiPET")
    flags = told.get("Flags") if isinstance(told, dict) else None
    return tuple(
        Flag(str(flag["code"]), str(flag["message"]))
        for flag in (flags if isinstance(flags, list) else [])
        if isinstance(flag, dict) and {"code", "message"} <= flag.keys()
    )


def _tau_tracer(pet: RawImage, name: object, processing: Processing) -> Tracer | None:
    """Tau tracer of a scan, which needs the user's volumes and window; None for other tracers."""
    texts = [text for text in (pet.entities.get("trc"), name) if isinstance(text, str)]
    tracer = next((found for text in texts if (found := tau_tracer_from_name(text))), None)
    if tracer is None or any(tracer_from_name(text) for text in texts):
        return None
    if processing.tau_vois is None or processing.window_min is None:
        raise BadDataError(
            f"{pet.path}: {tracer.name} binds tau, so there is no Centiloid equation; give "
            "--tau-vois FOLDER and --window START END for CenTauR and CenTauRz, or leave the scan "
            "out with --tracer-label"
        )
    return replace(tracer, window_min=processing.window_min)


def _find_tracer(pet: RawImage, name: object) -> tuple[Tracer, tuple[Flag, ...]]:
    """Tracer by the entity ``trc`` and by ``TracerName``, which must not contradict each other."""
    label = pet.entities.get("trc")
    by_label = tracer_from_name(label) if label else None
    by_name = tracer_from_name(name) if isinstance(name, str) else None
    if by_label and by_name and by_label != by_name:
        raise BadDataError(
            f"{pet.path}: trc-{label} is {by_label.name} but TracerName says {name!r}; correct the "
            "wrong one"
        )
    tracer = by_label or by_name
    if tracer is None:
        raise BadDataError(
            f"{pet.path}: there is no Centiloid equation for the tracer {label or name!r}; correct "
            f"TracerName if it is one of {', '.join(t.name for t in tracers().values())}, or leave "
            "the scan out with --tracer-label"
        )
    if by_name is None and isinstance(name, str):
        message = (
            f"TracerName {name!r} is not known; {tracer.name} was taken from trc-{label}: check it."
        )
        return tracer, (Flag("tracer-name", message),)
    return tracer, ()


def _check_radionuclide(tracer: Tracer, timing: PetTiming, half_life_s: object, pet: Path) -> None:
    """Refuse a nuclide that cannot be the tracer's; ``18Fluorine`` and ``F-18`` are both F18."""
    number = re.search(r"\d+", timing.radionuclide or "")
    if number and number[0] != tracer.radionuclide[1:]:
        raise BadDataError(
            f"{pet}: TracerRadionuclide {timing.radionuclide!r} cannot be {tracer.name}; correct "
            "TracerName or TracerRadionuclide"
        )
    if is_number(half_life_s) and not 0.95 < half_life_s / tracer.half_life_s < 1.05:
        raise BadDataError(
            f"{pet}: RadionuclideHalfLife is {half_life_s:g} s, that of {tracer.name} is "
            f"{tracer.half_life_s:g} s; correct TracerName or RadionuclideHalfLife"
        )


def _check_t1w(path: Path) -> None:
    shape = read_shape(path)
    if len(shape) != 3:
        raise BadDataError(
            f"{path}: a T1w has three dimensions, this has {shape}; convert it again"
        )


def _is_in_window(candidate: _Candidate, processing: Processing) -> bool:
    """Whether a scan can stand for the window without --allow-off-window."""
    strict = replace(processing, allow_off_window=False)
    try:
        choose_window(candidate.timing, candidate.tracer, strict, candidate.image.path)
    except BadDataError:
        return False
    return True


def _late_part(early: _Candidate, in_window: Sequence[_Candidate]) -> _Candidate | None:
    """Scan of the same injection that covers the window: of several, the one most alike by name."""
    own = early.image.entities.items()
    siblings = [other for other in in_window if _same_injection(early, other)]
    return max(siblings, key=lambda other: len(own & other.image.entities.items()), default=None)


def _same_injection(one: _Candidate, other: _Candidate) -> bool:
    """Whether two PET images were taken after one injection: same visit, tracer and clock time."""
    if (one.image.participant, one.image.session, one.tracer) != (
        other.image.participant,
        other.image.session,
        other.tracer,
    ):
        return False
    times = one.timing.injection_clock_s, other.timing.injection_clock_s
    if times[0] is None or times[1] is None:
        return times[0] is times[1]
    return abs(_clock_difference(times[0], times[1])) <= _SAME_INJECTION_S


def _clock_difference(one_s: float, other_s: float) -> float:
    """Seconds from one time of day to the other, by the shorter way round midnight."""
    return (other_s - one_s + _DAY_S / 2) % _DAY_S - _DAY_S / 2


def _parts(early: Sequence[_Candidate], late: _Candidate) -> tuple[PetPart, ...]:
    """Put the other PETs of an injection on the clock of the one that covers the window.

    All ran on the clock of one scanner, so where their injection times differ a little it is the
    time of day of the frames that counts. Of two that overlap (reconstructions of one part) the
    first by name is taken.
    """
    taken = [_span(late.timing)]
    parts = []
    for one in early:
        late_clock, own_clock = late.timing.injection_clock_s, one.timing.injection_clock_s
        known = late_clock is not None and own_clock is not None
        timing = one.timing.shifted(_clock_difference(late_clock, own_clock) if known else 0.0)
        begin, end = _span(timing)
        alike = _scale(timing.units) == _scale(late.timing.units)
        apart = (end <= first + _OVERLAP_S or begin >= last - _OVERLAP_S for first, last in taken)
        if alike and all(apart):
            taken.append((begin, end))
            parts.append(PetPart(one.image.path, dict(one.image.entities), timing))
    return tuple(parts)


def _scale(units: str) -> str:
    """What images of one injection must share: any activity concentration, or the same units."""
    return units if activity_unit(units) is None else "activity"


def _span(timing: PetTiming) -> tuple[float, float]:
    ends = (s + d for s, d in zip(timing.frame_start_s, timing.frame_duration_s, strict=True))
    return min(timing.frame_start_s), max(ends)


def _scan_plan(
    candidate: _Candidate,
    window: tuple[WindowChoice, tuple[Flag, ...]],
    t1w: tuple[RawImage | None, tuple[Flag, ...]],
) -> ScanPlan:
    pet, image = candidate.image, t1w[0]
    told = {flag.code for flag in candidate.flags}  # by the conversion from DICOM
    return ScanPlan(
        participant=pet.participant,
        session=pet.session,
        tracer=candidate.tracer.code,
        entities=dict(pet.entities),
        pet=pet.path,
        metadata=candidate.timing,
        t1w=image and T1wPlan(image.participant, image.session, image.path, dict(image.entities)),
        window=window[0],
        flags=(*candidate.flags, *window[1], *(flag for flag in t1w[1] if flag.code not in told)),
    )


def _told(pet: RawImage, error: Exception) -> CentipetError:
    """The error; a fault of ours costs this scan and no other, and is told as what it is."""
    if isinstance(error, CentipetError):
        return error
    _LOG.error("%s", pet.path, exc_info=error)
    return CentipetError(
        f"{pet.path}: cannot be planned ({type(error).__name__}: {' '.join(str(error).split())}), "
        "which is a fault of CentiPET: please report it with the log"
    )


def _failure(
    pet: RawImage, error: CentipetError, tracer: Tracer | None, dataset: RawDataset
) -> ScanFailure:
    code = tracer.code if tracer else pet.entities.get("trc")
    what = type(error).__name__, str(error), code
    return ScanFailure(dict(pet.entities), pet.path, *what, dataset.about(pet))


def _skip(
    candidate: _Candidate, sibling: _Candidate, joined: bool, dataset: RawDataset
) -> ScanSkip:
    reason = (
        f"outside the uptake window of {candidate.tracer.name}, which "
        f"{sibling.image.path.name} of the same injection covers"
    )
    if joined:
        reason += "; its frames are in the activity over time of that scan"
    image = candidate.image
    code = candidate.tracer.code
    return ScanSkip(dict(image.entities), image.path, reason, code, dataset.about(image))


def _seconds(window_min: tuple[float, float]) -> tuple[float, float]:
    return 60 * window_min[0], 60 * window_min[1]
