"""Reference-tissue kinetics of a dynamic scan: parameters by region, images, their files."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.data.kinetics import dynamic_rule, map_keys
from bidsapp.interfaces.derivatives import SaveImages
from bidsapp.interfaces.kinetics import FitKinetics, SaveKinetics
from bidsapp.record.parts import not_fitted
from bidsapp.workflows.sidecars import Sidecars

# Peak memory of 60 frames on the 2 mm MNI grid, measured.
_FIT_GB, _SAVE_GB = 0.6, 0.3


def init_kinetics_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "kinetics_wf"
) -> Workflow:
    """Fit reference-tissue models to a scan that saw delivery and washout.

    A scan that did not gets a record that says why, and no nodes.

    Inputs
    ------
    tacs, frames
        As `bidsapp.workflows.dynamic.init_dynamic_wf` gives them.
    gm, wm, field
        As `bidsapp.workflows.anat.init_anat_wf` gives them.

    Outputs
    -------
    record
        What it gives to the record: ``kinetics``.
    written
        Names of the files.
    """
    workflow = Workflow(name=name)
    inputs = Node(IdentityInterface(["tacs", "frames", "gm", "wm", "field"]), name="inputnode")
    outputs = Node(IdentityInterface(["record", "written"]), name="outputnode")
    workflow.add_nodes([inputs, outputs])
    if (reason := _refusal(scan)) is not None:
        outputs.inputs.record, outputs.inputs.written = not_fitted(reason), []
        return workflow
    processing = sidecars.processing
    keys, content = map_keys(processing), sidecars.kinetics(scan)
    place = {"output_dir": output_dir, "entities": scan.entities}
    fit = Node(FitKinetics(processing=processing), name="fit", mem_gb=_FIT_GB, n_procs=1)
    tables = Node(
        SaveKinetics(**place, sidecar=content["kinpar"]), name="tables", mem_gb=_SAVE_GB, n_procs=1
    )
    images = Node(
        SaveImages(keys, **place, sidecars={key: content[key] for key in keys}),
        name="images", mem_gb=_SAVE_GB, n_procs=1,
    )  # fmt: skip
    written = Node(Merge(2), name="written", run_without_submitting=True)
    workflow.connect(
        [
            (inputs, fit, [(field, field) for field in ("tacs", "frames", "gm", "wm", "field")]),
            (fit, tables, [("tables", "tables"), ("record", "record")]),
            (fit, images, [(key, key) for key in keys]),
            (tables, outputs, [("record", "record")]),
            (tables, written, [("written", "in1")]),
            (images, written, [("written", "in2")]),
            (written, outputs, [("out", "written")]),
        ]
    )
    return workflow


def _refusal(scan: ScanPlan) -> str | None:
    """Why the frames of all parts of the injection are not dynamic enough, or None."""
    start = [time for part in scan.timings for time in part.frame_start_s]
    length = [time for part in scan.timings for time in part.frame_duration_s]
    order = sorted(range(len(start)), key=start.__getitem__)
    return dynamic_refusal(
        [start[i] for i in order], [start[i] + length[i] for i in order], dynamic_rule()
    )
