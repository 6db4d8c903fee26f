"""The T1w side of a rigid registration: head and tissue on a coarse grid around the brain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from threadpoolctl import threadpool_limits

from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, Float32, Float64, block_mean
from bidsapp.core.grid.volume import Volume, known_or_zero, mask_box, mask_centre
from bidsapp.core.parallel import each
from bidsapp.core.registration.tissue_model import RegionOf, TissueModel
from bidsapp.errors import BadDataError

COARSE_MM = 2.0
KEPT_MODELS = 3  # blurred maps are some 30 MB each
MARGIN_MM = 24.0  # around the brain: more than the blurs reach
AVERAGE_MM = 16.0  # from the brain, beyond which an average head has no brain, either
SKULL_MM = 4.0  # no tissue, and this near the brain: meninges and bone; marrow and scalp lie beyond

# T1w world points (N, 3) -> probabilities (N, 4) of grey, white, CSF, everything else.
Average = Callable[[Float64], Float32]


@dataclass(frozen=True)
class Head:
    """Head and tissue, coarse.

    Attributes
    ----------
    t1w : Volume, float32
    classes : ndarray, shape (X, Y, Z, 4), float32
        Fractions of grey, white, CSF and everything else; they add up to one.
    average : ndarray, shape like ``classes``, or None
        The same of an average head in the place and the size of this one.
    region_of : function, or None
        Regions in which grey and white take up tracer at levels of their own, by place.
    outside_mm : ndarray, shape (X, Y, Z)
        Distance from the brain, 0 inside it; infinite where there is no T1w.
    centre : ndarray, shape (3,)
        Centroid of the brain in T1w world.
    """

    t1w: Volume
    classes: Float32
    average: Float32 | None
    region_of: RegionOf | None
    outside_mm: Float64
    centre: Float64

    @classmethod
    def of(
        cls,
        t1w: Volume,
        tissue: NDArray[np.floating],
        mask: NDArray[np.bool_],
        region_of: RegionOf | None = None,
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
        region_of : function
            T1w world points (N, 3) -> region; without it the levels differ by tissue only.
        average : function
            T1w world points (N, 3) -> tissue priors; without it the measure ``own_anatomy`` of the
            fit is missing.

        Returns
        -------
        Head

        Raises
        ------
        BadDataError
            The mask is empty.
        """
        if not mask.any():
            raise BadDataError("the brain mask of the T1w is empty; look at its segmentation")
        size = t1w.grid.voxel_size
        a, b, c = (max(1, round(COARSE_MM / s)) for s in size)
        crop = _Crop.around(mask, (a, b, c), MARGIN_MM / size)
        # grey and white beyond the mask is dura, muscle and marrow, whose uptake is not the brain's
        parts = (tissue[0] * mask, tissue[1] * mask, tissue[2])
        means = [crop.blocks(crop.voxels(part)) for part in parts]
        rest = np.clip(1 - sum(means), 0, 1)
        brain = crop.blocks(crop.voxels(mask)) > 0.5
        affine = crop.affine(t1w.affine)
        grid = Volume(brain, affine).grid
        distance = distance_transform_edt(~brain, sampling=grid.voxel_size)
        distance[crop.blocks(crop.voxels(np.ones(mask.shape, dtype=bool))) < 0.5] = np.inf
        usual: Float32 | None = None
        if average is not None:
            # the order of sums, and so the bits, must not depend on the number of threads
            near = distance <= AVERAGE_MM
            usual = np.zeros((*grid.shape, 4), np.float32)
            usual[..., 3] = ~near
            with threadpool_limits(limits=1):
                usual[near] = average(transform(affine, np.argwhere(near).astype(np.float64)))
        return cls(
            t1w=Volume(crop.blocks(crop.voxels(known_or_zero(t1w.data))), affine),
            classes=np.stack([*means, rest], axis=-1),
            average=usual,
            region_of=region_of,
            outside_mm=distance,
            centre=transform(affine, mask_centre(brain)),
        )

    def model(self, fwhm_mm: float, *, skull_apart: bool = True) -> TissueModel:
        """Blur the tissue with a Gaussian of ``fwhm_mm``.

        With ``skull_apart`` everything else is two classes, the last of them within
        `SKULL_MM` of the brain: bone takes up little and scalp much, and one level for both would
        push the brain away from a bright scalp.

        Parameters
        ----------
        fwhm_mm : float
        skull_apart : bool

        Returns
        -------
        TissueModel
        """
        key = fwhm_mm, skull_apart
        if key not in self._models:
            for oldest in list(self._models)[: 1 - KEPT_MODELS]:
                del self._models[oldest]
            fractions = self._skull_apart(self.classes) if skull_apart else self.classes
            self._models[key] = self._model(fractions, fwhm_mm)
        return self._models[key]

    def average_model(self, fwhm_mm: float) -> TissueModel | None:
        """Blur the tissue of the average head, if there is one.

        Parameters
        ----------
        fwhm_mm : float

        Returns
        -------
        TissueModel or None
        """
        if self.average is None:
            return None
        return self._model(self._skull_apart(self.average), fwhm_mm)

    def _skull_apart(self, fractions: Float32) -> Float32:
        near = (self.outside_mm <= SKULL_MM)[..., None]
        tissue, rest = fractions[..., :3], fractions[..., 3:]
        return np.concatenate([tissue, rest * ~near, rest * near], axis=-1)

    @cached_property
    def _models(self) -> dict[tuple[float, bool], TissueModel]:
        return {}

    def _model(self, fractions: Float32, fwhm_mm: float) -> TissueModel:
        sigma = fwhm_mm / FWHM_PER_SIGMA / self.t1w.grid.voxel_size
        maps = np.ones_like(fractions)

        def blurred(k: int) -> None:
            maps[..., k] = gaussian_filter(fractions[..., k], sigma, mode="nearest")

        parts = range(fractions.shape[-1] - 1)
        each(blurred, parts)
        for k in parts:
            maps[..., -1] -= maps[..., k]  # they add up to one
        return TissueModel(maps, self.t1w.affine, self.centre, self.region_of)


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
        first, last = mask_box(mask)
        reach = np.ceil(margin).astype(np.intp)
        low = first - reach
        size = np.array(factors, np.intp)
        blocks = -(-(last + 1 + reach - low) // size)
        return cls(low, low + blocks * size, factors)

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
