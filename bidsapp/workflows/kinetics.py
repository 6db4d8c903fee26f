"""Reference-tissue kinetics of a dynamic scan: parameters by region, images, their files."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.core.kinetics.dynamic import dynamic_refusal
from bidsapp.data.kinetics import dynamic_rule, kinpar_columns, map_keys
from bidsapp.interfaces.derivatives import SaveImages, SaveTables
from bidsapp.interfaces.kinetics import FitKinetics
from bidsapp.record.parts import not_fitted
from bidsapp.workflows.sidecars import Sidecars
from bidsapp.workflows.wiring import bounded, gathered, same, step

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
    processing
        Options of the scan, with its own parcellations; those of the run where nothing is given.

    Outputs
    -------
    record
        What it gives to the record: ``kinetics``.
    written
        Names of the files.
    """
    fields = ["tacs", "frames", "gm", "wm", "field", "processing"]
    workflow, inputs, outputs = bounded(name, fields, ["record", "written"])
    if (reason := _refusal(scan)) is not None:
        outputs.inputs.record, outputs.inputs.written = not_fitted(reason), []
        return workflow
    processing = inputs.inputs.processing = sidecars.processing
    keys, content = map_keys(processing), sidecars.kinetics(scan)
    place = {"output_dir": output_dir, "entities": scan.entities}
    fit = step(FitKinetics(), "fit", _FIT_GB)
    saved = SaveTables(**place, key="kinpar", columns=kinpar_columns(), sidecar=content["kinpar"])
    tables = step(saved, "tables", _SAVE_GB)
    save = SaveImages(keys, **place, sidecars={key: content[key] for key in keys})
    images = step(save, "images", _SAVE_GB)
    workflow.connect(
        [
            (inputs, fit, same(fields)),
            (fit, tables, same(["tables", "record"])),
            (fit, images, same(keys)),
            (tables, outputs, same(["record"])),
        ]
    )
    gathered(workflow, [(node, "written") for node in (tables, images)], outputs, "written")
    return workflow


def _refusal(scan: ScanPlan) -> str | None:
    """Why the frames of all parts of the injection are not dynamic enough, or None."""
    start = [time for part in scan.timings for time in part.frame_start_s]
    length = [time for part in scan.timings for time in part.frame_duration_s]
    order = sorted(range(len(start)), key=start.__getitem__)
    return dynamic_refusal(
        [start[i] for i in order], [start[i] + length[i] for i in order], dynamic_rule()
    )
