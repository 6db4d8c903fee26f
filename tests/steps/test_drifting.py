"""The Centiloid from frame to frame of the mean, by curves of a known course."""

import numpy as np
import pytest

from bidsapp.data import VOI_NAMES
from bidsapp.data.atlases import CENTILOID
from bidsapp.steps.drifting import drift

START_S = 5400.0 + 300 * np.arange(5)


def found(target, reference="wc", late_min=0.0):
    """The drift of the last four of five frames of 5 min, of an equation of 100 CL per SUVR."""
    uptake = {"ctx": target, "wc": 2.0, "cg": 4.0}
    curves = np.stack([np.broadcast_to(uptake.get(name, 1.0), 5) for name in VOI_NAMES])
    tacs = {CENTILOID: curves, "frame_start_s": START_S, "frame_end_s": START_S + 300}
    return drift(tacs, START_S[1:], reference=reference, slope=100.0, late_min=late_min)


@pytest.mark.parametrize(("reference", "per_min"), [("wc", 0.2), ("cg", 0.1)])
def test_a_steady_rise_is_told_per_minute(reference, per_min):
    """The ratio to wc rises by 0.01 in 5 min; the frame before the window does not matter."""
    rise = found([99.0, 3.0, 3.02, 3.04, 3.06], reference)
    assert rise.qc["centiloid_per_min"] == pytest.approx(per_min) and rise.flags == ()


def test_the_effect_of_a_late_mean_is_slope_times_delay():
    (flag,) = found([99.0, 3.0, 3.02, 3.04, 3.06], late_min=4.0).flags
    assert flag.code == "window-effect" and "0.8 CL" in flag.message


def test_a_frame_that_stands_out_is_counted_among_those_of_the_mean():
    part = found([99.0, 3.0, 3.0, 2.7, 3.0])
    assert part.qc["frame_apart"] == pytest.approx(0.1)
    (flag,) = part.flags
    assert flag.code == "frame-stands-out"
    assert "in frame 3 of the 4" in flag.message and "-10%" in flag.message
