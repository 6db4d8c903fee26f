"""One PET scan from raw image to record: the steps of `bidsapp.workflows.pet`, and its files."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.interfaces.derivatives import SaveImages, SavePosition, SaveResult, SaveVois
from bidsapp.settings import PetToT1w
from bidsapp.workflows.pet import (
    init_pet_reference_wf,
    init_pet_registration_wf,
    init_quantification_wf,
    init_resampling_wf,
)
from bidsapp.workflows.sidecars import PET_IMAGES, SUVR_IMAGES, Sidecars

ANATOMY = ("t1w", "mask", "gm", "wm", "csf", "regions", "field", "quality")

_IMAGES_GB, _TABLE_GB = 0.6, 0.2


def init_scan_wf(
    scan: ScanPlan, *, output_dir: str, method: PetToT1w, sidecars: Sidecars, name: str
) -> Workflow:
    """Process one PET scan and write everything it gives.

    Inputs
    ------
    t1w, mask, gm, wm, csf, regions, field, quality
        As `bidsapp.workflows.anat.init_anat_wf` gives them.
    anat_written
        Numbers of anatomical files, which the record waits for.

    Outputs
    -------
    written
        One, when the record is complete.
    """
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface([*ANATOMY, "anat_written"]), name="inputnode")
    outputs = Node(IdentityInterface(["written"]), name="outputnode")
    reference = init_pet_reference_wf(scan)
    reference.inputs.inputnode.pet = str(scan.pet)
    registration = init_pet_registration_wf(scan, method=method)
    resampling = init_resampling_wf()
    quantification = init_quantification_wf(scan)
    derivatives = init_pet_derivatives_wf(scan, output_dir=output_dir, sidecars=sidecars)
    anatomy = [field for field in ANATOMY if field not in ("field", "quality")]
    workflow.connect(
        [
            (inputs, registration, [(field, f"inputnode.{field}") for field in anatomy]),
            (inputs, resampling, [("mask", "inputnode.mask"), ("field", "inputnode.field")]),
            (inputs, derivatives, [("quality", "inputnode.anat_quality"),
                                   ("anat_written", "inputnode.anat_written")]),
            (reference, registration, [("outputnode.pet", "inputnode.pet")]),
            (reference, resampling, [("outputnode.pet", "inputnode.pet")]),
            (reference, derivatives, [("outputnode.pet", "inputnode.pet_native")]),
            (registration, resampling, [("outputnode.t1w_to_pet", "inputnode.t1w_to_pet")]),
            (registration, derivatives, [("outputnode.flags", "inputnode.position_flags"),
                                         ("outputnode.quality", "inputnode.position_quality"),
                                         *_across(["t1w_to_pet", "by_method", "method"])]),
            (resampling, quantification, [("outputnode.pet_mni", "inputnode.pet")]),
            (resampling, derivatives, _across(["pet_t1w", "pet_mni"])),
            (quantification, derivatives, [("outputnode.flags", "inputnode.voi_flags"),
                                           *_across(["voi", "suvr", "centiloid", *SUVR_IMAGES])]),
            (derivatives, outputs, [("outputnode.written", "written")]),
        ]
    )  # fmt: skip
    return workflow


def init_pet_derivatives_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "pet_derivatives_wf"
) -> Workflow:
    """Write images, position, table and, when all of them exist, the record of a scan.

    Inputs
    ------
    pet_native, pet_t1w, pet_mni, suvr_wc, suvr_cg, suvr_wcb, suvr_pons
        Images.
    t1w_to_pet, by_method, method, position_quality, position_flags
        As `init_pet_registration_wf` gives them.
    voi, suvr, centiloid, voi_flags
        As `init_quantification_wf` gives them.
    anat_quality, anat_written
        Quality numbers of the T1w, and numbers of its files.

    Outputs
    -------
    written
        One, when the record is complete.
    """
    position = ["t1w_to_pet", "by_method"]
    told = ["voi", "suvr", "centiloid", "method", "position_quality", "anat_quality",
            "position_flags", "voi_flags"]  # fmt: skip
    workflow = Workflow(name=name)
    fields = [*PET_IMAGES, *position, *told, "anat_written"]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    outputs = Node(IdentityInterface(["written"]), name="outputnode")
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.pet(scan)
    images = Node(
        SaveImages(PET_IMAGES, **place, sidecars={key: content[key] for key in PET_IMAGES}),
        name="images", mem_gb=_IMAGES_GB, n_procs=1,
    )  # fmt: skip
    xfm = Node(
        SavePosition(**place, sidecar=content["xfm"]), name="xfm", mem_gb=_TABLE_GB, n_procs=1
    )
    vois = Node(
        SaveVois(**place, sidecar=content["vois"], units=scan.metadata.units),
        name="vois", mem_gb=_TABLE_GB, n_procs=1,
    )  # fmt: skip
    written = Node(Merge(4), name="written", run_without_submitting=True)
    result = Node(
        SaveResult(
            output_dir=output_dir,
            planned=sidecars.record(scan),
            pet=str(scan.pet),
            t1w=str(scan.t1w.t1w),
        ),
        name="result", mem_gb=_TABLE_GB, n_procs=1,
    )  # fmt: skip
    workflow.connect(
        [
            (inputs, images, [(key, key) for key in PET_IMAGES]),
            (inputs, xfm, [(field, field) for field in [*position, "method"]]),
            (inputs, xfm, [("position_quality", "quality")]),
            (inputs, vois, [("voi", "voi")]),
            (inputs, result, [(field, field) for field in told]),
            (inputs, written, [("anat_written", "in1")]),
            (images, written, [("written", "in2")]),
            (xfm, written, [("written", "in3")]),
            (vois, written, [("written", "in4")]),
            (written, result, [("out", "written")]),
            (result, outputs, [("written", "written")]),
        ]
    )
    return workflow


def _across(fields: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    """Connections from the outputnode of one workflow to the inputnode of the next."""
    return [(f"outputnode.{field}", f"inputnode.{field}") for field in fields]
