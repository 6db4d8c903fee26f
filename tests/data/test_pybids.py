"""Derivatives in pybids, with the configuration that ``--pybids-config`` prints."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from bids.layout import BIDSLayout
from synthetic_records import finished_record, write

from bidsapp.bids.derivative_root import write_root_files
from bidsapp.bids.derivatives import output_path, outputs
from bidsapp.bids.entities import RAW_ENTITIES, parse_entities
from bidsapp.cli.main import main
from bidsapp.group.collect import run_group
from bidsapp.settings import Filters

QUICK = ("gm", "warp", "suvr_wc", "vois", "xfm")  # an entity and a suffix of each kind
CONFIG = Path(str(files("bidsapp.data").joinpath("pybids.json")))
# Short keys -> names of pybids.
NAMES = {
    "sub": "subject", "ses": "session", "trc": "tracer", "rec": "reconstruction", "run": "run",
    "acq": "acquisition", "ce": "ceagent", "space": "space", "atlas": "atlas", "res": "res",
    "label": "label", "from": "from", "to": "to", "mode": "mode", "desc": "desc", "task": "task",
    "echo": "echo", "part": "part", "chunk": "chunk",
}  # fmt: skip
PET = {"sub": "01", "ses": "m00", "trc": "FBB", "rec": "acdyn", "run": "2"}
ANAT = {"sub": "01", "ses": "m00", "acq": "mprage", "run": "1"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Every file of the table of outputs, with all entities a raw image may have, and the group."""
    raw, folder = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    write_root_files(folder, raw)
    for entities in (PET, PET | {"sub": "02"}):
        write(folder, finished_record(entities), entities)
        for key, row in outputs().items():
            path = output_path(folder, key, entities if row.datatype == "pet" else ANAT)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text("a\n")
    run_group(folder, Filters())
    return folder


@pytest.fixture(scope="module")
def layout(dataset):
    return BIDSLayout(dataset, validate=False, config=[str(CONFIG)])


@pytest.mark.parametrize(
    "key", [key if key in QUICK else pytest.param(key, marks=pytest.mark.slow) for key in outputs()]
)
def test_every_output_is_found_by_its_entities(key, dataset, layout):
    row = outputs()[key]
    entities = PET if row.datatype == "pet" else ANAT
    path = output_path(dataset, key, entities)
    own = parse_entities(path)
    query = {NAMES[name]: value for name, value in own.items()}
    query |= {NAMES[one]: None for one in ("space", "desc", "atlas", "label", "res", "from")
              if one not in own}  # fmt: skip
    query["run"] = int(own["run"])
    found = layout.get(
        suffix=row.suffix, extension=row.extension, datatype=row.datatype, return_type="filename",
        **query,
    )  # fmt: skip
    assert [Path(one) for one in found] == [path]


def test_every_entity_of_a_raw_image_is_known():
    names = {entity["name"] for entity in json.loads(CONFIG.read_text())["entities"]}
    assert {NAMES[key] for keys in RAW_ENTITIES.values() for key in keys} <= names


def test_the_command_prints_the_configuration(capsys):
    with pytest.raises(SystemExit):
        main(["--pybids-config"])
    assert capsys.readouterr().out == CONFIG.read_text()


def test_people_tracers_and_group_tables_can_be_asked_for(dataset, layout):
    assert layout.get_subjects() == ["01", "02"]
    assert layout.get(suffix="centiloid", subject="02")[0].get_dict()["centiloid"] > 0
    assert {one.filename for one in layout.get(group="regions")} == {
        "group_regions.tsv", "group_regions.json",
    }  # fmt: skip
    tables = layout.get(suffix="vois", extension=".tsv")
    assert len(tables) == 2 and all(table.entities["atlas"] == "Centiloid" for table in tables)


@pytest.mark.parametrize("validate", [True, False])
def test_pybids_without_any_configuration_opens_the_dataset(dataset, validate):
    """As fitlins, bids.report or a script would: the raw dataset with its derivatives."""
    raw = dataset.with_name(dataset.name.replace("out", "raw"))
    assert raw.is_dir()
    layout = BIDSLayout(raw, derivatives=dataset, validate=validate)
    found = layout.get(scope="derivatives", suffix="vois", extension=".tsv")
    if not validate:
        assert {one.entities["subject"] for one in found} == {"01", "02"}
    for one in layout.get(scope="derivatives", suffix="vois"):
        one.get_metadata()


def test_paths_can_be_built(layout):
    path = layout.build_path(
        {"subject": "01", "tracer": "FBB", "desc": "preproc", "suffix": "pet"},
        validate=False, absolute_paths=False,
    )  # fmt: skip
    assert path == "sub-01/pet/sub-01_trc-FBB_desc-preproc_pet.nii.gz"
