"""The sidecars that docs/bids_input.md shows are enough for a number."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import save_volume
from bidsapp.settings import Filters, Processing

PAGE = Path(__file__).parents[2] / "docs" / "bids_input.md"
SIDECARS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S)]


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda sidecar: sidecar["TracerName"])
def test_a_shown_sidecar_is_enough(raw, sidecar):
    raw.t1w("sub-1")
    pet = raw.pet("sub-1", **sidecar)
    save_volume(
        pet, Volume(np.ones((6, 7, 8, len(sidecar["FrameDuration"])), np.float32), np.eye(4))
    )
    pet.with_name("sub-1_pet.json").write_text(json.dumps(sidecar))
    (scan,) = make_plan(read_dataset(raw.root, Filters()), Processing()).scans
    codes = {flag.code for flag in scan.flags}
    assert codes - {"sidecar-incomplete"} <= {"window-partial", "window-edges"}, codes


def test_there_is_one_for_every_kind():
    assert len(SIDECARS) == 4
