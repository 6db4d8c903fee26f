"""Which frames of a PET are averaged: those in the tracer's or the requested uptake window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bidsapp.bids.pet_metadata import PetTiming
from bidsapp.bids.plan import WindowChoice
from bidsapp.bids.raw_dataset import RawImage
from bidsapp.core.frames.frames import (
    FrameChoice,
    Window,
    WindowRule,
    choose_frames,
    in_minutes,
    nearest_window,
    off_window_s,
    refusal,
)
from bidsapp.core.quality import Flag, QualityLevel
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.data.tracers import Tracer, window_rule
from bidsapp.errors import BadDataError, prefixed_errors
from bidsapp.settings import Processing


def choose_window(
    timing: PetTiming, tracer: Tracer, processing: Processing, pet: Path
) -> tuple[WindowChoice, tuple[Flag, ...]]:
    """Frames to average, and their difference from the tracer's window.

    Parameters
    ----------
    timing : frames of the scan
    tracer : row of the tracer table
    processing : ``window_min`` is averaged instead of the tracer's window; ``allow_off_window``
        takes the nearest part of a scan that misses it
    pet : the image, for the messages

    Returns
    -------
    (WindowChoice, tuple of Flag)

    Raises
    ------
    BadDataError
        The scan misses the window by more than the table allows, or its frames contradict
        each other.
    """
    start, duration = timing.frame_start_s, timing.frame_duration_s
    window, rule = tracer.window_s, window_rule()
    asked = None if processing.window_min is None else wanted_s(tracer, processing)
    flags: tuple[Flag, ...] = ()
    with prefixed_errors(pet):
        choice = choose_frames(start, duration, window, average_over=asked)
    if asked and not any(choice.weights):
        raise BadDataError(
            f"{pet}: no frame is within --window {asked[0] / 60:g} {asked[1] / 60:g}"
        )
    if reason := refusal(choice, window, rule):
        if not processing.allow_off_window:
            raise refused("plan", "window", pet=pet, reason=reason)
        nearest = asked or nearest_window(start, duration, window)
        choice = choose_frames(start, duration, window, average_over=nearest)
        flags = (worded_flag("window-off", reason=reason),)
    flags = flags or deviations(choice, window, rule)
    used_min = choice.window_used_start_s / 60, choice.window_used_end_s / 60
    verdict = QualityLevel.LOOK if flags else QualityLevel.GOOD
    mean = choice.weights, choice.coverage, choice.late_s / 60
    return WindowChoice(tracer.window_min, used_min, *mean, verdict), flags


def deviations(choice: FrameChoice, window_s: Window, rule: WindowRule) -> tuple[Flag, ...]:
    """Differences from the tracer's window that a reader of the result must know.

    Parameters
    ----------
    choice : frames chosen
    window_s : the tracer's window, s after injection
    rule : tolerances

    Returns
    -------
    tuple of Flag
        One, or none when the scan fits within the tolerance. ``window-shifted``: time outside the
        window entered the mean; ``window-partial``: part of the window is missing, and no more.
    """
    missing_s, outside_s = off_window_s(choice, window_s)
    is_missing, is_outside = missing_s > rule.tolerance_s, outside_s > rule.tolerance_s
    if not (is_missing or is_outside):
        return ()
    kind = ("window-partial", "always")
    if is_outside:
        kind = ("window-shifted", "both" if is_missing else "outside")
    used = in_minutes((choice.window_used_start_s, choice.window_used_end_s))
    flag = worded_flag(
        *kind, wanted=in_minutes(window_s), used=used, missing_min=missing_s / 60,
        outside_min=outside_s / 60, effect=_effect(choice.late_s, rule),
    )  # fmt: skip
    return (flag,)


def _effect(late_s: float, rule: WindowRule) -> str:
    if abs(late_s) <= rule.tolerance_s:
        return "the middle is kept, so little effect is expected"
    when, change = ("late", "raises") if late_s > 0 else ("early", "lowers")
    return (
        f"the mean is taken {abs(late_s) / 60:.1f} min {when}, which {change} the Centiloid, "
        "most above 50 CL"
    )


def is_in_window(pet: RawImage, tracer: Tracer, timing: PetTiming, processing: Processing) -> bool:
    """Whether a scan covers the window without --allow-off-window.

    Parameters
    ----------
    pet : of the dataset
    tracer : row of the tracer table
    timing : frames of the scan
    processing : options of the run

    Returns
    -------
    bool
    """
    strict = replace(processing, allow_off_window=False)
    try:
        choose_window(timing, tracer, strict, pet.path)
    except BadDataError:
        return False
    return True


def wanted_s(tracer: Tracer, processing: Processing) -> tuple[float, float]:
    """The window that is to be averaged, s after injection.

    Parameters
    ----------
    tracer : row of the tracer table
    processing : ``window_min`` counts before that of the tracer

    Returns
    -------
    (float, float)
        Start, end.
    """
    start_min, end_min = processing.window_min or tracer.window_min
    return 60 * start_min, 60 * end_min
