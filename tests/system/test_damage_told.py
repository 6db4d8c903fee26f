"""Damage of PET and T1w on a real head: light damage costs little, the stronger is told.

The whole of it, at three strengths and for more heads: ``tests/benchmarks/damage.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.damage import (
    TOLD_CL,
    Person,
    clipped,
    emptied,
    faded,
    filled,
    infinite,
    offset,
    outcome,
    scaled,
    t1w_hole,
    t1w_outcome,
    t1w_voxels,
)

pytestmark = pytest.mark.slow

LIGHT = {
    "infinite": infinite(3),
    "offset": offset(0.005),
    "filled below the brain": filled(-6, 0.01),
}
STRONG = {
    "clipped": (clipped(0.75), "pet-clipped"),
    "filled": (filled(40, 0.01), "wc has one constant value"),
    "emptied": (emptied(4), "wc has one constant value"),
    "one frame": (scaled(0.6, one=True), "jumps"),
    "lower part": (scaled(0.6, one=False), "jumps"),
    "faded part": (faded(25), "pet-reference-uneven"),
    "offset": (offset(0.2), "pet-offset"),
    "negative offset": (offset(-0.2), "pet-offset"),
}
T1W = {
    "infinite": (t1w_voxels(np.inf, 10), "t1w-missing"),
    "hole": (t1w_hole(12), "t1w-missing"),
}


@pytest.fixture(scope="module")
def person(shared_data) -> Person:
    return Person(shared_data / "bids" / "sub-03", None)


@pytest.fixture(scope="module")
def right(person, tmp_path_factory) -> float:
    value, _, flags = outcome(person, person.frames, tmp_path_factory.mktemp("right"))
    assert flags == []
    return value


@pytest.mark.parametrize("name", LIGHT)
def test_light_damage_of_a_pet_costs_little(person, right, tmp_path, name):
    value, _, flags = outcome(person, LIGHT[name](person, person.frames), tmp_path)
    assert value == pytest.approx(right, abs=TOLD_CL), flags


@pytest.mark.parametrize("name", STRONG)
def test_strong_damage_of_a_pet_is_told(person, right, tmp_path, name):
    damage, cause = STRONG[name]
    value, _, flags = outcome(person, damage(person, person.frames), tmp_path)
    assert cause in " ".join(flags), value


@pytest.mark.parametrize("name", T1W)
def test_damage_of_a_t1w_is_told_and_costs_little(person, right, tmp_path, name):
    damage, code = T1W[name]
    value, _, flags = t1w_outcome(person, damage, tmp_path)
    assert flags == [code]
    assert value == pytest.approx(right, abs=TOLD_CL)
