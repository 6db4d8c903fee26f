"""The group level honours the filters as the participant level does: by one dataset for both."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from synthetic_records import finished_record, write

from bidsapp.bids.entities import join_entities
from bidsapp.bids.layout import read_dataset
from bidsapp.errors import NoMatchError
from bidsapp.group.select import is_wanted
from bidsapp.record import find_records
from bidsapp.settings import Filters

SCANS = [
    {"sub": "01", "ses": "m00", "trc": "FBB"},
    {"sub": "01", "ses": "m24", "trc": "FBB"},
    {"sub": "01", "ses": "m24", "trc": "PIB", "rec": "acdyn"},
    {"sub": "02", "trc": "FBP", "run": "1"},
    {"sub": "02", "trc": "FBP", "run": "02"},
    {"sub": "02", "trc": "AV45", "run": "10"},
    {"sub": "1", "trc": "FMM", "rec": "acstat"},
    {"sub": "A1", "ses": "01", "trc": "NAV", "run": "2"},
]  # fmt: skip


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """A raw dataset of empty images, and the records of the same scans."""
    raw, derivatives = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    for entities in SCANS:
        session = [f"ses-{entities['ses']}"] if "ses" in entities else []
        folder = raw.joinpath(f"sub-{entities['sub']}", *session, "pet")
        folder.mkdir(parents=True, exist_ok=True)
        name = join_entities(entities)
        (folder / f"{name}_pet.nii.gz").write_bytes(b"")
        (folder / f"{name}_pet.json").write_text(json.dumps({"TracerName": entities["trc"]}))
        code = {"AV45": "FBP"}.get(entities["trc"], entities["trc"])
        record = finished_record(entities | {"trc": code}) | {"tracer_name": entities["trc"]}
        write(derivatives, record, entities)
    return raw, find_records(derivatives)


def pet(**query):
    return Filters(bids_filters={"pet": query})


QUESTIONS = [
    Filters(),
    Filters(participant=("01",)),
    Filters(participant=("1", "02")),
    Filters(participant=("99",)),
    Filters(session=("m24",)),
    Filters(session=("m24", "01"), tracer=("FBB", "NAV")),
    *(Filters(tracer=(name,)) for name in
      ("FBP", "AV45", "florbetapir", "Amyvid", "PiB", "PIB", "no such")),
    Filters(rec=("acdyn", "acstat")),
    *(Filters(run=(label,)) for label in ("1", "01", "2", "002", "10", "3")),
    pet(session="m00"),
    pet(session=["m00", "01"]),
    pet(session=None),
    pet(session="*"),
    pet(session="Query.NONE"),
    pet(session="Query.REQUIRED"),
    pet(session="Query.OPTIONAL", subject="01"),
    pet(subject=["01", "A1"], tracer="NAV"),
    pet(run=2),
    pet(run=[1, 10]),
    pet(run="2"),
    pet(reconstruction="acdyn"),
    pet(tracer="AV45"),
    pet(suffix="pet", extension=".nii.gz", datatype="pet", run=1),
    pet(acquisition="x"),
    pet(acquisition=None),
    pet(task="rest"),
    Filters(participant=("01",), bids_filters={"pet": {"session": "m24"}}, tracer=("FBB",)),
]  # fmt: skip
ASKED = [
    one if number % 3 == 0 else pytest.param(one, marks=pytest.mark.slow)
    for number, one in enumerate(QUESTIONS)
]


@pytest.mark.parametrize("filters", ASKED)
def test_both_levels_choose_the_same_scans(datasets, filters):
    raw, records = datasets
    try:
        chosen = {join_entities(one.entities) for one in read_dataset(raw, filters).pets}
    except NoMatchError:
        chosen = set()
    assert {record.name for record in records if is_wanted(record, filters)} == chosen


def test_both_levels_tell_labels_that_nothing_has(datasets):
    raw, records = datasets
    asked = Filters(session=("m24", "m42"), tracer=("FBB", "FBBB"), run=("2", "3"), rec=("acdin",))
    missing = [
        "--session-label m42: no PET has it", "--tracer-label FBBB: no PET has it",
        "--rec-label acdin: no PET has it", "--run-label 3: no PET has it",
    ]  # fmt: skip
    assert read_dataset(raw, Filters()).unmatched(asked) == missing
    people = replace(asked, participant=("01", "99"))
    found = people.unmatched(lambda one: any(is_wanted(record, one) for record in records))
    assert found == ["--participant-label 99: no PET has it", *missing]
    assert Filters().unmatched(lambda one: False) == []
