"""The corpus of inputs that planning decides on: every row in one dataset, each its own outcome."""

from __future__ import annotations

import json

import pytest
from bad_inputs import DECISIONS, LEFT_OUT, REFUSED, RUN, make_person

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.settings import Filters, Processing


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Outcome -> participant -> words: sentences, or codes of the flags of a scan that is run."""
    bids = tmp_path_factory.mktemp("decisions") / "bids"
    for name, case in DECISIONS.items():
        case.spoil(make_person(bids, name, case.t1w))
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1"}))
    plan = make_plan(read_dataset(bids, Filters()), Processing())
    return {
        RUN: {scan.participant: [flag.code for flag in scan.flags] for scan in plan.scans},
        REFUSED: {failure.entities["sub"]: failure.message for failure in plan.failures},
        LEFT_OUT: {skip.entities["sub"]: skip.reason for skip in plan.skipped},
    }


@pytest.mark.parametrize("name", DECISIONS)
def test_every_input_has_its_outcome(decided, name):
    case = DECISIONS[name]
    found = decided[case.outcome].get(name)
    assert found is not None, {
        outcome: sentences.get(name) for outcome, sentences in decided.items()
    }
    assert found == [] if case.outcome == RUN and not case.word else case.word in found


def test_whoever_is_refused_or_left_out_is_not_run_instead(decided):
    for name, case in DECISIONS.items():
        if case.outcome == REFUSED:
            assert name not in decided[RUN], name
