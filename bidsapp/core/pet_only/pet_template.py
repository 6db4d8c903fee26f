"""Patterns of amyloid PET in template space, for any tracer and amyloid load.

The template is not an image but a set of patterns: tissue maps, divided by the territories that
take up tracer differently. An amyloid-negative scan (white matter bright, cortex like cerebellum)
and an amyloid-positive one (cortical target as bright or brighter) are two points of what these
patterns span; the position of a scan between them is estimated together with its pose.

An adaptive template that is a weighted sum of images, with the weights found during registration,
was proposed for flutemetamol by Lilja et al., J Nucl Med 60:285 (2019). Theirs is made of scans of
patients; here the patterns are built from tissue maps, so that nothing depends on a tracer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, Float32, Float64, nearest
from bidsapp.core.grid.volume import Grid, Volume, mask_centre
from bidsapp.core.regions.regions import spread

Mask = NDArray[np.bool_]

CLASSES = ("gm", "gm_target", "gm_deep", "gm_cerebellum", "wm", "wm_cerebellum", "csf", "rest")


TISSUE = 0.3  # grey and white matter: what is inside
# Bone takes up next to nothing: what is as cold as fluid reaches from the brain to the scalp. With
# the thin rim of fluid alone, a bright scalp moved the brain by 3-5 mm (tests/core).
COLD_MM, COLD_FWHM_MM = 8.0, 4.0


@dataclass(frozen=True)
class PetTemplate:
    """Patterns on the template grid.

    Attributes
    ----------
    fractions : ndarray, shape (X, Y, Z, 8), float32
        Part of each voxel that is of each class of `CLASSES`; they add up to one.
    affine : ndarray, shape (4, 4)
        Voxel indices -> template world, RAS mm.
    outside_mm : ndarray, shape (X, Y, Z), float32
        Distance from the brain, 0 inside.
    """

    fractions: Float32
    affine: Matrix
    outside_mm: Float32

    @property
    def grid(self) -> Grid:
        """The grid of the patterns, which is also the grid of the written field."""
        x, y, z = self.outside_mm.shape
        return Grid((x, y, z), self.affine)

    @property
    def centre(self) -> Float64:
        """Centroid of the brain, template world mm."""
        return transform(self.affine, mask_centre(self.outside_mm == 0))

    def is_brain(self, points: Float64) -> Mask:
        """Whether template points (N, 3) are in the brain, (N,).

        Parameters
        ----------
        points : ndarray, shape (N, 3)
            Template world, RAS mm.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        return nearest(Volume(self.outside_mm == 0, self.affine), points)

    def blurred(self, fwhm_mm: float) -> Float32:
        """Patterns as a camera with a Gaussian point spread of ``fwhm_mm`` would see them.

        Parameters
        ----------
        fwhm_mm : full width at half maximum

        Returns
        -------
        ndarray, shape (X, Y, Z, classes), float32
        """
        return _blurred(self.fractions, fwhm_mm, self.grid.voxel_size)

    def pure(self, fwhm_mm: float, step: int) -> tuple[Float32, Matrix]:
        """Grey, white, CSF and the rest of all regions, blurred, on every step-th voxel.

        Parameters
        ----------
        fwhm_mm : full width at half maximum
        step : distance of the voxels kept, in voxels of the template

        Returns
        -------
        maps : ndarray, shape (X', Y', Z', 4), float32
        affine : ndarray, shape (4, 4)
        """
        tissue = [[0, 1, 2, 3], [4, 5], [6], [7]]
        maps = np.stack([self.fractions[..., of].sum(axis=-1) for of in tissue], axis=-1)
        maps = _blurred(maps, fwhm_mm, self.grid.voxel_size)
        every = (slice(None, None, step),) * 3
        return np.ascontiguousarray(maps[every]), self.affine @ np.diag([step, step, step, 1.0])


def pet_template(
    priors: TissuePriors, territories: Mapping[str, Mask], brain: Mask, target: Mask
) -> PetTemplate:
    """Divide tissue maps by territory.

    Parameters
    ----------
    priors : TissuePriors
    territories : masks of shape (X, Y, Z)
        ``cerebellum`` (with the brainstem), ``deep`` (subcortical grey matter), ``cerebrum``:
        some voxels of each. Every other voxel belongs to the nearest of them.
    brain : ndarray of bool, shape (X, Y, Z)
    target : ndarray of bool, shape (X, Y, Z)
        Cortical volume of interest.

    Returns
    -------
    PetTemplate
    """
    grey, white, fluid = (np.asarray(part, np.float32) for part in priors.maps)
    size = priors.grid.voxel_size
    around = ndimage.distance_transform_edt(grey + white <= TISSUE, sampling=size) <= COLD_MM
    cold = _blurred(around[..., None].astype(np.float32), COLD_FWHM_MM, size)[..., 0]
    fluid = np.maximum(fluid, np.clip(cold - grey - white, 0, 1))
    cerebellum, deep, cerebrum = _nearest(
        [territories[name] for name in ("cerebellum", "deep", "cerebrum")], size
    )
    parts = [
        grey * (cerebrum & ~target), grey * (cerebrum & target), grey * deep, grey * cerebellum,
        white * ~cerebellum, white * cerebellum, fluid,
    ]  # fmt: skip
    rest = np.clip(1 - grey - white - fluid, 0, 1)
    return PetTemplate(
        fractions=np.stack([*parts, rest], axis=-1).astype(np.float32),
        affine=priors.affine,
        outside_mm=ndimage.distance_transform_edt(~brain, sampling=size).astype(np.float32),
    )


def _nearest(seeds: list[Mask], voxel_size: Float64) -> list[Mask]:
    """Divide all voxels among the seeds, each to the nearest."""
    labels = np.zeros(seeds[0].shape, np.uint8)
    for number, seed in enumerate(seeds, start=1):
        labels[seed] = number
    owner = spread(labels, voxel_size)
    return [owner == number for number in range(1, len(seeds) + 1)]


def _blurred(maps: Float32, fwhm_mm: float, voxel_size: NDArray[np.float64]) -> Float32:
    sigma = (*(fwhm_mm / FWHM_PER_SIGMA / voxel_size), 0)
    blurred: Float32 = ndimage.gaussian_filter(maps, sigma, mode="nearest")
    return blurred
