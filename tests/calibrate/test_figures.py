"""Plots: every pair a dot, in its place."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bidsapp.calibrate.figures import Paired, agreement_plot, regression_plot
from bidsapp.core.statistics.regression import agreement, ordinary

X = np.array([0.0, 20.0, 50.0, 100.0])
SVG = "{http://www.w3.org/2000/svg}"


def drawn(path):
    root = ET.parse(path).getroot()
    dots = np.array([[float(c.get("cx")), float(c.get("cy"))] for c in root.iter(f"{SVG}circle")])
    lines = {kind: [one for one in root.iter(f"{SVG}line") if one.get("class") == kind]
             for kind in ("median", "limit")}  # fmt: skip
    return dots, lines, " ".join(root.itertext())


@pytest.mark.parametrize("identity", [True, False])
def test_dots_of_a_perfect_line_lie_on_it(tmp_path, identity):
    y = 2 * X - 10
    points = Paired(X, y, "first <CL>", "second")
    path = regression_plot(tmp_path / "a.svg", points, ordinary(X, y), identity=identity)
    dots, lines, words = drawn(path)
    (fitted,) = lines["median"]
    ends = np.array([[float(fitted.get(f"{a}{n}")) for a in "xy"] for n in "12"])
    assert dots[[0, -1]] == pytest.approx(ends, abs=0.11)
    assert np.diff(dots[:, 0]) / np.diff(X) == pytest.approx(np.full(3, np.ptp(dots[:, 0]) / 100),
                                                             rel=0.02)  # fmt: skip
    assert len(lines["limit"]) == identity and ("identity" in words) is identity
    assert "first <CL>" in words and f"y = 2 x {chr(0x2212)} 10, R² = 1.0000, n = 4" in words


def test_bias_and_limits_stand_where_they_are(tmp_path):
    second = X + np.array([1.0, 3.0, 1.0, 3.0])
    limits, points = agreement(X, second), Paired(X, second, "mean", "diff")
    path = agreement_plot(tmp_path / "b.svg", points, limits)
    dots, lines, words = drawn(path)
    (bias,) = (float(one.get("y1")) for one in lines["median"])
    assert dots[[0, 2], 1].mean() + dots[[1, 3], 1].mean() == pytest.approx(2 * bias, abs=0.2)
    below, above = sorted((float(one.get("y1")) for one in lines["limit"]), reverse=True)
    assert below > bias > above and "bias +2" in words
    assert path.read_bytes() == agreement_plot(path, points, limits).read_bytes()
