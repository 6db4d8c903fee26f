"""Partial volume correction by regions of known shape: GTM, RBV, iterative Yang, Mueller-Gaertner.

A PET shows the activity ``f`` blurred by the scanner's point spread function ``h``: small regions
lose to their surroundings. Where the T1w gives the shapes of regions ``P_i`` (fractions of each
voxel) and each holds one activity, that loss can be undone. ``*`` is convolution.

The PET is never blurred here, only maps that are known everywhere: voxels that were not measured
(NaN) enter no sum and need no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter

from bidsapp.core.grid.least_squares import shortest_solution
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA
from bidsapp.core.grid.volume import blur_reach, known_or_zero
from bidsapp.errors import BadDataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Fwhm = tuple[float, float, float]

_SEEN = 0.01  # share of the brain in a blurred voxel from which its surroundings count
_MIN_GREY = 0.3  # Mueller-Gaertner divides by the blurred grey matter: below this noise wins
_PURE_WHITE = 0.99  # blurred white matter of voxels that determine its activity
_LEAST_WHITE = 200  # voxels that do so at least
_ROUNDS = 10  # of the iterative Yang correction
_BLURRED_LEAST = 0.01  # of the largest synthetic activity: Yang's quotient is left at 1 below it


@dataclass(frozen=True)
class RegionMaps:
    """Shapes of regions on the grid of a PET.

    Attributes
    ----------
    fractions : sparse array, shape (N, X * Y * Z), float32
        Fraction of every voxel that each region fills; the sum over regions is 1 at most.
    shape : tuple of int
        (X, Y, Z).
    """

    fractions: sparse.csr_array
    shape: tuple[int, int, int]

    @classmethod
    def of_labels(
        cls,
        labels: NDArray[np.integer],
        n_labels: int,
        fraction: NDArray[np.floating] | None = None,
    ) -> RegionMaps:
        """RegionMaps 1 to ``n_labels`` of a label image, shape (X, Y, Z); 0 is none.

        Parameters
        ----------
        labels : ndarray of int, shape (X, Y, Z)
        n_labels : int
        fraction : ndarray, shape (X, Y, Z), optional
            Part of every voxel that its region fills, for example the grey matter; default all.

        Returns
        -------
        RegionMaps
        """
        flat = labels.ravel()
        share = np.ones(flat.size, np.float32) if fraction is None else fraction.ravel()
        voxel = np.flatnonzero((flat > 0) & (flat <= n_labels) & (share > 0))
        entries = (share[voxel].astype(np.float32), (flat[voxel] - 1, voxel))
        return cls(sparse.csr_array(entries, shape=(n_labels, flat.size)), labels.shape)

    def beside(self, other: RegionMaps) -> RegionMaps:
        """These regions, then the others, on the same grid.

        Parameters
        ----------
        other : RegionMaps on the same grid

        Returns
        -------
        RegionMaps
        """
        both = sparse.vstack([self.fractions, other.fractions], format="csr")
        return RegionMaps(sparse.csr_array(both), self.shape)

    @property
    def number(self) -> int:
        """Number of regions, N."""
        return int(self.fractions.shape[0])

    @property
    def filled(self) -> Float32:
        """Part of every voxel that the regions fill together, shape (X, Y, Z)."""
        return np.asarray(self.fractions.sum(axis=0), dtype=np.float32).reshape(self.shape)

    def image(self, values: Float64) -> Float32:
        """Activity of regions that hold ``values``, shape (X, Y, Z); 0 outside them.

        Parameters
        ----------
        values : ndarray, shape (N,)
            Activity of every region.

        Returns
        -------
        ndarray, shape (X, Y, Z), float32
        """
        return np.asarray(values @ self.fractions, dtype=np.float32).reshape(self.shape)


@dataclass(frozen=True)
class TransferMatrix:
    """Result of the geometric transfer matrix method.

    Attributes
    ----------
    observed, values : ndarray, shape (N,)
        Mean of every region as measured and corrected; NaN where a region was not measured.
    background : float
        Corrected mean of what surrounds the regions.
    condition : float
        Condition number of the matrix: how much noise grows at most.
    gain : ndarray, shape (N,)
        How much noise, equal in the means of all regions, grows in each; NaN as ``values``.
    """

    observed: Float64
    values: Float64
    background: float
    condition: float
    gain: Float64


def blur(image: Float32, fwhm_vox: Fwhm) -> Float32:
    """Convolve with a Gaussian of three FWHMs in voxels; beyond the grid the edge continues.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z), float32
    fwhm_vox : full widths at half maximum along the axes, voxels

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
    """
    sigma = tuple(width / FWHM_PER_SIGMA for width in fwhm_vox)
    return np.asarray(gaussian_filter(image, sigma, output=np.float32, mode="nearest"))


def in_voxels(psf_mm: Fwhm, voxel_size_mm: NDArray[np.floating]) -> Fwhm:
    """FWHMs of a point spread function along the voxel axes, in voxels.

    Parameters
    ----------
    psf_mm : full widths at half maximum along the voxel axes, mm
    voxel_size_mm : ndarray, shape (3,)

    Returns
    -------
    tuple of float

    Raises
    ------
    BadDataError
        A FWHM is negative, not finite or longer than 40 mm.
    """
    if not all(0 <= width <= 40 for width in psf_mm):
        widths = " ".join(f"{width:g}" for width in psf_mm)
        raise BadDataError(
            f"a point spread function of {widths} mm is not that of a PET; give --psf"
        )
    x, y, z = (float(w / size) for w, size in zip(psf_mm, voxel_size_mm, strict=True))
    return x, y, z


def gtm(pet: NDArray[np.floating], regions: RegionMaps, fwhm_vox: Fwhm) -> TransferMatrix:
    """Geometric transfer matrix (Rousset, Ma & Evans, J Nucl Med 39:904, 1998).

    The mean of region j is ``t_j = sum_i w_ij T_i`` with the transfer ``w_ij``, the mean over
    region j of region i blurred, ``P_i * h``; T follows by solving. What surrounds the regions is
    one more region, of which only the voxels count that the blurred regions reach.

    Parameters
    ----------
    pet : ndarray, shape (X, Y, Z)
        NaN where not measured.
    regions : RegionMaps
    fwhm_vox : FWHMs of ``h`` in voxels along the three axes

    Returns
    -------
    TransferMatrix
    """
    around = 1 - blur(regions.filled, fwhm_vox)
    system = _System.of(pet, regions, fwhm_vox, _blurred(regions, fwhm_vox), around)
    observed = system.means(pet)
    values = system.solve(observed)
    condition, gain = system.condition, system.gain
    return TransferMatrix(observed[:-1], values[:-1], float(values[-1]), condition, gain[:-1])


def region_values(
    image: NDArray[np.floating], regions: RegionMaps, fwhm_vox: Fwhm
) -> tuple[Float64, float]:
    """Activity of regions in an image without blur, and around them.

    A voxel that two regions share holds a mixture: the plain mean over a region's fractions is not
    its activity. Here the fractions are the transfer matrix; for labels it is the unit matrix and
    the values are means.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where not measured.
    regions, fwhm_vox : as in `gtm`

    Returns
    -------
    values : ndarray, shape (N,)
        NaN where a region was not measured.
    background : float
    """
    system = _System.without_blur(image, regions, fwhm_vox)
    values = system.solve(system.means(image))
    return values[:-1], float(values[-1])


def rbv(
    pet: NDArray[np.floating], regions: RegionMaps, fwhm_vox: Fwhm, matrix: TransferMatrix
) -> Float32:
    """Region-based voxel-wise correction (Thomas et al., EJNMMI 38:1104, 2011).

    ``f = g s / (s * h)`` with g the PET and s the image of the regions at the values of ``gtm``.

    Parameters
    ----------
    pet : ndarray, shape (X, Y, Z)
    regions : RegionMaps
    fwhm_vox : of the point spread, voxels
    matrix : of `gtm`

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        NaN where the PET is.
    """
    return _yang(pet, _synthetic(regions, matrix.values, matrix.background), fwhm_vox)


def iterative_yang(pet: NDArray[np.floating], regions: RegionMaps, fwhm_vox: Fwhm) -> Float32:
    """Iterative Yang correction (Erlandsson et al., Phys Med Biol 57:R119, 2012, section 3.3.3).

    ``f_(k+1) = g s_k / (s_k * h)``, where s_k holds the activity of f_k in the regions and around
    them (`region_values`); f_0 = g.

    Parameters
    ----------
    pet : ndarray, shape (X, Y, Z)
    regions : RegionMaps
    fwhm_vox : of the point spread, voxels

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        NaN where the PET is.
    """
    system = _System.without_blur(pet, regions, fwhm_vox)
    image: Float32 = np.asarray(pet, dtype=np.float32)
    for _ in range(_ROUNDS):
        values = system.solve(system.means(image))
        image = _yang(pet, _synthetic(regions, values[:-1], float(values[-1])), fwhm_vox)
    return image


def mueller_gaertner(
    pet: NDArray[np.floating],
    grey: NDArray[np.floating],
    white: NDArray[np.floating],
    fwhm_vox: Fwhm,
) -> tuple[Float32, float]:
    """Grey matter by the method of Mueller-Gaertner et al. (J Cereb Blood Flow Metab 12:571, 1992).

    ``f_GM = (g - C_WM (P_WM * h)) / (P_GM * h)``; the cerebrospinal fluid has no activity.

    Parameters
    ----------
    pet : ndarray, shape (X, Y, Z)
    grey, white : ndarray, shape (X, Y, Z)
        Fractions of grey and white matter.
    fwhm_vox : FWHMs of ``h`` in voxels

    Returns
    -------
    image : ndarray, shape (X, Y, Z), float32
        NaN where the PET is and where the blurred grey matter is below 0.3.
    c_wm : float
        Activity of the white matter: the median over the voxels that white matter fills even when
        blurred, so that neither lesions nor the edge of a thin tract move it.

    Raises
    ------
    BadDataError
        No white matter was measured.
    """
    spread_grey = blur(np.asarray(grey, np.float32), fwhm_vox)
    spread_white = blur(np.asarray(white, np.float32), fwhm_vox)
    c_wm = _white_activity(pet, spread_white)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        image = (pet - np.float32(c_wm) * spread_white) / spread_grey
    return np.where(spread_grey >= _MIN_GREY, image, np.nan).astype(np.float32), c_wm


@dataclass(frozen=True)
class _System:
    """Linear equations between the activities of regions and their means in an image.

    Attributes
    ----------
    weights : sparse array, shape (N + 1, voxels)
        Measured fractions of the regions, then of what surrounds them.
    total : ndarray, shape (N + 1,)
        Their sums.
    transfer : ndarray, shape (N + 1, N + 1)
        Mean over region j (row) of region i (column).
    """

    weights: sparse.csr_array
    total: Float64
    transfer: Float64

    @classmethod
    def of(
        cls,
        image: NDArray[np.floating],
        regions: RegionMaps,
        fwhm_vox: Fwhm,
        shapes: sparse.csr_array,
        around: Float32,
    ) -> _System:
        """Equations for regions that look like ``shapes`` (N, voxels), their rest ``around``."""
        filled = regions.filled
        seen = blur(filled, fwhm_vox) > _SEEN
        rest = np.where(seen, np.maximum(1 - filled, 0), 0).astype(np.float32)
        both = sparse.vstack([regions.fractions, sparse.csr_array(rest.reshape(1, -1))])
        measured = np.isfinite(image).reshape(1, -1)
        weights = sparse.csr_array(both.tocsr().multiply(measured), dtype=np.float64)
        total = np.asarray(weights.sum(axis=1)).ravel()
        sums = np.empty((len(total), len(total)))
        sums[:, :-1] = (weights @ shapes.T).toarray()
        sums[:, -1] = weights @ around.ravel().astype(np.float64)
        return cls(weights, total, sums / np.maximum(total, 1e-12)[:, None])

    @classmethod
    def without_blur(
        cls, image: NDArray[np.floating], regions: RegionMaps, fwhm_vox: Fwhm
    ) -> _System:
        """Equations of an image in which only the voxels' size mixes regions."""
        around = np.maximum(1 - regions.filled, 0)
        return cls.of(image, regions, fwhm_vox, regions.fractions, around)

    @property
    def condition(self) -> float:
        """Condition number of the transfer matrix of the regions that were measured."""
        known = self.total > 0
        return float(np.linalg.cond(self.transfer[np.ix_(known, known)])) if known.any() else np.nan

    @property
    def gain(self) -> Float64:
        """Growth of noise, equal in all means, by region; NaN where not measured."""
        known = self.total > 0
        gain = np.full(len(known), np.nan)
        gain[known] = np.linalg.norm(np.linalg.pinv(self.transfer[np.ix_(known, known)]), axis=1)
        return gain

    def means(self, image: NDArray[np.floating]) -> Float64:
        """Mean of the image over every region and around them, NaN where not measured."""
        sums = self.weights @ known_or_zero(image).ravel().astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(self.total > 0, sums / self.total, np.nan))

    def solve(self, means: Float64) -> Float64:
        """Activities that have these means; NaN where not measured."""
        known = self.total > 0
        values = np.full(len(means), np.nan)
        matrix = self.transfer[np.ix_(known, known)]
        values[known] = shortest_solution(matrix, means[known])
        return values


def _white_activity(pet: NDArray[np.floating], spread_white: Float32) -> float:
    measured = np.isfinite(pet)
    pure = measured & (spread_white >= _PURE_WHITE)
    if pure.sum() < _LEAST_WHITE:  # little white matter or a coarse PET: the purest there is
        purest = np.sort(spread_white[measured])[-_LEAST_WHITE:]
        if not purest.size or purest[-1] < 0.5:
            raise BadDataError("the PET's field of view contains no white matter; look at the T1w")
        pure = measured & (spread_white >= max(float(purest[0]), 0.5))
    return float(np.median(pet[pure] / spread_white[pure]))


def _synthetic(regions: RegionMaps, values: Float64, background: float) -> Float32:
    """Activity of regions and surroundings that hold the given values; none is negative."""
    inside = regions.image(np.maximum(np.nan_to_num(values), 0.0))
    around = np.float32(max(np.nan_to_num(background), 0.0)) * np.maximum(1 - regions.filled, 0)
    return np.asarray(inside + around, dtype=np.float32)


def _yang(pet: NDArray[np.floating], synthetic: Float32, fwhm_vox: Fwhm) -> Float32:
    """``g s / (s * h)`` (Yang et al., IEEE Trans Nucl Sci 43:3322, 1996)."""
    spread = blur(synthetic, fwhm_vox)
    least = _BLURRED_LEAST * float(spread.max())
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(spread > least, synthetic / spread, 1.0)
    return np.asarray(pet * factor, dtype=np.float32)


def _blurred(regions: RegionMaps, fwhm_vox: Fwhm) -> sparse.csr_array:
    """``P_i * h`` of every region, shape (N, voxels): each in the box that it can reach."""
    reach = blur_reach(np.array(fwhm_vox) / FWHM_PER_SIGMA) + 1
    rows = []
    for index in range(regions.number):
        low, high = regions.fractions.indptr[index : index + 2]
        voxel = regions.fractions.indices[low:high]
        if not voxel.size:
            rows.append(sparse.csr_array((1, regions.fractions.shape[1]), dtype=np.float32))
            continue
        at = np.unravel_index(voxel, regions.shape)
        begin = [max(int(i.min()) - r, 0) for i, r in zip(at, reach, strict=True)]
        end = [
            min(int(i.max()) + r + 1, size)
            for i, r, size in zip(at, reach, regions.shape, strict=True)
        ]
        box = np.zeros([e - b for b, e in zip(begin, end, strict=True)], np.float32)
        box[tuple(i - b for i, b in zip(at, begin, strict=True))] = regions.fractions.data[low:high]
        spread = blur(box, fwhm_vox)
        inside = np.nonzero(spread)
        where = np.ravel_multi_index(
            [i + b for i, b in zip(inside, begin, strict=True)], regions.shape
        )
        rows.append(
            sparse.csr_array(
                (spread[inside], (np.zeros(where.size, np.intp), where)),
                shape=(1, regions.fractions.shape[1]),
            )
        )
    return sparse.csr_array(sparse.vstack(rows, format="csr"), dtype=np.float64)
