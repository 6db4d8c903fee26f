"""The within-subject template: takes the place of the T1w for all scans of a participant."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import T1wPlan
from bidsapp.interfaces.within_subject import MakeTemplate, SaveVisits, SegmentVisit
from bidsapp.workflows.anat import init_anat_derivatives_wf, init_anat_wf
from bidsapp.workflows.sidecars import ANAT_IMAGES, Sidecars
from bidsapp.workflows.wiring import gathered

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
    outputs = Node(IdentityInterface([*_ANATOMY, "record", "to_visits"]), name="outputnode")
    visits = [
        Node(
            SegmentVisit(t1w=str(visit.t1w)),
            name=f"visit_{number}", mem_gb=_SEGMENT_GB, n_procs=1,
        )
        for number, visit in enumerate(t1w.visits, start=1)
    ]  # fmt: skip
    template = Node(
        MakeTemplate(sources=sidecars.sources(t1w)),
        name="template",
        mem_gb=_TEMPLATE_GB + _PER_VISIT_GB * len(visits),
        n_procs=1,
    )
    for field in ("visit", "told"):
        given = gathered(workflow, [(visit, field) for visit in visits], field)
        workflow.connect(given, "out", template, "visits" if field == "visit" else field)
    anat = init_anat_wf(name="template_wf")
    anat.get_node(
        "segment"
    ).inputs.source = f"{join_entities(t1w.entities)}: the within-subject template"
    record = gathered(workflow, [(template, "record"), (anat, "outputnode.record")], "record")
    workflow.connect(
        [
            (template, anat, [("t1w", "inputnode.t1w")]),
            (template, outputs, [("to_visits", "to_visits")]),
            (anat, outputs, [(f"outputnode.{field}", field) for field in _ANATOMY]),
            (record, outputs, [("out", "record")]),
        ]
    )
    return workflow


def init_template_derivatives_wf(
    t1w: T1wPlan, *, output_dir: str, sidecars: Sidecars, name: str = "anat_derivatives_wf"
) -> Workflow:
    """Write the template, what was made of it, and the transform from each T1w to it.

    Inputs
    ------
    t1w, mask, gm, wm, csf, t1w_mni, field, to_visits
        As `init_template_wf` gives them.

    Outputs
    -------
    written
        Names of files, by node.
    """
    workflow = Workflow(name=name)
    fields = [*ANAT_IMAGES, "field"]
    inputs = Node(IdentityInterface([*fields, "to_visits"]), name="inputnode")
    outputs = Node(IdentityInterface(["written"]), name="outputnode")
    images = init_anat_derivatives_wf(
        t1w, output_dir=output_dir, sidecars=sidecars, name="images_wf"
    )
    transforms = Node(
        SaveVisits(
            output_dir=output_dir,
            entities=[visit.entities for visit in t1w.visits],
            sidecars=sidecars.visits(t1w),
        ),
        name="transforms", mem_gb=_TABLE_GB, n_procs=1,
    )  # fmt: skip
    sources = [(images, "outputnode.written"), (transforms, "written")]
    workflow.connect(
        [
            (inputs, images, [(field, f"inputnode.{field}") for field in fields]),
            (inputs, transforms, [("to_visits", "to_visits")]),
            (gathered(workflow, sources, "written"), outputs, [("out", "written")]),
        ]
    )
    return workflow
