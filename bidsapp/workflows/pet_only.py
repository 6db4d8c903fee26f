"""One PET scan without a T1w, from raw image to record: the PET itself finds the template.

The PET's own space stands where the space of the T1w stands in `bidsapp.workflows.scan`: there is
nothing between PET and template but the warp. What needs tissue maps is left out.
"""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.interfaces.derivatives import SaveImages, SaveResult, SaveWarp
from bidsapp.interfaces.pet import PetToTemplate
from bidsapp.interfaces.pet_only import NormalisePet
from bidsapp.record.parts import not_corrected
from bidsapp.workflows.dynamic import init_dynamic_wf
from bidsapp.workflows.kinetics import init_kinetics_wf
from bidsapp.workflows.pet import (
    init_inspection_wf,
    init_pet_reference_wf,
    init_quantification_wf,
)
from bidsapp.workflows.regions import init_regions_wf
from bidsapp.workflows.resolution import init_smoothing_wf
from bidsapp.workflows.sidecars import SUVR_IMAGES, Sidecars
from bidsapp.workflows.wiring import across, gathered, into, of, out_of, passing, same, step

_NEEDS_T1W = "it needs the tissue maps of a T1w"

IMAGES = ("pet_native", "pet_mni", *SUVR_IMAGES)

# Peak memory with a 128 x 128 x 84 PET, measured.
_NORMALISE_GB, _TEMPLATE_GB, _IMAGES_GB, _TABLE_GB = 0.6, 0.4, 0.6, 0.2


def init_pet_only_wf(scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str) -> Workflow:
    """Process one PET scan without a T1w and write everything it gives.

    Outputs
    -------
    written
        The record, when it is complete.
    """
    processing = sidecars.processing
    workflow = Workflow(name=name)
    outputs = passing("outputnode", ["written"])
    reference = init_pet_reference_wf(scan, processing=processing)
    inspection = init_inspection_wf(scan, processing=processing, anatomy=())
    smoothing = init_smoothing_wf(processing=processing, anatomy=())
    normalise = step(NormalisePet(source=str(scan.pet)), "normalise", _NORMALISE_GB)
    to_template = step(PetToTemplate(), "to_template", _TEMPLATE_GB)
    quantification = init_quantification_wf(scan, processing=processing)
    regional = init_regions_wf(scan, output_dir=output_dir, sidecars=sidecars)
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.pet(scan)
    save = SaveImages(IMAGES, **place, sidecars={key: content[key] for key in IMAGES})
    images = step(save, "images", _IMAGES_GB)
    both = {key: content[key] for key in ("pet_warp", "pet_warp_inverse")}
    save = SaveWarp(**place, key="pet_warp", sidecars=both)
    warp = step(save, "warp", _TABLE_GB)
    save = SaveResult(
        output_dir=output_dir,
        planned=sidecars.record(scan),
        pet=str(scan.pet),
        others=list(map(str, scan.pets[1:])),
    )
    result = step(save, "result", _TABLE_GB)
    placing = ["field", "warp", "t1w_to_pet"]
    workflow.connect(
        [
            (reference, normalise, out_of(["pet"])),
            (reference, inspection, across(["pet", "stills", "motion"])),
            (normalise, inspection, into(["t1w_to_pet", "field"])),
            (inspection, smoothing, across(["pet", "stills"])),
            (smoothing, to_template, out_of(["stills"])),
            (normalise, to_template, same(["t1w_to_pet", "field"])),
            (smoothing, images, [("outputnode.pet", "pet_native")]),
            (smoothing, regional, [("outputnode.pet", "inputnode.pet_native")]),
            (to_template, quantification, into(["pet"])),
            (smoothing, quantification, across(["stills"])),
            (inspection, quantification, [("outputnode.stills", "inputnode.plain")]),
            (normalise, quantification, into(["t1w_to_pet", "field"])),
            (normalise, quantification, [("record", "inputnode.position")]),
            (to_template, images, [("pet", "pet_mni")]),
            (normalise, warp, same(["field", "warp"])),
            (reference, warp, [("outputnode.pet", "native")]),
            (to_template, regional, [("pet", "inputnode.pet_mni")]),
            (normalise, regional, into(placing)),
            (quantification, images, out_of(SUVR_IMAGES)),
            (result, outputs, same(["written"])),
        ]
    )
    steps = [reference, inspection, smoothing, quantification, regional]
    said = [(normalise, "record"), *of(steps, "record")]
    written = [(images, "written"), (warp, "written"), *of([regional], "written")]
    if scan.is_dynamic:
        dynamic = init_dynamic_wf(scan, output_dir=output_dir, sidecars=sidecars)
        workflow.connect(
            [
                (reference, dynamic, across(["motion", "motion_record", "ends"])),
                (normalise, dynamic, into(["t1w_to_pet", "field"])),
            ]
        )
        said += of([dynamic], "record")
        written += of([dynamic], "written")
        if processing.kinetics:
            kinetics = init_kinetics_wf(scan, output_dir=output_dir, sidecars=sidecars)
            workflow.connect(
                [
                    (dynamic, kinetics, across(["tacs", "frames"])),
                    (normalise, kinetics, into(["field"])),
                ]
            )
            said += of([kinetics], "record")
            written += of([kinetics], "written")
    if processing.pvc:
        uncorrected = passing("uncorrected", ["record"])
        uncorrected.inputs.record = not_corrected(_NEEDS_T1W)
        said.append((uncorrected, "record"))
    gathered(workflow, said, result, "parts")
    gathered(workflow, written, result, "written")
    return workflow
