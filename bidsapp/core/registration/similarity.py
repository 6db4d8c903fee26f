"""Normalised mutual information of two images under a rigid motion, with its exact gradient.

Studholme, Hill & Hawkes, Pattern Recognition 32:71-86, 1999, measured at a fixed set of scattered
points of the one image (scattered: points on a grid would make the measure jump whenever they fall
onto the other image's grid), with a Parzen window of cubic B-splines along the intensities of the
other image, so that the gradient is analytic (Thevenaz & Unser, IEEE TIP 9:2083-2099, 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bidsapp.core.grid.alignment import (
    LENGTH_MM,
    Matrix,
    inverse,
    left_jacobian,
    rigid_matrix,
    transform,
)
from bidsapp.core.grid.sampling import Float32, Float64, trilinear
from bidsapp.core.grid.volume import Volume

BINS = 32
RESOLVED = BINS - 4  # bins between the intensity limits; a window needs room at both ends
MIN_OVERLAP = 0.3  # with fewer of the points inside the other image the measure says nothing


@dataclass(frozen=True)
class MutualInformation:
    """NMI between fixed points of one image and a moving image.

    Attributes
    ----------
    points : ndarray, shape (N, 3)
        World coordinates in the fixed image, mm.
    bins : ndarray of int, shape (N,)
        Histogram bin, 0 to BINS - 1, of the fixed image at each point.
    moving : Volume
        The moving image, float32.
    low, high : float
        Intensities of the moving image between which the histogram resolves.
    """

    points: Float64
    bins: NDArray[np.intp]
    moving: Volume
    low: float
    high: float

    @classmethod
    def between(cls, fixed: Volume, points: Float64, moving: Volume) -> MutualInformation:
        """Prepare the measure of ``moving`` against ``fixed`` at ``points``, both float32.

        Parameters
        ----------
        fixed : Volume, 3D, float32
        points : ndarray, shape (N, 3)
            World of ``fixed``, RAS mm.
        moving : Volume, 3D, float32

        Returns
        -------
        MutualInformation
        """
        values, _, _ = trilinear(
            np.asarray(fixed.data, dtype=np.float32),
            transform(inverse(fixed.affine), points),
            gradient=False,
        )
        first, last = np.percentile(values, [0.5, 99.5])
        scaled = (values - first) / max(last - first, 1e-12) * (BINS - 1)
        bins = np.clip(np.rint(scaled), 0, BINS - 1).astype(np.intp)
        low, high = np.percentile(np.asarray(moving.data, dtype=np.float32), [0.1, 99.9])
        return cls(points, bins, moving, float(low), float(high))

    def __call__(self, matrix: Matrix) -> tuple[float, Float64]:
        """Measure at ``matrix``, fixed world -> moving world.

        Returns
        -------
        nmi : float
            (H(fixed) + H(moving)) / H(fixed, moving), from 1 (independent) to 2 (equal); 1 when
            too few points fall into the moving image.
        force : ndarray, shape (3, N)
            Derivative of ``nmi`` with respect to the position of each point in the moving world.
        """
        to_index = inverse(self.moving.affine)
        values, slope, inside = trilinear(
            np.asarray(self.moving.data, dtype=np.float32),
            transform(to_index @ matrix, self.points),
        )
        force = np.zeros(slope.shape)
        count = int(inside.sum())
        if count < MIN_OVERLAP * len(inside):
            return 1.0, force
        per_intensity = RESOLVED / max(self.high - self.low, 1e-12)
        position = np.clip((values[inside] - self.low) * per_intensity, 0, RESOLVED) + 1
        window = _Window(position.astype(np.float32), self.bins[inside])
        joint = window.histogram() / count
        h_fixed, h_moving, h_joint = map(_entropy, (joint.sum(1), joint.sum(0), joint))
        nmi = (h_fixed + h_moving) / h_joint
        # d nmi / d joint[t, k]; the marginal of the fixed image does not change.
        weight = (nmi * (_log(joint) + 1) - (_log(joint.sum(0)) + 1)) / (h_joint * count)
        resolved = (values > self.low) & (values < self.high)
        push = np.zeros(len(inside))
        push[inside] = window.derivative(weight) * per_intensity
        force = np.einsum("ji,jn->in", to_index[:3, :3], slope) * (push * resolved)
        return nmi, force


def climb(
    measure: MutualInformation, start: Matrix, centre: Float64, flat: float = 1e-3
) -> tuple[Matrix, float]:
    """Maximise ``measure`` over rigid motions by BFGS; return the matrix and the value there.

    Parameters
    ----------
    measure : MutualInformation
    start : ndarray, shape (4, 4)
        World of the fixed image -> world of the moving one, RAS mm.
    centre : ndarray, shape (3,)
        Of the rotations, RAS mm.
    flat : float
        Where the slope is less the climb ends; per cent of the measure per mm.

    Returns
    -------
    matrix : ndarray, shape (4, 4)
    value : float
    """
    arms = (measure.points - centre).T

    def motion(x: Float64) -> Matrix:
        return rigid_matrix(x / [1, 1, 1, *[LENGTH_MM] * 3], centre)

    def negative(x: Float64) -> tuple[float, Float64]:
        rotation = motion(x)[:3, :3]
        nmi, force = measure(start @ motion(x))
        force = start[:3, :3].T @ force
        torque = np.cross((rotation @ arms), force, axis=0).sum(axis=1)
        gradient = [*force.sum(axis=1), *(left_jacobian(x[3:] / LENGTH_MM).T @ torque / LENGTH_MM)]
        return -100 * nmi, -100 * np.array(gradient)

    result = minimize(negative, np.zeros(6), jac=True, method="BFGS", options={"gtol": flat})
    return start @ motion(result.x), -float(result.fun) / 100


class _Window:
    """Cubic B-spline window: each point spreads over four neighbouring bins."""

    def __init__(self, position: Float32, rows: NDArray[np.intp]) -> None:
        whole = np.floor(position)
        self.cells = rows * BINS + whole.astype(np.intp) - 1
        self.t = position - whole

    def histogram(self) -> Float64:
        """Return the joint histogram, shape (BINS, BINS)."""
        t, s = self.t, 1 - self.t
        weights = (s**3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * s**2 + 3 * s**3, t**3)
        total = np.zeros(BINS * BINS)
        for k, weight in enumerate(weights):
            total += np.bincount(self.cells + k, weights=weight / 6, minlength=total.size)
        return total.reshape(BINS, BINS)

    def derivative(self, weight: Float64) -> Float64:
        """Return d (sum of weight * histogram) / d position for each point."""
        t, s = self.t, 1 - self.t
        slopes = (-(s**2), 3 * t**2 - 4 * t, 4 * s - 3 * s**2, t**2)
        total = np.zeros(len(t))
        for k, slope in enumerate(slopes):
            total += weight.ravel()[self.cells + k] * slope / 2
        return total


def _log(p: Float64) -> Float64:
    return np.log(np.maximum(p, 1e-12))


def _entropy(p: Float64) -> float:
    return float(-(p * _log(p)).sum())
