"""The whole participant level: every T1w once, every PET scan on its T1w."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline.engine import Workflow

from bidsapp import __version__
from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import Plan, T1wPlan
from bidsapp.settings import Processing
from bidsapp.workflows.anat import init_anat_derivatives_wf, init_anat_wf
from bidsapp.workflows.longitudinal import init_template_derivatives_wf, init_template_wf
from bidsapp.workflows.pet_only import init_pet_only_wf
from bidsapp.workflows.scan import ANATOMY, init_scan_wf
from bidsapp.workflows.sidecars import ANAT_IMAGES, Sidecars

ROOT = "centipet_wf"

_AFTER_IMAGES = ("calibration", "cutoff")


@dataclass(frozen=True)
class ParticipantsWorkflow:
    """A workflow and who depends on which part of it.

    Attributes
    ----------
    workflow : Workflow
    prefixes : dict of tuple
        Name of a scan (`ScanPlan.name`) -> beginnings of the full names of the nodes it needs:
        those of its T1w, if it has one, and, last, its own. ``node.startswith(prefixes[name])``
        tells whether a failed node costs a scan its result.
    """

    workflow: Workflow
    prefixes: dict[str, tuple[str, ...]]


def init_participants_wf(
    plan: Plan,
    *,
    bids_dir: str | Path,
    output_dir: str | Path,
    work_dir: str | Path,
    processing: Processing,
) -> ParticipantsWorkflow:
    """Compose the workflow of all planned scans.

    The working directory is named after version and options, because nipype's cache sees neither.

    Parameters
    ----------
    plan : what to do; its failures and skipped scans make no nodes
    bids_dir, output_dir : roots of the raw and of the derivative dataset
    work_dir : folder for files between nodes
    processing : options that change numbers

    Returns
    -------
    ParticipantsWorkflow
    """
    output_dir = str(output_dir)
    sidecars = Sidecars(Path(bids_dir), Path(output_dir), processing)
    workflow = Workflow(name=ROOT, base_dir=str(Path(work_dir) / _configuration(sidecars)))
    anatomies: dict[T1wPlan, Workflow] = {}
    prefixes = {}
    for scan in plan.scans:
        parent = _participant(workflow, scan.participant)
        if scan.t1w is None:
            own = init_pet_only_wf(
                scan, output_dir=output_dir, sidecars=sidecars, name=_node_name(scan.name)
            )
            parent.add_nodes([own])
            prefixes[scan.name] = (f"{ROOT}.{parent.name}.{own.name}.",)
            continue
        if scan.t1w not in anatomies:
            anatomies[scan.t1w] = _add_anatomy(parent, scan.t1w, output_dir, sidecars)
        anatomy = anatomies[scan.t1w]
        own = init_scan_wf(
            scan,
            output_dir=output_dir,
            method=processing.pet_to_t1w,
            sidecars=sidecars,
            name=_node_name(scan.name),
        )
        parent.connect(
            [
                (anatomy, own, [
                    *((f"anat_wf.outputnode.{field}", f"inputnode.{field}") for field in ANATOMY),
                    ("anat_derivatives_wf.outputnode.written", "inputnode.anat_written"),
                ]),
            ]
        )  # fmt: skip
        prefixes[scan.name] = tuple(f"{ROOT}.{parent.name}.{part.name}." for part in (anatomy, own))
    return ParticipantsWorkflow(workflow, prefixes)


def _participant(workflow: Workflow, label: str) -> Workflow:
    """Sub-workflow of a participant, made when first asked for."""
    name = _node_name(f"sub-{label}")
    found = workflow.get_node(name)
    if found is None:
        found = Workflow(name=name)
        workflow.add_nodes([found])
    return found


def _add_anatomy(parent: Workflow, t1w: T1wPlan, output_dir: str, sidecars: Sidecars) -> Workflow:
    """Anatomical workflow of one T1w, or of a within-subject template, with its derivatives."""
    fields = (*ANAT_IMAGES, "field")
    if t1w.t1w is None:
        whole = Workflow(name=_node_name(f"{join_entities(t1w.entities)}_template"))
        anat = init_template_wf(t1w, sidecars=sidecars)
        derivatives = init_template_derivatives_wf(t1w, output_dir=output_dir, sidecars=sidecars)
        fields += ("to_visits",)
    else:
        whole = Workflow(name=_node_name(f"{join_entities(t1w.entities)}_T1w"))
        anat = init_anat_wf()
        anat.inputs.inputnode.t1w = str(t1w.t1w)
        derivatives = init_anat_derivatives_wf(t1w, output_dir=output_dir, sidecars=sidecars)
    whole.connect([(anat, derivatives, [(f"outputnode.{f}", f"inputnode.{f}") for f in fields])])
    parent.add_nodes([whole])
    return whole


def _node_name(label: str) -> str:
    return re.sub(r"\W", "_", label) + "_wf"


def _configuration(sidecars: Sidecars) -> str:
    """Name of the work folder: another one for every version, option of images, and resource.

    Equation and cut-offs come after all images, in nodes that nipype runs again when they change.
    """
    provenance = sidecars.provenance
    options = {k: v for k, v in provenance["parameters"].items() if k not in _AFTER_IMAGES}
    content = json.dumps(provenance | {"parameters": options, "command": None}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"centipet-{__version__}-{digest}"
