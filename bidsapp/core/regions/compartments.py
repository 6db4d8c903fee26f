"""Compartments of homogeneous activity for partial volume correction.

An atlas has volumes, not tissues, and they may overlap. Here the grey matter is divided by the
regions of an atlas, the rest of it being one more part; white matter is that of the cerebrum, of
the cerebellum and the brainstem (grey and white together: a T1w does not separate them there); the
cerebrospinal fluid is one. The activity of a region is then calculated from its compartments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bidsapp.core.grid.volume import known_or_zero
from bidsapp.core.regions.pvc import Fwhm, RegionMaps, region_values
from bidsapp.core.regions.regions import Regions

Float64 = NDArray[np.float64]

# Part of a region's tissue that must be grey for its grey matter to have a value.
_LEAST_GREY = 0.1
# Part of a region's tissue whose compartments must have a value for the region to have one.
_LEAST_KNOWN = 0.5


@dataclass(frozen=True)
class Tissues:
    """Fractions of tissue on the grid of a PET, each of shape (X, Y, Z), 0 to 1.

    Attributes
    ----------
    grey, white, fluid : the three tissues
    cerebellum, brainstem : masks
    """

    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    fluid: NDArray[np.float32]
    cerebellum: NDArray[np.bool_]
    brainstem: NDArray[np.bool_]


@dataclass(frozen=True)
class Compartments:
    """Regions of one activity each, and what the regions of an atlas are made of.

    Attributes
    ----------
    maps : RegionMaps
        N compartments.
    grey : ndarray, shape (X, Y, Z)
        Grey matter outside the brainstem.
    white : ndarray, shape (X, Y, Z)
        All other tissue but fluid.
    membership : sparse array, shape (L, X * Y * Z)
        Of every voxel in the L regions of the atlas.
    grey_share, tissue_share : ndarray, shape (L, N)
        Voxels of grey matter, and of grey and white, of every region in every compartment.
    """

    maps: RegionMaps
    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    membership: sparse.csr_array
    grey_share: Float64
    tissue_share: Float64

    def of_values(self, values: Float64) -> tuple[Float64, Float64]:
        """Activity of the grey matter and of all tissue of every region, each (L,).

        Parameters
        ----------
        values : ndarray, shape (N,)
            Activity of the compartments; NaN where unknown.

        Returns
        -------
        (ndarray, ndarray), shape (L,) each
            NaN where unknown; white matter alone does not stand for a region with grey matter.
        """
        grey = np.where(self.has_grey, _averaged(self.grey_share, values), np.nan)
        lacks_grey = self.has_grey & np.isnan(grey)
        return grey, np.where(lacks_grey, np.nan, _averaged(self.tissue_share, values))

    @property
    def has_grey(self) -> NDArray[np.bool_]:
        """Whether a region has enough grey matter to determine its activity, (L,)."""
        total = self.tissue_share.sum(axis=1)
        return np.asarray(self.grey_share.sum(axis=1) > _LEAST_GREY * total)

    def of_image(self, image: NDArray[np.floating], weights: NDArray[np.floating]) -> Float64:
        """Mean of an image over every region, (L,), each voxel counting by ``weights``.

        Parameters
        ----------
        image : ndarray, shape (X, Y, Z)
        weights : ndarray, shape (X, Y, Z)

        Returns
        -------
        ndarray, shape (L,)
        """
        known = np.isfinite(image).ravel()
        share = np.where(known, weights.ravel(), 0).astype(np.float64)
        total = self.membership @ share
        wanted = self.membership @ weights.ravel().astype(np.float64)
        sums = self.membership @ (share * known_or_zero(image).ravel())
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = sums / total
        return np.asarray(np.where(total > _LEAST_KNOWN * wanted, mean, np.nan))

    def values_of(self, image: NDArray[np.floating], fwhm_vox: Fwhm) -> Float64:
        """Activity of the compartments in an image without blur, shape (N,).

        Parameters
        ----------
        image : ndarray, shape (X, Y, Z)
        fwhm_vox : of the point spread, voxels

        Returns
        -------
        ndarray, shape (N,)
        """
        return region_values(image, self.maps, fwhm_vox)[0]


def compartments(regions: Regions, measured: Regions, tissues: Tissues) -> Compartments:
    """Cut a head into compartments.

    Parameters
    ----------
    regions : Regions
        Of the atlas, on the grid of the PET; they make the parts of the grey matter.
    measured : Regions
        The regions to report, L: those of the atlas and unions of them.
    tissues : Tissues

    Returns
    -------
    Compartments
    """
    stem = tissues.brainstem
    grey = np.where(stem, 0, tissues.grey).astype(np.float32)
    white = np.where(stem, tissues.grey + tissues.white, tissues.white).astype(np.float32)
    parts, number = partition(regions)
    parts[parts == 0] = number + 1
    places = np.where(stem, 3, np.where(tissues.cerebellum, 2, 1))
    greys = RegionMaps.of_labels(parts, number + 1, grey)
    whites = RegionMaps.of_labels(places, 3, white)
    fluid = RegionMaps.of_labels(np.ones_like(places), 1, tissues.fluid)
    maps = greys.beside(whites).beside(fluid)
    weights = np.ones(len(measured.voxels)) if measured.weights is None else measured.weights
    membership = sparse.csr_array(
        (weights, measured.voxels, measured.starts), shape=(len(measured), grey.size)
    )
    share = (membership @ maps.fractions.T.astype(np.float64)).toarray()
    grey_share, tissue_share = share.copy(), share.copy()
    grey_share[:, greys.number :] = 0
    tissue_share[:, -1] = 0
    return Compartments(maps, grey, white, membership, grey_share, tissue_share)


def partition(regions: Regions) -> tuple[NDArray[np.intp], int]:
    """Cut overlapping regions into parts that do not: voxels of the same regions are one part.

    Parameters
    ----------
    regions : Regions

    Returns
    -------
    labels : ndarray of int, shape (X, Y, Z)
        1 to ``number``; 0 in no region. A fractional region holds voxels of half and more.
    number : int
    """
    whole = regions.at_least(0.5)
    labels = np.zeros(int(np.prod(whole.shape)), np.intp)
    number = 0
    for region in range(len(whole)):
        voxels = whole.of(region)
        before, part = np.unique(labels[voxels], return_inverse=True)
        labels[voxels] = number + 1 + part
        number += len(before)
    kept, labels = np.unique(labels, return_inverse=True)
    if kept.size and kept[0] != 0:
        labels = labels + 1
    return labels.reshape(whole.shape), int((kept > 0).sum())


def _averaged(share: Float64, values: Float64) -> Float64:
    known = np.isfinite(values)
    total, seen = share.sum(axis=1), share[:, known].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = share[:, known] @ values[known] / seen
    return np.asarray(np.where(seen > _LEAST_KNOWN * total, mean, np.nan))
