"""The T1w side of PET to T1w, with the resources of the package.

from bidsapp.core.rigid import register
from bidsapp.data.registration import head_of
found = segment_head(t1w).segmentation
fit = register(pet, head_of(Volume(found.corrected, t1w.affine), found.probabilities,
                            found.brain_mask, found.warp.to_template))
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.head import Head
from bidsapp.core.voi import nearest
from bidsapp.core.volume import Volume
from bidsapp.data import priors
from bidsapp.data.atlases import nearest_regions


def head_of(
    t1w: Volume,
    tissue: NDArray[np.floating],
    mask: NDArray[np.bool_],
    to_template: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Head:
    """Return a head with the regions of an atlas and the average head as its witness.

    Parameters
    ----------
    t1w : Volume, 3D
        Bias-corrected, with or without skull.
    tissue : ndarray, shape (3, X, Y, Z)
        Probabilities of grey matter, white matter and CSF on the T1w grid.
    mask : ndarray of bool, shape (X, Y, Z)
        Brain on the T1w grid.
    to_template : function
        T1w world points (N, 3) -> template world points (N, 3), RAS mm.

    Raises
    ------
    BadDataError
        The mask is empty.
    """
    sampler, regions = priors().sampler, nearest_regions()
    return Head.of(
        t1w,
        tissue,
        mask,
        region_of=lambda points: nearest(regions, to_template(points)),
        average=lambda points: sampler.values(to_template(points)),
    )
