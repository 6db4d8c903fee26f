import json
import re

import pytest

from bidsapp.cli.boutiques import descriptor
from bidsapp.cli.main import main
from bidsapp.cli.parser import command_line


@pytest.fixture(scope="module")
def spec():
    return descriptor(command_line())


def test_it_is_printed(capsys, spec):
    with pytest.raises(SystemExit) as ended:
        main(["--bids-exec-spec"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(spec))


def test_every_option_is_described_once_and_placed_once(spec):
    inputs = spec["inputs"]
    keys = [given["value-key"] for given in inputs]
    assert len(set(keys)) == len(keys) > 30
    assert re.findall(r"\[\w+\]", spec["command-line"]) == keys
    assert [given["id"] for given in inputs if not given["optional"]] == [
        "bids_dir", "output_dir", "level",
    ]  # fmt: skip
    assert all(given["description"] for given in inputs)
    shown = command_line().format_help()
    for given in inputs:
        assert given["optional"] is False or given["command-line-flag"] in shown


def test_kinds_of_values(spec):
    by_id = {given["id"]: given for given in spec["inputs"]}
    assert by_id["participant_label"]["list"] and by_id["participant_label"]["type"] == "String"
    assert by_id["window"]["min-list-entries"] == by_id["window"]["max-list-entries"] == 2
    assert by_id["nprocs"]["type"] == "Number"
    assert by_id["dry_run"]["type"] == "Flag"
    assert by_id["bids_dir"]["type"] == "File"
    assert by_id["pet_to_t1w"]["value-choices"] == ["model", "nmi"]
    assert {1, 16, 64, 75} <= {code["code"] for code in spec["error-codes"]}
