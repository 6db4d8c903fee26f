"""Activity in the regions of an atlas, as measured and after partial volume correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.regions.compartments import Compartments
from bidsapp.core.regions.pvc import (
    Float32,
    Float64,
    Fwhm,
    gtm,
    iterative_yang,
    mueller_gaertner,
    rbv,
)
from bidsapp.settings import PvcMethod

# Always the same columns, whatever methods were asked for.
COLUMNS = (
    "uncorrected", "gtm", "rbv", "iy",
    "uncorrected_gm", "gtm_gm", "rbv_gm", "iy_gm", "mg_gm",
)  # fmt: skip

# Compartments in which noise grows by more are not determined: 10 % in a mean would be as much as
# the value itself. A cube within a large region reaches it below 0.64 FWHM (benchmarks/pvc.py).
_MOST_GAIN = 10.0


@dataclass(frozen=True)
class Corrected:
    """Activity of L regions by every method.

    Attributes
    ----------
    columns : dict of ndarray, shape (L,)
        By the names of `COLUMNS`: of all tissue of a region, and with ``_gm`` of its grey matter.
        ``uncorrected`` is the plain mean over the region, ``uncorrected_gm`` that weighted by grey
        matter; NaN where a method was not asked for or gives nothing.
    images : dict of ndarray, shape (X, Y, Z)
        Of the methods that correct voxels.
    condition : float or None
        Condition number of the transfer matrix.
    white_matter : float or None
        Activity of white matter in the method of Mueller-Gaertner.
    """

    columns: dict[str, Float64]
    images: dict[PvcMethod, Float32]
    condition: float | None
    white_matter: float | None


def correct(
    pet: NDArray[np.floating],
    head: Compartments,
    fwhm_vox: Fwhm,
    methods: Sequence[PvcMethod],
) -> Corrected:
    """Correct a PET by every requested method.

    Parameters
    ----------
    pet : ndarray, shape (X, Y, Z)
        NaN where not measured.
    head : Compartments
    fwhm_vox : FWHMs of the point spread function in voxels along the three axes
    methods : which

    Returns
    -------
    Corrected
    """
    nothing = np.full(head.membership.shape[0], np.nan)
    columns = dict.fromkeys(COLUMNS, nothing)
    columns["uncorrected"] = head.of_image(pet, np.ones_like(head.grey))
    grey = head.of_image(pet, head.grey)
    columns["uncorrected_gm"] = np.where(head.has_grey, grey, np.nan)
    images: dict[PvcMethod, Float32] = {}
    condition, white_matter = None, None
    determined = np.ones(head.maps.number, bool)
    if {PvcMethod.GTM, PvcMethod.RBV} & set(methods):
        matrix = gtm(pet, head.maps, fwhm_vox)
        condition, determined = matrix.condition, matrix.gain <= _MOST_GAIN
        if PvcMethod.GTM in methods:
            values = np.where(determined, matrix.values, np.nan)
            columns["gtm_gm"], columns["gtm"] = head.of_values(values)
        if PvcMethod.RBV in methods:
            images[PvcMethod.RBV] = rbv(pet, head.maps, fwhm_vox, matrix)
    if PvcMethod.IY in methods:
        images[PvcMethod.IY] = iterative_yang(pet, head.maps, fwhm_vox)
    for method, image in images.items():
        values = head.values_of(image, fwhm_vox)
        if method is PvcMethod.RBV:  # its image rests on those of the matrix
            values = np.where(determined, values, np.nan)
        columns[f"{method.value}_gm"], columns[method.value] = head.of_values(values)
    if PvcMethod.MG in methods:
        image, white_matter = mueller_gaertner(pet, head.grey, head.white, fwhm_vox)
        means = head.of_image(image, np.where(np.isfinite(image), head.grey, 0))
        columns["mg_gm"] = np.where(head.has_grey, means, np.nan)
        images[PvcMethod.MG] = image
    return Corrected(columns, images, condition, white_matter)
