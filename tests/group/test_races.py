"""A few rounds of participants and group runs at once; tests/benchmarks/group_races.py has more."""

import pytest
from group_races import race


@pytest.mark.slow
def test_participants_a_killed_one_and_two_group_runs(tmp_path):
    assert "rows whole at any time" in race(tmp_path, rounds=5, writers=3, groups=2)
