"""Head motion on real heads: found within 0.7 mm, undone within one Centiloid."""

from __future__ import annotations

import pytest
from motion import measure, scans_with_frames

pytestmark = pytest.mark.slow


def test_motion_of_6_mm_and_5_degrees_costs_no_centiloid(shared_data):
    [scan] = scans_with_frames(shared_data / "bids", ["01"])
    [found] = measure(scan, [1])
    assert found.moved_mm > 5
    assert found.worst_mm < 0.7
    assert abs(found.undone - found.still) < 1
