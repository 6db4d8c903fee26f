"""When two versions of a number count as the same."""

from __future__ import annotations

import math

import pytest

from bidsapp.verify.differences import CENTILOIDS, Tolerance, agree, unlike, unlike_cells


@pytest.mark.parametrize(
    ("stored", "found", "same"),
    [
        ("1.0000000001", 1.0, True),
        (1.00001, 1.0, False),
        (2000001.5, 2e6, True),
        (2000002.5, 2e6, False),
        ("n/a", None, True),
        ("", None, True),
        (None, math.nan, True),
        ("n/a", 0.0, False),
        (0.0, None, False),
        ("nan", 1.0, False),
        ("sub-01", "sub-02", False),
        (True, 1, False),
        ("3", "3", True),
        ("1e999", 1e308, False),
    ],
)
def test_numbers_agree_within_rounding_and_text_exactly(stored, found, same):
    assert agree(stored, found) is same


def test_a_centiloid_near_zero_has_an_absolute_tolerance():
    assert agree(1e-5, 2e-5, CENTILOIDS) and not agree(1e-3, 2e-3, CENTILOIDS)


def test_fields_are_named_where_they_differ():
    stored = {"a": {"b": [1.0, 2.5]}, "own": 1, "short": [1], "text": "x"}
    found = {"a": {"b": [1.0, 2.0]}, "new": 3.0, "short": [1, 2], "text": {"b": 1}}
    assert list(unlike(stored, found)) == [
        ("a.b[1]", 2.5, 2.0), ("new", None, 3.0), ("short", [1], [1, 2]), ("text", "x", {"b": 1}),
    ]  # fmt: skip


def test_cells_are_named_by_column_and_row():
    stored = [{"name": "ctx", "mean": "1.5", "gm": "1.0001", "own": "7"}]
    found = [{"name": "ctx", "mean": 1.6, "gm": 1.0}]
    differences = list(unlike_cells(stored, found, ["ctx"], {"gm": Tolerance(1e-3)}))
    assert differences == [("mean of ctx", "1.5", 1.6)]
    assert list(unlike_cells(stored, [], [], {})) == [("number of rows", 1, 0)]
