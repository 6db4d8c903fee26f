"""Time to which the activity of a PET is decay-corrected: by name, checked by decay factors."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from statistics import median

from bidsapp.bids.values import shorter_way, since_midnight
from bidsapp.core.frames.decay import moments_by_convention, spread
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.scan_times import DECAY_TOLERANCE_S, MAX_UPTAKE, SECOND, ScanClock, TimeModel

_ADMIN_TOLERANCE_S = _SAME_CLOCK_S = 60.0
_STATED_MOMENT = "(0018,9701) DecayCorrectionDateTime"


def with_decay(model: TimeModel, clock: ScanClock) -> TimeModel:
    """Add the decay reference, checked against the decay factors.

    Parameters
    ----------
    model : the times without it
    clock : what the headers say

    Returns
    -------
    TimeModel
    """
    named = clock.decay_correction.upper()
    if named not in ("START", "ADMIN", "NONE", ""):
        raise refused("decay", "unknown-word", named=named)
    corrected = clock.decay_corrected
    proven, remarks = _are_proven(model, clock), model.remarks
    if not named and corrected is None and clock.decay_moment is None:
        if not proven:
            raise refused("decay", "unknown")
        remarks += (worded_flag("times", "decay-by-factors-alone"),)
        named = "START"
    elif not named:
        # the DICOM default is the start; the factors below prove it or not
        named = "NONE" if corrected is False else "START"
    elif corrected is not None and corrected != (named != "NONE"):
        verb = "lists" if corrected else "lacks"
        if not proven:
            raise refused("decay", "contradicting", named=named, verb=verb)
        remarks += (worded_flag("times", "decay-by-factors", named=named, verb=verb),)
        named = "START" if named == "NONE" else named
    if named == "NONE":
        sources = {**model.sources, "ImageDecayCorrectionTime": "(0054,1102) DecayCorrection NONE"}
        return replace(model, sources=sources, remarks=remarks)
    return _proven_reference(replace(model, remarks=remarks), clock, named)


def _are_proven(model: TimeModel, clock: ScanClock) -> bool:
    """Whether decay factors correct to the start of the scan or to the injection."""
    implied = _implied_references(model, clock)
    return any(_agrees(implied, moment_s) for moment_s in (model.scan_start_s, 0.0))


def _proven_reference(model: TimeModel, clock: ScanClock, named: str) -> TimeModel:
    """Decay reference by name, confirmed or replaced by the decay factors."""
    meant = _meant_references(model, clock, named)
    implied = _implied_references(model, clock)
    (expected, source), remarks = meant[0], model.remarks
    agreeing = (each for each in meant if _agrees(implied, each[0]))
    if not implied:
        reference, source, more = _unproven_reference(model, clock, expected, source)
        remarks += more
    elif (moment := next(agreeing, None)) is not None:
        reference, source = moment[0], f"{moment[1]}, confirmed by (0054,1321) DecayFactor"
    elif named == "ADMIN" and clock.stated is None and not clock.in_suv:
        reference = expected
        remarks += (_admin_remark(implied[0]),)
    else:
        # Factors are rounded: the moment they mean is the start or the injection when it is near.
        near = (moment_s for moment_s in (model.scan_start_s, 0.0) if _agrees(implied, moment_s))
        reference = next(near, round(implied[0], 3))
        values = {"source": source, "expected": expected, "moment": reference}
        remarks += (worded_flag("times", "decay-factors-used", **values),)
        source = "(0054,1321) DecayFactor"
    if implied and clock.decay_moment is not None:
        remarks += _off_clock(clock.decay_moment, model.injection + reference * SECOND)
    sources = {**model.sources, "ImageDecayCorrectionTime": source}
    return replace(model, decay_reference_s=reference, sources=sources, remarks=remarks)


def _off_clock(stated: datetime, by_factors: datetime) -> tuple[Flag, ...]:
    """Report that the moment stated and that of the factors differ: factors count from the frames.

    By times of day, for dates may have been shifted in one tag alone.
    """
    off_s = shorter_way(since_midnight(stated) - since_midnight(by_factors)) / SECOND
    if abs(off_s) <= _SAME_CLOCK_S or not since_midnight(stated):
        return ()
    side = "after" if off_s > 0 else "before"
    return (worded_flag("times", "decay-off-clock", off_s=abs(off_s), side=side),)


def _meant_references(
    model: TimeModel, clock: ScanClock, named: str
) -> tuple[tuple[float, str], ...]:
    """Moments the name may mean, in s after the injection, with their sources; likeliest first.

    START is the start of the series: its first frame, or its time where frames before were put
    into another series.
    """
    source = f"(0054,1102) DecayCorrection {named}"
    stated = _since_injection(model, clock.decay_moment), _STATED_MOMENT
    if not clock.decay_correction and stated[0] is not None:
        return ((stated[0], stated[1]),)
    if named == "ADMIN":
        return ((0.0, source),)
    series = _since_injection(model, clock.series_start), f"{source} at (0008,0031) SeriesTime"
    others = tuple((moment, text) for moment, text in (stated, series) if moment is not None)
    return ((model.scan_start_s, source), *others)


def _unproven_reference(
    model: TimeModel, clock: ScanClock, expected: float, source: str
) -> tuple[float, str, tuple[Flag, ...]]:
    """Reference, source and remarks where factors show nothing: by the name, or a moment stated."""
    moment = _since_injection(model, clock.decay_moment)
    if moment is None or abs(moment - expected) <= DECAY_TOLERANCE_S:
        is_ignored = moment is None and clock.decay_moment is not None
        remarks = (worded_flag("times", "decay-moment-ignored"),) * is_ignored
        source = f"{source}; no usable (0054,1321) DecayFactor to check it with"
        return expected, source, remarks
    values = {"source": source, "expected": expected, "moment": moment}
    return moment, _STATED_MOMENT, (worded_flag("times", "decay-other-moment", **values),)


def _since_injection(model: TimeModel, moment: datetime | None) -> float | None:
    """Seconds after the injection; None for what is absent or not of this scan."""
    if moment is None:
        return None
    seconds = (moment - model.injection).total_seconds()
    # Nobody corrects to a moment after the scan.
    return seconds if -MAX_UPTAKE / SECOND <= seconds <= model.end_s else None


def _agrees(moments: tuple[float, ...], expected: float) -> bool:
    """Whether one of several moments is the expected one."""
    return any(abs(moment - expected) <= DECAY_TOLERANCE_S for moment in moments)


def _admin_remark(moment_s: float) -> Flag:
    """Report how far the decay factors are off the injection, or refuse both clocks."""
    if abs(moment_s) > _ADMIN_TOLERANCE_S:
        raise refused("decay", "not-injection", moment_s=moment_s)
    return worded_flag("times", "decay-near-injection", moment_s=moment_s)


def _implied_references(model: TimeModel, clock: ScanClock) -> tuple[float, ...]:
    """Moments the decay factors correct to, s after injection, one per convention in use.

    Empty when there are no factors, when they were not filled in (all 1), or when frames disagree
    so much that no single moment is meant.
    """
    factors = [frame.decay_factor for frame in clock.frames if frame.decay_factor]
    if clock.half_life_s is None or len(factors) < len(clock.frames) or min(factors) <= 0:
        return ()
    if set(factors) == {1.0}:
        return ()
    starts, durations = model.frame_start_s, model.frame_duration_s
    return tuple(
        median(moments)
        for moments in moments_by_convention(starts, durations, factors, clock.half_life_s)
        if spread(moments) <= 2 * DECAY_TOLERANCE_S
    )
