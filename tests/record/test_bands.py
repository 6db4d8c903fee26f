"""Bands of the scale, and when a value cannot be put into one."""

import pytest

from bidsapp.record.verdicts import band_statement
from bidsapp.settings import Interval


@pytest.mark.parametrize(
    ("value", "name"),
    [(-5, "low"), (9.99, "low"), (10, "intermediate"), (30, "intermediate"), (30.01, "high")],
)
def test_a_value_far_from_every_threshold_has_a_band(value, name):
    found = band_statement(
        value, (value - 0.001, value + 0.001) if value not in (10, 30) else None, Interval.RESCAN
    )
    assert found.name == name and found.source == "Collij et al. 2024"
    assert found.doi == "10.1002/alz.14336"


@pytest.mark.parametrize(
    ("interval", "crossed"),
    [((12, 28), []), ((8, 20), [10]), ((15, 31), [30]), ((5, 35), [10, 30]), ((10, 30), [])],
)
def test_an_interval_that_crosses_a_threshold_is_indeterminate(interval, crossed):
    found = band_statement(20.0, interval, Interval.PIB)
    assert found.crossed == tuple(crossed) and found.indeterminate is bool(crossed)
    assert ("indeterminate near the threshold" in found.statement) is bool(crossed)
    for edge in crossed:
        assert f"{edge:g}" in found.statement and "what PiB would have shown" in found.statement


def test_without_interval_nothing_is_said_about_it_and_without_value_nothing_at_all():
    assert band_statement(20.0, None, Interval.PIB).indeterminate is None
    assert band_statement(None, None, Interval.PIB) is None
