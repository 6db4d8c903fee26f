"""Levels of the classes by place: known levels come back."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.tissue_model import Levels, drift_basis, regional_basis

RNG = np.random.default_rng(4)
POINTS = RNG.uniform(-60, 60, (600, 3))
FRACTIONS = RNG.dirichlet([1, 1, 1], 600).astype(np.float32)
REGION = RNG.choice([7, 3, 40], 600)


def test_a_regional_basis_holds_any_level_by_region_and_any_drift():
    drift = drift_basis(POINTS, np.zeros(3), 2)
    basis = regional_basis(drift, REGION)
    assert basis.shape == (600, 3 + 9)
    by_region = np.array([1.0, 5.0, -2.0])[np.searchsorted([3, 7, 40], REGION)]
    wanted = by_region + drift @ np.arange(10)
    left = wanted - basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0]
    assert np.abs(left).max() < 1e-10
    assert np.linalg.matrix_rank(basis) == basis.shape[1]  # the common constant is not there twice


def test_a_single_region_is_the_drift_itself():
    drift = drift_basis(POINTS, np.zeros(3), 1)
    assert np.array_equal(regional_basis(drift, np.full(600, 9)), drift)


def test_levels_of_classes_with_bases_of_their_own_come_back():
    drift = drift_basis(POINTS, np.zeros(3), 1)
    bases = [regional_basis(drift, REGION), drift, drift[:, :1]]
    true = [RNG.normal(size=basis.shape[1]) for basis in bases]
    levels = np.stack([basis @ part for basis, part in zip(bases, true, strict=True)], axis=1)
    pet = (levels * FRACTIONS).sum(axis=1)
    fit = Levels(FRACTIONS, bases, RNG.uniform(0.5, 1, 600))
    assert fit.part(pet) == pytest.approx(pet, abs=1e-3)
    assert fit.local(fit.solve(pet)) == pytest.approx(levels, abs=0.05)
