"""The T1w side of a rigid registration: head and tissue on a coarse grid around the brain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
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
SLAB = 8  # planes of blocks at a time: they fit into the processor's cache
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
        tissue: Iterable[NDArray[np.floating]],
        mask: NDArray[np.bool_],
        region_of: RegionOf | None = None,
        average: Average | None = None,
    ) -> Head:
        """Crop to the brain and its surroundings and average blocks of voxels.

        Parameters
        ----------
        t1w : Volume
        tissue : three arrays of shape (X, Y, Z)
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
        grey, white, csf = tissue
        # grey and white beyond the mask is dura, muscle and marrow, whose uptake is not the brain's
        means = [crop.blocks(grey, mask), crop.blocks(white, mask), crop.blocks(csf)]
        rest = np.clip(1 - sum(means), 0, 1)
        brain = crop.blocks(mask) > 0.5
        affine = crop.affine(t1w.affine)
        grid = Volume(brain, affine).grid
        distance = distance_transform_edt(~brain, sampling=grid.voxel_size)
        distance[crop.blocks(np.broadcast_to(True, mask.shape)) < 0.5] = np.inf
        usual: Float32 | None = None
        if average is not None:
            # the order of sums, and so the bits, must not depend on the number of threads
            near = distance <= AVERAGE_MM
            usual = np.zeros((*grid.shape, 4), np.float32)
            usual[..., 3] = ~near
            with threadpool_limits(limits=1):
                usual[near] = average(transform(affine, np.argwhere(near).astype(np.float64)))
        return cls(
            t1w=Volume(crop.blocks(t1w.data), affine),
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
            self._models[key] = self._model(self.classes, fwhm_mm, skull_apart)
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
        return self._model(self.average, fwhm_mm)

    @cached_property
    def _models(self) -> dict[tuple[float, bool], TissueModel]:
        return {}

    def _model(self, fractions: Float32, fwhm_mm: float, skull_apart: bool = True) -> TissueModel:
        sigma = fwhm_mm / FWHM_PER_SIGMA / self.t1w.grid.voxel_size
        classes = [fractions[..., tissue] for tissue in range(3)]
        if skull_apart:
            classes.append(fractions[..., 3] * (self.outside_mm > SKULL_MM))
        maps = np.ones((*self.outside_mm.shape, len(classes) + 1), np.float32)

        def blur(k: int) -> None:
            maps[..., k] = gaussian_filter(classes[k], sigma, mode="nearest")

        each(blur, range(len(classes)))
        for k in range(len(classes)):
            maps[..., -1] -= maps[..., k]  # the last class is the rest: they add up to one
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
        """Return the voxels in the box, zero beyond the image and where one is not finite."""
        box = np.zeros(self.high - self.low, dtype=np.float32)
        low = np.maximum(self.low, 0)
        high = np.maximum(np.minimum(self.high, values.shape), low)
        source = tuple(map(slice, low, high))
        box[tuple(map(slice, low - self.low, high - self.low))] = known_or_zero(values[source])
        return box

    def blocks(
        self, values: NDArray[np.generic], within: NDArray[np.bool_] | None = None
    ) -> Float32:
        """Return means over blocks of an image, optionally within a mask."""
        means = []
        for first in range(int(self.low[0]), int(self.high[0]), SLAB * self.factors[0]):
            low, high = self.low.copy(), self.high.copy()
            low[0], high[0] = first, min(first + SLAB * self.factors[0], self.high[0])
            slab = replace(self, low=low, high=high)
            box = slab.voxels(values)
            if within is not None:
                box *= slab.voxels(within)
            means.append(block_mean(box, self.factors))
        return np.concatenate(means)

    def affine(self, affine: Matrix) -> Matrix:
        """Return indices of the blocks -> world."""
        index = np.diag([*map(float, self.factors), 1.0])
        index[:3, 3] = self.low + (np.array(self.factors) - 1) / 2
        return affine @ index
