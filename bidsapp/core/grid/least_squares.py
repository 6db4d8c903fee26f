"""Normal equations of a fit: damped (Levenberg, Q Appl Math 2:164, 1944) and solved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Float64 = NDArray[np.float64]

_REFINEMENTS, _REFINED = 8, 1e-10  # of a solution: at most so often, and what may then be left
_LOST = 1e-10  # of the largest singular value: less counts as none


@dataclass
class Damping:
    """Part of the diagonal that is added to the normal equations, and how it changes.

    Attributes
    ----------
    value : float
        To try first in the next step.
    raised_to : float
        Least value after a step that failed; it is ten times the last otherwise.
    off_below, least : float
        After a step that succeeded a tenth, none when it was below ``off_below``, else at least
        ``least``.

    Examples
    --------
    >>> damping = Damping(1e-3)
    >>> for tried in damping.rising(tries=6):
    ...     if tried > 0.05:  # the step lowers the cost
    ...         damping.lower()
    ...         break
    >>> damping.value
    0.01
    """

    value: float = 0.0
    raised_to: float = 0.0
    off_below: float = 0.0
    least: float = 0.0

    def rising(self, tries: int) -> Iterator[float]:
        """Yield more and more damping, until a step succeeds and the loop is left.

        Parameters
        ----------
        tries : at most

        Yields
        ------
        float
        """
        for _ in range(tries):
            yield self.value
            self.higher()

    def higher(self) -> None:
        """Damp the next step more."""
        self.value = max(10 * self.value, self.raised_to)

    def lower(self) -> None:
        """Damp the next step less."""
        self.value = 0.0 if self.value < self.off_below else max(self.value / 10, self.least)


def damped(normal: Float64, damping: float) -> Float64:
    """Add a part of its diagonal to a matrix.

    Parameters
    ----------
    normal : ndarray, shape (K, K)
    damping : the part

    Returns
    -------
    ndarray, shape (K, K)
    """
    return normal + damping * np.diag(np.diag(normal))


def refined_solution(matrix: Float64, right: Float64) -> Float64:
    """Solve for a positive definite matrix.

    Factored in single precision, which takes half the time, and refined to double precision
    (Buttari et al., ACM Trans Math Softw 34:17, 2008); where that does not converge, factored in
    double precision.

    Parameters
    ----------
    matrix : ndarray, shape (K, K)
    right : ndarray, shape (K,)

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    scipy.linalg.LinAlgError
        The matrix is not positive definite.
    """
    with suppress(linalg.LinAlgError):
        single = matrix.astype(np.float32).T  # symmetric: in Fortran's order without turning it
        factor = linalg.cho_factor(single, lower=True, overwrite_a=True, check_finite=False)
        result, left = np.zeros_like(right), right
        enough = _REFINED * float(np.abs(right).max())
        for _ in range(_REFINEMENTS):
            result += linalg.cho_solve(factor, left.astype(np.float32), check_finite=False)
            left = right - matrix @ result
            if np.abs(left).max() <= enough:
                return result
    return cholesky_solution(matrix, right)


def cholesky_solution(matrix: Float64, right: Float64) -> Float64:
    """Solve for a positive definite matrix in double precision.

    Parameters
    ----------
    matrix : ndarray, shape (K, K)
    right : ndarray, shape (K,)

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    scipy.linalg.LinAlgError
        The matrix is not positive definite.
    """
    factor = linalg.cho_factor(matrix, lower=True, check_finite=False)
    return np.asarray(linalg.cho_solve(factor, right, check_finite=False), dtype=np.float64)


def shortest_solution(matrix: Float64, right: Float64) -> Float64:
    """Return the shortest of the best solutions for a matrix that need not be regular.

    Parameters
    ----------
    matrix : ndarray, shape (M, K)
    right : ndarray, shape (M,) or (M, N)

    Returns
    -------
    ndarray, shape (K,) or (K, N)

    Examples
    --------
    >>> shortest_solution(np.ones((2, 2)), np.array([2.0, 2.0])).round(6).tolist()
    [1.0, 1.0]
    """
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=_LOST)[0], dtype=np.float64)


def weighted_least_squares(design: Float64, values: Float64, weights: Float64) -> Float64:
    """Fit by the normal equations, which need not be regular.

    Parameters
    ----------
    design : ndarray, shape (N, K)
    values : ndarray, shape (N,) or (N, M)
    weights : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (K,) or (K, M)
    """
    scaled = (design.T * weights).T
    return shortest_solution(design.T @ scaled, scaled.T @ values)
