"""Decide what happens to every PET scan: its tracer, its frames, its T1w, or why it cannot be used.

One scan that cannot be processed never stops the others: it becomes a `ScanFailure` with the
sentence that says why.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bidsapp.bids.entities import join_entities
from bidsapp.bids.layout import RawDataset, RawImage
from bidsapp.bids.parcellations import with_parcellations
from bidsapp.bids.pet_kind import kind_findings, other_modality, unquantifiable
from bidsapp.bids.pet_metadata import (
    PetTiming,
    activity_unit,
    check_decay,
    missing_keys,
    read_timing,
    suv_factor,
)
from bidsapp.bids.plan import (
    PetPart,
    Plan,
    ScanFailure,
    ScanPlan,
    ScanSkip,
    T1wPlan,
    WindowChoice,
)
from bidsapp.bids.stated import flags_of
from bidsapp.bids.t1w_choice import choose_t1w
from bidsapp.bids.templates import on_template, plan_templates
from bidsapp.bids.values import DAY_S, number_in, shorter_way
from bidsapp.core.frames.frames import choose_frames, deviations, nearest_window, refusal
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.data.flags import worded_flag
from bidsapp.data.sentences import refused, worded
from bidsapp.data.series_texts import is_unknown
from bidsapp.data.tau import tau_tracers, tau_voi_files
from bidsapp.data.tracers import (
    Tracer,
    named_tracers,
    other_amyloid_tracers,
    tracers,
    window_rule,
)
from bidsapp.errors import BadDataError, CentipetError, NoInputError
from bidsapp.io.nifti import read_grid, read_shape
from bidsapp.settings import Processing

_LOG = logging.getLogger("bidsapp.run")  # to the log file alone
_Planned = TypeVar("_Planned", ScanPlan, ScanFailure, ScanSkip)

# Clocks of two series may be set apart by the scanner's rounding or a resynchronisation.
_SAME_INJECTION_S = 120.0
_OVERLAP_S = 1.0  # rounding of frame times
_SAME_VOXEL_MM = 0.05  # a resolution apart is another reconstruction


@dataclass(frozen=True)
class _Candidate:
    """A PET whose sidecar could be read, before its window and its T1w are chosen.

    ``unread`` is why the image itself cannot be read: it may have to be fetched first.
    ``continued`` are images that go on with it, whose frames are in ``timing``, too.
    """

    image: RawImage
    tracer: Tracer
    timing: PetTiming
    flags: tuple[Flag, ...]
    in_window: bool
    unread: CentipetError | None = None
    continued: tuple[RawImage, ...] = ()


class _LeftOut(Exception):
    """A PET that is not for this app, which is no fault of the dataset; ``tracer`` is its code."""

    def __init__(self, reason: str, tracer: str) -> None:
        super().__init__(reason)
        self.tracer = tracer


class _NotQuantifiable(_LeftOut):
    """A PET without attenuation correction: left out where there is one with it."""


class _Decisions:
    """What becomes of every PET; tracers by their codes."""

    def __init__(self, dataset: RawDataset) -> None:
        self._dataset = dataset
        self.scans: list[ScanPlan] = []
        self._failures: list[ScanFailure] = []
        self._skipped: list[ScanSkip] = []

    def skip(self, pet: RawImage, reason: str, tracer: str) -> None:
        """Leave a PET out on purpose."""
        about = self._dataset.about(pet)
        self._skipped.append(ScanSkip(dict(pet.entities), pet.path, reason, tracer, about))

    def refuse(
        self,
        pet: RawImage,
        error: Exception,
        tracer: str | None = None,
        planned: ScanPlan | None = None,
    ) -> None:
        """Take note of why a PET cannot be processed, and of what is going to be done later."""
        told = _told(pet, error)
        what = type(told).__name__, str(told), tracer or pet.entities.get("trc")
        about = self._dataset.about(pet)
        self._failures.append(ScanFailure(dict(pet.entities), pet.path, *what, about, planned))

    def plan(self) -> Plan:
        """All of them in the order of their names."""
        return Plan(_in_order(self.scans), _in_order(self._failures), _in_order(self._skipped))


def make_plan(dataset: RawDataset, processing: Processing) -> Plan:
    """Decide for every PET scan of the dataset whether and how it is processed.

    Parameters
    ----------
    dataset : what was found
    processing : options of the run
    """
    decided = _Decisions(dataset)
    uncorrected: list[tuple[RawImage, _NotQuantifiable]] = []
    visits: dict[tuple[object, ...], list[_Candidate]] = defaultdict(list)
    names = Counter(join_entities(pet.entities) for pet in dataset.pets)
    for pet in dataset.pets:
        try:
            if names[join_entities(pet.entities)] > 1:
                raise refused("plan", "two-formats", pet=pet)
            candidate = _read_candidate(pet, dataset, processing)
        except _NotQuantifiable as left:
            uncorrected.append((pet, left))
        except _LeftOut as left:
            decided.skip(pet, str(left), left.tracer)
        except Exception as error:
            decided.refuse(pet, error)
        else:
            visits[_visit(pet, candidate.tracer.code)].append(candidate)
    for pet, doubt in uncorrected:
        twin = next(iter(visits.get(_visit(pet, doubt.tracer), ())), None)
        if twin is None:
            unusable = refused("plan", "uncorrected", pet=pet, reason=doubt)
            decided.refuse(pet, unusable, doubt.tracer)
        else:
            decided.skip(pet, f"{doubt}; {twin.image.path.name} is used", doubt.tracer)

    check_t1w = cache(_check_t1w)
    templates = plan_templates(dataset, check_t1w) if processing.longitudinal else {}
    for visit in (_pieced_together(visit, dataset, processing) for visit in visits.values()):
        late = {member.image.path: _late_part(member, visit) for member in visit}
        joined: set[Path] = set()
        for candidate in visit:
            if late[candidate.image.path] is not None:
                continue
            pet, code = candidate.image, candidate.tracer.code
            for part in candidate.continued:
                reason = f"goes on with {pet.path.name}: both are measured as one scan"
                decided.skip(part, reason, code)
            early = [
                member
                for member in visit
                if late[member.image.path] is candidate and not member.unread
            ]
            try:
                scan = _scan_plan(candidate, early, visit, dataset, processing, check_t1w)
                scan = with_parcellations(on_template(scan, templates), processing)
            except Exception as error:
                decided.refuse(pet, error, code)
                continue
            if candidate.unread is not None:
                decided.refuse(pet, candidate.unread, code, scan)
            else:
                decided.scans.append(scan)
                joined |= {part.pet for part in scan.parts}
        for candidate in visit:
            pet, code = candidate.image, candidate.tracer.code
            if (sibling := late[pet.path]) is None:
                continue
            if candidate.unread is not None:
                decided.refuse(pet, candidate.unread, code)
            else:
                decided.skip(pet, _early_reason(candidate, sibling, pet.path in joined), code)
    return decided.plan()


def _in_order(scans: Iterable[_Planned]) -> tuple[_Planned, ...]:
    return tuple(sorted(scans, key=lambda scan: scan.pet))


def _visit(pet: RawImage, tracer: str) -> tuple[object, ...]:
    return pet.participant, pet.session, tracer


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
            raise refused("plan", "window", pet=pet, reason=reason)
        nearest = asked or nearest_window(start, duration, window)
        choice = choose_frames(start, duration, window, average_over=nearest)
        flags = (worded_flag("window-off", reason=reason),)
    flags = flags or deviations(choice, window, rule)
    used_min = choice.window_used_start_s / 60, choice.window_used_end_s / 60
    verdict = QualityLevel.LOOK if flags else QualityLevel.GOOD
    chosen = WindowChoice(tracer.window_min, used_min, choice.weights, choice.coverage, verdict)
    return chosen, flags


def _read_candidate(pet: RawImage, dataset: RawDataset, processing: Processing) -> _Candidate:
    """Judge the sidecar, then the header of the image, which may have to be fetched first."""
    sidecar = dataset.sidecar(pet)
    _check_modality(pet.path, sidecar, "PT")
    if "TracerName" not in sidecar and "trc" not in pet.entities:
        raise _incomplete(pet, ["TracerName", *missing_keys(sidecar)], dataset)
    tracer, flags = _find_tracer(pet, sidecar, processing)
    if reason := unquantifiable(sidecar, pet.entities):
        raise _NotQuantifiable(reason, tracer.code)
    unread, n_frames = None, _frames_told(sidecar)
    try:
        shape = read_shape(pet.path)
        n_frames = shape[3] if len(shape) > 3 else 1
    except NoInputError as error:
        unread = error
    try:
        timing = read_timing(sidecar, pet.path, n_frames, tracer.window_min)
    except BadDataError as error:
        if missing := missing_keys(sidecar):
            raise _incomplete(pet, missing, dataset) from error
        raise
    flags += _check_radionuclide(tracer, timing, sidecar.get("RadionuclideHalfLife"), pet.path)
    try:
        timing = check_decay(timing, sidecar, tracer.half_life_s)
    except BadDataError as error:
        raise BadDataError(f"{pet.path}: {error}") from error
    flags += (*timing.findings, *kind_findings(sidecar, pet.entities), *flags_of(sidecar))
    in_window = _is_in_window(pet, tracer, timing, processing)
    return _Candidate(pet, tracer, timing, flags, in_window, unread)


def _incomplete(pet: RawImage, keys: Sequence[str], dataset: RawDataset) -> BadDataError:
    """Error that names all that a sidecar lacks at once, and the file to write it into."""
    name = f"{pet.path.name.split('.', 1)[0]}.json"
    listed = ", ".join(keys)
    if not (files := dataset.sidecar_files(pet)):
        return refused("sidecar", "none", pet=pet, name=name, listed=listed)
    verb = "is" if len(keys) == 1 else "are"
    return refused("sidecar", "incomplete", pet=pet, listed=listed, verb=verb, file=files[-1].name)


def _frames_told(sidecar: Mapping[str, Any]) -> int:
    """Frames by the sidecar, for an image that cannot be asked."""
    durations = sidecar.get("FrameDuration")
    return len(durations) if isinstance(durations, list) else 1


def _find_tracer(
    pet: RawImage, sidecar: Mapping[str, Any], processing: Processing
) -> tuple[Tracer, tuple[Flag, ...]]:
    """Tracer by all that names it, which must agree.

    Raises
    ------
    BadDataError
        Texts contradict each other, or none names a tracer.
    _LeftOut
        All that is named is a tracer of another target.
    """
    texts = {"TracerName": sidecar.get("TracerName")}
    if label := pet.entities.get("trc"):
        texts = {f"trc-{label}": label} | texts
    texts["Radiopharmaceutical"] = sidecar.get("Radiopharmaceutical")  # as dcm2niix has it
    named_by = {where: _as_text(text) for where, text in texts.items() if text is not None}
    named = {where: named_tracers(text) for where, text in named_by.items()}
    known = {where: name for where, name in named.items() if name.understood}
    if not known:
        names = ", ".join(tracer.name for tracer in tracers().values())
        text = label or named_by.get("TracerName")
        raise refused("plan", "tracer", pet=pet, text=text, known=names)
    if len({name.codes for name in known.values()}) > 1 or not all(
        name.amyloid or name.other for name in known.values()
    ):
        said = ", ".join(where if where.startswith("trc-") else f"{where} {named_by[where]!r}"
                         for where in known)  # fmt: skip
        raise refused("plan", "tracers", pet=pet, said=said)
    name = next(iter(known.values()))
    tracer = name.amyloid or _other_target(pet, name.other or "", processing)
    doubtful = [
        where
        for where in named.keys() - known.keys() - {"Radiopharmaceutical"}
        if not is_unknown(named_by[where])
    ]
    for where in doubtful:
        if named[where].isotopes - {tracer.radionuclide}:
            raise refused(
                "plan", "isotope", pet=pet, where=where, text=named_by[where], tracer=tracer
            )
    return tracer, tuple(
        _not_understood(where, named_by[where], tracer) for where in sorted(doubtful)
    )


def _as_text(value: object) -> str:
    """A text that should be one; what else stands there is read, too, as it may name a tracer."""
    return ", ".join(map(_as_text, value)) if isinstance(value, list) else str(value)


def _not_understood(where: str, text: str, tracer: Tracer) -> Flag:
    if where == "TracerName":
        return worded_flag("tracer-name", text=text, tracer=tracer.name)
    return worded_flag("tracer-label", where=where, tracer=tracer.name)


def _other_target(pet: RawImage, code: str, processing: Processing) -> Tracer:
    """Tau tracer, which needs the user's volumes; every other one is left out."""
    tau = tau_tracers().get(code)
    if code in other_amyloid_tracers():
        raise _LeftOut(
            worded("plan", "no-equation", code=code),
            code,
        )
    if tau is None:
        raise _LeftOut(f"{code} is not an amyloid tracer, so there is no Centiloid", code)
    if processing.tau_vois is None:
        raise _LeftOut(
            worded("plan", "tau", tau=tau),
            code,
        )
    _check_tau_vois(processing.tau_vois)
    return tau


@cache
def _check_tau_vois(folder: Path) -> None:
    """Refuse a folder without all volumes, before anything is computed."""
    tau_voi_files(folder)


def _check_radionuclide(
    tracer: Tracer, timing: PetTiming, half_life: object, pet: Path
) -> tuple[Flag, ...]:
    """Refuse a nuclide that cannot be the tracer's; ``18Fluorine`` and ``F-18`` are both F18."""
    number = re.search(r"\d+", timing.radionuclide or "")
    if number and number[0] != re.sub(r"\D", "", tracer.radionuclide):
        raise refused("plan", "radionuclide", pet=pet, timing=timing, tracer=tracer)
    if half_life is None or is_unknown(str(half_life)):
        return ()
    if (seconds := number_in(half_life)) is None:
        value, usual = str(half_life)[:40], tracer.half_life_s
        return (worded_flag("half-life", value=value, tracer=tracer.name, half_life_s=usual),)
    if not 0.95 < seconds / tracer.half_life_s < 1.05:
        raise refused("plan", "half-life", pet=pet, seconds=seconds, tracer=tracer)
    return ()


def _check_modality(path: Path, sidecar: Mapping[str, Any], own: str) -> None:
    """Refuse an image that its sidecar calls another kind: PET and T1w may have been exchanged."""
    if (told := other_modality(sidecar, own)) is not None:
        what = "PET" if own == "PT" else "T1w"
        raise refused("plan", "modality", path=path, told=told, what=what)


def _check_t1w(path: Path) -> None:
    shape = read_shape(path)
    if len(shape) != 3:
        raise refused("plan", "dimensions", path=path, shape=shape)


def _is_in_window(pet: RawImage, tracer: Tracer, timing: PetTiming, processing: Processing) -> bool:
    """Whether a scan can stand for the window without --allow-off-window."""
    strict = replace(processing, allow_off_window=False)
    try:
        choose_window(timing, tracer, strict, pet.path)
    except BadDataError:
        return False
    return True


def _pieced_together(
    visit: Sequence[_Candidate], dataset: RawDataset, processing: Processing
) -> list[_Candidate]:
    """Candidates of a visit; those that share the uptake window of one injection become one scan.

    A scan that covers the window needs no other, nor does what it can stand for.
    """
    covering = [scan for scan in visit if _covers(scan, processing)]
    left = sorted(visit, key=lambda scan: (_span(scan.timing)[0], scan.image.path))
    scans = []
    while left:
        first = left.pop(0)
        pieces: list[_Candidate] = []
        if not any(scan is first or _same_injection(first, scan) for scan in covering):
            pieces = _pieces(first, left, dataset, processing)
        whole = _as_one(first, pieces) if pieces else first
        if pieces and _is_in_window(whole.image, whole.tracer, whole.timing, processing):
            left = [scan for scan in left if not any(scan is piece for piece in pieces)]
            scans.append(whole)
        else:
            scans.append(first)
    return scans


def _covers(candidate: _Candidate, processing: Processing) -> bool:
    window = _seconds(processing.window_min or candidate.tracer.window_min)
    begin, end = _inside(_span(candidate.timing), window)
    return end - begin >= window[1] - window[0] - window_rule().tolerance_s


def _pieces(
    first: _Candidate, others: Sequence[_Candidate], dataset: RawDataset, processing: Processing
) -> list[_Candidate]:
    """Images that go on with one inside the uptake window, in the order of time, on its clock.

    Of several at one time (reconstructions) the one most alike by name.
    """
    window = _seconds(processing.window_min or first.tracer.window_min)
    taken, pieces = [_span(first.timing)], []
    own = first.image.entities.items()
    by_name = sorted(others, key=lambda scan: (-len(own & scan.image.entities.items()),
                                              _span(scan.timing)[0], scan.image.path))  # fmt: skip
    if _length(_inside(taken[0], window)) <= _OVERLAP_S:
        return []
    for other in by_name:
        span = _on_clock_of(first, other)
        if (
            _same_injection(first, other)
            and _length(_inside(span, window)) > _OVERLAP_S
            and _apart(span, taken)
            and _goes_on(first, other, dataset)
        ):
            taken.append(span)
            pieces.append(other)
    return sorted(pieces, key=lambda piece: _on_clock_of(first, piece))


def _goes_on(first: _Candidate, other: _Candidate, dataset: RawDataset) -> bool:
    """Whether frames of two images can be averaged: reconstructed alike, on one scale."""
    sidecars = [dataset.sidecar(scan.image) for scan in (first, other)]
    dose, method = (
        {str(sidecar[key]) for sidecar in sidecars if key in sidecar}
        for key in ("InjectedRadioactivity", "ReconMethodName")
    )
    timings = first.timing, other.timing
    if (
        max(len(dose), len(method)) > 1
        or first.image.entities.get("rec") != other.image.entities.get("rec")
        or len({(timing.units, timing.decay_corrected) for timing in timings}) > 1
    ):
        return False
    if first.unread or other.unread:
        return True  # judged when the images are there
    one_mm, other_mm = (np.sort(read_grid(c.image.path).voxel_size) for c in (first, other))
    return np.allclose(one_mm, other_mm, rtol=0, atol=_SAME_VOXEL_MM)


def _as_one(first: _Candidate, pieces: Sequence[_Candidate]) -> _Candidate:
    """One scan of several images; told where nothing but the dates says that it is one."""
    timing = first.timing.followed_by(*(_shifted(first, piece) for piece in pieces))
    flags = tuple(dict.fromkeys(flag for part in (first, *pieces) for flag in part.flags))
    if first.timing.injection_clock_s is None:
        names = ", ".join(piece.image.path.name for piece in pieces)
        flags += (worded_flag("window-joined", names=names),)
    flags += _regridded(first, pieces)
    unread = next((part.unread for part in (first, *pieces) if part.unread), None)
    images = tuple(piece.image for piece in pieces)
    return replace(
        first, timing=timing, flags=flags, in_window=True, unread=unread, continued=images
    )


def _regridded(first: _Candidate, pieces: Sequence[_Candidate]) -> tuple[Flag, ...]:
    """Flag of parts that have to be interpolated before they can be averaged."""
    whole = [part for part in (first, *pieces) if part.unread is None]
    grid = read_grid(whole[0].image.path) if whole else None
    moved = [
        part.image.path.name
        for part in whole
        if grid is not None and not read_grid(part.image.path).is_same(grid)
    ]
    if not moved:
        return ()
    names, image = ", ".join(moved), whole[0].image.path.name
    return (worded_flag("window-regridded", names=names, image=image),)


def _shifted(first: _Candidate, other: _Candidate) -> PetTiming:
    """Times of an image by the injection as the sidecar of another has it.

    All ran on the clock of one scanner, so where their injection times differ a little it is the
    time of day of the frames that counts.
    """
    return other.timing.shifted(_clock_difference(first, other) or 0.0)


def _apart(span: tuple[float, float], taken: Iterable[tuple[float, float]]) -> bool:
    return all(span[1] <= begin + _OVERLAP_S or span[0] >= end - _OVERLAP_S for begin, end in taken)


def _length(span: tuple[float, float]) -> float:
    return span[1] - span[0]


def _late_part(early: _Candidate, visit: Sequence[_Candidate]) -> _Candidate | None:
    """Scan of the same injection that covers the window in place of one that does not.

    Of several the one most alike by name.
    """
    if early.in_window:
        return None
    own = early.image.entities.items()
    siblings = [other for other in visit if other.in_window and _same_injection(early, other)]
    return max(siblings, key=lambda other: len(own & other.image.entities.items()), default=None)


def _other_parts_of_window(
    candidate: _Candidate, visit: Sequence[_Candidate], processing: Processing
) -> list[_Candidate]:
    """Scans of the same injection with parts of the uptake window that a scan lacks, in time."""
    window = _seconds(processing.window_min or candidate.tracer.window_min)
    tolerance = window_rule().tolerance_s
    taken = _inside(_on_clock_of(candidate, candidate), window)
    parts = []
    for other in visit:
        if other is candidate or not _same_injection(candidate, other):
            continue
        part = _inside(_on_clock_of(candidate, other), window)
        if _length(part) - max(_length(_inside(part, taken)), 0.0) > tolerance:
            parts.append((part[0], other))
    return [other for _, other in sorted(parts, key=lambda dated: (dated[0], dated[1].image.path))]


def _at_one_time(
    candidate: _Candidate, visit: Sequence[_Candidate], dataset: RawDataset
) -> tuple[Flag, ...]:
    """Flag of images of one acquisition by their times that are two by their names."""
    names = [
        other.image.path.name
        for other in visit
        if other is not candidate
        and other.image.entities.get("rec") == candidate.image.entities.get("rec")
        and _same_injection(candidate, other)
        and not _apart(_on_clock_of(candidate, other), [_span(candidate.timing)])
        and not _on_two_days(candidate, other, dataset)
    ]
    if not names:
        return ()
    clocks = "" if candidate.timing.injection_clock_s is not None else " (none has a TimeZero)"
    image = candidate.image.path.name
    flag = worded_flag("same-acquisition", names=", ".join(names), image=image, clocks=clocks)
    return (flag,)


def _on_two_days(first: _Candidate, other: _Candidate, dataset: RawDataset) -> bool:
    days = {when.date() for c in (first, other) if (when := dataset.acquired(c.image))}
    return len(days) > 1


def _on_clock_of(candidate: _Candidate, other: _Candidate) -> tuple[float, float]:
    """Beginning and end of a scan, seconds after the injection by the sidecar of another."""
    return _span(_shifted(candidate, other))


def _inside(span: tuple[float, float], window: tuple[float, float]) -> tuple[float, float]:
    return max(span[0], window[0]), min(span[1], window[1])


def _joined(others: Sequence[_Candidate]) -> str:
    names = ", ".join(other.image.path.name for other in others)
    verb = "belongs" if len(others) == 1 else "belong"
    return worded("plan", "join", names=names, verb=verb)


def _same_injection(first: _Candidate, other: _Candidate) -> bool:
    """Whether two PET images of a visit and tracer were taken after one injection."""
    apart = _clock_difference(first, other)
    if apart is None:
        return first.timing.injection_clock_s is other.timing.injection_clock_s
    return abs(apart) <= _SAME_INJECTION_S


def _clock_difference(first: _Candidate, other: _Candidate) -> float | None:
    """Seconds from the time of day of one injection to that of the other; None: not both known.

    Counted by the shorter way round midnight.
    """
    one_s, other_s = first.timing.injection_clock_s, other.timing.injection_clock_s
    if one_s is None or other_s is None:
        return None
    return shorter_way(other_s - one_s, DAY_S)


def _parts(early: Sequence[_Candidate], late: _Candidate) -> tuple[PetPart, ...]:
    """Put the other PETs of an injection on the clock of the one that covers the window.

    Of two that overlap (reconstructions of one part) the first by name is taken.
    """
    taken = [_span(late.timing)]
    parts = []
    for part in early:
        timing = _shifted(late, part)
        alike = _scale(timing.units) == _scale(late.timing.units)
        if alike and _apart(_span(timing), taken):
            taken.append(_span(timing))
            parts.append(PetPart(part.image.path, dict(part.image.entities), timing))
    return tuple(parts)


def _scale(units: str) -> str:
    """What images of one injection must share: any activity concentration, or the same units."""
    return units if activity_unit(units) is None else "activity"


def _span(timing: PetTiming) -> tuple[float, float]:
    ends = (s + d for s, d in zip(timing.frame_start_s, timing.frame_duration_s, strict=True))
    return min(timing.frame_start_s), max(ends)


def _scan_plan(
    candidate: _Candidate,
    early: Sequence[_Candidate],
    visit: Sequence[_Candidate],
    dataset: RawDataset,
    processing: Processing,
    check_t1w: Callable[[Path], None],
) -> ScanPlan:
    """Plan of a scan that no other one stands for; ``early`` are those it stands for."""
    pet = candidate.image
    others = _other_parts_of_window(candidate, visit, processing)
    try:
        window, flags = choose_window(candidate.timing, candidate.tracer, processing, pet.path)
    except BadDataError as error:
        if not others:
            raise
        raise BadDataError(f"{error}; {_joined(others)}") from error
    if others:
        flags += (worded_flag("window-split", parts=_joined(others)),)
    flags += _at_one_time(candidate, visit, dataset)
    image, about_t1w = (None, ()) if processing.pet_only else choose_t1w(pet, dataset)
    t1w = None
    if image is not None:
        check_t1w(image.path)
        _check_modality(image.path, dataset.readable_sidecar(image), "MR")
        t1w = T1wPlan(image.participant, image.session, image.path, dict(image.entities))
        about_t1w = (*about_t1w, *flags_of(dataset.readable_sidecar(image)))
    known = {flag.code for flag in candidate.flags}  # by the conversion from DICOM
    flags += _covariates(pet, dataset)
    return ScanPlan(
        participant=pet.participant,
        session=pet.session,
        tracer=candidate.tracer.code,
        entities=dict(pet.entities),
        pet=pet.path,
        metadata=candidate.timing,
        t1w=t1w,
        window=window,
        flags=(*candidate.flags, *flags, *(flag for flag in about_t1w if flag.code not in known)),
        continued=tuple(image.path for image in candidate.continued),
        parts=_parts(early, candidate),
        suv_factor=suv_factor(dataset.sidecar(pet), dataset.weight_kg(pet)),
        site=dataset.site(pet),
        acquired=dataset.acquired(pet),
        about=dataset.about(pet),
    )


def _covariates(pet: RawImage, dataset: RawDataset) -> tuple[Flag, ...]:
    """Flags of what tables and sidecar say of a person and that cannot be used."""
    flags = []
    if columns := dataset.contradictions(pet):
        flags.append(worded_flag("covariates", "contradicted", columns=", ".join(columns)))
    if unread := dataset.unread_covariates(pet):
        flags.append(worded_flag("covariates", "unread", columns=", and ".join(unread)))
    for key, value in dataset.unread_weights(pet).items():
        flags.append(worded_flag("covariates", "unread-field", key=key, value=str(value)[:20]))
    return tuple(flags)


def _told(pet: RawImage, error: Exception) -> CentipetError:
    """The error; a fault of ours costs this scan and no other, and is told as what it is."""
    if isinstance(error, CentipetError):
        return error
    _LOG.error("%s", pet.path, exc_info=error)
    fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return CentipetError(worded("plan", "our-fault", pet=pet, fault=fault))


def _early_reason(early: _Candidate, late: _Candidate, joined: bool) -> str:
    reason = worded("plan", "early", early=early, late=late)
    return reason + ("; its frames are in the activity over time of that scan" if joined else "")


def _seconds(window_min: tuple[float, float]) -> tuple[float, float]:
    return 60 * window_min[0], 60 * window_min[1]
