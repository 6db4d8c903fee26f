"""Regional measurement of one PET scan: tables, masks, ratio and Centiloid images, by space."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.plan import ScanPlan
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import scale_for
from bidsapp.interfaces.regions import MeasureRegions, SaveRatios, SaveRegions
from bidsapp.settings import TEMPLATE_SPACE
from bidsapp.workflows.sidecars import Sidecars

_MEASURE_GB, _NATIVE_GB, _SAVE_GB = 0.5, 1.5, 0.4

# Where the PET of a space comes from, and what brings the atlas there.
_IMAGE = {TEMPLATE_SPACE: "pet_mni", "T1w": "pet_t1w", "pet": "pet_native"}
_PLACING = {
    TEMPLATE_SPACE: ("field",),
    "T1w": ("warp", "mask"),
    "pet": ("warp", "t1w_to_pet"),
}


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

    Outputs
    -------
    record
        Mean and SD of every reference region on the template: ``reference_uptake``.
    written
        Names of the files.
    """
    processing = sidecars.processing
    workflow = Workflow(name=name)
    tissue = [] if scan.t1w is None else ["gm", "wm"]
    fields = [*_IMAGE.values(), "gm", "wm", "mask", "field", "warp", "t1w_to_pet"]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    outputs = Node(IdentityInterface(["record", "written"]), name="outputnode")
    spaces = tuple(
        space
        for space in dict.fromkeys((TEMPLATE_SPACE, *processing.voi_spaces))
        if scan.t1w is not None or space != "T1w"
    )
    written = Node(Merge(2 * len(spaces)), name="written", run_without_submitting=True)
    equations = scale_for(processing, scan.tracer, normalisation=scan.normalisation).equations
    lines = {name: [line.slope, line.intercept] for name, line in equations.items()}
    place = {"output_dir": output_dir, "entities": scan.entities}
    for number, space in enumerate(spaces):
        own = f"_{space.lower()}" if space != TEMPLATE_SPACE else ""
        on_template = space == TEMPLATE_SPACE
        measure = Node(
            MeasureRegions(space=space, processing=processing, lines=lines),
            name=f"measure{own}",
            mem_gb=_MEASURE_GB if on_template else _NATIVE_GB,
            n_procs=1,
        )
        tables = Node(
            SaveRegions(
                **place,
                space=space,
                processing=processing,
                units=scan.metadata.units,
                t1w_entities={} if scan.t1w is None else scan.t1w.entities,
                sidecar=sidecars.regional(scan, space),
                mask_sidecar=sidecars.masks(scan, space),
            ),
            name=f"tables{own}",
            mem_gb=_SAVE_GB,
            n_procs=1,
        )
        ratios = Node(
            SaveRatios(
                **place,
                space=space,
                lines=lines,
                skip=list(REFERENCES) if on_template else [],
                sidecar=sidecars.ratio(scan, space),
            ),
            name=f"ratios{own}",
            mem_gb=_SAVE_GB,
            n_procs=1,
        )
        given = [(_IMAGE[space], "pet"), *((f, f) for f in (*tissue, *_PLACING[space]))]
        workflow.connect(
            [
                (inputs, measure, given),
                (measure, tables, [("tables", "tables")]),
                (inputs, ratios, [(_IMAGE[space], "pet")]),
                (measure, ratios, [("references", "references")]),
                (tables, written, [("written", f"in{2 * number + 1}")]),
                (ratios, written, [("written", f"in{2 * number + 2}")]),
            ]
        )
        if processing.write_masks:
            workflow.connect(measure, "masks", tables, "masks")
        if on_template:
            workflow.connect(measure, "record", outputs, "record")
    workflow.connect(written, "out", outputs, "written")
    return workflow
