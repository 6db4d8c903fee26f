"""The whole participant level: every T1w once, every PET scan on its T1w."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nipype.pipeline.engine import Workflow

from bidsapp import __version__
from bidsapp.bids.entities import join_entities
from bidsapp.bids.plan import Plan, ScanPlan, T1wPlan
from bidsapp.settings import Processing
from bidsapp.workflows.anat import init_anat_derivatives_wf, init_anat_wf
from bidsapp.workflows.longitudinal import init_template_derivatives_wf, init_template_wf
from bidsapp.workflows.pet_only import init_pet_only_wf
from bidsapp.workflows.scan import ANATOMY, init_scan_wf
from bidsapp.workflows.sidecars import ANAT_IMAGES, Sidecars

ROOT = "centipet_wf"

# These come after all images, in steps that nipype runs again when they change.
_AFTER_IMAGES = ("calibration", "cutoff", "interval")


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
    problems : dict of Exception
        Name of a scan -> why it has no nodes.
    """

    workflow: Workflow
    prefixes: dict[str, tuple[str, ...]]
    problems: dict[str, Exception] = field(default_factory=dict)


def init_participants_wf(
    plan: Plan,
    *,
    bids_dir: str | Path,
    output_dir: str | Path,
    work_dir: str | Path,
    processing: Processing,
) -> ParticipantsWorkflow:
    """Compose the workflow of all planned scans.

    nipype's cache sees neither the version nor the options of the app, so folders are named after
    them: the whole after version and resources, what options change after the options as well. A
    T1w is segmented without options, so once for all of them.

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
    made_by = {"version": sidecars.provenance.version, "resources": sidecars.provenance.resources}
    folder = Path(work_dir) / f"centipet-{__version__}-{_digest(made_by)}"
    workflow = Workflow(name=ROOT, base_dir=str(folder))
    options = _digest(
        {k: v for k, v in sidecars.provenance.parameters.items() if k not in _AFTER_IMAGES}
    )
    made = ParticipantsWorkflow(workflow, {})
    anatomies: dict[T1wPlan, Workflow] = {}
    for scan in plan.scans:
        try:
            own = _scan_wf(scan, output_dir, sidecars, options)
            parent = _participant(workflow, scan.participant)
            if scan.t1w is not None and scan.t1w not in anatomies:
                anatomies[scan.t1w] = _add_anatomy(parent, scan.t1w, output_dir, sidecars, options)
        except Exception as error:  # costs this scan, not the others
            made.problems[scan.name] = error
            continue
        if scan.t1w is None:
            parent.add_nodes([own])
            parts = [own]
        else:
            parts = [anatomies[scan.t1w], own]
            links = [(f"anat_wf.outputnode.{one}", f"inputnode.{one}") for one in ANATOMY]
            links.append(("anat_derivatives_wf.outputnode.written", "inputnode.anat_written"))
            parent.connect([(*parts, links)])
        made.prefixes[scan.name] = tuple(f"{ROOT}.{parent.name}.{part.name}." for part in parts)
    return made


def _scan_wf(scan: ScanPlan, output_dir: str, sidecars: Sidecars, options: str) -> Workflow:
    """Workflow of one PET, not yet connected."""
    name = node_name(f"{scan.name}_{options}")
    if scan.t1w is None:
        return init_pet_only_wf(scan, output_dir=output_dir, sidecars=sidecars, name=name)
    return init_scan_wf(
        scan,
        output_dir=output_dir,
        method=sidecars.processing.pet_to_t1w,
        sidecars=sidecars,
        name=name,
    )


def _participant(workflow: Workflow, label: str) -> Workflow:
    """Sub-workflow of a participant, made when first asked for."""
    name = node_name(f"sub-{label}")
    found = workflow.get_node(name)
    if found is None:
        found = Workflow(name=name)
        workflow.add_nodes([found])
    return found


def _add_anatomy(
    parent: Workflow, t1w: T1wPlan, output_dir: str, sidecars: Sidecars, options: str
) -> Workflow:
    """Anatomical workflow of one T1w, or of a within-subject template, with its derivatives."""
    fields: tuple[str, ...] = (*ANAT_IMAGES, "field", "warp")
    if t1w.t1w is None:
        whole = Workflow(name=node_name(f"{join_entities(t1w.entities)}_template_{options}"))
        anat = init_template_wf(t1w, sidecars=sidecars)
        derivatives = init_template_derivatives_wf(t1w, output_dir=output_dir, sidecars=sidecars)
        fields += ("to_visits",)
    else:
        whole = Workflow(name=node_name(f"{join_entities(t1w.entities)}_T1w"))
        anat = init_anat_wf()
        anat.inputs.inputnode.t1w = str(t1w.t1w)
        if (initial := sidecars.processing.initial_transform) is not None:
            anat.get_node("segment").inputs.initial = str(initial)
        derivatives = init_anat_derivatives_wf(t1w, output_dir=output_dir, sidecars=sidecars)
    whole.connect([(anat, derivatives, [(f"outputnode.{f}", f"inputnode.{f}") for f in fields])])
    parent.add_nodes([whole])
    return whole


def node_name(label: str) -> str:
    """Name of the workflow of a participant or an image, which nipype gives its folder, too."""
    return re.sub(r"\W", "_", label) + "_wf"


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
