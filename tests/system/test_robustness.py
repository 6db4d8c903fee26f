"""The Centiloid does not depend on how the T1w was stored or how good it was."""

import pytest
from robustness import VARIATIONS, differences

pytestmark = pytest.mark.slow


def test_centiloid_stays_when_the_t1w_comes_otherwise(shared_data):
    found = differences(shared_data, "sub-02", VARIATIONS)
    assert len(found) == len(VARIATIONS)
    assert max(map(abs, found.values())) < 1.5, found
