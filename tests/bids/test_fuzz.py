"""Sidecars with values of any kind: a scan is planned or refused with a sentence, never a crash."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.settings import Filters, Processing

VALUES = [
    None, True, False, 0, -1, 1, 1e-9, 5400, 1e300, float("nan"), float("inf"), 10**400, "", " ",
    "n/a", "5400", "10:00:00", "25:61:99", "-1:00:00", "NaN", "\x00", "\u202e<script>", "=1+1", [],
    [0], [5400], [5400, 6000], [6000, 5400], [5400, 5400], [[5400], [6000]], ["5400", "6000"],
    [None, None], [float("nan"), 1], [-1e9, 1e9], {}, {"a": [1]}, "Bq/mL", "kBq/mL", "CNTS",
    "[18F]FDG", "C11", "F18", "START", 600, [600, 600], [600], [1e-9, 1e-9], [-600, 600],
]  # fmt: skip


@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_sidecar(raw, pet_sidecar, number):
    raw.t1w("sub-1")
    sidecar = raw.pet("sub-1_trc-FBB").with_name("sub-1_trc-FBB_pet.json")
    random = np.random.default_rng(number)
    fates = {"planned": 0, "refused": 0}
    for _ in range(number):
        content = dict(pet_sidecar)
        for field in random.choice(list(content), random.integers(1, 4), replace=False):
            if random.random() < 0.15:
                del content[field]
            else:
                content[field] = VALUES[random.integers(len(VALUES))]
        sidecar.write_text(json.dumps(content))
        plan = make_plan(read_dataset(raw.root, Filters()), Processing())
        assert len(plan.scans) + len(plan.failures) == 1
        for failure in plan.failures:
            assert failure.message.startswith(str(raw.root)) and "\n" not in failure.message
            assert failure.error_name in ("BadDataError", "NoInputError")
        fates["refused" if plan.failures else "planned"] += 1
    assert min(fates.values()) > number / 10


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"7", b'{"a": 1', b"\xff\xfe{}", b"\x00" * 100, b'{"a": 1}{"b": 2}',
     b"[" * 100_000, b'{"FrameTimesStart": ' + b"[" * 5000 + b"]" * 5000 + b"}"],
)  # fmt: skip
def test_no_sidecar_at_all(raw, content):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB").with_name("sub-1_trc-FBB_pet.json").write_bytes(content)
    plan = make_plan(read_dataset(raw.root, Filters()), Processing())
    (failure,) = plan.failures
    assert "sub-1_trc-FBB_pet" in failure.message
