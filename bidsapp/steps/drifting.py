"""Change of the Centiloid over the window of a scan, and what that means for its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.frames.frames import drift_per_min, outlying_frame
from bidsapp.core.quality import Flag, flagged
from bidsapp.data import TARGET, VOI_NAMES, read_table
from bidsapp.data.atlases import CENTILOID
from bidsapp.data.sentences import worded_flag
from bidsapp.data.tracers import window_rule
from bidsapp.record import RecordPart


def drift(
    tacs: Mapping[str, NDArray[Any]],
    used_s: Sequence[float],
    *,
    reference: str,
    slope: float,
    late_min: float,
) -> RecordPart:
    """Change of the Centiloid between the frames of the mean, and outliers among them.

    Parameters
    ----------
    tacs : activity in the Centiloid volumes, shape (R, T), with ``frame_start_s``, ``frame_end_s``
    used_s : starts of the frames of the mean
    reference : reference region of the Centiloid
    slope : Centiloids per unit of SUVR
    late_min : middle of the mean minus that of the window

    Returns
    -------
    RecordPart
        Slope in CL/min and the largest deviation of a frame, with flags.
    """
    used = np.isin(tacs["frame_start_s"], used_s)
    curves = dict(zip(VOI_NAMES, tacs[CENTILOID][:, used], strict=True))
    ratios = curves[TARGET] / curves[reference]
    times = tacs["frame_start_s"][used], tacs["frame_end_s"][used]
    change = drift_per_min(*times, slope * ratios)
    limits, quality = read_table("limits"), {}
    flags = drift_findings(late_min, change, window_rule().tolerance_s / 60)
    if change is not None:
        quality["centiloid_per_min"] = change[0]
        flags += flagged(quality, limits)
    if farthest := outlying_frame(ratios):
        number, apart = farthest
        quality["frame_apart"] = abs(apart)
        flags += flagged({"frame_apart": apart}, limits, number=number + 1, of=len(ratios))
    return RecordPart(qc=quality, flags=flags)


def drift_findings(
    late_min: float, drift: tuple[float, float] | None, tolerance_min: float
) -> tuple[Flag, ...]:
    """Effect on the Centiloid of a mean that is off the middle of the tracer's window.

    Parameters
    ----------
    late_min : middle of the mean minus middle of the window, min
    drift : Centiloids per minute between the frames of this scan, and their standard error
    tolerance_min : deviation without a flag

    Returns
    -------
    tuple of Flag
    """
    if drift is None or abs(late_min) <= tolerance_min:
        return ()
    slope, error = drift
    effect, unsure = slope * late_min, 2 * error * abs(late_min)
    flag = worded_flag(
        "window-effect", slope=slope, error=error, minutes=abs(late_min),
        late="late" if late_min > 0 else "early", effect=effect, low=effect - unsure,
        high=effect + unsure,
    )  # fmt: skip
    return (flag,)
