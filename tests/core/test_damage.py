"""Damage to images: what is told of it, and what is taken out."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.damage import without_spikes
from bidsapp.core.volume import Volume


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    data = np.zeros((24, 24, 24), np.float32)
    data[4:20, 4:20, 4:20] = rng.uniform(100, 400, size=(16, 16, 16))
    return data


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e38, 3e5, -3e5])
def test_what_no_head_has_is_missing_and_the_rest_untouched(head, value):
    odd = head.copy()
    odd[10, 10, 10] = value
    found = without_spikes(Volume(odd, np.eye(4))).data
    assert np.isnan(found[10, 10, 10])
    odd[10, 10, 10] = np.nan
    np.testing.assert_array_equal(found, odd)


def test_bright_vessels_stay(head):
    head[10, 10, 10] = 3 * head.max()
    image = Volume(head, np.eye(4))
    assert without_spikes(image) is image


def test_an_empty_image_stays(head):
    image = Volume(np.zeros_like(head), np.eye(4))
    assert without_spikes(image) is image
