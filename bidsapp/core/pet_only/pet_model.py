"""A PET as levels of blurred template patterns: the voxels, the patterns, the point spread.

What `bidsapp.core.pet_only.pet_normalisation` (the affine) and `bidsapp.core.pet_only.pet_warp`
share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import Matrix, inverse, transform
from bidsapp.core.grid.sampling import Float32, Float64, best_blur, nearest_voxels, trilinear
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_template import CLASSES, PetTemplate
from bidsapp.core.registration.levels import Levels, SpatialTerms
from bidsapp.core.registration.tissue_model import cauchy_weights
from bidsapp.errors import BadDataError

REACH_MM = 8.0  # how far from the brain of the template voxels are used
DRIFT_ORDER = 2  # of the polynomials by which a level varies through the head
# The cerebellum is a reference because it takes up tracer evenly. With a level that drifts, the fit
# explains a cerebellum in the wrong place as one that is brighter at one end.
EVEN = (CLASSES.index("gm_cerebellum"),)
# Volume that counts as one independent observation: what a template cannot have (gyri, sulci) is
# seen alike over some 11 mm.
INDEPENDENCE_MM3 = 1500.0
FWHM_TRIED_MM = (4.0, 6.0, 8.0, 10.0, 12.0)  # on top of the priors' own blur
FWHM_RANGE_MM = (3.0, 14.0)
LEAST_CONTRAST = 0.05  # SD over mean of the uptake in and around a brain; 0.3 is usual


class Patterns:
    """The template at the blur of the PET, read at template points."""

    def __init__(self, template: PetTemplate) -> None:
        self.template = template
        self.to_index = inverse(template.affine)
        self._tried: dict[float, Float32] = {}  # at the blurs that are tried for every PET
        self._own: dict[float, Float32] = {}
        self.fwhm_mm = FWHM_TRIED_MM[2]

    def for_another(self) -> Patterns:
        """A fresh copy for another PET that shares everything independent of the PET.

        Returns
        -------
        Patterns
        """
        new = Patterns(self.template)
        new._tried = self._tried
        return new

    @property
    def maps(self) -> Float32:
        """Patterns on their grid at the present blur."""
        cache = self._tried if self.fwhm_mm in FWHM_TRIED_MM else self._own
        if self.fwhm_mm not in cache:
            cache[self.fwhm_mm] = self.template.blurred(self.fwhm_mm)
        return cache[self.fwhm_mm]

    def at(self, points: Float64) -> Float32:
        """Patterns (N, C) at template points.

        Parameters
        ----------
        points : ndarray, shape (N, 3)
            Template world, RAS mm.

        Returns
        -------
        ndarray, shape (N, C)
        """
        index = transform(self.to_index, points)
        return trilinear(self.maps, index, gradient=False)[0]

    def with_slopes(self, points: Float64) -> tuple[Float32, Float64]:
        """Patterns (N, C), and their derivative per mm of template world (3, N, C).

        Parameters
        ----------
        points : ndarray, shape (N, 3)
            Template world, RAS mm.

        Returns
        -------
        values : ndarray, shape (N, C)
        slopes : ndarray, shape (3, N, C)
            Per mm of template world.
        """
        values, slopes, _ = trilinear(self.maps, transform(self.to_index, points))
        return values, np.einsum("ji,jnc->inc", self.to_index[:3, :3], slopes)


@dataclass
class PetSamples:
    """Voxels of a coarse PET in and around the brain; ``weights`` change with the fit.

    Attributes
    ----------
    pet : Volume
        Coarse PET.
    where : ndarray, shape (N,)
        Flat indices of the voxels in its data.
    world : ndarray, shape (N, 3)
    values, weights : ndarray, shape (N,)
    terms : SpatialTerms
        Functions of place that levels are made of.
    observations : float
        Independent observations per voxel.
    even : tuple of int
        Classes whose level does not drift.
    """

    pet: Volume
    where: NDArray[np.intp]
    world: Float64
    values: Float64
    weights: Float64
    terms: SpatialTerms
    observations: float
    even: tuple[int, ...] = ()

    @classmethod
    def near_brain(
        cls,
        pet: Volume,
        template: PetTemplate,
        affine: Matrix,
        drift_order: int = DRIFT_ORDER,
        reach_mm: float = REACH_MM,
    ) -> PetSamples:
        """Choose the voxels that ``affine`` (PET world -> template world) puts near the brain.

        Parameters
        ----------
        pet : Volume, 3D
        template : PetTemplate
        affine : ndarray, shape (4, 4)
            PET world -> template world, RAS mm.
        drift_order : of the polynomials
        reach_mm : how far from the brain of the template voxels are used

        Returns
        -------
        PetSamples

        Raises
        ------
        BadDataError
            There is no brain, or no contrast in it.
        """
        world = pet.grid.world().reshape(-1, 3)
        nearest = nearest_voxels(template.grid, transform(affine, world))
        where = np.flatnonzero(nearest >= 0)
        where = where[template.outside_mm.reshape(-1)[nearest[where]] <= reach_mm]
        if where.size < 2 * len(CLASSES):
            raise BadDataError("contains no brain onto which the template could be placed")
        world, values = world[where], pet.data.ravel()[where].astype(np.float64)
        if values.std() < LEAST_CONTRAST * np.abs(values).mean():
            raise BadDataError("contains no brain: its uptake is the same everywhere")
        return cls(
            pet=pet,
            where=where,
            world=world,
            values=values,
            weights=np.ones(where.size),
            terms=SpatialTerms.of(world, world.mean(axis=0), drift_order),
            observations=min(1.0, pet.grid.voxel_volume / INDEPENDENCE_MM3),
        )

    def levels(self, maps: Float32) -> Levels:
        """Least squares for the levels of the classes, given the patterns at the samples.

        Parameters
        ----------
        maps : ndarray, shape (N, C)
            Patterns at the samples.

        Returns
        -------
        Levels
        """
        return Levels(maps, self.terms, self.weights, even=self.even)

    def uptake(self, maps: Float32) -> dict[str, float]:
        """Mean uptake of each class, where it is, in units of the PET.

        Parameters
        ----------
        maps : ndarray, shape (N, C)
            Patterns at the samples.

        Returns
        -------
        dict of float
            By class.
        """
        levels = self.levels(maps)
        local = levels.local(levels.solve(self.values))
        mean = (maps * local).sum(axis=0) / np.maximum(maps.sum(axis=0), 1e-6)
        return dict(zip(CLASSES, map(float, mean), strict=True))

    def residual(self, maps: Float32) -> Float64:
        """Residual of the PET at the best levels, (N,).

        Parameters
        ----------
        maps : ndarray, shape (N, C)
            Patterns at the samples.

        Returns
        -------
        ndarray, shape (N,)
            In units of the PET.
        """
        rest: Float64 = self.values - self.levels(maps).part(self.values)
        return rest

    def sum_of_squares(self, residual: Float64) -> float:
        """Weighted.

        Parameters
        ----------
        residual : ndarray, shape (N,)
            In units of the PET.

        Returns
        -------
        float
        """
        return float((self.weights * residual**2).sum())

    def reweigh(self, residual: Float64) -> float:
        """Weigh outliers down; returns the precision of one voxel among correlated ones.

        Parameters
        ----------
        residual : ndarray, shape (N,)
            In units of the PET.

        Returns
        -------
        float
        """
        self.weights = cauchy_weights(residual)
        variance = self.sum_of_squares(residual) / float(self.weights.sum())
        floor = 1e-12 * float(np.mean(self.values**2)) + 1e-300
        return self.observations / max(variance, floor)

    def linearised(self, patterns: Patterns, points: Float64) -> tuple[Float64, Float64, Levels]:
        """Residual (N,), its negative derivative by the template position (N, 3), the levels.

        Parameters
        ----------
        patterns : Patterns
        points : ndarray, shape (N, 3)
            Template world, RAS mm.

        Returns
        -------
        residual : ndarray, shape (N,)
        force : ndarray, shape (N, 3)
        levels : Levels
        """
        maps, slopes = patterns.with_slopes(points)
        levels = self.levels(maps)
        coefficients = levels.solve(self.values)
        force = np.einsum("inc,nc->ni", slopes, levels.local(coefficients))
        return self.values - levels.at(coefficients), force, levels

    def dense(self, values: Float64) -> Float64:
        """Put values of the samples on the grid of the coarse PET, zero elsewhere.

        Parameters
        ----------
        values : ndarray, shape (N,)

        Returns
        -------
        ndarray, shape (X, Y, Z)
        """
        full = np.zeros(self.pet.data.size)
        full[self.where] = values
        return full.reshape(self.pet.data.shape)


def choose_blur(data: PetSamples, patterns: Patterns, points: Float64) -> None:
    """Blur the patterns as fits best: the lowest point of a parabola in FWHM^2.

    Parameters
    ----------
    data : Samples
    patterns : Patterns
        Whose ``fwhm_mm`` is set.
    points : ndarray, shape (N, 3)
        Of the samples, template world, RAS mm.
    """
    left = []
    for patterns.fwhm_mm in FWHM_TRIED_MM:
        left.append(unexplained(data, data.residual(patterns.at(points))))
    patterns.fwhm_mm = round(best_blur(FWHM_TRIED_MM, left, FWHM_RANGE_MM), 2)


def unexplained(data: PetSamples, residual: Float64) -> float:
    """Weighted residual variance over that of the PET.

    Parameters
    ----------
    data : Samples
    residual : ndarray, shape (N,)
        In units of the PET.

    Returns
    -------
    float
        0 to 1.
    """
    mean = float(np.average(data.values, weights=data.weights))
    return data.sum_of_squares(residual) / max(data.sum_of_squares(data.values - mean), 1e-300)
