"""The smooth map between a T1w and the template, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.basis import Positions, Separable, dct_functions
from bidsapp.core.grid.resample import itk_displacements
from bidsapp.core.grid.sampling import interpolate, trilinear
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.parallel import chunks, each

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Shortest wavelengths are 50 mm: on a grid of this step linear interpolation of the displacement
# is good to a few hundredths of a millimetre.
_LATTICE_MM = 2.0
# Cubic splines need half as many points: they are good to a few micrometres.
_INVERSE_MM = 4.0
_INVERSION_STEPS = 30
_CONVERGED_MM = 0.005  # a point that moves less has converged
_CHUNK = 1 << 15  # points at a time: the work arrays stay in the processor's cache


def jacobian(points: NDArray[np.floating], affine: Float) -> Float32:
    """Local change of volume of a map given by its points, 1 where nothing changes.

    Parameters
    ----------
    points : shape (X, Y, Z, 3), RAS mm
    affine : voxel indices -> world, RAS mm

    Returns
    -------
    ndarray, float32
    """
    parts = np.moveaxis(points, -1, 0).astype(np.float64)
    a, b, c = (np.gradient(parts, axis=1 + axis) for axis in range(3))
    volume = a[0] * (b[1] * c[2] - b[2] * c[1])
    volume += a[1] * (b[2] * c[0] - b[0] * c[2])
    volume += a[2] * (b[0] * c[1] - b[1] * c[0])
    return (volume / np.linalg.det(affine[:3, :3])).astype(np.float32)


@dataclass(frozen=True)
class Warp:
    """``template = affine (x + u(x))``, x in T1w world, u a sum of cosines along the voxel axes.

    Attributes
    ----------
    coefficients : ndarray, shape (3, nx, ny, nz)
        Of the displacement along the world axes, mm.
    origin : ndarray, shape (3,)
        Voxel index at which the box of the cosines begins.
    length : ndarray, shape (3,)
        Size of the box in voxels.
    t1w_affine : ndarray, shape (4, 4)
        T1w voxel -> world, RAS mm.
    affine : ndarray, shape (4, 4)
        T1w world -> template world, mm.
    """

    coefficients: Float
    origin: Float
    length: Float
    t1w_affine: Float
    affine: Float

    def basis(self, *positions: Positions) -> Separable:
        """Basis functions at voxel positions of the three axes.

        Parameters
        ----------
        *positions : ndarray, shape (n,)
            Voxel positions along each of the three axes.

        Returns
        -------
        Separable
        """
        x, y, z = (
            dct_functions(position - origin, length, order)
            for position, origin, length, order in zip(
                positions, self.origin, self.length, self.coefficients.shape[1:], strict=True
            )
        )
        return Separable(x, y, z)

    def displacement(self, *positions: Positions) -> Float32:
        """u in mm on the lattice of the given voxel positions, shape (X, Y, Z, 3).

        Parameters
        ----------
        *positions : ndarray, shape (n,)
            Voxel positions along each of the three axes.

        Returns
        -------
        ndarray, shape (X, Y, Z, 3), float32
        """
        basis = self.basis(*positions)
        return np.stack([basis.evaluate(c) for c in self.coefficients], axis=-1).astype(np.float32)

    def lattice_to_template(self, *positions: Positions) -> Float:
        """Template world coordinates, mm, on the lattice of the given voxel positions.

        Parameters
        ----------
        *positions : ndarray, shape (n,)
            Voxel positions along each of the three axes.

        Returns
        -------
        ndarray, shape (3, X, Y, Z)
        """
        basis, (x, y, z) = self.basis(*positions), np.ix_(*positions)
        affine = self.affine @ self.t1w_affine
        points = np.stack([a * x + b * y + c * z + d for a, b, c, d in affine[:3]])
        for axis, row in enumerate(self.affine[:3, :3]):
            points[axis] += basis.evaluate(np.tensordot(row, self.coefficients, axes=1))
        return points

    def to_template(self, world: Float) -> Float:
        """Template world coordinates of T1w world points, both of shape (..., 3), in mm.

        Parameters
        ----------
        world : ndarray, shape (..., 3)
            T1w world, RAS mm.

        Returns
        -------
        ndarray, shape (..., 3)
        """
        points = world.reshape(-1, 3)
        template = np.empty(points.shape)

        def move(part: slice) -> None:
            x = points[part]
            template[part] = transform(self.affine, x + self._interpolated(x))

        each(move, chunks(0, len(points), _CHUNK))
        return template.reshape(world.shape)

    def to_t1w(self, grid: Grid) -> Float32:
        """T1w world coordinate of every voxel of a template grid, shape ``grid.shape + (3,)``.

        The displacement is inverted by fixed-point iteration; outside the image it continues as
        at the border.

        Parameters
        ----------
        grid : of the template

        Returns
        -------
        ndarray, shape (X, Y, Z, 3), float32
        """
        table, to_lattice = self._inversion
        coarse = grid.coarser(_INVERSE_MM)
        points = coarse.world().reshape(-1, 3)
        t1w = np.empty((len(points), 3), np.float32)
        back = inverse(to_lattice)

        def invert(part: slice) -> None:
            goal = transform(to_lattice @ inverse(self.affine), points[part]).T
            t1w[part] = transform(back, _inverted(table, goal, back).T)

        each(invert, chunks(0, len(points), _CHUNK))
        return _refined(t1w.reshape(*coarse.shape, 3), coarse, grid)

    def jacobian(self, *positions: Positions) -> Float32:
        """Determinant of the derivative of ``x + u(x)`` on a lattice of voxel positions.

        Volume of T1w tissue after the non-linear part over that before; the affine left out.

        Parameters
        ----------
        *positions : ndarray, shape (n,)
            Voxel positions along each of the three axes.

        Returns
        -------
        ndarray, shape (X, Y, Z), float32
        """
        field = self.displacement(*positions).astype(np.float64)
        derivative = np.empty((*field.shape, 3))
        for axis in range(3):
            derivative[..., axis] = np.gradient(field, positions[axis], axis=axis)
        to_index = np.linalg.inv(self.t1w_affine[:3, :3])
        return np.linalg.det(np.eye(3) + derivative @ to_index).astype(np.float32)

    def to_arrays(self) -> dict[str, Float]:
        """Plain arrays for storage.

        Returns
        -------
        dict of ndarray
        """
        return {
            "coefficients": self.coefficients,
            "origin": self.origin,
            "length": self.length,
            "t1w_affine": self.t1w_affine,
            "affine": self.affine,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Float]) -> Warp:
        """Inverse of `to_arrays`.

        Parameters
        ----------
        arrays : of `to_arrays`

        Returns
        -------
        Warp
        """
        return cls(**{name: np.asarray(arrays[name]) for name in cls.__dataclass_fields__})

    def itk_fields(self, field: Volume, native: Grid) -> tuple[Volume, Volume]:
        """Displacements that bring images to the template, and back, as ITK reads them.

        Parameters
        ----------
        field : Volume, shape (X, Y, Z, 3)
            `to_t1w` of its grid.
        native : Grid
            Of the T1w; the way back covers it in steps of 2 mm or more.

        Returns
        -------
        tuple of Volume, shape (X, Y, Z, 1, 3)
            LPS mm.
        """
        back = native.coarser(_LATTICE_MM)
        there = itk_displacements(field.data, field.grid)
        return (
            Volume(there, field.affine),
            Volume(itk_displacements(self.to_template(back.world()), back), back.affine),
        )

    @cached_property
    def _lattice(self) -> tuple[Float32, Float]:
        """Displacement on a coarse lattice over the box, shape (..., 3), and its step in voxels."""
        voxel = np.sqrt((self.t1w_affine[:3, :3] ** 2).sum(axis=0))
        step = np.maximum(_LATTICE_MM / voxel, 1.0)
        positions = [
            origin + s * np.arange(int(np.ceil(length / s)) + 1)
            for origin, length, s in zip(self.origin, self.length, step, strict=True)
        ]
        return self.displacement(*positions), step

    @property
    def _inversion(self) -> tuple[Float32, Float]:
        """Displacement in steps of the lattice, shape (3, ...), and T1w world -> lattice."""
        table, step = self._lattice
        to_lattice = np.diag([*(1 / step), 1.0]) @ inverse(self.t1w_affine)
        to_lattice[:3, 3] -= self.origin / step
        in_steps = np.tensordot(to_lattice[:3, :3].astype(np.float32), table, axes=(1, -1))
        return in_steps, to_lattice

    def _interpolated(self, world: Float) -> Float:
        table, step = self._lattice
        index = transform(inverse(self.t1w_affine), world.reshape(-1, 3))
        at = (index - self.origin) / step
        out, _, _ = trilinear(table, at, gradient=False)
        return out.reshape(world.shape).astype(np.float64)


def _inverted(table: Float32, goal: Float, to_world: Float) -> Float:
    """Points x of a lattice, (3, N), with ``x + u(x) = goal``, u given in steps on the lattice."""
    point, moving = goal.copy(), np.arange(goal.shape[1])
    for _ in range(_INVERSION_STEPS):
        previous = point[:, moving]
        updated = goal[:, moving]
        for axis, part in enumerate(table):
            updated[axis] -= interpolate(part, previous)
        point[:, moving] = updated
        moved = np.abs(to_world[:3, :3] @ (updated - previous)).max(axis=0)
        moving = moving[moved >= _CONVERGED_MM]
        if not moving.size:
            break
    return point


def _refined(points: Float32, coarse: Grid, grid: Grid) -> Float32:
    """Values (..., 3) of a grid from those of `Grid.coarser`, by cubic splines along the axes."""
    if coarse.shape == grid.shape:
        return points
    from scipy.interpolate import make_interp_spline  # slow to import, for workers only

    step = coarse.voxel_size / grid.voxel_size
    for axis, (few, many) in enumerate(zip(coarse.shape, grid.shape, strict=True)):
        spline = make_interp_spline(step[axis] * np.arange(few), np.eye(few), k=min(3, few - 1))
        weights = spline(np.arange(many)).astype(np.float32)
        points = np.moveaxis(np.tensordot(weights, points, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(points)
