"""Activity over time: all frames of an injection, in regions, on the template, and its kinetics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.bids.pet_metadata import activity_unit
from bidsapp.bids.plan import ScanPlan
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.data import VOI_NAMES
from bidsapp.data.atlases import CENTILOID
from bidsapp.data.kinetics import dynamic_rule, kinpar_columns, map_keys
from bidsapp.data.tracers import tracers
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.dynamic import (
    FitKinetics,
    MeasureDrift,
    SampleFrames,
    SaveDynamic,
    SaveMotion,
    SaveTacs,
)
from bidsapp.record.parts import not_fitted
from bidsapp.workflows.pet import Averaged, frame_series
from bidsapp.workflows.wiring import Flow, Step, StepOutput

# Peak memory of 60 frames of 128 x 128 x 96, measured.
_SAMPLE_GB, _SAVE_GB, _TABLE_GB, _FIT_GB = 0.8, 0.5, 0.2, 0.6


def add_time_activity(
    flow: Flow,
    scan: ScanPlan,
    averaged: Averaged,
    processing: Any,
    transforms: Mapping[str, StepOutput],
) -> Step:
    """Sample the frames of a scan, and of other PETs after its injection, over time.

    All frames are in Bq/mL, decay-corrected to the injection and never smoothed, with the head
    at the reference position of the scan.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    averaged : as `bidsapp.workflows.pet.average_frames` gives it
    processing : options of the scan, with its own parcellations
    transforms : ``t1w_to_pet``, ``field``

    Returns
    -------
    Step
        ``tacs`` and ``frames``, as `SampleFrames` gives them.
    """
    sidecars = flow.sidecars
    frames = {
        "series": frame_series(scan),
        "motion": averaged.motion,
        "ends": averaged.mean.ends,
    }
    place, content = sidecars.place(scan.entities), sidecars.dynamic(scan)
    sampled = flow.step(
        SampleFrames, "sample", _SAMPLE_GB, **frames, **transforms, processing=processing
    )
    flow.step(SaveDynamic, "image", _SAVE_GB, **frames, place=place, sidecar=content["pet_dynamic"])
    flow.recorded(
        SaveTacs, "curves", _TABLE_GB, place=place, tacs=sampled.tacs, processing=processing,
        sidecar=content["tacs"], units=activity_units(scan), suv_factor=scan.suv_factor,
    )  # fmt: skip
    _add_drift(flow, scan, sampled.tacs)
    if sidecars.processing.motion_correction or scan.parts:
        flow.step(
            SaveMotion, "motion", _TABLE_GB, place=place, motion=averaged.motion,
            record=averaged.record, sidecar=content["motion"],
        )  # fmt: skip
    return sampled


def _add_drift(flow: Flow, scan: ScanPlan, tacs: StepOutput) -> None:
    """Report how the Centiloid changes over the window, where there is one."""
    processing = flow.sidecars.processing
    if scan.tracer not in tracers():
        return
    scale = flow.sidecars.pipeline(scan).for_centiloid().scale()
    equation = scale.equations.get(scale.main)
    measured = CENTILOID in (choice.name for choice in processing.atlases)
    if equation is None or scale.main not in VOI_NAMES or not measured:
        return
    starts, weights = scan.metadata.frame_start_s, scan.window.frame_weights_s
    flow.recorded(
        MeasureDrift, "drift", _TABLE_GB, tacs=tacs, reference=scale.main, slope=equation.slope,
        used_s=[start for start, weight in zip(starts, weights, strict=True) if weight > 0],
        late_min=scan.window.late_min,
    )  # fmt: skip


def activity_units(scan: ScanPlan) -> str:
    """Units of the curves: Bq/mL, or those of the image when they are not activity.

    Parameters
    ----------
    scan : its plan

    Returns
    -------
    str
    """
    units = scan.metadata.units
    return units if activity_unit(units) is None else "Bq/mL"


def add_kinetics(
    flow: Flow, scan: ScanPlan, processing: Any, inputs: Mapping[str, StepOutput]
) -> None:
    """Fit reference-tissue models to a scan that covers delivery and washout.

    For any other scan the record says why not, and no nodes are added.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    processing : options of the scan, with its own parcellations
    inputs : ``tacs``, ``frames``, and fields of a `PlacedHead`
    """
    if (reason := _refusal(scan)) is not None:
        flow.records.append(not_fitted(reason))
        return
    sidecars = flow.sidecars
    content = sidecars.kinetics(scan)
    fit = flow.step(FitKinetics, "fit", _FIT_GB, **inputs, processing=processing)
    flow.recorded(
        SaveTables, "tables_kinetics", _TABLE_GB, place=sidecars.place(scan.entities), key="kinpar",
        columns=kinpar_columns(), sidecar=content["kinpar"], **fit.of("tables", "record"),
    )  # fmt: skip
    images = fit.of(*map_keys(sidecars.processing))
    flow.save_images(scan.entities, content, images, "images_kinetics")


def _refusal(scan: ScanPlan) -> str | None:
    """Why the frames of all parts of the injection are not dynamic enough, or None."""
    start = [time for part in scan.timings for time in part.frame_start_s]
    length = [time for part in scan.timings for time in part.frame_duration_s]
    order = sorted(range(len(start)), key=start.__getitem__)
    return dynamic_refusal(
        [start[i] for i in order], [start[i] + length[i] for i in order], dynamic_rule()
    )
