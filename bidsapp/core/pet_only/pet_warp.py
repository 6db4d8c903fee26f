"""The smooth warp of a PET to the template: Gauss-Newton on cosines, levels projected out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import linalg, ndimage

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.basis import Separable, squared_frequencies
from bidsapp.core.grid.least_squares import Damping, cholesky_solution
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, Float64
from bidsapp.core.pet_only.pet_model import Patterns, PetSamples, choose_blur

MARGIN_MM = 20.0  # how far the box of the cosines reaches beyond the voxels that are used
CUTOFF_MM = 30.0  # one basis function per axis and so many mm of that box
ROUNDS, STEPS = 8, 8  # at most: alternations of weights and warp, steps of the warp within one
GAIN = 1e-3  # of the cost, relative; less is not worth another step
SMOOTH_MM = 12.0  # scale at which noise no longer counts in the quality of the fit


class WarpFit:
    """The current warp, and the steps that improve it; ``data`` and ``patterns`` change with it."""

    def __init__(self, data: PetSamples, patterns: Patterns, affine: Matrix) -> None:
        self.data, self.patterns = data, patterns
        grid = data.pet.grid
        index = np.stack(np.unravel_index(data.where, grid.shape), axis=-1)
        margin = np.round(MARGIN_MM / grid.voxel_size)
        origin = index.min(axis=0) - margin
        length = index.max(axis=0) + 1 + margin - origin
        extent = length * grid.voxel_size
        orders = np.maximum(1, np.round(extent / CUTOFF_MM)).astype(int)
        self.warp = Warp(np.zeros((3, *orders)), origin, length, grid.affine, affine)
        self.basis: Separable = self.warp.basis(*map(np.arange, grid.shape))
        kx, ky, kz = squared_frequencies(self.basis.orders, extent)
        # the integral over the box in mm, whatever the voxels of the PET: what the bending energy
        # of `bidsapp.core.anatomy.segment` is for a T1w of 1 mm
        self.bending = (kx + ky + kz) ** 2 * grid.voxel_volume

    def run(self) -> None:
        """Alternate weights and warp until the gain is small."""
        for number in range(ROUNDS):
            precision = self.data.reweigh(self.residual(self.warp.coefficients))
            before = self.cost(self.warp.coefficients, precision, 1.0)
            # a stiff first warp: its weights are those of an affine fit
            self.step(precision, 10.0 if number == 0 else 1.0)
            after = self.cost(self.warp.coefficients, precision, 1.0)
            if number == 1:
                choose_blur(self.data, self.patterns, self.points(self.warp.coefficients))
            if number > 2 and before - after < GAIN * before:
                break

    def points(self, coefficients: Float64) -> Float64:
        """Template points of the samples, (N, 3).

        Parameters
        ----------
        coefficients : ndarray, shape (3, ...)
            Of the cosines, mm, by axis.

        Returns
        -------
        ndarray, shape (N, 3)
            Template world, RAS mm.
        """
        moved = self.data.world + np.stack(
            [self.basis.evaluate(c).ravel()[self.data.where] for c in coefficients], axis=-1
        )
        return transform(self.warp.affine, moved)

    def residual(self, coefficients: Float64) -> Float64:
        """Residual of the PET at the best levels, (N,).

        Parameters
        ----------
        coefficients : ndarray, shape (3, ...)
            Of the cosines, mm, by axis.

        Returns
        -------
        ndarray, shape (N,)
            In units of the PET.
        """
        return self.data.residual(self.patterns.at(self.points(coefficients)))

    def cost(self, coefficients: Float64, precision: float, stiffness: float) -> float:
        """Twice minus the log posterior.

        Parameters
        ----------
        coefficients : ndarray, shape (3, ...)
            Of the cosines, mm, by axis.
        precision : of one voxel, 1 / variance
        stiffness : weight of the bending energy

        Returns
        -------
        float
        """
        left = self.data.sum_of_squares(self.residual(coefficients))
        return precision * left + stiffness * float((self.bending * coefficients**2).sum())

    def step(self, precision: float, stiffness: float) -> None:
        """Levenberg-damped Gauss-Newton steps under fixed weights; the cost never rises.

        Parameters
        ----------
        precision : of one voxel, 1 / variance
        stiffness : weight of the bending energy
        """
        coefficients = self.warp.coefficients
        current = self.cost(coefficients, precision, stiffness)
        damping = Damping(raised_to=1e-2, off_below=1e-3)
        for _ in range(STEPS):
            gradient, hessian = self._normal_equations(coefficients, precision, stiffness)
            diagonal, begin = np.diag(hessian).copy(), current
            for damped in damping.rising(tries=6):
                hessian[np.diag_indices_from(hessian)] = diagonal * (1 + max(damped, 1e-6))
                step = cholesky_solution(hessian, gradient)
                trial = coefficients + step.reshape(coefficients.shape)
                trial_cost = self.cost(trial, precision, stiffness)
                if trial_cost < current:
                    coefficients, current = trial, trial_cost
                    damping.lower()
                    break
            if begin - current < GAIN * begin:
                break
        self.warp = replace(self.warp, coefficients=coefficients)

    def _normal_equations(
        self, coefficients: Float64, precision: float, stiffness: float
    ) -> tuple[Float64, Float64]:
        """Minus the gradient (3M,) and the Gauss-Newton matrix (3M, 3M), levels projected out."""
        data, basis, m = self.data, self.basis, self.bending.size
        residual, force, levels = data.linearised(self.patterns, self.points(coefficients))
        force = force @ self.warp.affine[:3, :3]  # per mm of PET world
        weighted = force * (precision * data.weights)[:, None]
        penalty = (stiffness * self.bending).ravel()
        gradient = np.empty((3, m))
        hessian = np.empty((3, m, 3, m))
        design = levels.design()
        shared = np.empty((3, m, design.shape[1]))  # with the levels
        for a in range(3):
            gradient[a] = basis.project(data.dense(weighted[:, a] * residual)).ravel()
            gradient[a] -= penalty * coefficients[a].ravel()
            for column, level in enumerate(design.T):
                shared[a, :, column] = basis.project(data.dense(weighted[:, a] * level)).ravel()
            for b in range(a, 3):
                block = basis.gram(data.dense(weighted[:, a] * force[:, b]))
                if a == b:
                    block[np.diag_indices_from(block)] += penalty
                hessian[a, :, b] = block
                hessian[b, :, a] = block
        with_levels = shared.reshape(3 * m, -1)
        full = hessian.reshape(3 * m, 3 * m)
        full -= with_levels @ linalg.cho_solve(levels.factor, with_levels.T) / precision
        return gradient.ravel(), full

    def levels(self) -> dict[str, float]:
        """Mean uptake of each class, where it is, over that of cerebellar grey matter.

        Empty when the cerebellum takes up nothing.

        Returns
        -------
        dict of float
            By class.
        """
        uptake = self.data.uptake(self.patterns.at(self.points(self.warp.coefficients)))
        cerebellum = uptake["gm_cerebellum"]
        if cerebellum <= 0:
            return {}
        return {name: level / cerebellum for name, level in uptake.items()}

    def unexplained_smooth(self) -> float:
        """Share of the variance in the brain that is left where noise has averaged out.

        Returns
        -------
        float
            0 to 1.
        """
        points = self.points(self.warp.coefficients)
        residual = self.data.residual(self.patterns.at(points))
        inside = self.patterns.template.is_brain(points)
        left, whole = (self._smooth(part)[inside] for part in (residual, self.data.values))
        return float((left**2).sum() / max(((whole - whole.mean()) ** 2).sum(), 1e-300))

    def _smooth(self, values: Float64) -> Float64:
        """Average over neighbours among the samples."""
        sigma = SMOOTH_MM / FWHM_PER_SIGMA / self.data.pet.grid.voxel_size
        total = ndimage.gaussian_filter(self.data.dense(values), sigma)
        count = ndimage.gaussian_filter(self.data.dense(np.ones(values.size)), sigma)
        return np.asarray((total / np.maximum(count, 1e-6)).ravel()[self.data.where])
