"""The within-subject template: takes the place of the T1w for all scans of a participant."""

from __future__ import annotations

from nipype.pipeline.engine import Workflow

from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import T1wPlan
from bidsapp.interfaces.within_subject import MakeTemplate, SaveVisits, SegmentVisit
from bidsapp.workflows.anat import init_anat_derivatives_wf, init_anat_wf
from bidsapp.workflows.sidecars import ANAT_IMAGES, Sidecars
from bidsapp.workflows.wiring import bounded, gathered, into, of, out_of, passing, same, step

# Peak memory of T1ws of 256 x 256 x 256, measured.
_SEGMENT_GB, _TEMPLATE_GB, _PER_VISIT_GB, _TABLE_GB = 1.5, 0.6, 0.3, 0.2

_ANATOMY = ("t1w", "mask", "gm", "wm", "csf", "field", "warp", "t1w_mni", "regions")


def init_template_wf(t1w: T1wPlan, *, sidecars: Sidecars, name: str = "anat_wf") -> Workflow:
    """Make the within-subject template, segment and normalise it.

    Every visit is segmented by itself for landmarks, brain mask and bias field; one that holds no
    head is told and stays out.

    Outputs
    -------
    t1w, mask, gm, wm, csf, t1w_mni, field, warp, regions
        As `bidsapp.workflows.anat.init_anat_wf` gives them, of the template.
    record
        What template and segmentation give to the record of every scan, a list.
    to_visits
        World of the template -> world of each visit, 4 x 4; empty for a visit that was left out.
    """
    workflow = Workflow(name=name)
    outputs = passing("outputnode", [*_ANATOMY, "record", "to_visits"])
    visits = [
        step(SegmentVisit(t1w=str(visit.t1w)), f"visit_{number}", _SEGMENT_GB)
        for number, visit in enumerate(t1w.visits, start=1)
    ]
    make = MakeTemplate(sources=sidecars.sources(t1w))
    template = step(make, "template", _TEMPLATE_GB + _PER_VISIT_GB * len(visits))
    gathered(workflow, [(visit, "visit") for visit in visits], template, "visits")
    gathered(workflow, [(visit, "told") for visit in visits], template, "told")
    anat = init_anat_wf(name="template_wf")
    source = f"{join_entities(t1w.entities)}: the within-subject template"
    anat.get_node("segment").inputs.source = source
    workflow.connect(
        [
            (template, anat, into(["t1w"])),
            (template, outputs, same(["to_visits"])),
            (anat, outputs, out_of(_ANATOMY)),
        ]
    )
    gathered(workflow, [(template, "record"), *of([anat], "record")], outputs, "record")
    return workflow


def init_template_derivatives_wf(
    t1w: T1wPlan, *, output_dir: str, sidecars: Sidecars, name: str = "anat_derivatives_wf"
) -> Workflow:
    """Write the template, what was made of it, and the transform from each T1w to it.

    Inputs
    ------
    t1w, mask, gm, wm, csf, t1w_mni, field, warp, to_visits
        As `init_template_wf` gives them.

    Outputs
    -------
    written
        Names of files, by node.
    """
    fields = [*ANAT_IMAGES, "field", "warp"]
    workflow, inputs, outputs = bounded(name, [*fields, "to_visits"], ["written"])
    images = init_anat_derivatives_wf(
        t1w, output_dir=output_dir, sidecars=sidecars, name="images_wf"
    )
    save = SaveVisits(
        output_dir=output_dir,
        entities=[visit.entities for visit in t1w.visits],
        sidecars=sidecars.visits(t1w),
    )
    transforms = step(save, "transforms", _TABLE_GB)
    workflow.connect(
        [
            (inputs, images, into(fields)),
            (inputs, transforms, same(["to_visits"])),
        ]
    )
    sources = [*of([images], "written"), (transforms, "written")]
    gathered(workflow, sources, outputs, "written")
    return workflow
