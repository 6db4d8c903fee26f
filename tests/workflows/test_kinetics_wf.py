"""Which nodes the kinetics of a scan need."""

from __future__ import annotations

from types import SimpleNamespace

from bidsapp.settings import KineticModel, Processing
from bidsapp.workflows.kinetics import init_kinetics_wf


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

    return SimpleNamespace(processing=Processing(kinetics=models), kinetics=kinetics)


def test_a_late_scan_has_a_reason_and_no_nodes():
    workflow = init_kinetics_wf(
        _scan((5400, [300] * 4)), output_dir="out", sidecars=_sidecars(KineticModel.SRTM)
    )
    assert workflow.list_node_names() == ["inputnode", "outputnode"]
    told = workflow.get_node("outputnode").inputs
    assert "90.0 min after injection" in told.record.kinetics.reason
    assert told.written == []


def test_parts_of_a_dual_window_study_count_together():
    early = (0.0, [30.0] * 10 + [300.0] * 5)
    late = (5400.0, [300.0] * 4)
    workflow = init_kinetics_wf(
        _scan(late, early), output_dir="out", sidecars=_sidecars(KineticModel.SRTM2)
    )
    assert {"fit", "tables", "images"} <= set(workflow.list_node_names())
    images = workflow.get_node("images").interface.inputs
    assert hasattr(images, "srtm2_dvr") and not hasattr(images, "srtm_dvr")
    alone = init_kinetics_wf(_scan(early), output_dir="out", sidecars=_sidecars(KineticModel.SRTM))
    assert "last frame ends 30.0 min" in str(alone.get_node("outputnode").inputs.record)
