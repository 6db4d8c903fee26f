"""What transfer, conversion and processing do to images: signs of it, and parts that are lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.volume import Volume

_BRIGHT_PERCENTILE = 99.5
_SPIKE = 10.0  # times the bright part of a T1w; vessels and fat beside a coil have up to 3


def without_spikes(t1w: Volume) -> Volume:
    """Make missing what is brighter than anything in a head.

    One voxel of a million times the intensity of white matter would be a tissue of its own.

    Parameters
    ----------
    t1w : Volume, 3D

    Returns
    -------
    Volume
        float32, NaN where a voxel is not finite or has more than ten times the intensity that
        99.5 % of the others have at most.
    """
    data = np.asarray(t1w.data, np.float32)
    known = np.isfinite(data)
    size = np.abs(data[known & (data != 0)])
    if not size.size:
        return t1w
    credible: NDArray[np.bool_] = known.copy()
    credible[known] = np.abs(data[known]) <= _SPIKE * np.percentile(size, _BRIGHT_PERCENTILE)
    return t1w if credible.all() else Volume(np.where(credible, data, np.nan), t1w.affine)
