"""The Centiloid does not depend on how the T1w was stored or how good it was."""

import pytest
from robustness import VARIATIONS, differences, turned_header, without_skull

pytestmark = pytest.mark.slow


def test_centiloid_stays_when_the_t1w_comes_otherwise(shared_data):
    found = list(differences(shared_data, "sub-02", VARIATIONS))
    assert len(found) == len(VARIATIONS)
    assert max(abs(outcome.difference_cl) for _, outcome in found) < 1.5, found
    assert {outcome.flags for _, outcome in found} == {()}


def test_a_head_without_skull_reads_as_the_whole_one(shared_data):
    ((_, outcome),) = differences(shared_data, "sub-06", {"no skull": without_skull})
    assert abs(outcome.difference_cl) < 1.0  # 2.2 with the priors of whole heads
    assert outcome.flags == ()


def test_a_wrong_header_is_told_and_costs_nothing(shared_data):
    ((_, outcome),) = differences(shared_data, "sub-04", {"turned": turned_header})
    assert abs(outcome.difference_cl) < 1.5
    assert "t1w-orientation" in outcome.flags and "normalisation-shift" not in outcome.flags
