"""Node that computes the Centiloid at the position of either registration."""

from __future__ import annotations

from typing import Any

import numpy as np

from bidsapp.core.frames.position_means import mean_at_points
from bidsapp.core.grid.alignment import transform
from bidsapp.core.quality import flagged
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.core.quantification.scale import Scale
from bidsapp.data import TARGET, read_table, vois
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Image, PositionMeans
from bidsapp.record import RecordPart


@interface("record")
def BothPositions(
    position_means: PositionMeans, field: Image, by_method: dict[str, Any], scale: Scale
) -> RecordPart:
    """Centiloid by each of the two registrations, from the voxels of its two volumes alone.

    Parameters
    ----------
    position_means : PET, one image per position of the head
    field : T1w world coordinate of every MNI voxel
    by_method : as `Register` gives it
    scale : equations that belong to the scan

    Returns
    -------
    RecordPart
        The Centiloid by each method, flags.
    """
    masks, equation = vois(2), scale.equations.get(scale.main)
    by_position: dict[str, float | None] = {"nmi": None, "model": None}
    for method in by_position if equation is not None else ():
        matrix = np.array(by_method[method])
        means = []
        for voi in (TARGET, scale.main):
            points = field.data[masks[voi]].astype(float)
            uptake = mean_at_points(position_means, transform(matrix, points))
            known = uptake[np.isfinite(uptake)].astype(np.float64)
            means.append(float(known.mean()) if known.size else 0.0)
        if equation is not None and means[1] > 0:
            by_position[method] = centiloid(means[0] / means[1], equation)
    nmi, model = by_position["nmi"], by_position["model"]
    apart = None if nmi is None or model is None else model - nmi
    return RecordPart(
        qc={f"centiloid_{method}": value for method, value in by_position.items()},
        flags=flagged({"centiloid_by_position": apart}, read_table("limits"), **by_position),
    )
