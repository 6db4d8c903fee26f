"""Keys of sidecars in other capitals than BIDS has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import bidsapp
from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.bids.sidecar_keys import in_right_case
from bidsapp.bids.stated import flags_of
from bidsapp.data import read_table
from bidsapp.dicom.habits import tables
from bidsapp.errors import BadDataError
from bidsapp.settings import Filters, Processing

SIDE = Path("sub-1_pet.json")


def test_the_right_key_has_its_value_whatever_its_case():
    content = in_right_case({"frametimesstart": [0], "UNITS": "Bq/mL", "Own": 1, "own": 2}, SIDE)
    (flag,) = flags_of(content)
    del content["CentiPET"]
    assert content == {"FrameTimesStart": [0], "Units": "Bq/mL", "Own": 1, "own": 2}
    assert flag.code == "sidecar-case"
    assert "sub-1_pet.json spells frametimesstart, UNITS" in flag.message


def test_units_are_read_as_drafts_of_the_standard_wrote_them():
    draft = {"Unit": "Bq/ml", "InjectedRadioActivityUnit": "MBq", "FrameDurationUnit": "s"}
    content = in_right_case(draft, SIDE)
    (flag,) = flags_of(content)
    assert content.keys() - {"CentiPET"} == {
        "Units", "InjectedRadioactivityUnits", "FrameDurationUnits",
    }  # fmt: skip
    assert "spells Unit, InjectedRadioActivityUnit, FrameDurationUnit differently" in flag.message
    both = {"Unit": "BQML", "Units": "Bq/mL"}
    assert in_right_case(both, SIDE) == both


@pytest.mark.parametrize("keys", [("units", "Units"), ("Units", "units")])
def test_one_value_twice_is_one_value(keys):
    assert in_right_case(dict.fromkeys(keys, "Bq/mL"), SIDE) == {"Units": "Bq/mL"}


@pytest.mark.parametrize("keys", [("units", "Units"), ("Units", "units"), ("units", "UNITS")])
def test_two_values_are_named(keys):
    with pytest.raises(BadDataError) as caught:
        in_right_case(dict(zip(keys, ("Bq/mL", "kBq/mL"), strict=True)), SIDE)
    text = f"{SIDE}: {keys[0]} is 'Bq/mL' and {keys[1]} is 'kBq/mL', though both are Units"
    assert str(caught.value) == f"{text}; remove the wrong one"


def plan(raw, change):
    raw.t1w("sub-1")
    path = raw.pet("sub-1").with_name("sub-1_pet.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return make_plan(read_dataset(raw.root, Filters()), Processing())


def lower(sidecar):
    return {key.lower(): value for key, value in sidecar.items()}


def test_a_sidecar_in_lower_case_is_read_and_told(raw):
    (scan,) = plan(raw, lower).scans
    assert scan.metadata.frame_start_s == (5400, 6000) and scan.tracer == "FBB"
    assert [flag.code for flag in scan.flags] == ["sidecar-case"]


def test_a_scan_with_a_contradiction_is_refused_with_both_keys(raw):
    (failure,) = plan(raw, lambda sidecar: sidecar | {"frametimesstart": [0, 600]}).failures
    assert (
        "sub-1_pet.json: FrameTimesStart is [5400, 6000] and frametimesstart is" in failure.message
    )


def test_a_nearer_sidecar_wins_in_any_case_and_both_are_told(raw):
    pet = raw.pet("sub-1", Manufacturer=None)
    (raw.root / "pet.json").write_text(json.dumps({"Units": "kBq/mL", "manufacturer": "GE"}))
    near = pet.with_name("sub-1_pet.json")
    near.write_text(json.dumps(lower(json.loads(near.read_text()))))
    dataset = read_dataset(raw.root, Filters())
    sidecar = dataset.sidecar(dataset.pets[0])
    assert (sidecar["Units"], sidecar["Manufacturer"]) == ("Bq/mL", "GE")
    assert [flag.message.split()[0] for flag in flags_of(sidecar)] == ["sub-1_pet.json", "pet.json"]


def test_every_key_that_is_read_is_known():
    read = set()
    for folder in ("bids", "dicom"):
        for path in (Path(bidsapp.__file__).parent / folder).rglob("*.py"):
            text = path.read_text()
            read |= set(re.findall(r'sidecar(?:\.get\(|\[)"([A-Z]\w+)"', text))
            read |= set(re.findall(r'field\.(?:number|numbers|text|boolean)\("([A-Z]\w+)"', text))
    volumes = tables()["nifti_ecat"]
    read |= {*volumes["tags"], *volumes["milliseconds"]}
    known = in_right_case({key.upper(): 1 for key in read - {"CentiPET"}}, SIDE)
    assert known.keys() == read | {"CentiPET"}
    assert {*read_table("sidecar_keys")["required"]} <= read
