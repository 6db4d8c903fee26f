"""Solutions of normal equations against those known."""

import numpy as np
import pytest

from bidsapp.core.grid.least_squares import (
    damped,
    refined_solution,
    shortest_solution,
    weighted_least_squares,
)


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e9])
def test_equations_are_solved_to_double_precision(condition):
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(80, 80)))[0]
    scale = np.geomspace(1, 1e4, 80)  # of the unknowns: fields of long and of short waves
    matrix = scale[:, None] * ((turn * np.geomspace(1, condition, 80)) @ turn.T) * scale
    matrix = (matrix + matrix.T) / 2
    expected = rng.normal(size=80) / scale
    found = refined_solution(matrix, matrix @ expected)
    np.testing.assert_allclose(found * scale, expected * scale, atol=1e-14 * condition + 1e-9)
    assert not refined_solution(matrix, np.zeros(80)).any()


def test_equations_without_a_solution_are_refused():
    with pytest.raises(np.linalg.LinAlgError):
        refined_solution(np.diag([1.0, -1.0]), np.ones(2))


def test_a_weight_counts_as_repetition():
    rng = np.random.default_rng(4)
    design, values, times = rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), np.arange(9)
    repeated = np.repeat(design, times, axis=0), np.repeat(values, times, axis=0)
    found = weighted_least_squares(design, values, times.astype(float))
    np.testing.assert_allclose(found, np.linalg.lstsq(*repeated)[0], rtol=1e-8)


def test_what_nothing_says_is_zero():
    assert shortest_solution(np.diag([2.0, 0]), np.array([4.0, 0])).tolist() == [2, 0]


def test_damping_shortens_a_step_along_every_axis():
    normal, right = np.diag([1.0, 100]), np.array([1.0, 100])
    steps = [shortest_solution(damped(normal, tried), right) for tried in (0, 1, 9)]
    np.testing.assert_allclose(steps, [[1, 1], [0.5, 0.5], [0.1, 0.1]])
