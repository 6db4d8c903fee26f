"""PET images of a visit: which are one scan, parts of one injection, or one image twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from bidsapp.bids.candidates import Candidate
from bidsapp.bids.pet_metadata import PetTiming, activity_unit, dose_mbq
from bidsapp.bids.plan import PetPart
from bidsapp.bids.raw_dataset import RawDataset
from bidsapp.bids.values import shorter_way
from bidsapp.bids.windows import is_in_window, wanted_s
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded, worded_flag
from bidsapp.data.tracers import window_rule
from bidsapp.io.nifti import read_grid
from bidsapp.plain import some
from bidsapp.settings import Processing

# Clocks of two series may be set apart by the scanner's rounding or a resynchronisation.
_SAME_INJECTION_S = 120.0
_OVERLAP_S = 1.0  # rounding of frame times
_SHOWN = 4  # images of one time that are named
_SAME_DOSE = 1.01  # rounding
_SAME_VOXEL_MM = 0.05  # a resolution apart is another reconstruction


def pieced_together(
    visit: Sequence[Candidate], dataset: RawDataset, processing: Processing
) -> list[Candidate]:
    """Candidates of a visit; those that share the uptake window of one injection become one scan.

    A scan that covers the window needs no other, nor does what it can stand for.

    Parameters
    ----------
    visit : PETs of one participant, session and tracer
    dataset : what was found
    processing : options of the run

    Returns
    -------
    list of Candidate
    """
    covering = [scan for scan in visit if _covers(scan, processing)]
    left = sorted(visit, key=lambda scan: (scan.timing.span_s[0], scan.image.path))
    scans = []
    while left:
        first = left.pop(0)
        pieces: list[Candidate] = []
        if not any(scan is first or _same_injection(first, scan) for scan in covering):
            pieces = _pieces(first, left, dataset, processing)
        whole = _as_one(first, pieces) if pieces else first
        if pieces and is_in_window(whole.image, whole.tracer, whole.timing, processing):
            left = [scan for scan in left if not any(scan is piece for piece in pieces)]
            scans.append(whole)
        else:
            scans.append(first)
    return scans


def _covers(candidate: Candidate, processing: Processing) -> bool:
    window = wanted_s(candidate.tracer, processing)
    begin, end = _inside(candidate.timing.span_s, window)
    return end - begin >= window[1] - window[0] - window_rule().tolerance_s


def _pieces(
    first: Candidate, others: Sequence[Candidate], dataset: RawDataset, processing: Processing
) -> list[Candidate]:
    """Images that go on with one inside the uptake window, in the order of time, on its clock.

    Of several at one time (reconstructions) the one most alike by name.
    """
    window = wanted_s(first.tracer, processing)
    taken, pieces = [first.timing.span_s], []
    by_name = sorted(
        others, key=lambda scan: (-_likeness(first, scan), scan.timing.span_s[0], scan.image.path)
    )
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


def _goes_on(first: Candidate, other: Candidate, dataset: RawDataset) -> bool:
    """Whether frames of two images can be averaged: reconstructed alike, on one scale."""
    sidecars = [dataset.sidecar(scan.image) for scan in (first, other)]
    doses = [dose for sidecar in sidecars if (dose := dose_mbq(sidecar)) is not None]
    method = "ReconMethodName"
    methods = {str(sidecar[method]).strip().lower() for sidecar in sidecars if method in sidecar}
    timings = first.timing, other.timing
    if (
        len(methods) > 1
        or max(doses, default=0.0) > _SAME_DOSE * min(doses, default=0.0)
        or first.image.entities.get("rec") != other.image.entities.get("rec")
        or len({(timing.units, timing.decay_corrected) for timing in timings}) > 1
    ):
        return False
    if first.unread or other.unread:
        return True  # judged when the images are there
    one_mm, other_mm = (np.sort(read_grid(c.image.path).voxel_size) for c in (first, other))
    return np.allclose(one_mm, other_mm, rtol=0, atol=_SAME_VOXEL_MM)


def _as_one(first: Candidate, pieces: Sequence[Candidate]) -> Candidate:
    """One scan of several images; flagged where nothing but the dates says that it is one."""
    timing = first.timing.followed_by(*(_shifted(first, piece) for piece in pieces))
    flags = tuple(dict.fromkeys(flag for part in (first, *pieces) for flag in part.flags))
    if first.timing.injection_clock_s is None:
        names = ", ".join(piece.image.path.name for piece in pieces)
        flags += (worded_flag("window-joined", names=names),)
    flags += _regridded((first, *pieces))
    unread = next((part.unread for part in (first, *pieces) if part.unread), None)
    images = tuple(piece.image for piece in pieces)
    return replace(
        first, timing=timing, flags=flags, in_window=True, unread=unread, continued=images
    )


def _regridded(parts: Sequence[Candidate]) -> tuple[Flag, ...]:
    """Flag of parts that have to be interpolated before they can be averaged."""
    paths = [part.image.path for part in parts if part.unread is None]
    grids = {path: read_grid(path) for path in paths}
    moved = [path.name for path in paths if not grids[path].is_same(grids[paths[0]])]
    if not moved:
        return ()
    return (worded_flag("window-regridded", names=", ".join(moved), image=paths[0].name),)


def late_part(early: Candidate, visit: Sequence[Candidate]) -> Candidate | None:
    """Scan of the same injection that covers the window in place of one that does not.

    Of several the one most alike by name.

    Parameters
    ----------
    early : one PET of a visit
    visit : all of them

    Returns
    -------
    Candidate or None
        None for one that covers the window itself, or that no other stands for.
    """
    if early.in_window:
        return None
    siblings = [other for other in _siblings(early, visit) if other.in_window]
    return max(siblings, key=lambda other: _likeness(early, other), default=None)


def _likeness(first: Candidate, other: Candidate) -> int:
    """Entities that the names of two images have in common."""
    return len(first.image.entities.items() & other.image.entities.items())


def other_parts_of_window(
    candidate: Candidate, visit: Sequence[Candidate], processing: Processing
) -> list[Candidate]:
    """Scans of the same injection with parts of the uptake window that a scan lacks, in time.

    Parameters
    ----------
    candidate : one PET of a visit
    visit : all of them
    processing : options of the run

    Returns
    -------
    list of Candidate
    """
    window = wanted_s(candidate.tracer, processing)
    tolerance = window_rule().tolerance_s
    taken = _inside(candidate.timing.span_s, window)
    parts = []
    for other in _siblings(candidate, visit):
        part = _inside(_on_clock_of(candidate, other), window)
        if _length(part) - max(_length(_inside(part, taken)), 0.0) > tolerance:
            parts.append((part[0], other))
    return [other for _, other in sorted(parts, key=lambda dated: (dated[0], dated[1].image.path))]


def _siblings(candidate: Candidate, visit: Sequence[Candidate]) -> list[Candidate]:
    """Other scans of the same injection."""
    others = (other for other in visit if other is not candidate)
    return [other for other in others if _same_injection(candidate, other)]


def at_one_time(
    candidate: Candidate, visit: Sequence[Candidate], dataset: RawDataset
) -> tuple[Flag, ...]:
    """Flag of images of one acquisition by their times that are two by their names.

    Parameters
    ----------
    candidate : one PET of a visit
    visit : all of them
    dataset : what was found

    Returns
    -------
    tuple of Flag
        One, or none.
    """
    names = [
        other.image.path.name
        for other in _siblings(candidate, visit)
        if other.image.entities.get("rec") == candidate.image.entities.get("rec")
        and not _apart(_on_clock_of(candidate, other), [candidate.timing.span_s])
        and not _on_two_days(candidate, other, dataset)
    ]
    if not names:
        return ()
    clocks = "" if candidate.timing.injection_clock_s is not None else " (none has a TimeZero)"
    image = candidate.image.path.name
    flag = worded_flag("same-acquisition", names=some(names, _SHOWN), image=image, clocks=clocks)
    return (flag,)


def _on_two_days(first: Candidate, other: Candidate, dataset: RawDataset) -> bool:
    days = {when.date() for c in (first, other) if (when := dataset.acquired(c.image))}
    return len(days) > 1


def parts_of(early: Sequence[Candidate], late: Candidate) -> tuple[PetPart, ...]:
    """Put the other PETs of an injection on the clock of the one that covers the window.

    Of two that overlap (reconstructions of one part) the first by name is taken.

    Parameters
    ----------
    early : PETs that the late one stands for
    late : that covers the window

    Returns
    -------
    tuple of PetPart
    """
    taken = [late.timing.span_s]
    parts = []
    for part in early:
        timing = _shifted(late, part)
        alike = _scale(timing.units) == _scale(late.timing.units)
        if alike and _apart(timing.span_s, taken):
            taken.append(timing.span_s)
            parts.append(PetPart(part.image.path, dict(part.image.entities), timing))
    return tuple(parts)


def _scale(units: str) -> str:
    """What images of one injection must share: any activity concentration, or the same units."""
    return units if activity_unit(units) is None else "activity"


def _same_injection(first: Candidate, other: Candidate) -> bool:
    """Whether two PET images of a visit and tracer were taken after one injection."""
    apart = _clock_difference(first, other)
    if apart is None:
        return first.timing.injection_clock_s is other.timing.injection_clock_s
    return abs(apart) <= _SAME_INJECTION_S


def _clock_difference(first: Candidate, other: Candidate) -> float | None:
    """Seconds from the time of day of one injection to that of the other; None: not both known.

    Counted by the shorter way round midnight.
    """
    one_s, other_s = first.timing.injection_clock_s, other.timing.injection_clock_s
    if one_s is None or other_s is None:
        return None
    return shorter_way(other_s - one_s)


def _shifted(first: Candidate, other: Candidate) -> PetTiming:
    """Times of an image by the injection as the sidecar of another has it.

    All ran on the clock of one scanner, so where their injection times differ a little it is the
    time of day of the frames that counts.
    """
    return other.timing.shifted(_clock_difference(first, other) or 0.0)


def _on_clock_of(candidate: Candidate, other: Candidate) -> tuple[float, float]:
    """Beginning and end of a scan, seconds after the injection by the sidecar of another."""
    return _shifted(candidate, other).span_s


def _inside(span: tuple[float, float], window: tuple[float, float]) -> tuple[float, float]:
    return max(span[0], window[0]), min(span[1], window[1])


def _length(span: tuple[float, float]) -> float:
    return span[1] - span[0]


def _apart(span: tuple[float, float], taken: Iterable[tuple[float, float]]) -> bool:
    return all(span[1] <= begin + _OVERLAP_S or span[0] >= end - _OVERLAP_S for begin, end in taken)


def joining(others: Sequence[Candidate]) -> str:
    """Say that other images should be joined with one.

    Parameters
    ----------
    others : PETs of one injection

    Returns
    -------
    str
        Clause of a sentence.
    """
    names = ", ".join(other.image.path.name for other in others)
    verb = "belongs" if len(others) == 1 else "belong"
    return worded("plan", "join", names=names, verb=verb)


def why_early(early: Candidate, late: Candidate, joined: bool) -> str:
    """Say why an image outside the uptake window is not a separate scan.

    Parameters
    ----------
    early : PET outside the window
    late : that stands for it
    joined : whether its frames are in the curves of that

    Returns
    -------
    str
    """
    reason = worded("plan", "early", early=early, late=late)
    return reason + ("; its frames are in the time-activity curves of that scan" if joined else "")
