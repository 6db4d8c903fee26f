"""The record that every run leaves in ``logs/``."""

from __future__ import annotations

import json

from synthetic_records import finished_record, write
from threadpoolctl import threadpool_info

from bidsapp.cli.main import main


def test_every_run_has_a_record_of_its_own(tmp_path):
    out = tmp_path / "out"
    entities = {"sub": "1", "trc": "FBB"}
    write(out, finished_record(entities), entities)
    for _ in range(2):
        assert main([str(tmp_path / "bids"), str(out), "group"]) == 0
    assert main([str(tmp_path / "bids"), str(out), "group", "--participant-label", "2"]) == 18
    (kernel,) = {
        library["architecture"] for library in threadpool_info() if "architecture" in library
    }
    records = [json.loads(path.read_text()) for path in (out / "logs").glob("centipet_*.json")]
    assert sorted(record["ExitCode"] for record in records) == [0, 0, 18]
    for record in records:
        assert record["Command"].startswith(f"centipet {tmp_path}/bids {out} group")
        assert record["Start"] <= record["End"] and record["Host"] and record["Version"]
        assert record["InstructionSets"][-1] == kernel
    logs = {path.stem for path in (out / "logs").glob("centipet_*.log")}
    assert logs == {path.stem for path in (out / "logs").glob("centipet_*.json")}


def test_the_record_of_a_killed_run_has_no_end(tmp_path):
    from bidsapp.cli.run_record import RunRecord

    RunRecord(tmp_path / "logs" / "centipet_1.log", ["bids", "out dir", "participant"])
    record = json.loads((tmp_path / "logs" / "centipet_1.json").read_text())
    assert (record["End"], record["Outcome"]) == (None, "not finished")
    assert record["Command"] == "centipet bids 'out dir' participant"
