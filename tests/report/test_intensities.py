"""The histogram of a T1w and its tissues."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bidsapp.core.anatomy.intensity_model import IntensityModel
from bidsapp.errors import BadDataError
from bidsapp.report.intensities import intensity_histogram

CONTENT = IntensityModel(
    low=0.0, high=100.0, counts=(0, 10, 40, 10, 0, 5, 60, 5, 0, 0), tissue=("GM", "GM", "WM"),
    mean=(24.0, 26.0, 65.0), sd=(5.0, 5.0, 4.0), share=(0.25, 0.25, 0.5),
)  # fmt: skip


def test_every_tissue_has_its_curve_and_its_name():
    figure = intensity_histogram(CONTENT)
    svg = figure.standalone()
    assert svg.count('class="line"') == 3  # grey, white, all together
    assert "grey matter at 25" in figure.alt and "white matter at 65" in figure.alt
    assert "grey matter" in svg and "fluid" not in svg
    # nothing leaves the view box
    numbers = [float(y) for path in re.findall(r' d="M([^"]+)"', svg)
               for y in re.findall(r"[\d.]+ ([\d.]+)", path)]  # fmt: skip
    assert len(numbers) > 100 and min(numbers) >= 0 and max(numbers) <= figure.height


def test_the_curves_hold_as_many_voxels_as_the_bars():
    """The bars of a Gaussian are as high as its curve."""
    middles = np.arange(1.0, 100, 2)
    counts = 2e5 * np.exp(-0.5 * ((middles - 51) / 10) ** 2) / (10 * np.sqrt(2 * np.pi))
    svg = intensity_histogram(
        replace(CONTENT, counts=tuple(np.rint(counts).astype(int).tolist()), tissue=("GM",),
                mean=(51.0,), sd=(10.0,), share=(1.0,))
    ).standalone()  # fmt: skip
    bars, whole, grey = (
        min(float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", outline))
        for outline in re.findall(r' d="M([^"]+)"', svg)
    )
    assert whole == grey == pytest.approx(bars, abs=0.2) and bars < 30


@pytest.mark.parametrize("spoilt", [{"counts": ()}, {"mean": (1.0,)}, {"share": ()}, {"high": 0.0}])
def test_a_broken_record_is_told(spoilt):
    with pytest.raises(BadDataError, match="participant level again"):
        intensity_histogram(replace(CONTENT, **spoilt))


def test_a_flat_curve_is_drawn():
    wide = replace(CONTENT, sd=(1e4, 1e4, 1e4))
    assert intensity_histogram(wide).drawing
