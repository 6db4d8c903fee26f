"""The steps of one PET from raw frames to numbers: mean, position, damage, smoothing, Centiloid.

Without a T1w the space of the PET takes the place of the T1w space: only the warp is between PET
and template. Steps that need tissue maps are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.bids.pet_metadata import activity_unit, common_decay_factors, factors_to
from bidsapp.bids.plan import ScanPlan
from bidsapp.core.frames.decay import decay_factors
from bidsapp.data import REFERENCES
from bidsapp.data.tau import tau_voi_files
from bidsapp.data.tracers import any_tracer, tau_tracers
from bidsapp.interfaces.pet import (
    AlignFrames,
    Inspect,
    PetToFineTemplate,
    PetToTemplate,
    Quantify,
    RatioImages,
    Smooth,
    TimeAverage,
)
from bidsapp.record import RecordPart
from bidsapp.settings import Processing
from bidsapp.steps.averaging import FrameSeries
from bidsapp.steps.quantifying import Quantification
from bidsapp.workflows.wiring import Flow, Step, StepOutput

# Peak memory with a 256 x 256 x 256 T1w and a 128 x 128 x 84 PET, measured.
_FRAME_GB, _RESAMPLE_GB, _TEMPLATE_GB, _FINE_GB, _SMOOTH_GB = 0.03, 0.6, 0.4, 0.8, 1.2


@dataclass(frozen=True)
class Averaged:
    """The mean of a scan over its window, as outputs of steps.

    Attributes
    ----------
    mean : ``pet``, time-weighted mean on the native grid; ``position_means``, the same, one image
        per position of the head, to interpolate only once; ``ends``, planes left out
    motion : per PET of the injection, the scan itself first, and per frame: world of the reference
        position -> world of the frame, 4 x 4
    record : part of the record from the alignment; empty for a single frame
    """

    mean: Step
    motion: Any
    record: Any


def average_frames(flow: Flow, scan: ScanPlan) -> Averaged:
    """Average the frames of the tracer's window, with the head at one position.

    Frames without decay correction, or corrected to a time each, are brought to one time. A scan of
    one frame has no motion to find.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan

    Returns
    -------
    Averaged
    """
    weights, files = list(scan.window.frame_weights_s), list(map(str, scan.files[0]))
    factors = common_decay_factors(scan.metadata, any_tracer(scan.tracer).half_life_s)
    within = flow.sidecars.processing.motion_correction
    # Without correction only the parts of a dual-window study need a common position.
    align = None
    if scan.n_frames > 1 and (within or scan.parts):
        align = flow.step(
            AlignFrames, "align", 0.5 + _FRAME_GB * scan.n_frames, series=frame_series(scan),
            weights_s=weights, within=within,
        )  # fmt: skip
    mean = flow.recorded(
        TimeAverage, "average", 0.3 + _FRAME_GB * len(weights), pet=files, weights_s=weights,
        decay_factors=list(factors) if factors else None, motion=align and align.motion,
    )  # fmt: skip
    if align is not None:
        flow.records.append(align.record)
        return Averaged(mean, align.motion, align.record)
    unmoved = [[np.eye(4).tolist() for _ in timing.frame_start_s] for timing in scan.timings]
    return Averaged(mean, unmoved, RecordPart())


def frame_series(scan: ScanPlan) -> list[FrameSeries]:
    """Frames of every PET of an injection, the scan itself first.

    Parameters
    ----------
    scan : its plan

    Returns
    -------
    list of FrameSeries
    """
    half_life, series = any_tracer(scan.tracer).half_life_s, []
    for files, timing in zip(scan.files, scan.timings, strict=True):
        start, duration = timing.frame_start_s, timing.frame_duration_s
        unit = activity_unit(timing.units) or 1.0
        factors = tuple(unit * factor for factor in factors_to(timing, half_life, 0.0))
        decay = decay_factors(start, duration, half_life, 0.0)
        series.append(FrameSeries(files, start, duration, factors, decay))
    return series


def inspect_frames(
    flow: Flow, scan: ScanPlan, averaged: Averaged, head: Mapping[str, StepOutput]
) -> Step:
    """Check the frames of the window for damage and mask voxels without a measurement.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    averaged : as `average_frames` gives it
    head : fields of a `PlacedHead`

    Returns
    -------
    Step
        ``pet`` and ``position_means``, NaN where a frame has no measurement.
    """
    scale = flow.sidecars.pipeline(scan).scale()
    inspected = flow.recorded(
        Inspect, "inspect", _RESAMPLE_GB, pet=list(map(str, scan.files[0])),
        weights_s=list(scan.window.frame_weights_s), reference=scale.main,
        mean=averaged.mean.pet, position_means=averaged.mean.position_means,
        motion=averaged.motion, **head,
    )  # fmt: skip
    return inspected


def smooth(
    flow: Flow, inspected: Step, head: Mapping[str, StepOutput], regions: StepOutput | None
) -> Step:
    """Smooth the PET along its voxel axes, if requested.

    Frames are aligned before; time-activity curves and partial volume correction use the unsmoothed
    PET.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    inspected : ``pet`` and ``position_means``
    head : fields of a `PlacedHead`
    regions : of the T1w, to measure the resolution; without one ``--psf`` is set

    Returns
    -------
    Step
        ``pet`` and ``position_means``, smoothed or as they were.
    """
    processing = flow.sidecars.processing
    if processing.smooth_fwhm_mm is None and processing.target_resolution_mm is None:
        return inspected
    smoothed = flow.recorded(
        Smooth, "smooth", _SMOOTH_GB, fwhm_mm=processing.smooth_fwhm_mm,
        target_mm=processing.target_resolution_mm,
        psf_mm=processing.psf_mm and list(processing.psf_mm),
        regions=regions, **inspected.of("pet", "position_means"), **head,
    )  # fmt: skip
    return smoothed


def quantify(
    flow: Flow,
    scan: ScanPlan,
    pet: StepOutput,
    *,
    plain: Step,
    smoothed: Step,
    transforms: Mapping[str, StepOutput],
    position: StepOutput,
) -> dict[str, StepOutput]:
    """Measure the PET in the Centiloid volumes.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    pet : PET on the 2 mm MNI grid, NaN outside its field of view
    plain, smoothed : as `inspect_frames` and `smooth` give it
    transforms : ``field``, ``t1w_to_pet``
    position : part of the record from the registration

    Returns
    -------
    dict of StepOutput
        Uptake ratio images by key.
    """
    processing = flow.sidecars.processing
    pipeline = flow.sidecars.pipeline(scan).for_centiloid()
    for_centiloid = pipeline.processing
    standard, requested_image = pet, None
    if (
        replace(processing, voi_mm=for_centiloid.voi_mm) != for_centiloid
    ):  # only the PET is smoothed
        moved = plain.of("position_means") | dict(transforms)
        standard = flow.step(PetToTemplate, "standard", _TEMPLATE_GB, **moved).pet
        requested_image = pet
    if processing.voi_mm == 1:
        moved = smoothed.of("position_means") | dict(transforms)
        requested_image = flow.step(PetToFineTemplate, "fine", _FINE_GB, **moved).pet
    how = Quantification(
        tracer=scan.tracer,
        scale=pipeline.scale(),
        tau=pipeline.tau_scale(),
        tau_vois=_tau_vois(scan, processing),
        cutoffs=processing.cutoff,
        interval=processing.interval,
        standard_centiloid=for_centiloid != processing,
    )
    flow.recorded(
        Quantify, "quantify", _TEMPLATE_GB, pet=standard, requested_image=requested_image, how=how,
        position=position, source=str(scan.pet),
    )  # fmt: skip
    ratios = flow.step(RatioImages, "ratios", _TEMPLATE_GB, pet=pet)
    return {f"suvr_{region}": getattr(ratios, region) for region in REFERENCES}


def _tau_vois(scan: ScanPlan, processing: Processing) -> dict[str, Path]:
    """The user's tau volumes for a scan with a tau tracer, else none."""
    if scan.tracer not in tau_tracers() or processing.tau_vois is None:
        return {}
    return tau_voi_files(processing.tau_vois)
