"""A small head, and what stands in for its segmentation: nothing is warped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.intensity_model import IntensityModel
from bidsapp.core.anatomy.segment import Segmentation
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.data import mni_grid

_AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
_AFFINE[:3, 3] = (-88, -124, -70)
GRID = Grid((45, 54, 45), _AFFINE)  # around the MNI origin


def rigid_warp(grid: Grid, to_template: Matrix | None = None) -> Warp:
    """A warp that only moves a head to the template, if that."""
    move = np.eye(4) if to_template is None else to_template
    return Warp(np.zeros((3, 1, 1, 1)), np.zeros(3), np.array(grid.shape, float), grid.affine, move)


def template_field(move: Matrix | None = None) -> NDArray[np.float32]:
    """The grid of the template, moved: where its voxels lie in a head."""
    world = mni_grid(2).world()
    return (world if move is None else transform(move, world)).astype(np.float32)


def segmentation(
    t1w: Volume, tissue: NDArray[Any], brain: NDArray[np.bool_], **changes: Any
) -> Segmentation:
    """A T1w that lies in MNI already, with the maps of its tissue."""
    given = {
        "probabilities": np.asarray(tissue, np.float32),
        "corrected": t1w.data.astype(np.float32),
        "brain_mask": brain,
        "warp": rigid_warp(t1w.grid),
        "field": template_field(),
        "quality": {},
        "intensities": IntensityModel(0.0, 9.0, (0, 1, 2), ("GM",), (1.0,), (1.0,), (1.0,)),
    }
    return Segmentation(**given | changes)
