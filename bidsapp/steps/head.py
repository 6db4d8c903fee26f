"""The head of a scan: its tissues by the T1w, and where it lies in the PET and on the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.resolution import Widths, measure_resolution

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class HeadTissues:
    """Images on the T1w grid: probability of grey matter, white matter and CSF, brain mask."""

    gm: Volume
    wm: Volume
    csf: Volume
    mask: Volume

    @property
    def maps(self) -> NDArray[np.floating]:
        """The three probabilities, shape (3, X, Y, Z)."""
        return np.stack([tissue.data for tissue in (self.gm, self.wm, self.csf)])


@dataclass(frozen=True, eq=False)
class PlacedHead:
    """Position of the head of a scan; without a T1w, the PET space replaces T1w space.

    Attributes
    ----------
    field : T1w world coordinate of every voxel of the 2 mm MNI grid
    warp : T1w world -> template world
    t1w_to_pet : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.
    tissues : HeadTissues, or None without a T1w
    """

    field: Volume
    warp: Warp
    t1w_to_pet: Matrix
    tissues: HeadTissues | None = None


def pet_resolution(
    pet: Volume, head: PlacedHead, regions: Masks | None, given: Widths | None
) -> tuple[Widths, str]:
    """Resolution of a PET along its voxel axes: that of the user, else measured in the image.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the window, native grid.
    head : PlacedHead
    regions : masks ``ctx`` and ``cbl`` on the T1w grid, to measure it
    given : by the user; None to measure it, which needs a T1w

    Returns
    -------
    tuple of float
        FWHM, mm.
    str
        ``given`` or ``measured``.
    """
    if given is not None:
        return given, "given"
    tissues = head.tissues
    assert tissues is not None and regions is not None
    measured = measure_resolution(
        pet, tissues.maps, tissues.mask.data, regions, tissues.gm.affine, head.t1w_to_pet
    )
    return measured, "measured"
