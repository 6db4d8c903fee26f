"""The anatomy of a participant: a T1w, or a within-subject template of several.

It is segmented and normalised once for all PET scans that are registered to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import T1wPlan
from bidsapp.interfaces.anatomy import NativeRegions, Segment, ToTemplate
from bidsapp.interfaces.derivatives import SaveWarp
from bidsapp.interfaces.within_subject import MakeTemplate, SaveVisits, SegmentVisit
from bidsapp.workflows.sidecars import TISSUES, Sidecars
from bidsapp.workflows.wiring import Flow, Step, StepOutput

# Peak memory of T1ws of 256 x 256 x 256, measured.
_SEGMENT_GB, _IMAGES_GB, _TEMPLATE_GB, _PER_VISIT_GB, _TABLE_GB = 1.5, 0.6, 0.6, 0.3, 0.2


@dataclass(frozen=True)
class SharedAnatomy:
    """Steps and outputs of a T1w that its scans share.

    Attributes
    ----------
    flow : its steps
    head : segmentation, as `Segment` gives it
    regions : cortical target and cerebellum as masks on the T1w grid
    """

    flow: Flow
    head: Step
    regions: StepOutput


def init_anat_wf(t1w: T1wPlan, sidecars: Sidecars, options: str) -> SharedAnatomy:
    """Segment a T1w, or the template of several, normalise it, and write the results.

    Parameters
    ----------
    t1w : what to segment
    sidecars : of the run
    options : digest of its options, on which a template depends and a T1w does not

    Returns
    -------
    SharedAnatomy
    """
    label = join_entities(t1w.entities)
    if t1w.t1w is None:
        flow = Flow(f"{label}_template_{options}", sidecars)
        image: dict[str, Any] = {
            "t1w": _template(flow, t1w), "source": f"{label}: the within-subject template"
        }  # fmt: skip
    else:
        flow = Flow(f"{label}_T1w", sidecars)
        initial = sidecars.processing.initial_transform
        image = {"t1w": str(t1w.t1w), "initial": None if initial is None else str(initial)}
    head = flow.recorded(Segment, "segment", _SEGMENT_GB, **image)
    regions = flow.step(NativeRegions, "regions", _IMAGES_GB, **head.of("mask", "warp"))
    content = sidecars.anatomical(t1w)
    images = head.of("t1w", "mask", *TISSUES)
    for key in ("t1w", *TISSUES):
        moved = {"image": images[key], "field": head.field}
        images[f"{key}_mni"] = flow.step(
            ToTemplate, f"to_template_{key}", _IMAGES_GB, **moved
        ).image
    flow.save_images(t1w.entities, content, images, head=head.record)
    flow.step(
        SaveWarp, "warp", _IMAGES_GB, place=sidecars.place(t1w.entities),
        sidecars={key: content[key] for key in ("warp", "warp_inverse")}, native=head.t1w,
        **head.of("field", "warp"),
    )  # fmt: skip
    return SharedAnatomy(flow, head, regions.regions)


def _template(flow: Flow, t1w: T1wPlan) -> StepOutput:
    """Make the within-subject template and write the transform from each T1w to it.

    Every visit is segmented by itself for landmarks, brain mask and bias field; one without a head
    is reported and left out.
    """
    sidecars = flow.sidecars
    visits = [
        flow.step(SegmentVisit, f"visit_{number}", _SEGMENT_GB, t1w=str(visit.t1w))
        for number, visit in enumerate(t1w.visits, start=1)
    ]
    template = flow.recorded(
        MakeTemplate, "template", _TEMPLATE_GB + _PER_VISIT_GB * len(visits),
        visits=[visit.visit for visit in visits], reports=[visit.report for visit in visits],
        sources=sidecars.sources(t1w),
    )  # fmt: skip
    flow.step(
        SaveVisits, "transforms", _TABLE_GB,
        places=[sidecars.place(visit.entities) for visit in t1w.visits],
        sidecars=sidecars.visits(t1w), to_visits=template.to_visits,
    )  # fmt: skip
    return template.t1w
