"""One PET scan from raw image to record: the steps of `bidsapp.workflows.pet`, and its files."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.data.calibrations import centiloid_way
from bidsapp.interfaces.derivatives import SaveImages, SavePosition, SaveResult
from bidsapp.settings import PetToT1w
from bidsapp.workflows.dynamic import init_dynamic_wf
from bidsapp.workflows.kinetics import init_kinetics_wf
from bidsapp.workflows.pet import (
    INSPECTION_ANATOMY,
    REGISTRATION_ANATOMY,
    init_inspection_wf,
    init_pet_reference_wf,
    init_pet_registration_wf,
    init_positions_wf,
    init_quantification_wf,
    init_resampling_wf,
)
from bidsapp.workflows.pvc import PVC_ANATOMY, init_pvc_wf
from bidsapp.workflows.regions import (
    PARCELLATION_ANATOMY,
    init_parcellations_wf,
    init_regions_wf,
)
from bidsapp.workflows.resolution import init_smoothing_wf
from bidsapp.workflows.sidecars import PET_IMAGES, SUVR_IMAGES, Sidecars
from bidsapp.workflows.wiring import across, bounded, gathered, into, of, same, step

ANATOMY = ("t1w", "mask", "gm", "wm", "csf", "regions", "field", "warp", "record")

_IMAGES_GB, _TABLE_GB = 0.6, 0.2


def init_scan_wf(
    scan: ScanPlan, *, output_dir: str, method: PetToT1w, sidecars: Sidecars, name: str
) -> Workflow:
    """Process one PET scan and write everything it gives.

    A step is a workflow of its own.  What it has to say of the scan leaves it as ``record``, the
    names of files it wrote as ``written``; the record of the scan waits for all of them.

    Inputs
    ------
    t1w, mask, gm, wm, csf, regions, field, warp, record
        As `bidsapp.workflows.anat.init_anat_wf` gives them.
    anat_written
        Names of the anatomical files, which the record waits for.

    Outputs
    -------
    written
        The record, when it is complete.
    """
    workflow, inputs, outputs = bounded(name, [*ANATOMY, "anat_written"], ["written"])
    reference = init_pet_reference_wf(scan, processing=sidecars.processing)
    registration = init_pet_registration_wf(scan, method=method)
    inspection = init_inspection_wf(scan, processing=sidecars.processing)
    positions = init_positions_wf(scan, processing=sidecars.processing)
    smoothing = init_smoothing_wf(processing=sidecars.processing)
    resampling = init_resampling_wf()
    quantification = init_quantification_wf(scan, processing=sidecars.processing)
    parcellations = init_parcellations_wf(scan, processing=sidecars.processing)
    regional = init_regions_wf(scan, output_dir=output_dir, sidecars=sidecars)
    derivatives = init_pet_derivatives_wf(scan, output_dir=output_dir, sidecars=sidecars)
    assert scan.t1w is not None  # else it is `init_pet_only_wf` that is asked
    whole = scan.t1w.t1w
    # the Centiloid may be that of the PET before it was smoothed
    way = centiloid_way(sidecars.processing, scan.tracer, normalisation=scan.normalisation)
    measured = smoothing if way == sidecars.processing else inspection
    save = SaveResult(
        output_dir=output_dir,
        planned=sidecars.record(scan),
        pet=str(scan.pet),
        t1w=None if whole is None else str(whole),
        others=list(map(str, (*scan.pets[1:], *(() if whole else scan.t1w.raw)))),
    )
    result = step(save, "result", _TABLE_GB)
    workflow.connect(
        [
            (inputs, registration, into(REGISTRATION_ANATOMY)),
            (inputs, resampling, into(["mask", "field"])),
            (reference, registration, across(["pet"])),
            (inputs, smoothing, into(["gm", "wm", "csf", "mask", "regions"])),
            (reference, inspection, across(["pet", "stills", "motion"])),
            (registration, inspection, across(["t1w_to_pet"])),
            (inputs, inspection, into([*INSPECTION_ANATOMY, "field"])),
            (inspection, smoothing, across(["pet", "stills"])),
            (registration, smoothing, across(["t1w_to_pet"])),
            (smoothing, resampling, across(["stills"])),
            (smoothing, derivatives, [("outputnode.pet", "inputnode.pet_native")]),
            (registration, resampling, across(["t1w_to_pet"])),
            (registration, derivatives, across(["t1w_to_pet", "by_method"])),
            (inputs, positions, into(["field"])),
            (measured, positions, across(["stills"])),
            (registration, positions, across(["by_method"])),
            (registration, derivatives, [("outputnode.record", "inputnode.position")]),
            (resampling, quantification, [("outputnode.pet_mni", "inputnode.pet")]),
            (smoothing, quantification, across(["stills"])),
            (inspection, quantification, [("outputnode.stills", "inputnode.plain")]),
            (inputs, quantification, into(["field"])),
            (registration, quantification, across(["t1w_to_pet"])),
            (registration, quantification, [("outputnode.record", "inputnode.position")]),
            (resampling, derivatives, across(["pet_t1w", "pet_mni"])),
            (quantification, derivatives, across(SUVR_IMAGES)),
            (inputs, regional, into(["gm", "wm", "mask", "field", "warp"])),
            (inputs, parcellations, into(PARCELLATION_ANATOMY)),
            (parcellations, regional, across(["processing"])),
            (smoothing, regional, [("outputnode.pet", "inputnode.pet_native")]),
            (registration, regional, across(["t1w_to_pet"])),
            (resampling, regional, across(["pet_t1w", "pet_mni"])),
            (result, outputs, same(["written"])),
        ]
    )
    steps = [reference, registration, inspection, smoothing, positions, quantification]
    steps += [parcellations, regional]
    writers = [derivatives, regional]
    if scan.is_dynamic:
        dynamic = init_dynamic_wf(scan, output_dir=output_dir, sidecars=sidecars)
        workflow.connect(
            [
                (inputs, dynamic, into(["field"])),
                (reference, dynamic, across(["motion", "motion_record", "ends"])),
                (registration, dynamic, across(["t1w_to_pet"])),
                (parcellations, dynamic, across(["processing"])),
            ]
        )
        steps.append(dynamic)
        writers.append(dynamic)
        if sidecars.processing.kinetics:
            kinetics = init_kinetics_wf(scan, output_dir=output_dir, sidecars=sidecars)
            workflow.connect(
                [
                    (inputs, kinetics, into(["gm", "wm", "field"])),
                    (dynamic, kinetics, across(["tacs", "frames"])),
                    (parcellations, kinetics, across(["processing"])),
                ]
            )
            steps.append(kinetics)
            writers.append(kinetics)
    if sidecars.processing.pvc:
        correction = init_pvc_wf(scan, output_dir=output_dir, sidecars=sidecars)
        workflow.connect(
            [
                (inputs, correction, into(PVC_ANATOMY)),
                (inspection, correction, across(["pet"])),
                (registration, correction, across(["t1w_to_pet"])),
                (parcellations, correction, across(["processing"])),
            ]
        )
        steps.append(correction)
        writers.append(correction)
    said = [(inputs, "record"), *of(steps, "record")]
    written = [(inputs, "anat_written"), *of(writers, "written")]
    gathered(workflow, said, result, "parts")
    gathered(workflow, written, result, "written")
    return workflow


def init_pet_derivatives_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "pet_derivatives_wf"
) -> Workflow:
    """Write images and position of a scan.

    Inputs
    ------
    pet_native, pet_t1w, pet_mni, suvr_wc, suvr_cg, suvr_wcb, suvr_pons
        Images.
    t1w_to_pet, by_method, position
        Matrices and record of `init_pet_registration_wf`.

    Outputs
    -------
    written
        Names of the files.
    """
    fields = [*PET_IMAGES, "t1w_to_pet", "by_method", "position"]
    workflow, inputs, outputs = bounded(name, fields, ["written"])
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.pet(scan)
    save = SaveImages(PET_IMAGES, **place, sidecars={key: content[key] for key in PET_IMAGES})
    images = step(save, "images", _IMAGES_GB)
    both = {key: content[key] for key in ("xfm", "xfm_inverse")}
    xfm = step(SavePosition(**place, sidecars=both), "xfm", _TABLE_GB)
    workflow.connect(
        [
            (inputs, images, same(PET_IMAGES)),
            (inputs, xfm, [*same(["t1w_to_pet", "by_method"]), ("position", "record")]),
        ]
    )
    gathered(workflow, [(node, "written") for node in (images, xfm)], outputs, "written")
    return workflow
