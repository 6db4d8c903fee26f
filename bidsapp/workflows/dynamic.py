"""Activity over time: all frames of an injection, in regions, on the template, on disk."""

from __future__ import annotations

from pathlib import Path

from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.pet_metadata import PetTiming, activity_unit, factors_to
from bidsapp.bids.plan import ScanPlan
from bidsapp.core.frames.decay import decay_factors
from bidsapp.data import VOI_NAMES
from bidsapp.data.atlases import CENTILOID
from bidsapp.data.tau import any_tracer
from bidsapp.data.tracers import tracers
from bidsapp.interfaces.dynamic import (
    FrameSeries,
    SampleFrames,
    SaveDynamic,
    SaveMotion,
    SaveTacs,
    TellDrift,
)
from bidsapp.settings import Processing
from bidsapp.workflows.pet import centiloid_scale
from bidsapp.workflows.sidecars import Sidecars
from bidsapp.workflows.wiring import bounded, gathered, same, step

# Peak memory of 60 frames of 128 x 128 x 96, measured.
_SAMPLE_GB, _SAVE_GB, _TABLE_GB = 0.8, 0.5, 0.2


def init_dynamic_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "dynamic_wf"
) -> Workflow:
    """Follow the activity of a scan of several frames, and of the other parts of its injection.

    All frames are in Bq/mL, decay-corrected to the injection and never smoothed; the head lies at
    the reference position of the scan.

    Inputs
    ------
    motion, motion_record, ends
        As `bidsapp.workflows.pet.init_pet_reference_wf` gives them.
    t1w_to_pet
        T1w world -> PET world, 4 x 4.
    field
        T1w world coordinate of every voxel of the 2 mm MNI grid.
    processing
        Options of the scan, with its own parcellations; those of the run where nothing is given.

    Outputs
    -------
    tacs
        Curves by atlas, (R, T), with ``frame_start_s``, ``frame_end_s`` and ``decay_factor``.
    frames
        All frames on the 2 mm MNI grid, float32, (T, X, Y, Z), NaN outside the brain.
    record, written
        What it gives to the record, a list; names of the files.
    """
    placing = ["motion", "ends", "t1w_to_pet", "field"]
    workflow, inputs, outputs = bounded(
        name, [*placing, "motion_record", "processing"], ["tacs", "frames", "record", "written"]
    )
    series = [
        _series(files, timing, scan.tracer)
        for files, timing in zip(scan.files, scan.timings, strict=True)
    ]
    frames = {"series": series, "pets": list(map(str, scan.pets))}
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.dynamic(scan)
    processing = inputs.inputs.processing = sidecars.processing
    sampled = step(SampleFrames(**frames), "sample", _SAMPLE_GB)
    save = SaveDynamic(**frames, **place, sidecar=content["pet_dynamic"])
    image = step(save, "image", _SAVE_GB)
    save = SaveTacs(
        **place,
        sidecar=content["tacs"],
        units=activity_units(scan),
        suv_factor=scan.suv_factor,
    )
    curves = step(save, "curves", _TABLE_GB)
    workflow.connect(
        [
            (inputs, sampled, same([*placing, "processing"])),
            (inputs, curves, same(["processing"])),
            (inputs, image, same(["motion", "ends"])),
            (sampled, curves, same(["tacs"])),
            (sampled, outputs, same(["tacs", "frames"])),
        ]
    )
    said, writers = [curves], [image, curves]
    if drift := _drift(scan, processing):
        workflow.connect([(sampled, drift, same(["tacs"]))])
        said.append(drift)
    if processing.motion_correction or scan.parts:
        motion = step(SaveMotion(**place, sidecar=content["motion"]), "motion", _TABLE_GB)
        workflow.connect([(inputs, motion, [("motion", "motion"), ("motion_record", "record")])])
        writers.append(motion)
    gathered(workflow, [(node, "record") for node in said], outputs, "record")
    gathered(workflow, [(node, "written") for node in writers], outputs, "written")
    return workflow


def _drift(scan: ScanPlan, processing: Processing) -> Node | None:
    """Node that tells how the Centiloid changes in time, where there is one."""
    if scan.tracer not in tracers():
        return None
    scale = centiloid_scale(scan, processing)
    equation = scale.equations.get(scale.main)
    measured = CENTILOID in (choice.name for choice in processing.atlases)
    if equation is None or scale.main not in VOI_NAMES or not measured:
        return None
    starts, weights = scan.metadata.frame_start_s, scan.window.frame_weights_s
    used = [start for start, weight in zip(starts, weights, strict=True) if weight > 0]
    drift = TellDrift(
        used_s=used, reference=scale.main, slope=equation.slope, late_min=scan.late_min
    )
    return step(drift, "drift", _TABLE_GB)


def activity_units(scan: ScanPlan) -> str:
    """Units of the curves: Bq/mL, or those of the image when they are no activity."""
    units = scan.metadata.units
    return units if activity_unit(units) is None else "Bq/mL"


def _series(files: tuple[Path, ...], timing: PetTiming, tracer: str) -> FrameSeries:
    half_life = any_tracer(tracer).half_life_s
    start, duration = timing.frame_start_s, timing.frame_duration_s
    unit = activity_unit(timing.units) or 1.0
    return FrameSeries(
        files=tuple(map(str, files)),
        start_s=start,
        duration_s=duration,
        factors=tuple(unit * factor for factor in factors_to(timing, half_life, 0.0)),
        decay=decay_factors(start, duration, half_life, 0.0),
    )
