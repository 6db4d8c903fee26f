"""Image processing that is a toy with real nipype nodes."""

from __future__ import annotations

import re

import nipype.interfaces.utility as niu
import nipype.pipeline.engine as pe
import pytest

from bidsapp.record.stages import planned_record
from bidsapp.workflows.participant import ParticipantsWorkflow


def toy_step(record, output_dir, fate):
    """Finish the record of a scan, or do what ``fate`` says instead."""
    import json
    import os
    import signal
    from dataclasses import replace
    from pathlib import Path

    from bidsapp import errors
    from bidsapp.bids.derivatives import output_path
    from bidsapp.record import RecordPart, write_record
    from bidsapp.record.stages import completed_record

    before = json.loads(output_path(output_dir, "result", record.entities).read_text())
    assert before["status"] == "incomplete"
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "KeyError":
        raise KeyError("nothing")
    if fate:
        raise getattr(errors, fate)(f"{record.source}: {fate}; do something")
    suvr = {"wc": 1.5, "cg": None, "wcb": None, "pons": None}
    done = completed_record(record, [RecordPart(suvr=suvr, centiloid=75.2)])
    write_record(Path(output_dir), replace(done, reference_region="wc"))


@pytest.fixture
def fates(monkeypatch):
    """Participant -> what happens to its scans; filled by the test, empty means all is well."""
    chosen: dict[str, str] = {}

    def toy_workflow(plan, *, bids_dir, output_dir, work_dir, processing):
        workflow = pe.Workflow("toy_wf", base_dir=str(work_dir))
        prefixes = {}
        for scan in plan.scans:
            name = re.sub(r"\W", "_", scan.name)
            step = pe.Node(niu.Function(function=toy_step), name="result")
            step.inputs.trait_set(
                record=planned_record(scan, bids_dir),
                output_dir=str(output_dir),
                fate=chosen.get(scan.participant, ""),
            )
            own = pe.Workflow(f"{name}_wf")
            own.add_nodes([step])
            workflow.add_nodes([own])
            prefixes[scan.name] = (f"toy_wf.{name}_anat_wf.", f"toy_wf.{name}_wf.")
        return ParticipantsWorkflow(workflow, prefixes)

    monkeypatch.setattr("bidsapp.workflows.participant.init_participants_wf", toy_workflow)
    return chosen
