"""Statistics of an image in the regions of an atlas: many regions in one pass, 3D or 4D.

A set of regions is a list of voxels sorted by region (`Regions`). An image is indexed once, at
these voxels; every region is then one slice. That holds for label images, overlapping masks and
probability maps, and each sum has the bits of ``image[mask].sum()`` in NumPy (``bincount`` adds in
another order).

NaN means "not measured" throughout: such voxels are left out, and `coverage` is the measured share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.grid.volume import Grid, known_or_zero, mask_slices

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """Regions of one grid, in a fixed order; they may overlap or be empty.

    Attributes
    ----------
    shape : tuple of int
        (X, Y, Z) of the grid.
    voxels : ndarray, shape (N,), intp
        Flat index (C order) of the voxels of the first region, of the second, and so on.
    starts : ndarray, shape (L + 1,), intp
        Region ``r`` has ``voxels[starts[r]:starts[r + 1]]``.
    weights : ndarray, shape (N,), float64, or None
        Membership of each of these voxels, 0 to 1; None when all are whole.
    """

    shape: tuple[int, int, int]
    voxels: NDArray[np.intp]
    starts: NDArray[np.intp]
    weights: Float | None = None

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.starts) - 1

    @property
    def membership(self) -> Float:
        """Membership of each of ``voxels``; 1 where all are whole."""
        return np.ones(len(self.voxels)) if self.weights is None else self.weights

    @classmethod
    def from_labels(cls, labels: NDArray[np.integer], values: Sequence[int]) -> Regions:
        """Regions of a label image.

        Parameters
        ----------
        labels : ndarray, shape (X, Y, Z), integers
        values : label of each region; voxels with other labels belong to none

        Returns
        -------
        Regions
        """
        order = np.argsort(np.asarray(values), kind="stable")
        wanted = np.asarray(values)[order]
        flat = labels.reshape(-1)
        inside = np.flatnonzero(flat)
        place = np.searchsorted(wanted, flat[inside])
        known = place < len(wanted)
        known[known] = wanted[place[known]] == flat[inside[known]]
        inside, region = inside[known], order[place[known]]
        voxels = inside[np.argsort(region, kind="stable")]
        return cls(_shape(labels), voxels, _starts(np.bincount(region, minlength=len(values))))

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> Regions:
        """One region without voxels.

        Parameters
        ----------
        shape : of the grid

        Returns
        -------
        Regions
        """
        return cls(shape, np.empty(0, np.intp), np.zeros(2, np.intp))

    @classmethod
    def from_masks(cls, masks: Sequence[NDArray[np.bool_]]) -> Regions:
        """Regions of masks of shape (X, Y, Z), which may overlap.

        Parameters
        ----------
        masks : of bool, shape (X, Y, Z) each

        Returns
        -------
        Regions
        """
        voxels_of = [np.flatnonzero(mask) for mask in masks]
        counts = np.array([len(voxels) for voxels in voxels_of])
        return cls(_shape(masks[0]), np.concatenate(voxels_of), _starts(counts))

    @classmethod
    def joined(cls, parts: Sequence[Regions]) -> Regions:
        """All regions of several sets of one grid, in their order.

        Parameters
        ----------
        parts : on one grid

        Returns
        -------
        Regions
        """
        whole = all(part.weights is None for part in parts)
        return cls(
            parts[0].shape,
            np.concatenate([part.voxels for part in parts]),
            _starts(np.concatenate([np.diff(part.starts) for part in parts])),
            None if whole else np.concatenate([part.membership for part in parts]),
        )

    @classmethod
    def composite(cls, parts: Sequence[Regions], weights: Sequence[float | None]) -> Regions:
        """One region made of single regions of one grid; empty when any of them is.

        Parameters
        ----------
        parts : one region each
        weights : of the mean of each part, whatever its size; None for all: a voxel counts once,
            whatever part it is of

        Returns
        -------
        Regions
        """
        totals = [float(part.membership.sum()) for part in parts]
        if not all(totals):
            return cls.empty(parts[0].shape)
        united = np.zeros(int(np.prod(parts[0].shape)))
        for part, total, weight in zip(parts, totals, weights, strict=True):
            if weight is None:
                united[part.voxels] = np.maximum(united[part.voxels], part.membership)
            else:
                united[part.voxels] += part.membership * (weight / total)
        if weights[0] is not None:
            united /= united.max()
        voxels = np.flatnonzero(united)
        whole = bool((united[voxels] == 1).all())
        starts = np.array([0, len(voxels)])
        return cls(parts[0].shape, voxels, starts, None if whole else united[voxels])

    def of(self, region: int) -> NDArray[np.intp]:
        """Flat indices of the voxels of a region.

        Parameters
        ----------
        region : position in this set

        Returns
        -------
        ndarray of int
        """
        return self.voxels[self.starts[region] : self.starts[region + 1]]

    def weighted(self, image: NDArray[np.floating]) -> Regions:
        """Return the same regions, memberships multiplied by an image; where it is NaN, by 0.

        Parameters
        ----------
        image : ndarray, shape (X, Y, Z)

        Returns
        -------
        Regions
        """
        factor = known_or_zero(image.reshape(-1)[self.voxels].astype(np.float64))
        return Regions(self.shape, self.voxels, self.starts, self.membership * factor)

    def on(self, shape: tuple[int, int, int], source: NDArray[np.intp]) -> Regions:
        """Regions of another grid whose every voxel has what a voxel of this grid has.

        Parameters
        ----------
        shape : of the other grid
        source : ndarray, shape (number of its voxels,)
            Flat index of the voxel of this grid that each voxel of the other takes its membership
            from; -1 where there is none.

        Returns
        -------
        Regions
        """
        order = np.argsort(source, kind="stable")
        first = np.searchsorted(source, self.voxels, "left", sorter=order)
        counts = np.searchsorted(source, self.voxels, "right", sorter=order) - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        voxels = order[np.repeat(first, counts) + within]
        region = np.repeat(np.repeat(np.arange(len(self)), np.diff(self.starts)), counts)
        sequence = np.lexsort((voxels, region))
        weights = None if self.weights is None else np.repeat(self.weights, counts)[sequence]
        starts = _starts(np.bincount(region, minlength=len(self)))
        return Regions(shape, voxels[sequence], starts, weights)

    @property
    def overlapping(self) -> bool:
        """Whether a label image cannot hold the regions: some overlap or are fractional."""
        return self.weights is not None or bool((np.bincount(self.voxels) > 1).any())

    def labelled(self, values: Sequence[int]) -> NDArray[np.int32]:
        """Label image with a value per region; where regions overlap, that of the later one.

        Parameters
        ----------
        values : label of each region

        Returns
        -------
        ndarray, shape (X, Y, Z), int32
        """
        image = np.zeros(self.shape, np.int32)
        for region, value in enumerate(values):
            image.reshape(-1)[self.of(region)] = value
        return image

    def maps(self) -> NDArray[np.generic]:
        """Membership of every voxel in every region, shape (X, Y, Z, L); uint8 when all whole.

        Returns
        -------
        ndarray, shape (X, Y, Z, L), uint8 or float32
        """
        kind = np.uint8 if self.weights is None else np.float32
        image = np.zeros((len(self), int(np.prod(self.shape))), kind)
        for region, (start, end) in enumerate(self._slices()):
            weights = 1 if self.weights is None else self.weights[start:end]
            image[region, self.voxels[start:end]] = weights
        return np.moveaxis(image.reshape(len(self), *self.shape), 0, -1)

    def at_least(self, threshold: float) -> Regions:
        """Return the regions of whole voxels whose membership reaches a threshold.

        Parameters
        ----------
        threshold : 0 to 1

        Returns
        -------
        Regions
        """
        if self.weights is None:
            return self
        kept = self.weights >= threshold
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return Regions(self.shape, self.voxels[kept], starts)

    def scaled(self, factor: float) -> Regions:
        """Return the same regions, memberships multiplied by a number and kept at 1 or below.

        Parameters
        ----------
        factor : of every membership

        Returns
        -------
        Regions
        """
        weights = np.minimum(self.membership * factor, 1.0)
        return Regions(self.shape, self.voxels, self.starts, weights)

    def combined(self, groups: Sequence[Sequence[int]]) -> Regions:
        """Unions of regions, one per group of positions in this set; groups may overlap.

        Parameters
        ----------
        groups : positions in this set, of each union

        Returns
        -------
        Regions
        """
        parts = [[self._range(region) for region in group] for group in groups]
        chosen = [np.concatenate([*part, np.empty(0, np.intp)]).astype(np.intp) for part in parts]
        chosen = [voxels[np.argsort(self.voxels[voxels], kind="stable")] for voxels in chosen]
        every = np.concatenate(chosen)
        weights = None if self.weights is None else self.weights[every]
        starts = _starts(np.array([len(voxels) for voxels in chosen]))
        united = Regions(self.shape, self.voxels[every], starts, weights)
        return united._merged() if self.overlapping else united

    def _merged(self) -> Regions:
        """Voxels that a region has several times, as parts of it overlap, once with their sum."""
        region = np.repeat(np.arange(len(self)), np.diff(self.starts))
        first = np.ones(len(self.voxels), bool)
        first[1:] = (np.diff(self.voxels) != 0) | (np.diff(region) != 0)
        united = np.bincount(np.cumsum(first) - 1, self.membership)
        starts = _starts(np.bincount(region[first], minlength=len(self)))
        kept = None if self.weights is None else np.minimum(united, 1.0)
        return Regions(self.shape, self.voxels[first], starts, kept)

    def sums(self, values: Float) -> Float:
        """Sum per region of values given per voxel of `voxels`, (N,) -> (L,).

        Parameters
        ----------
        values : ndarray, shape (N,)

        Returns
        -------
        ndarray, shape (L,)
        """
        return np.array([values[start:end].sum() for start, end in self._slices()])

    def _range(self, region: int) -> NDArray[np.intp]:
        return np.arange(self.starts[region], self.starts[region + 1])

    def _slices(self) -> Iterator[tuple[int, int]]:
        return pairwise(self.starts.tolist())


QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class RegionStatistics:
    """Statistics of an image per region; arrays of shape (L,), NaN where nothing was measured.

    Attributes
    ----------
    mean, sd : weighted by membership where that is fractional; units of the image
    quantiles : ndarray, shape (L, 5); minimum, 5 %, median, 95 % and maximum, weighted likewise
    total : sum of the image, each voxel times its membership
    n_voxels : voxels measured, whole
    voxels : the same, each counted by its membership
    volume_ml : volume of ``voxels``
    coverage : measured part of the region, 0 to 1
    centre_mm : ndarray, shape (L, 3); centre of mass of the uptake, world RAS mm
    """

    mean: Float
    sd: Float
    quantiles: Float
    total: Float
    n_voxels: NDArray[np.intp]
    voxels: Float
    volume_ml: Float
    coverage: Float
    centre_mm: Float


def region_statistics(
    image: NDArray[np.floating], regions: Regions, grid: Grid
) -> RegionStatistics:
    """Measure a 3D image in regions.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : regions of the same shape
    grid : places the voxels

    Returns
    -------
    RegionStatistics

    Notes
    -----
    ``mean`` is ``image[mask].mean()`` in double precision, bit for bit; with memberships ``w`` it
    is ``(image[mask] * w[mask]).sum() / w[mask].sum()``. SD divides by the sum of the weights, as
    NumPy does. The centre of mass needs a positive sum of the image.
    """
    _check(image, regions)
    values = image.reshape(-1)[regions.voxels].astype(np.float64)
    wanted = _counts(regions)
    seen, values = _measured(regions, values)
    weight = seen.membership
    counts, total = _counts(seen), seen.sums(values * weight)
    mean = _ratio(total, counts)
    index = np.stack(np.unravel_index(seen.voxels, seen.shape), axis=-1)
    moments = np.stack([seen.sums(values * weight * at) for at in index.T], axis=-1)
    centre = _ratio(moments, np.where(total > 0, total, 0)[:, None])
    n_voxels = np.diff(seen.starts)
    measured = counts > 0
    return RegionStatistics(
        mean=mean,
        sd=np.sqrt(_ratio(seen.sums(weight * (values - np.repeat(mean, n_voxels)) ** 2), counts)),
        quantiles=np.array([_quantiles(values, seen, r) for r in range(len(seen))]),
        total=np.where(measured, total, np.nan),
        n_voxels=n_voxels,
        voxels=counts,
        volume_ml=counts * (grid.voxel_volume / 1000),
        coverage=_ratio(counts, wanted),
        centre_mm=centre @ grid.affine[:3, :3].T + grid.affine[:3, 3],
    )


def eroded(mask: NDArray[np.bool_], grid: Grid, distance_mm: float) -> NDArray[np.bool_]:
    """Voxels of a mask that are farther than a distance from every voxel outside, by their centres.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
    grid : of the mask
    distance_mm : as far as the mask is eroded

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
    """
    core = np.zeros_like(mask)
    if mask.any():
        block = mask_slices(mask)
        inside = np.pad(mask[block], 1)  # the edge of the image is an edge of the mask
        depth = ndimage.distance_transform_edt(inside, sampling=grid.voxel_size.tolist())
        core[block] = depth[1:-1, 1:-1, 1:-1] > distance_mm
    return core


def eroded_regions(regions: Regions, grid: Grid, distance_mm: float) -> Regions:
    """Erode every region by a distance; voxels with a membership of half or more count as whole.

    Parameters
    ----------
    regions : Regions
    grid : of the regions
    distance_mm : as far as each is eroded

    Returns
    -------
    Regions
    """
    whole, inner = regions.at_least(0.5), []
    for region in range(len(whole)):
        mask = np.zeros(whole.shape, bool)
        mask.reshape(-1)[whole.of(region)] = True
        inner.append(Regions.from_masks([eroded(mask, grid, distance_mm)]))
    return Regions.joined(inner)


def region_histograms(
    values: NDArray[np.floating], regions: Regions, width: float
) -> list[tuple[NDArray[np.int64], Float]]:
    """Histogram of an image in every region, in bins from ``k width`` to ``(k + 1) width``.

    Parameters
    ----------
    values : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : regions of the same shape
    width : of a bin, in units of the image

    Returns
    -------
    list of (ndarray of int, ndarray of float)
        Per region ``k`` of the bins that hold anything, ascending, and the voxels in each, counted
        by their membership. They add up to the ``voxels`` of `region_statistics`.
    """
    seen, measured = _measured(regions, values.reshape(-1)[regions.voxels].astype(np.float64))
    places = np.floor(measured / width).astype(np.int64)
    members, histograms = seen.membership, []
    for start, end in pairwise(seen.starts.tolist()):
        bins, at = np.unique(places[start:end], return_inverse=True)
        held = np.bincount(at, members[start:end], minlength=len(bins))
        histograms.append((bins, held.astype(np.float64)))
    return histograms


def spread(labels: NDArray[np.integer], voxel_size: NDArray[np.float64]) -> NDArray[np.integer]:
    """Give every voxel of label 0 the label of the nearest voxel that has one.

    Parameters
    ----------
    labels : ndarray, shape (X, Y, Z), integers
    voxel_size : ndarray, shape (3,)
        In mm: the nearest is that in space, not that in the fewest voxels.

    Returns
    -------
    ndarray, shape (X, Y, Z)
    """
    at = ndimage.distance_transform_edt(
        labels == 0, voxel_size.tolist(), return_distances=False, return_indices=True
    )
    return np.asarray(labels[tuple(at)])


def region_means(data: NDArray[np.floating], regions: Regions) -> Float:
    """Mean in every region of an image, or of each frame of one.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z) or (X, Y, Z, T)
        NaN where nothing was measured.
    regions : regions of shape (X, Y, Z)

    Returns
    -------
    ndarray, shape (L,) or (L, T), float64
        Weighted by membership; NaN where nothing was measured.
    """
    _check(data, regions)
    if data.ndim == 4:
        frames = [region_means(data[..., t], regions) for t in range(data.shape[3])]
        return np.stack(frames, axis=-1)
    total, counts = region_sums(data, regions)
    return _ratio(total, counts)


def covered_means(image: NDArray[np.floating], regions: Regions, least: float) -> Float:
    """Mean in every region of a 3D image of which enough was measured.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : regions of shape (X, Y, Z)
    least : part of a region that must have been measured

    Returns
    -------
    ndarray, shape (L,), float64
        As `region_means`; NaN where less was measured.
    """
    covered = region_means(np.isfinite(image).astype(np.float32), regions)
    return np.where(covered >= least, region_means(image, regions), np.nan)


def region_sums(image: NDArray[np.floating], regions: Regions) -> tuple[Float, Float]:
    """Sum of a 3D image in every region, and its voxels measured: both weighted by membership.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : Regions of the same shape

    Returns
    -------
    sums, voxels : ndarray, shape (L,), float64
    """
    _check(image, regions)
    values = image.reshape(-1)[regions.voxels].astype(np.float64)
    seen, values = _measured(regions, values)
    total = seen.sums(values if seen.weights is None else values * seen.weights)
    return total, _counts(seen)


def _measured(regions: Regions, values: Float) -> tuple[Regions, Float]:
    """Regions and values without the voxels that are not finite."""
    finite = np.isfinite(values)
    if finite.all():
        return regions, values
    kept = np.concatenate([[0], np.cumsum(finite)])[regions.starts]
    weights = None if regions.weights is None else regions.weights[finite]
    return Regions(regions.shape, regions.voxels[finite], kept, weights), values[finite]


def _counts(regions: Regions) -> Float:
    """Voxels per region, each counted by its membership."""
    if regions.weights is None:
        return np.diff(regions.starts).astype(np.float64)
    return regions.sums(regions.weights)


def _quantiles(values: Float, regions: Regions, region: int) -> list[float]:
    """Values of a region at `QUANTILES`: where these parts of its membership are reached."""
    part = slice(regions.starts[region], regions.starts[region + 1])
    own = values[part]
    weights = None if regions.weights is None else regions.weights[part]
    if weights is not None:
        own, weights = own[weights > 0], weights[weights > 0]
    if own.size == 0:
        return [np.nan] * len(QUANTILES)
    if weights is None:
        quantiles = np.quantile(own, QUANTILES)
        quantiles[QUANTILES.index(0.5)] = np.median(own)
        return list(quantiles.tolist())
    order = np.argsort(own, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.array(QUANTILES) * reached[-1])
    return list(own[order][np.minimum(at, own.size - 1)].tolist())


def _ratio(numerator: Float, denominator: Float) -> Float:
    """Quotient; NaN instead of a division by zero."""
    zero = denominator == 0
    quotient: Float = np.where(zero, np.nan, numerator) / np.where(zero, 1.0, denominator)
    return quotient


def _starts(counts: NDArray[np.integer]) -> NDArray[np.intp]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)


def _shape(image: NDArray[np.generic]) -> tuple[int, int, int]:
    x, y, z = image.shape
    return x, y, z


def _check(image: NDArray[np.floating], regions: Regions) -> None:
    if image.shape[:3] != regions.shape:
        raise ValueError(f"image of shape {image.shape}, regions of shape {regions.shape}")
