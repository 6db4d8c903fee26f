"""Partial volume correction of a scan, on its native grid; no Centiloid rests on it."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.interfaces.derivatives import SaveImages, SaveTables
from bidsapp.interfaces.pvc import Correct
from bidsapp.settings import PvcMethod
from bidsapp.steps.correcting import pvc_columns
from bidsapp.workflows.sidecars import PVC_IMAGES, Sidecars
from bidsapp.workflows.wiring import bounded, gathered, same, step

PVC_ANATOMY = ("gm", "wm", "csf", "mask", "regions", "warp")

# Peak memory of a 128 x 128 x 84 PET with a 256 x 256 x 256 T1w, measured.
_CORRECT_GB, _SAVE_GB = 1.2, 0.3


def init_pvc_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "pvc_wf"
) -> Workflow:
    """Correct a scan by the methods asked for, in the regions of all atlases.

    Inputs
    ------
    pet
        Mean PET, native grid, not smoothed.
    t1w_to_pet
        T1w world -> PET world, 4 x 4.
    gm, wm, csf, mask, regions, warp
        As `bidsapp.workflows.anat.init_anat_wf` gives them.
    processing
        Options of the scan, with its own parcellations; those of the run where nothing is given.

    Outputs
    -------
    record
        What it gives to the record: ``pvc``.
    written
        Names of the files.
    """
    fields = ["pet", "t1w_to_pet", *PVC_ANATOMY, "processing"]
    workflow, inputs, outputs = bounded(name, fields, ["record", "written"])
    inputs.inputs.processing = sidecars.processing
    asked = sidecars.processing.pvc
    keys = [key for method, key in PVC_IMAGES.items() if PvcMethod(method) in asked]
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.pvc(scan)
    corrected = step(Correct(), "correct", _CORRECT_GB)
    columns = pvc_columns(scan.metadata.units)
    saved = SaveTables(**place, key="pvc", columns=columns, sidecar=content["pvc"])
    tables = step(saved, "tables", _SAVE_GB)
    save = SaveImages(keys, **place, sidecars={key: content[key] for key in keys})
    images = step(save, "images", _SAVE_GB)
    workflow.connect(
        [
            (inputs, corrected, same(fields)),
            (corrected, tables, same(["tables", "record"])),
            (corrected, images, same(keys)),
            (tables, outputs, same(["record"])),
        ]
    )
    gathered(workflow, [(node, "written") for node in (tables, images)], outputs, "written")
    return workflow
