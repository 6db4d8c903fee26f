"""Levels of the classes by place: known levels come back."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.registration.levels import RIDGE, Levels, SpatialTerms, drift_basis

RNG = np.random.default_rng(4)
POINTS = RNG.uniform(-60, 60, (600, 3))
FRACTIONS = RNG.dirichlet([1, 1, 1], 600).astype(np.float32)
REGION = np.sort(RNG.choice([7, 3, 40], 600))
WEIGHTS = RNG.uniform(0.5, 1, 600)


def columns(regional: int, order: int) -> np.ndarray:
    """Fraction of each class times each function of place, written out, (N, T)."""
    drift = drift_basis(POINTS, np.zeros(3), order)
    inside = (REGION[:, None] == np.unique(REGION)).astype(float)
    parts = []
    for c in range(3):
        parts += [inside if c < regional else drift[:, :1], drift[:, 1:]]
        parts[-2:] = [part * FRACTIONS[:, [c]] for part in parts[-2:]]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("regional", [0, 1, 2, 3])
def test_sums_by_region_are_those_of_the_whole_design(regional, order):
    design = columns(regional, order)
    levels = Levels(
        FRACTIONS, SpatialTerms.of(POINTS, np.zeros(3), order, REGION), WEIGHTS, regional
    )
    np.testing.assert_allclose(levels.design(), design, rtol=1e-6, atol=1e-12)
    normal = (design.T * WEIGHTS) @ design
    normal += RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    factor = np.triu(levels.factor[0])
    np.testing.assert_allclose(factor.T @ factor, normal, rtol=1e-6, atol=1e-12)
    values = RNG.normal(size=(600, 2))
    wanted = np.linalg.solve(normal, (design.T * WEIGHTS) @ values)
    assert levels.solve(values) == pytest.approx(wanted)
    assert levels.solve(values[:, 0]) == pytest.approx(wanted[:, 0])
    np.testing.assert_allclose(levels.part(values), design @ wanted, rtol=1e-6, atol=1e-12)


def test_levels_of_any_region_and_any_drift_come_back():
    terms = SpatialTerms.of(POINTS, np.zeros(3), 2, REGION)
    by_region = np.array([1.0, 5.0, -2.0])[np.searchsorted([3, 7, 40], REGION)]
    drift = drift_basis(POINTS, np.zeros(3), 2)
    true = np.stack([by_region + drift @ np.arange(10), drift @ np.ones(10), np.ones(600)], axis=1)
    pet = (true * FRACTIONS).sum(axis=1)
    fit = Levels(FRACTIONS, terms, WEIGHTS, regional=1)
    assert fit.part(pet) == pytest.approx(pet, abs=1e-3)
    assert fit.local(fit.solve(pet)) == pytest.approx(true, abs=0.05)


def test_the_common_constant_is_not_there_twice():
    design = columns(3, 2)
    assert np.linalg.matrix_rank(design) == design.shape[1]


def test_a_single_region_is_the_drift_itself():
    terms = SpatialTerms.of(POINTS, np.zeros(3), 1, np.full(600, 9))
    none = SpatialTerms.of(POINTS, np.zeros(3), 1)
    one, other = (Levels(FRACTIONS, p, WEIGHTS, 2).design() for p in (terms, none))
    assert np.array_equal(one, other)


def test_points_have_to_come_region_by_region():
    with pytest.raises(ValueError, match="sorted"):
        SpatialTerms.of(POINTS, np.zeros(3), 1, REGION[::-1])


@pytest.mark.parametrize("regional", [0, 2])
def test_an_even_class_has_one_level_and_the_others_drift(regional):
    terms = SpatialTerms.of(POINTS, np.zeros(3), 2, REGION)
    design = columns(regional, 2)
    levels = Levels(FRACTIONS, terms, WEIGHTS, regional, even=(1,))
    begin, end = levels.begins[1] + levels.constants[1], levels.begins[2]
    drifting = np.arange(begin, end)
    held = np.zeros_like(levels.design()[:, drifting])
    assert np.array_equal(levels.design()[:, drifting], held)
    values = RNG.normal(size=600)
    found = levels.solve(values)
    assert not found[drifting].any()
    rest = np.delete(design, drifting, axis=1)
    best = np.linalg.lstsq(rest * np.sqrt(WEIGHTS)[:, None], values * np.sqrt(WEIGHTS), rcond=None)
    assert levels.part(values) == pytest.approx(rest @ best[0], abs=1e-3)
