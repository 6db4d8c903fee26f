"""When a scan gets no number, and the sentence that says why."""

from __future__ import annotations

import pytest

from bidsapp.core.regions.voi import CoverageRule, VoiStatistics
from bidsapp.data import read_table
from bidsapp.errors import BadDataError
from bidsapp.steps.refusing import (
    refuse_damaged,
    refuse_impossible,
    refuse_mr,
    refuse_offset,
    refuse_one_value,
    refuse_uneven,
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
    with pytest.raises(BadDataError, match="30% of the volume of interest wc, less than 50%"):
        refuse_unseen(table(ctx=1.0, wc=0.3, pons=0.0), ("ctx", "wc"), RULE)


def test_a_damaged_reference_region_gives_no_number():
    refuse_damaged("wc", 0.0, None, 0.01)
    with pytest.raises(BadDataError, match="2% of the reference region wc"):
        refuse_damaged("wc", 0.02, None, 0.01)
    with pytest.raises(BadDataError, match=r"jumps by 50% .* region wc"):
        refuse_damaged("wc", 0.0, 0.5, 0.01)


def test_a_very_uneven_reference_region_gives_no_number():
    refuse_uneven("wc", 0.4, 0.4)
    refuse_uneven("wc", None, 0.4)
    for apart in (0.45, float("nan")):
        with pytest.raises(BadDataError, match="a part of the reference region wc differs"):
            refuse_uneven("wc", apart, 0.4)


@pytest.mark.parametrize("centiloid", [13540, -200])
def test_a_centiloid_that_cannot_be_is_refused(centiloid):
    possible = read_table("limits")["centiloid_possible"]
    refuse_impossible(240, **possible)
    with pytest.raises(BadDataError, match=f"a Centiloid of {centiloid} is impossible"):
        refuse_impossible(centiloid, **possible)


def test_an_mr_image_in_place_of_a_pet_gets_no_number():
    refuse_mr(0.8, 0.8)
    refuse_mr(None, 0.8)
    with pytest.raises(BadDataError, match=r"91% of the fine structure.* MR image; .* as T1w"):
        refuse_mr(0.91, 0.8)


def test_a_mask_in_place_of_a_pet_gets_no_number():
    refuse_one_value(0.9, 0.9)
    with pytest.raises(BadDataError, match=r"99% of the brain tissue .* it is a mask"):
        refuse_one_value(0.99, 0.9)


def test_an_image_whose_air_is_far_from_zero_gets_no_number():
    refuse_offset(1.0, 1.0)
    refuse_offset(None, 1.0)
    with pytest.raises(BadDataError, match=r"28\.6 times the uptake of the brain .*a CT has such"):
        refuse_offset(28.6, 1.0)
