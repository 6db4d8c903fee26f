import json

import pytest

from bidsapp import __version__
from bidsapp.bids.derivatives import output_path
from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.record import Flag, RecordPart, Status, read_record, write_record
from bidsapp.record.codec import plain
from bidsapp.record.stages import (
    completed_record,
    failed_record,
    planned_record,
    unplanned_record,
    with_leftovers,
)
from bidsapp.settings import Filters, Processing


def test_a_planned_scan_is_incomplete_until_somebody_finishes_it(raw, tmp_path):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB", Units="SUV")
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    record = planned_record(scan, raw.root)
    path = write_record(tmp_path / "out", record)
    assert path.name == "sub-1_trc-FBB_centiloid.json"
    read = read_record(path, tmp_path / "out")
    assert read.status is Status.INCOMPLETE
    assert read.window_min == read.tracer_window_min == (90, 110)
    assert read.source == "bids:raw:sub-1/pet/sub-1_trc-FBB_pet.nii.gz"
    assert [frame.weight_s for frame in read.frames] == [600, 600]
    assert [flag.code for flag in read.flags] == ["units"] and read.version == __version__

    message = f"{scan.pet}: killed; run again"
    write_record(tmp_path / "out", failed_record(record, "WorkerLostError", message, raw.root))
    read = read_record(path, tmp_path / "out")
    assert (read.status, read.error, read.reason) == (
        Status.FAILED, "WorkerLostError", "sub-1/pet/sub-1_trc-FBB_pet.nii.gz: killed; run again",
    )  # fmt: skip
    assert read.tracer == "FBB"


def test_what_planning_refuses_or_leaves_out(raw, tmp_path):
    raw.pet("sub-1_ses-a_trc-FDG", TracerName="FDG")
    raw.t1w("sub-2")
    raw.pet("sub-2_run-1", ScanStart=0, FrameTimesStart=[0], FrameDuration=[600])
    raw.pet("sub-2_run-2")
    raw.t1w("sub-3")
    raw.pet("sub-3", FrameDuration=[600])
    plan = make_plan(read_dataset(raw.root, Filters()), Processing())
    others = [unplanned_record(other, raw.root) for other in (*plan.failures, *plan.skipped)]
    refused, *others = others
    assert (refused.status, refused.error) == ("failed", "BadDataError")
    assert refused.reason.startswith("sub-3/pet/sub-3_pet.nii.gz: FrameDuration")
    assert [(r.status, r.session_id, r.error) for r in others] == [
        ("skipped", "ses-a", None),
        ("skipped", None, None),
    ]
    assert others[0].tracer == "FDG" and "amyloid" in others[0].reason
    path = write_record(tmp_path, others[1])
    text = path.read_text()
    assert json.loads(text) == plain(others[1]) | {"sha256": json.loads(text)["sha256"]}
    assert str(tmp_path / "raw") not in others[1].reason


def test_a_failed_scan_names_what_was_written_before(raw, tmp_path):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB")
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    failed = failed_record(planned_record(scan, raw.root), "BadDataError", "no brain", raw.root)
    written = [output_path(tmp_path, "pet_native", scan.entities),
               output_path(tmp_path, "mask", scan.t1w.entities)]  # fmt: skip
    of_others = output_path(tmp_path, "pet_native", {"sub": "1", "trc": "FMM"})
    for path in (*written, of_others):
        write_text(path, path.name)
    write_record(tmp_path, failed)
    outputs = with_leftovers(failed, tmp_path).provenance.outputs
    assert outputs == {p.relative_to(tmp_path).as_posix(): file_hash(p) for p in written}


def test_a_finished_record_holds_what_every_step_said(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB")
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    planned = planned_record(scan, raw.root)
    look = Flag("look", "look at it")
    parts = [
        RecordPart(qc={"brain_ml": 1200.0}),
        RecordPart(method="t1w+model", qc={"pet_t1w_distance_mm": 3.5}, flags=(look,)),
        RecordPart(suvr={"wc": 1.5}, centiloid=50.0),
    ]
    made = {"inputs": {"pet": "sha256:1"}, "outputs": {"sub-1/pet/a.tsv": "sha256:2"}}
    record = completed_record(planned, parts, **made)
    assert (record.status, record.centiloid, record.method) == (Status.OK, 50.0, "t1w+model")
    assert record.qc == {"brain_ml": 1200.0, "pet_t1w_distance_mm": 3.5}
    assert record.flags == (*planned.flags, look)
    assert record.provenance.inputs == {"pet": "sha256:1"}
    assert record.provenance.outputs == {"sub-1/pet/a.tsv": "sha256:2"}
    levels = {name: verdict.level for name, verdict in record.verdicts.items()}
    assert levels == {
        "window": "good", "plausible": "good", "brain_ml": "good", "pet_t1w_distance_mm": "look",
    }  # fmt: skip
    assert planned.qc == {} and planned.status is Status.INCOMPLETE and not planned.verdicts

    with pytest.raises(ValueError, match="centiloid"):
        completed_record(planned, [*parts, RecordPart(centiloid=51.0)])
