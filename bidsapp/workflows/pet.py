"""The steps of one PET scan: reference image, position, resampling, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from nipype.pipeline.engine import Workflow

from bidsapp.bids.pet_metadata import common_decay_factors
from bidsapp.bids.plan import ScanPlan
from bidsapp.core.quantification.scale import Scale
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import centiloid_way, scale_for, tau_scale
from bidsapp.data.tau import any_tracer, tau_tracers, tau_voi_files
from bidsapp.interfaces.damage import Inspect
from bidsapp.interfaces.pet import (
    AlignFrames,
    PetToFineTemplate,
    PetToT1wGrid,
    PetToTemplate,
    Register,
    TimeAverage,
)
from bidsapp.interfaces.quantification import Quantify, RatioImages
from bidsapp.interfaces.witness import BothPositions
from bidsapp.record import RecordPart
from bidsapp.settings import PetToT1w, Processing
from bidsapp.workflows.wiring import bounded, gathered, of_one, passing, same, step

REGISTRATION_ANATOMY = ("t1w", "mask", "gm", "wm", "csf", "warp")
INSPECTION_ANATOMY = ("gm", "wm", "mask")

# Peak memory with a 256 x 256 x 256 T1w and a 128 x 128 x 84 PET, measured.
_FRAME_GB, _REGISTER_GB, _RESAMPLE_GB, _TEMPLATE_GB = 0.03, 1.5, 0.6, 0.4
_FINE_GB = 0.8


def init_pet_reference_wf(
    scan: ScanPlan, *, processing: Processing, name: str = "pet_reference_wf"
) -> Workflow:
    """Average the frames of the tracer's window, with the head at one position.

    Frames without decay correction, or corrected to a time each, are brought to one time. A scan of
    one frame has no motion to find.

    Outputs
    -------
    pet
        Time-weighted mean on the native grid.
    stills
        The same as one image per position of the head, to interpolate only once.
    motion
        Per PET of the injection, the scan itself first, and per frame: world of the reference
        position -> world of the frame, 4 x 4.
    motion_record
        What the alignment of the frames gives to the record; nothing for a single frame.
    ends
        Planes left out at both ends of the field of view.
    record
        What all of it gives to the record, a list.
    """
    workflow = Workflow(name=name)
    outputs = passing("outputnode", ["pet", "stills", "motion", "motion_record", "ends", "record"])
    weights = list(scan.window.frame_weights_s)
    factors = common_decay_factors(scan.metadata, any_tracer(scan.tracer).half_life_s)
    mean = TimeAverage(
        pet=list(map(str, scan.files[0])),
        weights_s=weights,
        decay_factors=list(factors) if factors else None,
    )
    average = step(mean, "average", 0.3 + _FRAME_GB * len(weights))
    workflow.connect([(average, outputs, same(["pet", "stills", "ends"]))])
    said = [(average, "record")]
    # Without correction only the parts of a dual-window study need a common position.
    if scan.n_frames > 1 and (processing.motion_correction or scan.parts):
        frames = AlignFrames(
            pets=[list(map(str, files)) for files in scan.files],
            starts_s=[list(timing.frame_start_s) for timing in scan.timings],
            durations_s=[list(timing.frame_duration_s) for timing in scan.timings],
            weights_s=weights,
            within=processing.motion_correction,
        )
        align = step(frames, "align", 0.5 + _FRAME_GB * scan.n_frames)
        workflow.connect([(align, average, same(["motion"]))])
        workflow.connect([(align, outputs, [("motion", "motion"), ("record", "motion_record")])])
        said.append((align, "record"))
    else:
        outputs.inputs.motion_record = RecordPart()
        outputs.inputs.motion = [
            [np.eye(4).tolist() for _ in timing.frame_start_s] for timing in scan.timings
        ]
    gathered(workflow, said, outputs, "record")
    return workflow


def init_pet_registration_wf(
    scan: ScanPlan, *, method: PetToT1w, name: str = "pet_registration_wf"
) -> Workflow:
    """Find the rigid position of the PET relative to the T1w.

    Inputs
    ------
    pet
        Mean PET, native grid.
    t1w, mask, gm, wm, csf, warp
        As `bidsapp.workflows.anat.init_anat_wf` gives them.

    Outputs
    -------
    t1w_to_pet, by_method
        T1w world -> PET world, 4 x 4: the position used, and that of each method.
    record
        What the registration gives to the record.
    """
    register = Register(method=method, anatomy=scan.anatomy, source=str(scan.pet))
    return of_one(
        step(register, "register", _REGISTER_GB),
        name,
        ["pet", *REGISTRATION_ANATOMY],
        ["t1w_to_pet", "by_method", "record"],
    )


def init_inspection_wf(
    scan: ScanPlan,
    *,
    processing: Processing,
    anatomy: Sequence[str] = INSPECTION_ANATOMY,
    name: str = "inspection_wf",
) -> Workflow:
    """Look for damage in the frames of the window and take out what holds no measurement.

    Inputs
    ------
    pet, stills, motion
        As `init_pet_reference_wf` gives them.
    t1w_to_pet
        T1w world -> PET world, 4 x 4.
    field
        T1w world coordinate of every voxel of the 2 mm MNI grid.
    gm, wm, mask
        On the T1w grid; none of them when ``anatomy`` is empty.

    Outputs
    -------
    pet, stills
        The same, without what is lost.
    record
        What it gives to the record.
    """
    given = ["stills", "motion", "t1w_to_pet", "field", *anatomy]
    found = ["pet", "stills", "record"]
    workflow, inputs, outputs = bounded(name, ["pet", *given], found)
    look = Inspect(
        pet=list(map(str, scan.files[0])),
        weights_s=list(scan.window.frame_weights_s),
        reference=scale_for(processing, scan.tracer, normalisation=scan.normalisation).main,
    )
    inspect = step(look, "inspect", _RESAMPLE_GB)
    workflow.connect(
        [(inputs, inspect, [("pet", "mean"), *same(given)]), (inspect, outputs, same(found))]
    )
    return workflow


def init_positions_wf(
    scan: ScanPlan, *, processing: Processing, name: str = "positions_wf"
) -> Workflow:
    """Tell the Centiloid by each of the two registrations.

    Inputs
    ------
    stills
        Mean PET, one image per position of the head, native grid.
    by_method
        T1w world -> PET world, 4 x 4, by method.
    field
        T1w world coordinate of every voxel of the 2 mm MNI grid.

    Outputs
    -------
    record
        What it gives to the record.
    """
    scale = centiloid_scale(scan, processing)
    both = step(BothPositions(scale=scale), "both", _TEMPLATE_GB)
    return of_one(both, name, ["stills", "by_method", "field"], ["record"])


def init_resampling_wf(*, name: str = "resampling_wf") -> Workflow:
    """Carry the PET to the T1w grid and to MNI, each by one interpolation from its native grid.

    Inputs
    ------
    stills
        Mean PET, one image per position of the head, native grid.
    t1w_to_pet
        T1w world -> PET world, 4 x 4.
    mask
        Any image on the T1w grid.
    field
        T1w world coordinate of every voxel of the 2 mm MNI grid.

    Outputs
    -------
    pet_t1w, pet_mni
        PET on these grids, NaN outside its field of view.
    """
    workflow, inputs, outputs = bounded(
        name, ["stills", "t1w_to_pet", "mask", "field"], ["pet_t1w", "pet_mni"]
    )
    to_t1w = step(PetToT1wGrid(), "to_t1w", _RESAMPLE_GB)
    to_template = step(PetToTemplate(), "to_template", _TEMPLATE_GB)
    moved = same(["stills", "t1w_to_pet"])
    workflow.connect(
        [
            (inputs, to_t1w, [*moved, ("mask", "reference")]),
            (inputs, to_template, [*moved, ("field", "field")]),
            (to_t1w, outputs, [("pet", "pet_t1w")]),
            (to_template, outputs, [("pet", "pet_mni")]),
        ]
    )
    return workflow


def init_quantification_wf(
    scan: ScanPlan, *, processing: Processing, name: str = "quantification_wf"
) -> Workflow:
    """Measure the PET in the Centiloid volumes.

    Inputs
    ------
    pet
        PET on the 2 mm MNI grid, NaN outside its field of view.
    stills, plain
        Mean PET as `init_smoothing_wf` gives it, and as it takes it; one image per position.
    field, t1w_to_pet
        See `init_resampling_wf`.
    position
        What the position of the PET gave to the record.

    Outputs
    -------
    record
        What the measurement gives to the record.
    suvr_wc, suvr_cg, suvr_wcb, suvr_pons
        Uptake ratio images.
    """
    images = {region: f"suvr_{region}" for region in REFERENCES}
    placing = ["stills", "plain", "field", "t1w_to_pet"]
    workflow, inputs, outputs = bounded(
        name, ["pet", *placing, "position"], ["record", *images.values()]
    )
    way = centiloid_way(processing, scan.tracer, normalisation=scan.normalisation)
    smoothed = replace(processing, voi_mm=way.voi_mm) != way  # and the Centiloid is not
    numbers = Quantify(
        scale=centiloid_scale(scan, processing),
        apart=way != processing,
        tracer=scan.tracer,
        cutoffs=list(processing.cutoff),
        interval=processing.interval,
        tau_vois=_tau_vois(scan, processing),
        tau=tau_scale(way, scan.tracer, normalisation=scan.normalisation),
        source=str(scan.pet),
    )
    quantify = step(numbers, "quantify", _TEMPLATE_GB)
    ratios = step(RatioImages(), "ratios", _TEMPLATE_GB)
    workflow.connect(
        [
            (inputs, quantify, same(["position"])),
            (inputs, ratios, same(["pet"])),
            (quantify, outputs, same(["record"])),
            (ratios, outputs, list(images.items())),
        ]
    )
    if smoothed:
        standard = step(PetToTemplate(), "standard", _TEMPLATE_GB)
        moved = [("plain", "stills"), *same(["field", "t1w_to_pet"])]
        workflow.connect([(inputs, standard, moved), (standard, quantify, same(["pet"]))])
    else:
        workflow.connect([(inputs, quantify, same(["pet"]))])
    if processing.voi_mm == 1:
        fine = step(PetToFineTemplate(), "fine", _FINE_GB)
        moved = same(["stills", "field", "t1w_to_pet"])
        workflow.connect([(inputs, fine, moved), (fine, quantify, [("pet", "asked")])])
    elif smoothed:
        workflow.connect([(inputs, quantify, [("pet", "asked")])])
    return workflow


def centiloid_scale(scan: ScanPlan, processing: Processing) -> Scale:
    """Equations for the Centiloid of a scan, however it is measured."""
    way = centiloid_way(processing, scan.tracer, normalisation=scan.normalisation)
    return scale_for(way, scan.tracer, normalisation=scan.normalisation)


def _tau_vois(scan: ScanPlan, processing: Processing) -> dict[str, str]:
    """The user's tau volumes for a scan with a tau tracer, else none."""
    if scan.tracer not in tau_tracers() or processing.tau_vois is None:
        return {}
    return tau_voi_files(processing.tau_vois)
