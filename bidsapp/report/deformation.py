"""Figure of a warp: local change of volume, and a deformed grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import jacobian
from bidsapp.core.grid.alignment import affine_between, inverse, transform
from bidsapp.core.grid.volume import Volume
from bidsapp.data.display import coloured
from bidsapp.report.figure import Figure, Layer, Words
from bidsapp.report.lines import Outline, scale_bar
from bidsapp.report.mosaic import Layout, sample
from bidsapp.report.pictures import as_layer, framed, grey_levels, mni_brain_layout

GRID_MM = 10.0
_COLOURS = "RdBu_r"
_RANGE = 1.5  # factor of volume at the ends of the colours
_BRAIN = Outline("#4cc9f0", "brain of the template")


def deformation(displacements: Volume, anatomy: Volume, brain: Volume) -> Figure:
    """Show the non-linear part of a warp: local change of volume, and a bent grid.

    Parameters
    ----------
    displacements : LPS mm, shape (X, Y, Z, 3), on the template grid, as in the warp's file
    anatomy : T1w in template space, on any grid
    brain : mask of the template, same grid as ``displacements``

    Returns
    -------
    Figure
    """
    layout = mni_brain_layout()
    bent = without_affine(displacements, brain)
    volume = Volume(jacobian(bent, displacements.affine), displacements.affine)
    factor = np.log(np.maximum(sample(volume, layout), 1e-3)) / np.log(_RANGE)
    grey = grey_levels(sample(anatomy, layout))
    inside = sample(Volume(brain.data, brain.affine), layout)
    share = np.clip(0.5 + 0.5 * factor, 0, 1)
    opacity = (0.6 * np.clip(inside, 0, 1))[..., None]
    over = (1 - opacity) * grey[..., None] + opacity * coloured(share, _COLOURS)
    lines = _grid_lines(bent, displacements.affine, layout)[..., None]
    grid = (1 - lines) * 0.55 * grey[..., None] + lines * np.array([127, 220, 111])
    bar = scale_bar(
        layout, _COLOURS, "volume, participant over template",
        [(0.0, f"1/{_RANGE:g}"), (0.5, "1"), (1.0, f"{_RANGE:g}")],
    )  # fmt: skip
    return framed(
        layout,
        Words.of("deformation"),
        layers=(
            as_layer("Change of volume", over, bar),
            as_layer("Grid, 10 mm", grid),
            Layer("T1w", grey.astype(np.uint8)),
        ),
        outlines=[(inside, _BRAIN)],
    )


def without_affine(displacements: Volume, brain: Volume) -> NDArray[np.float64]:
    """Where a warp takes each voxel, with the affine part that fits the brain best undone.

    Parameters
    ----------
    displacements : LPS mm as in the file of the warp, shape (X, Y, Z, 3)
    brain : mask on the same grid

    Returns
    -------
    ndarray, shape (X, Y, Z, 3)
        RAS mm; the coordinate of the voxel itself for a warp that is affine.
    """
    world = displacements.grid.world()
    moved = world + displacements.data
    inside = np.asarray(brain.data) != 0
    matrix = affine_between(world[inside][::7], moved[inside][::7])
    return transform(inverse(matrix), moved)


def _grid_lines(
    points: NDArray[np.float64], affine: NDArray[np.float64], layout: Layout
) -> NDArray[np.float32]:
    """How much of a line of the bent grid every pixel is, 0 to 1."""
    share = np.zeros(layout.shape, np.float32)
    for axis in range(3):
        at = sample(Volume(points[..., axis], affine), layout)
        apart = np.abs(at - GRID_MM * np.rint(at / GRID_MM))
        line = np.clip(1.5 - apart / (0.6 * layout.step_mm), 0, 1)
        for tile in layout.tiles:
            if tile.axis != axis:  # the lines of the axis that is cut are the cut itself
                share[tile.place] = np.maximum(share[tile.place], line[tile.place])
    return share
