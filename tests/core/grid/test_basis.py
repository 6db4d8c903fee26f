"""Cosines and separable sums against their definitions."""

import numpy as np
import pytest

from bidsapp.core.grid.basis import Separable, dct_functions, squared_frequencies

RNG = np.random.default_rng(1)


@pytest.fixture
def separable():
    return Separable(*(RNG.normal(size=shape) for shape in ((7, 3), (6, 4), (5, 2))))


def dense(basis):
    """Every function on every voxel, shape (voxels, functions)."""
    return np.einsum("xi,yj,zk->xyzijk", basis.x, basis.y, basis.z).reshape(7 * 6 * 5, -1)


@pytest.mark.parametrize(("length", "order"), [(16, 16), (33, 8), (5, 1)])
def test_cosines_are_orthonormal_over_the_box(length, order):
    functions = dct_functions(np.arange(length), length, order)
    np.testing.assert_allclose(functions.T @ functions, np.eye(order), atol=1e-12)


def test_evaluate_project_and_gram_are_the_dense_sums(separable):
    functions = dense(separable)
    coefficients = RNG.normal(size=separable.orders)
    field = RNG.normal(size=(7, 6, 5))
    weight = RNG.random(size=(7, 6, 5))
    np.testing.assert_allclose(
        separable.evaluate(coefficients).ravel(), functions @ coefficients.ravel()
    )
    np.testing.assert_allclose(separable.project(field).ravel(), functions.T @ field.ravel())
    expected = functions.T @ (weight.ravel()[:, None] * functions)
    np.testing.assert_allclose(separable.gram(weight), expected, atol=1e-12)


def test_frequencies_are_those_of_the_second_derivative():
    """The second derivative of a cosine is minus its squared frequency times itself."""
    length, voxel = 400, 0.25
    cosine = dct_functions(np.arange(length), length, 4)[:, 3]
    second = np.gradient(np.gradient(cosine, voxel), voxel)[50:350]
    k2 = squared_frequencies((4, 1, 1), np.array([length * voxel, 1.0, 1.0]))[0].ravel()[3]
    np.testing.assert_allclose(second, -k2 * cosine[50:350], atol=2e-6)
