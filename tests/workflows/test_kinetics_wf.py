"""Which nodes the kinetics of a scan need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from bidsapp.bids.derivatives import OutputPlace
from bidsapp.settings import KineticModel, Processing
from bidsapp.workflows.dynamic import add_kinetics
from bidsapp.workflows.wiring import Flow


def _scan(*parts: tuple[float, list[float]]) -> SimpleNamespace:
    timings = []
    for begin, durations in parts:
        starts = [begin + sum(durations[:i]) for i in range(len(durations))]
        timings.append(SimpleNamespace(frame_start_s=starts, frame_duration_s=durations))
    return SimpleNamespace(timings=timings, entities={"sub": "01"})


def _sidecars(*models: KineticModel) -> SimpleNamespace:
    def kinetics(_scan):
        keys = ("r1", "bpnd", "dvr")
        return {"kinpar": {}} | {f"{m}_{key}": {} for m in ("srtm", "srtm2") for key in keys}

    return SimpleNamespace(
        processing=Processing(kinetics=models), kinetics=kinetics,
        place=lambda entities: OutputPlace(Path("out"), entities),
    )  # fmt: skip


def _flow(scan: SimpleNamespace, *models: KineticModel) -> Flow:
    flow = Flow("sub-01", _sidecars(*models))
    add_kinetics(flow, scan, flow.sidecars.processing, {})
    return flow


def test_a_late_scan_has_a_reason_and_no_nodes():
    flow = _flow(_scan((5400, [300] * 4)), KineticModel.SRTM)
    (record,) = flow.records
    assert "90.0 min after injection" in record.kinetics.reason
    assert flow.workflow.list_node_names() == flow.written == []


def test_parts_of_a_dual_window_study_count_together():
    early = (0.0, [30.0] * 10 + [300.0] * 5)
    late = (5400.0, [300.0] * 4)
    workflow = _flow(_scan(late, early), KineticModel.SRTM2).workflow
    assert set(workflow.list_node_names()) == {"fit", "tables_kinetics", "images_kinetics"}
    images = workflow.get_node("images_kinetics").interface.inputs
    assert hasattr(images, "srtm2_dvr") and not hasattr(images, "srtm_dvr")
    assert "last frame ends 30.0 min" in str(_flow(_scan(early), KineticModel.SRTM).records)
