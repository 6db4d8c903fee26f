"""The steps of one PET scan: reference image, position, resampling, numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.pet_metadata import common_decay_factors
from bidsapp.bids.plan import ScanPlan
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import scale_for
from bidsapp.data.tau import any_tracer, tau_tracers, tau_voi_files
from bidsapp.interfaces.damage import Inspect
from bidsapp.interfaces.pet import (
    AlignFrames,
    PetToT1wGrid,
    PetToTemplate,
    Register,
    TimeAverage,
)
from bidsapp.interfaces.quantification import Quantify, RatioImages
from bidsapp.interfaces.witness import BothPositions
from bidsapp.record import RecordPart
from bidsapp.settings import PetToT1w, Processing

REGISTRATION_ANATOMY = ("t1w", "mask", "gm", "wm", "csf", "warp")
INSPECTION_ANATOMY = ("gm", "wm", "mask")

# Peak memory with a 256 x 256 x 256 T1w and a 128 x 128 x 84 PET, measured.
_FRAME_GB, _REGISTER_GB, _RESAMPLE_GB, _TEMPLATE_GB = 0.03, 1.5, 0.6, 0.4


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
    fields = ["pet", "stills", "motion", "motion_record", "ends", "record"]
    outputs = Node(IdentityInterface(fields), name="outputnode")
    weights = list(scan.window.frame_weights_s)
    factors = common_decay_factors(scan.metadata, any_tracer(scan.tracer).half_life_s)
    average = Node(
        TimeAverage(
            pet=list(map(str, scan.files[0])),
            weights_s=weights,
            decay_factors=list(factors) if factors else None,
        ),
        name="average",
        mem_gb=0.3 + _FRAME_GB * len(weights),
        n_procs=1,
    )
    record = Node(Merge(2), name="record", run_without_submitting=True)
    workflow.connect(
        [
            (average, outputs, [("pet", "pet"), ("stills", "stills"), ("ends", "ends")]),
            (average, record, [("record", "in1")]),
            (record, outputs, [("out", "record")]),
        ]
    )
    # Without correction only the parts of a dual-window study need a common position.
    if scan.n_frames > 1 and (processing.motion_correction or scan.parts):
        align = Node(
            AlignFrames(
                pets=[list(map(str, files)) for files in scan.files],
                starts_s=[list(timing.frame_start_s) for timing in scan.timings],
                durations_s=[list(timing.frame_duration_s) for timing in scan.timings],
                weights_s=weights,
                within=processing.motion_correction,
            ),
            name="align",
            mem_gb=0.5 + _FRAME_GB * scan.n_frames,
            n_procs=1,
        )
        workflow.connect([(align, average, [("motion", "motion")])])
        workflow.connect([(align, outputs, [("motion", "motion"), ("record", "motion_record")])])
        workflow.connect([(align, record, [("record", "in2")])])
    else:
        outputs.inputs.motion_record = RecordPart()
        outputs.inputs.motion = [
            [np.eye(4).tolist() for _ in timing.frame_start_s] for timing in scan.timings
        ]
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
    register = Node(
        Register(method=method, anatomy=scan.anatomy, source=str(scan.pet)),
        name="register",
        mem_gb=_REGISTER_GB,
        n_procs=1,
    )
    images = ["pet", *REGISTRATION_ANATOMY]
    found = ["t1w_to_pet", "by_method", "record"]
    return _single(register, inputs=images, outputs=found, name=name)


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
    workflow = Workflow(name=name)
    given = ["pet", "stills", "motion", "t1w_to_pet", "field", *anatomy]
    inputs = Node(IdentityInterface(given), name="inputnode")
    outputs = Node(IdentityInterface(["pet", "stills", "record"]), name="outputnode")
    inspect = Node(
        Inspect(
            pet=list(map(str, scan.files[0])),
            weights_s=list(scan.window.frame_weights_s),
            reference=scale_for(processing, scan.tracer, normalisation=scan.normalisation).main,
        ),
        name="inspect",
        mem_gb=_RESAMPLE_GB,
        n_procs=1,
    )
    renamed = [(field, "mean" if field == "pet" else field) for field in given]
    workflow.connect(
        [
            (inputs, inspect, renamed),
            (inspect, outputs, [(field, field) for field in ("pet", "stills", "record")]),
        ]
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
    both = Node(
        BothPositions(scale=scale_for(processing, scan.tracer, normalisation=scan.normalisation)),
        name="both",
        mem_gb=_TEMPLATE_GB,
        n_procs=1,
    )
    return _single(both, inputs=["stills", "by_method", "field"], outputs=["record"], name=name)


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
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface(["stills", "t1w_to_pet", "mask", "field"]), name="inputnode")
    outputs = Node(IdentityInterface(["pet_t1w", "pet_mni"]), name="outputnode")
    to_t1w = Node(PetToT1wGrid(), name="to_t1w", mem_gb=_RESAMPLE_GB, n_procs=1)
    to_template = Node(PetToTemplate(), name="to_template", mem_gb=_TEMPLATE_GB, n_procs=1)
    moved = [("stills", "stills"), ("t1w_to_pet", "t1w_to_pet")]
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

    Outputs
    -------
    voi
        Statistics by volume of interest.
    record
        What the measurement gives to the record.
    suvr_wc, suvr_cg, suvr_wcb, suvr_pons
        Uptake ratio images.
    """
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface(["pet"]), name="inputnode")
    numbers = ["voi", "record"]
    images = {region: f"suvr_{region}" for region in REFERENCES}
    outputs = Node(IdentityInterface([*numbers, *images.values()]), name="outputnode")
    quantify = Node(
        Quantify(
            scale=scale_for(processing, scan.tracer, normalisation=scan.normalisation),
            tracer=scan.tracer,
            cutoffs=list(processing.cutoff),
            tau_vois=_tau_vois(scan, processing),
            source=str(scan.pet),
        ),
        name="quantify",
        mem_gb=_TEMPLATE_GB,
        n_procs=1,
    )
    ratios = Node(RatioImages(), name="ratios", mem_gb=_TEMPLATE_GB, n_procs=1)
    workflow.connect(
        [
            (inputs, quantify, [("pet", "pet")]),
            (inputs, ratios, [("pet", "pet")]),
            (quantify, ratios, [("voi", "voi")]),
            (quantify, outputs, [(number, number) for number in numbers]),
            (ratios, outputs, list(images.items())),
        ]
    )
    return workflow


def _tau_vois(scan: ScanPlan, processing: Processing) -> dict[str, str]:
    """The user's tau volumes for a scan with a tau tracer, else none."""
    if scan.tracer not in tau_tracers() or processing.tau_vois is None:
        return {}
    return tau_voi_files(processing.tau_vois)


def _single(node: Node, *, inputs: list[str], outputs: list[str], name: str) -> Workflow:
    """Workflow of one node between inputnode and outputnode of the same fields."""
    workflow = Workflow(name=name)
    before = Node(IdentityInterface(inputs), name="inputnode")
    after = Node(IdentityInterface(outputs), name="outputnode")
    workflow.connect(
        [
            (before, node, [(field, field) for field in inputs]),
            (node, after, [(field, field) for field in outputs]),
        ]
    )
    return workflow
