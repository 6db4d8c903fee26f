"""The T1w side of a rigid registration: head and tissue on a coarse grid around the brain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from bidsapp.core.alignment import Matrix, transform
from bidsapp.core.sampling import FWHM_PER_SIGMA, Float32, Float64, block_mean
from bidsapp.core.tissue_model import TissueModel
from bidsapp.volume import Volume

COARSE_MM = 2.0
MARGIN_MM = 24.0  # around the brain: more than the blurs reach

# T1w world points (N, 3) -> probabilities (N, 4) of grey, white, CSF, everything else.
Average = Callable[[Float64], Float32]


@dataclass(frozen=True)
class Head:
    """Head and tissue, coarse.

    Attributes
    ----------
    t1w : Volume, float32
    classes : ndarray, shape (X, Y, Z, C), float32
        Fractions of each tissue by region, the last is everything else; they add up to one.
    pure : ndarray, shape (X, Y, Z, 4), float32
        Grey, white, CSF, everything else, whatever the region.
    average : ndarray, shape like ``classes``, or None
        The same classes of an average head in the place and the size of this one.
    outside_mm : ndarray, shape (X, Y, Z)
        Distance from the brain, 0 inside it; infinite where there is no T1w.
    centre : ndarray, shape (3,)
        Centroid of the brain in T1w world.
    """

    t1w: Volume
    classes: Float32
    pure: Float32
    average: Float32 | None
    outside_mm: Float64
    centre: Float64

    @classmethod
    def of(
        cls,
        t1w: Volume,
        tissue: NDArray[np.floating],
        mask: NDArray[np.bool_],
        regions: Mapping[str, NDArray[np.bool_]],
        average: Average | None = None,
    ) -> Head:
        """Crop to the brain and its surroundings and average blocks of voxels.

        Parameters
        ----------
        t1w : Volume
        tissue : ndarray, shape (3, X, Y, Z)
            Grey, white, CSF on the T1w grid.
        mask : ndarray of bool, shape (X, Y, Z)
            Brain.
        regions : mapping of ndarray of bool, shape (X, Y, Z)
            Any of ``ctx`` (its grey gets a level of its own) and ``cbl`` (its grey and its white).
        average : function
            Tissue priors by the place in this T1w.
        """
        size = t1w.grid.voxel_size
        a, b, c = (max(1, round(COARSE_MM / s)) for s in size)
        crop = _Crop.around(mask, (a, b, c), MARGIN_MM / size)
        # grey and white beyond the mask is dura, muscle and marrow, whose uptake is not the brain's
        grey, white = (crop.voxels(part * mask) for part in tissue[:2])
        csf = crop.voxels(tissue[2])
        nowhere = np.zeros(mask.shape, dtype=bool)
        cerebellum = crop.voxels(regions.get("cbl", nowhere)) > 0
        cortex = (crop.voxels(regions.get("ctx", nowhere)) > 0) & ~cerebellum
        where = (~(cortex | cerebellum), cortex, cerebellum)
        parts = _by_region(grey, white, csf, where)
        means = [crop.blocks(part) for part in parts]
        rest = np.clip(1 - sum(means), 0, 1)
        present = [k for k, part in enumerate(means) if part.any()]
        brain = crop.blocks(crop.voxels(mask)) > 0.5
        affine = crop.affine(t1w.affine)
        grid = Volume(brain, affine).grid
        usual: Float32 | None = None
        if average is not None:
            expected = average(grid.world().reshape(-1, 3)).reshape(*grid.shape, 4)
            grey, white, csf, other = np.moveaxis(expected, -1, 0)
            parts = _by_region(grey, white, csf, [crop.blocks(part) for part in where])
            usual = np.stack([*(parts[k] for k in present), other], axis=-1)
        distance = distance_transform_edt(~brain, sampling=grid.voxel_size)
        distance[crop.blocks(crop.voxels(np.ones(mask.shape, dtype=bool))) < 0.5] = np.inf
        return cls(
            t1w=Volume(crop.blocks(crop.voxels(np.nan_to_num(t1w.data))), affine),
            classes=np.stack([*(means[k] for k in present), rest], axis=-1),
            pure=np.stack([sum(means[:3]), means[3] + means[4], means[5], rest], axis=-1),
            average=usual,
            outside_mm=distance,
            centre=transform(affine, np.argwhere(brain).mean(axis=0)),
        )

    def model(self, fractions: Float32, fwhm_mm: float) -> TissueModel:
        """Blur ``classes`` or ``pure`` with a Gaussian of ``fwhm_mm``."""
        sigma = fwhm_mm / FWHM_PER_SIGMA / self.t1w.grid.voxel_size
        maps = np.empty_like(fractions)
        for k in range(fractions.shape[-1]):
            maps[..., k] = gaussian_filter(fractions[..., k], sigma, mode="nearest")
        return TissueModel(maps, self.t1w.affine, self.centre)


def _by_region(
    grey: Float32, white: Float32, csf: Float32, shares: Sequence[NDArray[Any]]
) -> list[Float32]:
    """Split grey by ``shares`` (elsewhere, cortical target, cerebellum), white by cerebellum."""
    elsewhere, cortex, cerebellum = shares
    parts = [grey * elsewhere, grey * cortex, grey * cerebellum]
    return [*parts, white * (elsewhere + cortex), white * cerebellum, csf]


@dataclass(frozen=True)
class _Crop:
    """A box of voxels, which may reach beyond the image, divided into blocks."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    factors: tuple[int, int, int]

    @classmethod
    def around(
        cls, mask: NDArray[np.bool_], factors: tuple[int, int, int], margin: Float64
    ) -> _Crop:
        inside = np.argwhere(mask)
        reach = np.ceil(margin).astype(np.intp)
        low = inside.min(axis=0) - reach
        blocks = -(-(inside.max(axis=0) + 1 + reach - low) // factors)
        return cls(low, low + blocks * factors, factors)

    def voxels(self, values: NDArray[np.generic]) -> Float32:
        """Return the voxels in the box, zero beyond the image."""
        box = np.zeros(self.high - self.low, dtype=np.float32)
        low, high = np.maximum(self.low, 0), np.minimum(self.high, values.shape)
        source = tuple(map(slice, low, high))
        box[tuple(map(slice, low - self.low, high - self.low))] = values[source]
        return box

    def blocks(self, box: NDArray[np.generic]) -> Float32:
        return block_mean(box, self.factors)

    def affine(self, affine: Matrix) -> Matrix:
        """Return indices of the blocks -> world."""
        index = np.diag([*map(float, self.factors), 1.0])
        index[:3, 3] = self.low + (np.array(self.factors) - 1) / 2
        return affine @ index
