"""Rigid transforms: six parameters, matrices, and distances between them.

All matrices are 4x4, world to world, RAS mm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from bidsapp.core.grid.least_squares import shortest_solution

Matrix = NDArray[np.float64]

# About half a brain: a turn in units of 1/LENGTH_MM radians moves its border by about 1 mm.
LENGTH_MM = 70.0


def rigid_matrix(parameters: ArrayLike, centre: ArrayLike = (0.0, 0.0, 0.0)) -> Matrix:
    """Return the rigid transform of six parameters.

    Parameters
    ----------
    parameters : array-like, shape (6,)
        Translation in mm (3), then the rotation vector in radians (3): its direction is the axis,
        its length the angle.
    centre : array-like, shape (3,)
        Point in mm that the rotation leaves in place.

    Returns
    -------
    ndarray, shape (4, 4)
        ``x -> R (x - centre) + centre + translation``.
    """
    parameters = np.asarray(parameters, dtype=np.float64)
    centre = np.asarray(centre, dtype=np.float64)
    rotation = Rotation.from_rotvec(parameters[3:]).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + parameters[:3] - rotation @ centre
    return matrix


def rotation_deg(matrix: Matrix) -> float:
    """Angle of the rotation in an affine, its stretches left out.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)

    Returns
    -------
    float
        Degrees.
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def rigid_parameters(matrix: Matrix, centre: ArrayLike = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    """Return the six parameters of a rigid transform: the inverse of `rigid_matrix`.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Rigid, RAS mm.
    centre : of the rotation, RAS mm

    Returns
    -------
    ndarray, shape (6,)
    """
    centre = np.asarray(centre, dtype=np.float64)
    rotation = Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
    return np.concatenate([transform(matrix, centre) - centre, rotation])


def left_jacobian(rotation_vector: ArrayLike) -> Matrix:
    """Return J with ``R(w + dw) = R(J dw) R(w)`` for small ``dw``, shape (3, 3).

    Parameters
    ----------
    rotation_vector : shape (3,)
        Axis times angle, radians.

    Returns
    -------
    ndarray, shape (3, 3)
    """
    x, y, z = np.asarray(rotation_vector, dtype=np.float64)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = float(np.sqrt(x * x + y * y + z * z))
    if angle < 1e-4:  # the series; the quotients below lose all digits
        return np.eye(3) + cross / 2
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    jacobian: Matrix = np.eye(3) + first * cross + second * cross @ cross
    return jacobian


def transform(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move world points, shape (..., 3), by a 4x4 matrix (or index points by an affine).

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
    points : ndarray, shape (..., 3)

    Returns
    -------
    ndarray, shape (..., 3)
    """
    # By coordinate, not matmul, which may order its sums by the number of threads and of points.
    moved = np.empty((3, *points.shape[:-1]))
    for axis, (*weights, shift) in enumerate(matrix[:3]):
        coordinate = moved[axis, ...]
        np.multiply(points[..., 0], weights[0], out=coordinate)
        coordinate += points[..., 1] * weights[1]
        coordinate += points[..., 2] * weights[2]
        coordinate += shift
    return np.moveaxis(moved, 0, -1)


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a 4x4 matrix.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)

    Returns
    -------
    ndarray, shape (4, 4)
    """
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def displacement(first: Matrix, second: Matrix, points: NDArray[np.float64]) -> float:
    """Return the mean distance in mm between ``points`` (N, 3) after two transforms.

    Parameters
    ----------
    first, second : ndarray, shape (4, 4)
    points : ndarray, shape (N, 3)
        World, RAS mm.

    Returns
    -------
    float
        Mean distance, mm.
    """
    apart = transform(first - second, points)
    return float(np.sqrt((apart**2).sum(axis=-1)).mean())


def affine_between(first: NDArray[np.float64], second: NDArray[np.float64]) -> Matrix:
    """Find the affine between corresponding points by least squares.

    Parameters
    ----------
    first, second : ndarray, shape (N, 3)
        Points, and where they belong, mm.

    Returns
    -------
    ndarray, shape (4, 4)
    """
    matrix = np.eye(4)
    middle = first.mean(axis=0)
    solution = shortest_solution(np.column_stack([first - middle, np.ones(len(first))]), second)
    matrix[:3, :3] = solution[:3].T
    matrix[:3, 3] = solution[3] - matrix[:3, :3] @ middle
    return matrix


def rigid_between(first: NDArray[np.float64], second: NDArray[np.float64]) -> Matrix:
    """Return the rigid transform between corresponding points by least squares.

    Parameters
    ----------
    first, second : ndarray, shape (N, 3)
        World points in mm, row by row the same place.

    Returns
    -------
    ndarray, shape (4, 4)
        From ``first`` to ``second``, least squares (Kabsch 1976, doi 10.1107/S0567739476001873).
    """
    middle, target = first.mean(axis=0), second.mean(axis=0)
    # einsum, not matmul: BLAS may order its sums by the number of threads.
    covariance = np.einsum("ni,nj->ij", second - target, first - middle)
    left, _, right = np.linalg.svd(covariance)
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    matrix = np.eye(4)
    matrix[:3, :3] = left @ handed @ right
    matrix[:3, 3] = target - matrix[:3, :3] @ middle
    return matrix
