"""Error of the mean of a volume of interest by image noise.

A single image is anatomy and noise. Second differences over one and over two voxels, where the
smoothed image is flattest, contain little anatomy; their increase with distance gives the
correlation length of the noise. Correlated noise averages out more slowly, which is calculated for
the shape of the volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from bidsapp.core.grid.sampling import SD_PER_MAD
from bidsapp.core.grid.volume import mask_slices

Float = NDArray[np.float64]

_FLAT_PART = 0.2  # of the voxels, those where the smoothed image curves least
_SMOOTH_MM = 4.0  # standard deviation; wider than the noise, narrower than a gyrus
_FEWEST = 300  # voxels
_SIGMAS_MM = (0.3, 6.0)  # of a kernel that makes white noise into that of a PET: 0.7-14 mm FWHM


@dataclass(frozen=True)
class Noise:
    """Noise of an image: Gaussian correlation, the same everywhere, in proportion to the uptake.

    Attributes
    ----------
    relative_sd : float
        Standard deviation of a voxel over its mean.
    sigma_mm : float
        Standard deviation of the kernel that would make white noise into this one.
    """

    relative_sd: float
    sigma_mm: float

    def of_mean(self, mask: NDArray[np.bool_], voxel_mm: float) -> float:
        """Relative standard deviation of the mean over a mask, by the noise alone.

        The variance is the mean correlation of all pairs of voxels; pairs are counted by blurring
        the mask with the correlation function, a Gaussian of sqrt(2) ``sigma_mm``.

        Parameters
        ----------
        mask : ndarray of bool, shape (X, Y, Z)
        voxel_mm : edge of the cubic voxels

        Returns
        -------
        float
        """
        part = mask[mask_slices(mask)].astype(np.float64)
        width = np.sqrt(2) * self.sigma_mm / voxel_mm
        # the correlation at lag zero is 1: the blurred mask times the height of the kernel
        blurred = ndimage.gaussian_filter(part, width, mode="constant", truncate=5)
        pairs = float((blurred * part).sum()) / _height(width, truncate=5) ** 3
        return self.relative_sd * float(np.sqrt(pairs)) / float(part.sum())


def estimate(image: NDArray[np.floating], mask: NDArray[np.bool_], voxel_mm: float) -> Noise | None:
    """Estimate the noise of an image.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        Any unit; NaN where nothing was measured.
    mask : ndarray, shape (X, Y, Z)
        Where to look: large, without air.
    voxel_mm : edge of the cubic voxels

    Returns
    -------
    Noise or None
        None when too little of the mask was measured.
    """
    box = mask_slices(mask, margin=6)
    part = image[box].astype(np.float64)
    known = np.isfinite(part)
    part = np.where(known, part, 0.0)
    smooth = ndimage.gaussian_filter(part, _SMOOTH_MM / voxel_mm)
    usable = mask[box] & ndimage.binary_erosion(known, iterations=4) & (smooth > 0)
    if usable.sum() < _FEWEST / _FLAT_PART:
        return None
    curved = np.abs(ndimage.laplace(smooth)) / np.where(smooth > 0, smooth, 1.0)
    flat = usable & (curved <= np.quantile(curved[usable], _FLAT_PART))
    near, far = (_difference_variance(part, smooth, flat, lag) for lag in (1, 2))
    if near == 0:
        return Noise(0.0, _SIGMAS_MM[0])
    sigma_mm = _sigma(far / near, voxel_mm)
    return Noise(float(np.sqrt(near / _gain(sigma_mm, 1, voxel_mm))), sigma_mm)


def _difference_variance(part: Float, smooth: Float, flat: NDArray[np.bool_], lag: int) -> float:
    """Robust variance of I(x - lag) - 2 I(x) + I(x + lag) over I, all axes together."""
    values = []
    for axis in range(3):
        second = np.roll(part, lag, axis) - 2 * part + np.roll(part, -lag, axis)
        values.append(second[flat] / smooth[flat])
    together = np.concatenate(values)
    return float(SD_PER_MAD * np.median(np.abs(together - np.median(together)))) ** 2


def _sigma(ratio: float, voxel_mm: float) -> float:
    """Kernel whose noise has this ratio of the variances of far and near differences."""
    low, high = _SIGMAS_MM

    def excess(sigma_mm: float) -> float:
        return _gain(sigma_mm, 2, voxel_mm) / _gain(sigma_mm, 1, voxel_mm) - ratio

    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    return float(optimize.brentq(excess, low, high))


def _gain(sigma_mm: float, lag: int, voxel_mm: float) -> float:
    """Variance of the second difference over ``lag`` voxels, for noise of variance one."""
    near, far = (np.exp(-((k * lag * voxel_mm) ** 2) / (4 * sigma_mm**2)) for k in (1, 2))
    return float(6 - 8 * near + 2 * far)


def _height(width: float, truncate: float) -> float:
    """Central weight of the one-dimensional kernel of `scipy.ndimage.gaussian_filter`."""
    radius = int(truncate * width + 0.5)
    offsets = np.arange(-radius, radius + 1)
    return float(1 / np.exp(-0.5 * (offsets / width) ** 2).sum())
