"""The whole participant level: every T1w once, every PET scan on its T1w."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nipype.pipeline.engine import Workflow

import bidsapp
from bidsapp import __version__
from bidsapp.bids.plan import Plan, T1wPlan
from bidsapp.io.hashes import folder_hash
from bidsapp.settings import Processing
from bidsapp.workflows.anat import SharedAnatomy, init_anat_wf
from bidsapp.workflows.scan import init_scan_wf
from bidsapp.workflows.sidecars import Sidecars
from bidsapp.workflows.wiring import node_name

ROOT = "centipet_wf"

# These come after all images, in steps that nipype runs again when they change.
_AFTER_IMAGES = ("calibration", "cutoff", "interval")


@dataclass(frozen=True)
class ParticipantsWorkflow:
    """A workflow, and the nodes that each scan depends on.

    Attributes
    ----------
    workflow : Workflow
    prefixes : dict of tuple
        Name of a scan (`ScanPlan.name`) -> beginnings of the full names of the nodes it needs:
        those of its T1w, if it has one, and, last, its own. ``node.startswith(prefixes[name])``
        is whether a scan has no result because of a failed node.
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

    nipype's cache sees neither the code nor the options of the app, so folders are named after
    them: the whole after code and resources, what options change after the options as well. A
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
    sidecars = Sidecars(Path(bids_dir), Path(output_dir), processing)
    # the code itself: between two releases a version stands for many states of a checkout
    code = folder_hash(Path(bidsapp.__file__).parent, (".py", ".toml"))
    made_by = {"code": code, "resources": sidecars.provenance.resources}
    folder = Path(work_dir) / f"centipet-{__version__}-{_digest(made_by)}"
    workflow = Workflow(name=ROOT, base_dir=str(folder))
    options = _digest(
        {k: v for k, v in sidecars.provenance.parameters.items() if k not in _AFTER_IMAGES}
    )
    participants_wf = ParticipantsWorkflow(workflow, {})
    participants: dict[str, Workflow] = {}
    anatomies: dict[T1wPlan, SharedAnatomy] = {}
    for scan in plan.scans:
        try:
            anatomy = None
            if scan.t1w is not None:
                anatomy = anatomies.get(scan.t1w) or init_anat_wf(scan.t1w, sidecars, options)
            flow = init_scan_wf(scan, sidecars, options, anatomy)
        except Exception as error:  # costs this scan, not the others
            participants_wf.problems[scan.name] = error
            continue
        if scan.participant not in participants:
            participants[scan.participant] = Workflow(name=node_name(f"sub-{scan.participant}"))
            workflow.add_nodes([participants[scan.participant]])
        parent = participants[scan.participant]
        if scan.t1w is not None and anatomy is not None and scan.t1w not in anatomies:
            anatomies[scan.t1w] = anatomy
            anatomy.flow.join(parent)
        flow.join(parent)
        names = [part.workflow.name for part in (anatomy and anatomy.flow, flow) if part]
        prefix = f"{ROOT}.{parent.name}"
        participants_wf.prefixes[scan.name] = tuple(f"{prefix}.{name}." for name in names)
    return participants_wf


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
