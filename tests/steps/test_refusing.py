"""When a scan gets no number, and the sentence that says why."""

from __future__ import annotations

import pytest

from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
from bidsapp.data import read_table
from bidsapp.errors import BadDataError
from bidsapp.steps.refusing import (
    refuse_beyond,
    refuse_damaged,
    refuse_impossible,
    refuse_unseen,
)

RULE = CoverageRule(flag=0.98, refuse=0.5)


def table(**coverages):
    return {
        name: VoiStatistics(1.0 if value >= RULE.refuse else None, 0.1, 10, 1.0, value)
        for name, value in coverages.items()
    }


def test_what_the_centiloid_needs_must_be_there():
    refuse_unseen(table(ctx=1.0, wc=0.7, pons=0.2), ("ctx", "wc"), RULE)
    with pytest.raises(BadDataError, match="30% of the VOI wc, less than 50%"):
        refuse_unseen(table(ctx=1.0, wc=0.3, pons=0.0), ("ctx", "wc"), RULE)


def test_a_damaged_reference_region_gives_no_number():
    refuse_damaged("wc", 0.0, None, 0.01)
    with pytest.raises(BadDataError, match="2% of the reference region wc"):
        refuse_damaged("wc", 0.02, None, 0.01)
    with pytest.raises(BadDataError, match=r"jumps by 50% .* region wc"):
        refuse_damaged("wc", 0.0, 0.5, 0.01)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pet_reference_apart", 0.65, "part of the reference region wc differs .* 65%"),
        ("pet_t1w_detail", 0.91, "91% of the fine structure.* MR image; .* as T1w"),
        ("pet_clipped_share", 0.99, "99% of the brain tissue .* it is a mask"),
        ("pet_air_level", 28.6, r"28\.6 times the uptake of the brain .*a CT has such"),
        ("pet_only_fluid", 0.8, r"as much uptake .*\(pet_only_fluid 0\.80, at most 0\.7\)"),
    ],
)
def test_a_number_that_no_result_has_is_refused(name, value, says):
    limits = read_table("limits")
    for good in (limits[name]["refuse"], None):
        refuse_beyond({name: good}, limits, region="wc")
    with pytest.raises(BadDataError, match=says):
        refuse_beyond({name: value}, limits, region="wc")
    with pytest.raises(BadDataError):
        refuse_beyond({name: float("nan")}, limits, region="wc")


def test_every_refusal_has_its_limit_and_its_words():
    limits = read_table("limits")
    refusing = {name: row["refuse"] for name, row in limits.items() if "refused" in row}
    assert len(refusing) == 8
    for name, limit in refusing.items():
        with pytest.raises(BadDataError) as caught:
            refuse_beyond({name: 2 * limit}, limits, region="wc")
        assert "{" not in str(caught.value)


@pytest.mark.parametrize("centiloid", [13540, -200])
def test_a_centiloid_that_cannot_be_is_refused(centiloid):
    possible = read_table("limits")["centiloid_possible"]
    refuse_impossible(240, **possible)
    with pytest.raises(BadDataError, match=f"a Centiloid of {centiloid} is impossible"):
        refuse_impossible(centiloid, **possible)
