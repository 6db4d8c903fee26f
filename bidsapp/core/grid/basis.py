"""Smooth fields as products of cosines (DCT-II), and sums over regular grids of samples.

A field on a box is ``f(x, y, z) = sum_ijk a_ijk X_i(x) Y_j(y) Z_k(z)``. Because the samples lie
on a regular grid, every sum over voxels separates into three small matrix products: neither the
basis of a voxel nor a loop over voxels is ever needed (Ashburner & Friston, NeuroImage 7:254,
1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Positions = NDArray[np.floating] | NDArray[np.integer]  # along one axis, voxels


def dct_functions(position: Positions, length: float, order: int) -> Float:
    """Cosines of a box of ``length`` voxels, orthonormal over its whole voxels.

    Parameters
    ----------
    position : ndarray, shape (n,)
        Voxel coordinates along one axis; 0 is the centre of the first voxel of the box.
    length : float
        Number of voxels of the box.
    order : int
        Number of functions, the constant included.

    Returns
    -------
    ndarray, shape (n, order)
    """
    j = np.arange(order)
    scale: Float = np.sqrt(np.where(j == 0, 1.0, 2.0) / length)
    middle = np.asarray(position, dtype=np.float64) + 0.5
    result: Float = scale * np.cos(np.pi / length * np.outer(middle, j))
    return result


@dataclass(frozen=True)
class Separable:
    """Basis functions of the three axes at the samples of a regular grid.

    Attributes
    ----------
    x, y, z : ndarray, shape (samples along the axis, functions of the axis)
    """

    x: Float
    y: Float
    z: Float

    @property
    def orders(self) -> tuple[int, int, int]:
        """Number of functions per axis."""
        return self.x.shape[1], self.y.shape[1], self.z.shape[1]

    def evaluate(self, coefficients: Float) -> Float:
        """Field on the grid, shape (X, Y, Z), of coefficients with shape ``orders``.

        Parameters
        ----------
        coefficients : ndarray, shape ``orders``

        Returns
        -------
        ndarray, shape (X, Y, Z)
        """
        field = np.tensordot(self.x, coefficients, axes=(1, 0))
        field = np.tensordot(field, self.y, axes=(1, 1))  # x, z-function, y
        result: Float = np.tensordot(field, self.z, axes=(1, 1))  # x, y, z
        return result

    def project(self, field: Float) -> Float:
        """Sums of ``field`` (X, Y, Z) times every basis function, shape ``orders``: the adjoint.

        Parameters
        ----------
        field : ndarray, shape (X, Y, Z)

        Returns
        -------
        ndarray, shape ``orders``
        """
        sums = np.tensordot(self.x, field, axes=(0, 0))  # i, y, z
        sums = np.tensordot(sums, self.y, axes=(1, 0))  # i, z, j
        result: Float = np.tensordot(sums, self.z, axes=(1, 0))
        return result

    def gram(self, weight: Float) -> Float:
        """Normal matrix ``sum_voxels weight * basis_a * basis_b``.

        Parameters
        ----------
        weight : ndarray, shape (X, Y, Z)

        Returns
        -------
        ndarray, shape (n, n), n = product of the orders, C order of ``orders``
        """
        (px, ix), (py, iy), (pz, iz) = (_pairs(basis) for basis in (self.x, self.y, self.z))
        nx, ny, nz = self.orders
        sums = px.T @ weight.reshape(weight.shape[0], -1)
        sums = sums.reshape(-1, *weight.shape[1:])  # x-pair, y, z
        sums = np.tensordot(sums, py, axes=(1, 0))  # x-pair, z, y-pair
        sums = np.tensordot(sums, pz, axes=(1, 0))  # x-pair, y-pair, z-pair
        full = sums[ix][:, iy][:, :, iz].reshape(nx, nx, ny, ny, nz, nz)
        n = nx * ny * nz
        return full.transpose(0, 2, 4, 1, 3, 5).reshape(n, n)


def _pairs(basis: Float) -> tuple[Float, NDArray[np.intp]]:
    """Products of all pairs of functions, and where the pair (i, j) stands among them."""
    n = basis.shape[1]
    first, second = np.triu_indices(n)
    where = np.empty((n, n), dtype=np.intp)
    where[first, second] = where[second, first] = np.arange(first.size)
    return basis[:, first] * basis[:, second], where.ravel()


def squared_frequencies(orders: tuple[int, int, int], extent_mm: Float) -> list[Float]:
    """``(pi j / extent)^2`` per axis, in 1/mm^2, shaped to broadcast to ``orders``.

    Parameters
    ----------
    orders : number of functions per axis
    extent_mm : ndarray, shape (3,)
        Edge lengths of the box.

    Returns
    -------
    list of three ndarray
    """
    return [
        ((np.pi * np.arange(n) / length) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, length) in enumerate(zip(orders, extent_mm, strict=True))
    ]
