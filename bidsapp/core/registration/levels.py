"""Weighted least squares for levels of tissue classes that vary in space.

The level of a class is a sum of polynomials of the coordinates and, for some classes, of a constant
in every region. As one design matrix that is some 200 columns of 20,000 voxels, and its normal
matrix would take most of a registration. But a column is the fraction of a class times a function
of the coordinates, so that every sum is one of few kinds: fractions of two classes times a monomial
of twice the order, or times a monomial within one region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from bidsapp.core.grid.alignment import LENGTH_MM
from bidsapp.core.grid.sampling import Float32, Float64

RIDGE = 1e-6  # of the mean diagonal: keeps a class outside the field of view from dividing by zero


def _exponents(order: int) -> list[tuple[int, ...]]:
    """Axes whose coordinates a monomial multiplies, for each up to ``order``, () first."""
    return [
        axes
        for degree in range(order + 1)
        for axes in combinations_with_replacement(range(3), degree)
    ]


def _monomials(points: Float64, centre: Float64, order: int) -> Float64:
    """All monomials of the coordinates up to ``order``, shape (K, N), the constant first."""
    x = np.ascontiguousarray((points - centre).T / LENGTH_MM)
    rows: dict[tuple[int, ...], Float64] = {(): np.ones(x.shape[1])}
    for axes in _exponents(order)[1:]:
        rows[axes] = rows[axes[:-1]] * x[axes[-1]]
    return np.stack(list(rows.values()))


def drift_basis(points: Float64, centre: Float64, order: int) -> Float64:
    """Return all monomials of the coordinates up to ``order``, shape (N, K), the constant first.

    Parameters
    ----------
    points : ndarray, shape (N, 3), mm
    centre : ndarray, shape (3,), mm
    order : int

    Returns
    -------
    ndarray, shape (N, K)
    """
    return np.ascontiguousarray(_monomials(points, centre, order).T)


@dataclass(frozen=True)
class SpatialTerms:
    """Basis functions of the levels, polynomials and regions, at N points.

    Attributes
    ----------
    monomials : ndarray, shape (K, N)
        Up to the order of the drift, the constant first.
    products : ndarray, shape (L, N)
        Up to twice that order.
    of_pair : ndarray of int, shape (K, K)
        Which of ``products`` is the product of two monomials.
    borders : ndarray of int, shape (R + 1,)
        Region r is the points from ``borders[r]`` to ``borders[r + 1]``.
    """

    monomials: Float64
    products: Float64
    of_pair: NDArray[np.intp]
    borders: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        points: Float64,
        centre: Float64,
        order: int,
        region: NDArray[np.integer] | None = None,
    ) -> SpatialTerms:
        """Prepare points.

        Parameters
        ----------
        points : ndarray, shape (N, 3)
        centre : ndarray, shape (3,)
            Of the polynomials.
        order : int
            Of the polynomials.
        region : ndarray of int, shape (N,), optional
            Region of every point, ascending; without it all are in one.

        Returns
        -------
        SpatialTerms

        Raises
        ------
        ValueError
            Regions are not ascending.
        """
        products = _monomials(points, centre, 2 * order)
        place = {axes: number for number, axes in enumerate(_exponents(2 * order))}
        own = _exponents(order)
        of_pair = np.array([[place[tuple(sorted(a + b))] for b in own] for a in own])
        inner = np.empty(0, np.intp)
        if region is not None:
            steps = np.diff(region)
            if (steps < 0).any():
                raise ValueError("points have to be sorted by region")
            inner = np.flatnonzero(steps) + 1
        borders = np.concatenate([[0], inner, [len(points)]])
        return cls(products[: len(own)], products, of_pair, borders)

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.borders) - 1

    def by_region(self, values: Float64) -> Float64:
        """Sums of ``values`` (P, N) times every monomial within each region, (R, P, K).

        Parameters
        ----------
        values : ndarray, shape (P, N)

        Returns
        -------
        ndarray, shape (R, P, K)
        """
        spans = zip(self.borders[:-1], self.borders[1:], strict=True)
        return np.stack([values[:, a:b] @ self.monomials[:, a:b].T for a, b in spans])


class Levels:
    """Weighted least squares for the levels of the classes at one pose.

    Coefficients of a class are those of its constants (one, or one a region), then those of the
    monomials from the first order on; class after class.

    Parameters
    ----------
    maps : ndarray, shape (N, C)
        Fraction of each class at each voxel.
    terms : SpatialTerms
        The N voxels.
    weights : ndarray, shape (N,)
    regional : int
        So many of the first classes have a constant in every region instead of one.
    even : sequence of int
        Classes whose level does not drift: the coefficients of their monomials are zero.
    """

    def __init__(
        self,
        maps: Float32,
        terms: SpatialTerms,
        weights: Float64,
        regional: int = 0,
        even: Sequence[int] = (),
    ) -> None:
        self.maps: Float64 = np.ascontiguousarray(maps.T, dtype=np.float64)
        self.terms, self.weights = terms, weights
        self.constants = [terms.n_regions if c < regional else 1 for c in range(len(self.maps))]
        sizes = [count + len(terms.monomials) - 1 for count in self.constants]
        self.begins = [0, *np.cumsum(sizes).tolist()]
        self.free = np.ones(self.begins[-1], bool)
        for c in even:
            self.free[self.begins[c] + self.constants[c] : self.begins[c + 1]] = False
        normal = self._normal()
        normal[np.diag_indices_from(normal)] += RIDGE * np.trace(normal) / len(normal)
        normal = np.where(np.outer(self.free, self.free), normal, np.diag(np.diag(normal)))
        self.factor = cho_factor(normal)

    def _normal(self) -> Float64:
        """Weighted sums of all products of two columns of the design, (T, T)."""
        terms, several = self.terms, [count > 1 for count in self.constants]
        first, second = np.triu_indices(len(self.maps))
        shared = self.maps[first] * self.maps[second]
        shared *= self.weights
        everywhere = (shared @ terms.products.T)[:, terms.of_pair]  # (pair, K, K)
        within = np.array([several[c] or several[d] for c, d in zip(first, second, strict=True)])
        by_region = iter(())
        if within.any():
            by_region = iter(np.moveaxis(terms.by_region(shared[within]), 1, 0))  # (pair, R, K)
        normal = np.empty((self.begins[-1], self.begins[-1]))
        for c, d, sums, split in zip(first, second, everywhere, within, strict=True):
            block = np.empty(
                (self.begins[c + 1] - self.begins[c], self.begins[d + 1] - self.begins[d])
            )
            m, n = self.constants[c], self.constants[d]
            block[m:, n:] = sums[1:, 1:]
            regions = next(by_region) if split else sums[:1]
            block[:m, n:] = regions[:, 1:] if m > 1 else sums[:1, 1:]
            block[m:, :n] = regions[:, 1:].T if n > 1 else sums[1:, :1]
            constant = regions[:, 0]
            block[:m, :n] = np.diag(constant) if m == n else constant.reshape(m, n)
            rows_c, rows_d = (slice(self.begins[k], self.begins[k + 1]) for k in (c, d))
            normal[rows_c, rows_d] = block
            normal[rows_d, rows_c] = block.T
        return normal

    def solve(self, values: Float64) -> Float64:
        """Return the coefficients (T,) or (T, M) that fit ``values``, (N,) or (N, M).

        Parameters
        ----------
        values : ndarray, shape (N,) or (N, M)

        Returns
        -------
        ndarray, shape (T,) or (T, M)
        """
        several = values.reshape(len(values), -1).T  # (M, N)
        right = np.empty((self.begins[-1], len(several)))
        for c, count in enumerate(self.constants):
            weighted = several * (self.maps[c] * self.weights)
            begin, end = self.begins[c : c + 2]
            sums = weighted @ self.terms.monomials.T
            right[begin + count : end] = sums[:, 1:].T
            right[begin : begin + count] = (
                sums[:, :1] if count == 1 else np.add.reduceat(weighted, self.terms.borders[:-1], 1)
            ).T
        right[~self.free] = 0
        solved: Float64 = cho_solve(self.factor, right)
        return solved.reshape(-1, *values.shape[1:])

    def local(self, coefficients: Float64) -> Float64:
        """Return the level of every class at every voxel, (N, C), for coefficients (T,).

        Parameters
        ----------
        coefficients : ndarray, shape (T,)

        Returns
        -------
        ndarray, shape (N, C)
        """
        return np.concatenate(list(self._local(coefficients[:, None]))).T

    def _local(self, coefficients: Float64) -> Iterator[Float64]:
        """Level of one class after the other, (M, N)."""
        lengths = np.diff(self.terms.borders)
        for c, count in enumerate(self.constants):
            begin, end = self.begins[c : c + 2]
            levels = coefficients[begin + count : end].T @ self.terms.monomials[1:]
            own = coefficients[begin : begin + count].T
            levels += own if count == 1 else np.repeat(own, lengths, axis=1)
            yield levels

    def at(self, coefficients: Float64) -> Float64:
        """Return the voxels (N,) or (N, M) predicted by levels (T,) or (T, M).

        Parameters
        ----------
        coefficients : ndarray, shape (T,) or (T, M)

        Returns
        -------
        ndarray, shape (N,) or (N, M)
        """
        several = coefficients.reshape(len(coefficients), -1)
        total = np.zeros((several.shape[1], self.maps.shape[1]))
        for fraction, level in zip(self.maps, self._local(several), strict=True):
            level *= fraction
            total += level
        return total.T.reshape(-1, *coefficients.shape[1:])

    def part(self, values: Float64) -> Float64:
        """Return the part of ``values`` that the levels explain.

        Parameters
        ----------
        values : ndarray, shape (N,) or (N, M)

        Returns
        -------
        ndarray
            The same shape.
        """
        return self.at(self.solve(values))

    def design(self) -> Float64:
        """Return the voxels predicted by each coefficient alone, (N, T); zero if it is fixed.

        Returns
        -------
        ndarray, shape (N, T)
        """
        return self.at(np.diag(self.free.astype(np.float64)))
