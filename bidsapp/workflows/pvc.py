"""Partial volume correction of a scan, on its native grid; no Centiloid rests on it."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.interfaces.derivatives import SaveImages
from bidsapp.interfaces.pvc import Correct, SavePvc
from bidsapp.settings import PvcMethod
from bidsapp.workflows.sidecars import PVC_IMAGES, Sidecars

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

    Outputs
    -------
    record
        What it gives to the record: ``pvc``.
    written
        Names of the files.
    """
    workflow = Workflow(name=name)
    fields = ["pet", "t1w_to_pet", *PVC_ANATOMY]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    outputs = Node(IdentityInterface(["record", "written"]), name="outputnode")
    asked = sidecars.processing.pvc
    keys = [key for method, key in PVC_IMAGES.items() if PvcMethod(method) in asked]
    place = {"output_dir": output_dir, "entities": scan.entities}
    content = sidecars.pvc(scan)
    corrected = Node(
        Correct(processing=sidecars.processing), name="correct", mem_gb=_CORRECT_GB, n_procs=1
    )
    tables = Node(
        SavePvc(**place, units=scan.metadata.units, sidecar=content["pvc"]),
        name="tables", mem_gb=_SAVE_GB, n_procs=1,
    )  # fmt: skip
    images = Node(
        SaveImages(keys, **place, sidecars={key: content[key] for key in keys}),
        name="images", mem_gb=_SAVE_GB, n_procs=1,
    )  # fmt: skip
    written = Node(Merge(2), name="written", run_without_submitting=True)
    workflow.connect(
        [
            (inputs, corrected, [(field, field) for field in fields]),
            (corrected, tables, [("tables", "tables"), ("record", "record")]),
            (corrected, images, [(key, key) for key in keys]),
            (tables, outputs, [("record", "record")]),
            (tables, written, [("written", "in1")]),
            (images, written, [("written", "in2")]),
            (written, outputs, [("out", "written")]),
        ]
    )
    return workflow
