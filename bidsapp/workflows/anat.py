"""The anatomical workflow: one T1w, segmented and normalised once for all PET scans it serves."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.plan import T1wPlan
from bidsapp.interfaces.anatomy import NativeRegions, Segment, ToTemplate
from bidsapp.interfaces.derivatives import SaveImages, SaveWarp
from bidsapp.workflows.sidecars import ANAT_IMAGES, Sidecars

# Peak memory of a 256 x 256 x 256 T1w, measured.
_SEGMENT_GB, _IMAGES_GB = 1.5, 0.6


def init_anat_wf(*, name: str = "anat_wf") -> Workflow:
    """Segment a T1w and normalise it.

    Inputs
    ------
    t1w
        Raw T1w, NIfTI.

    Outputs
    -------
    t1w, mask, gm, wm, csf
        Bias-corrected T1w, brain mask and tissue probabilities on the T1w grid.
    t1w_mni
        Bias-corrected T1w on the 2 mm MNI grid.
    field, warp
        T1w world coordinate (RAS, mm) of every voxel of that grid; parameters of both directions.
    regions
        Cortical target and cerebellum as masks on the T1w grid.
    record
        What the segmentation gives to the record of every scan on this T1w.
    """
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface(["t1w"]), name="inputnode")
    segment = Node(Segment(), name="segment", mem_gb=_SEGMENT_GB, n_procs=1)
    regions = Node(NativeRegions(), name="regions", mem_gb=_IMAGES_GB, n_procs=1)
    to_template = Node(ToTemplate(), name="to_template", mem_gb=_IMAGES_GB, n_procs=1)
    passed_on = ["t1w", "mask", "gm", "wm", "csf", "field", "warp", "record"]
    outputs = Node(IdentityInterface([*passed_on, "t1w_mni", "regions"]), name="outputnode")
    workflow.connect(
        [
            (inputs, segment, [("t1w", "t1w")]),
            (segment, regions, [("mask", "mask"), ("warp", "warp")]),
            (segment, to_template, [("t1w", "image"), ("field", "field")]),
            (segment, outputs, [(field, field) for field in passed_on]),
            (regions, outputs, [("regions", "regions")]),
            (to_template, outputs, [("image", "t1w_mni")]),
        ]
    )
    return workflow


def init_anat_derivatives_wf(
    t1w: T1wPlan, *, output_dir: str, sidecars: Sidecars, name: str = "anat_derivatives_wf"
) -> Workflow:
    """Write what the anatomical workflow made.

    Inputs
    ------
    t1w, mask, gm, wm, csf, t1w_mni, field
        As `init_anat_wf` gives them.

    Outputs
    -------
    written
        Names of the files.
    """
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface([*ANAT_IMAGES, "field"]), name="inputnode")
    outputs = Node(IdentityInterface(["written"]), name="outputnode")
    content = sidecars.anatomical(t1w)
    place = {"output_dir": output_dir, "entities": t1w.entities}
    images = Node(
        SaveImages(ANAT_IMAGES, **place, sidecars={key: content[key] for key in ANAT_IMAGES}),
        name="images",
        mem_gb=_IMAGES_GB,
        n_procs=1,
    )
    warp = Node(SaveWarp(**place, sidecar=content["warp"]), name="warp", mem_gb=0.3, n_procs=1)
    written = Node(Merge(2), name="written", run_without_submitting=True)
    workflow.connect(
        [
            (inputs, images, [(key, key) for key in ANAT_IMAGES]),
            (inputs, warp, [("field", "field")]),
            (images, written, [("written", "in1")]),
            (warp, written, [("written", "in2")]),
            (written, outputs, [("out", "written")]),
        ]
    )
    return workflow
