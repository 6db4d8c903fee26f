"""What is written is what the schema says, and the schema in docs/ is that of the code."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from odd_values import whole_record
from record_schema import validator
from synthetic_records import finished_record, up_to_date, write_sealed

from bidsapp.core.quality import Flag
from bidsapp.record import RecordPart, read_record, write_record
from bidsapp.record.codec import plain
from bidsapp.record.files import record_from_json
from bidsapp.record.model import SCHEMA_VERSION
from bidsapp.record.schema import record_schema
from bidsapp.record.stages import completed_record, empty_record, failed_record

SCAN = {"sub": "01", "ses": "a", "trc": "FBB"}
OLD = sorted((Path(__file__).parent / "records_0.1").glob("*.json"))
CHECK = validator()


def written(folder, record):
    return json.loads(write_record(folder, record).read_text("utf-8"))


def test_the_schema_in_the_documentation_is_up_to_date():
    path = Path(__file__).parents[2] / "docs" / "record.schema.json"
    command = "python -m bidsapp.record.schema > docs/record.schema.json"
    assert json.loads(path.read_text("utf-8")) == record_schema(), command
    Draft202012Validator.check_schema(record_schema())


def test_every_field_is_described():
    def undescribed(schema, where):
        for name, entry in schema.get("properties", {}).items():
            if not entry.get("description"):
                yield f"{where}.{name}"
            yield from undescribed(entry, f"{where}.{name}")

    assert list(undescribed(record_schema(), "")) == []


def test_records_of_every_stage_are_as_the_schema_says(tmp_path):
    planned = empty_record(SCAN)
    flag = Flag("look", "look at it")
    part = RecordPart(centiloid=50.0, qc={"brain_ml": 1200.0}, flags=(flag,))
    done = completed_record(planned, [part], outputs={"a": "sha256:1"})
    for record in (planned, done, failed_record(planned, "BadDataError", "why", tmp_path)):
        CHECK.validate(written(tmp_path, record))
    whole = record_from_json(whole_record(SCAN), planned.path)
    assert not whole.flags[1:]
    CHECK.validate(written(tmp_path, whole))


@pytest.mark.parametrize(
    "place", [(), ("window",), ("equation",), ("qc",), ("motion",), ("verdicts",), ("provenance",)]
)
def test_a_key_that_the_schema_does_not_have_fails(tmp_path, place):
    content = copy.deepcopy(json.loads(write_sealed(tmp_path, whole_record(SCAN)).read_text()))
    CHECK.validate(content)
    at = content
    for name in place:
        at = at[name]
    at["new_key"] = 1.0
    with pytest.raises(ValidationError, match="new_key"):
        CHECK.validate(content)


@pytest.mark.parametrize("record", [finished_record(SCAN), whole_record(SCAN)])
def test_what_is_written_is_read_back_as_it_was(tmp_path, record):
    first = record_from_json(record, empty_record(SCAN).path)
    path = write_record(tmp_path, first)
    again = read_record(path, tmp_path)
    assert again == first and again.schema_version == SCHEMA_VERSION
    assert plain(again) == up_to_date(record)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.name.partition("_")[0])
def test_records_of_0_1_are_read_whole(path):
    """Every value that they hold is in the record; texts that stood for nothing are None."""
    content = json.loads(path.read_text("utf-8"))
    entities = dict(part.split("-") for part in path.name.split("_")[:-1])
    record = record_from_json(content, empty_record(entities).path)
    assert record.status == content["status"] and record.schema_version == SCHEMA_VERSION
    assert "record-damaged" not in [flag.code for flag in record.flags]
    now = plain(record)
    for name, value in content.items():
        if name != "sha256":
            assert _holds(now[name], value), name
    if record.status == "ok":
        assert record.verdicts["plausible"].level == "good" and record.coverage.share == 1.0
        assert record.band.name


def _holds(now, before):
    if isinstance(before, dict):
        return all(_holds(now.get(name), value) for name, value in before.items())
    return now == before or (before in (None, "n/a") and now in (None, {}, []))


def test_a_record_of_a_newer_schema_says_what_to_do(tmp_path):
    record = whole_record(SCAN) | {"schema_version": SCHEMA_VERSION + 1}
    read = read_record(write_sealed(tmp_path, record), tmp_path)
    assert read.status == "failed" and read.centiloid is None
    assert f"version {SCHEMA_VERSION + 1} of the schema" in read.reason and "newer" in read.reason
