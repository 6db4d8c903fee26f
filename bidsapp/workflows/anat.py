"""The anatomical workflow: one T1w, segmented and normalised once for all PET scans it serves."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import T1wPlan
from bidsapp.interfaces.anatomy import NativeRegions, Segment, ToTemplate
from bidsapp.interfaces.derivatives import SaveImages, SaveWarp
from bidsapp.workflows.sidecars import ANAT_IMAGES, TISSUES, Sidecars
from bidsapp.workflows.wiring import bounded, gathered, same, step

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
    passed_on = ["t1w", "mask", "gm", "wm", "csf", "field", "warp", "record"]
    workflow, inputs, outputs = bounded(name, ["t1w"], [*passed_on, "t1w_mni", "regions"])
    segment = step(Segment(), "segment", _SEGMENT_GB)
    regions = step(NativeRegions(), "regions", _IMAGES_GB)
    to_template = step(ToTemplate(), "to_template", _IMAGES_GB)
    workflow.connect(
        [
            (inputs, segment, same(["t1w"])),
            (segment, regions, same(["mask", "warp"])),
            (segment, to_template, [("t1w", "image"), ("field", "field")]),
            (segment, outputs, same(passed_on)),
            (regions, outputs, same(["regions"])),
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
    t1w, mask, gm, wm, csf, t1w_mni, field, warp
        As `init_anat_wf` gives them.

    Outputs
    -------
    written
        Names of the files.
    """
    workflow, inputs, outputs = bounded(name, [*ANAT_IMAGES, "field", "warp"], ["written"])
    content = sidecars.anatomical(t1w)
    place = {"output_dir": output_dir, "entities": t1w.entities}
    on_template = [f"{tissue}_mni" for tissue in TISSUES]
    keys = (*ANAT_IMAGES, *on_template)
    save = SaveImages(keys, **place, sidecars={key: content[key] for key in keys})
    images = step(save, "images", _IMAGES_GB)
    both = {key: content[key] for key in ("warp", "warp_inverse")}
    warp = step(SaveWarp(**place, sidecars=both), "warp", _IMAGES_GB)
    workflow.connect(
        [
            (inputs, images, same(ANAT_IMAGES)),
            (inputs, warp, [*same(["field", "warp"]), ("t1w", "native")]),
        ]
    )
    for tissue, key in zip(TISSUES, on_template, strict=True):
        moved = step(ToTemplate(), key, _IMAGES_GB)
        workflow.connect([(inputs, moved, [(tissue, "image"), ("field", "field")])])
        workflow.connect([(moved, images, [("image", key)])])
    gathered(workflow, [(node, "written") for node in (images, warp)], outputs, "written")
    return workflow
