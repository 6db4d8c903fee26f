"""Regional measurement of one PET scan: tables, masks, ratio and Centiloid images, by space."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import regional_scale
from bidsapp.interfaces.regions import (
    AcceptParcellations,
    MeasureRegions,
    SaveRatios,
    SaveRegions,
)
from bidsapp.record import RecordPart
from bidsapp.settings import TEMPLATE_SPACE, Processing
from bidsapp.workflows.sidecars import Sidecars
from bidsapp.workflows.wiring import bounded, gathered, of_one, same, step

PARCELLATION_ANATOMY = ("gm", "wm", "csf", "mask")

_MEASURE_GB, _NATIVE_GB, _SAVE_GB = 0.5, 1.5, 0.4

# Where the PET of a space comes from, and what brings the atlas there.
_IMAGE = {TEMPLATE_SPACE: "pet_mni", "T1w": "pet_t1w", "pet": "pet_native"}
_PLACING = {
    TEMPLATE_SPACE: ("field",),
    "T1w": ("warp", "mask"),
    "pet": ("warp", "t1w_to_pet"),
}


def init_parcellations_wf(
    scan: ScanPlan, *, processing: Processing, name: str = "parcellations_wf"
) -> Workflow:
    """Check the parcellations of the participant that the plan of a scan names.

    Inputs
    ------
    gm, wm, csf, mask
        As `bidsapp.workflows.anat.init_anat_wf` gives them.

    Outputs
    -------
    processing
        The options of the run with those that can be used.
    record
        What it gives to the record.
    """
    given = ["processing", "record"]
    if scan.parcellations:
        accept = AcceptParcellations(
            found=list(scan.parcellations),
            files=[str(one.image) for one in scan.parcellations],
            processing=processing,
        )
        return of_one(step(accept, "check", _NATIVE_GB), name, PARCELLATION_ANATOMY, given)
    workflow, _, outputs = bounded(name, PARCELLATION_ANATOMY, given)
    outputs.inputs.processing, outputs.inputs.record = processing, RecordPart()
    return workflow


def init_regions_wf(
    scan: ScanPlan, *, output_dir: str, sidecars: Sidecars, name: str = "regions_wf"
) -> Workflow:
    """Measure a scan in the regions of all atlases of the run, in every space asked for.

    Inputs
    ------
    pet_mni, pet_t1w, pet_native
        Mean PET in the three spaces, NaN outside its field of view.
    gm, wm, mask, field, warp
        As `bidsapp.workflows.anat.init_anat_wf` gives them. Without a T1w only field and warp,
        those of the PET.
    t1w_to_pet
        T1w world -> PET world, 4 x 4; the identity without a T1w.
    processing
        Options of the scan, with its own parcellations; those of the run where nothing is given.

    Outputs
    -------
    record
        Mean and SD of every reference region on the template: ``reference_uptake``.
    written
        Names of the files.
    """
    processing = sidecars.processing
    tissue = [] if scan.t1w is None else ["gm", "wm"]
    fields = [*_IMAGE.values(), "gm", "wm", "mask", "field", "warp", "t1w_to_pet"]
    workflow, inputs, outputs = bounded(name, [*fields, "processing"], ["record", "written"])
    inputs.inputs.processing = processing
    spaces = tuple(
        space
        for space in dict.fromkeys((TEMPLATE_SPACE, *processing.voi_spaces))
        if scan.t1w is not None or space != "T1w"
    )
    equations = regional_scale(processing, scan.tracer, normalisation=scan.normalisation).equations
    lines = {name: [line.slope, line.intercept] for name, line in equations.items()}
    place = {"output_dir": output_dir, "entities": scan.entities}
    writers = []
    for space in spaces:
        on_template = space == TEMPLATE_SPACE
        own = "" if on_template else f"_{space.lower()}"
        measure = step(
            MeasureRegions(space=space, lines=lines),
            f"measure{own}",
            _MEASURE_GB if on_template else _NATIVE_GB,
        )
        save = SaveRegions(
            **place,
            space=space,
            units=scan.metadata.units,
            t1w_entities={} if scan.t1w is None else scan.t1w.entities,
            sidecar=sidecars.regional(scan, space),
            mask_sidecar=sidecars.masks(scan, space),
        )
        tables = step(save, f"tables{own}", _SAVE_GB)
        save = SaveRatios(
            **place,
            space=space,
            lines=lines,
            skip=list(REFERENCES) if on_template else [],
            sidecar=sidecars.ratio(scan, space),
        )
        ratios = step(save, f"ratios{own}", _SAVE_GB)
        workflow.connect(
            [
                (inputs, measure, [(_IMAGE[space], "pet"), *same((*tissue, *_PLACING[space]))]),
                (inputs, measure, same(["processing"])),
                (inputs, tables, same(["processing"])),
                (measure, tables, same(["tables", *(["masks"] * processing.write_masks)])),
                (inputs, ratios, [(_IMAGE[space], "pet")]),
                (measure, ratios, same(["references"])),
            ]
        )
        if on_template:
            workflow.connect(measure, "record", outputs, "record")
        writers += [tables, ratios]
    gathered(workflow, [(node, "written") for node in writers], outputs, "written")
    return workflow
