"""Parametric images against known kinetics, and the time they take."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic_studies import tissues

from bidsapp.core.kinetics.srtm import srtm, srtm2
from bidsapp.core.kinetics.study import KineticStudy
from bidsapp.core.kinetics.voxelwise import srtm2_maps, srtm_maps
from bidsapp.core.kinetics.weights import frame_weights


def _study(made) -> KineticStudy:
    weights = frame_weights(made.start_s, made.end_s, made.reference, made.decay_factor)
    return KineticStudy.of(made.start_s, made.end_s, made.target, made.reference, weights)


def test_without_noise_images_equal_regions():
    rng = np.random.default_rng(0)
    made = tissues(rng.uniform(0.5, 1.2, 300), rng.uniform(-0.2, 2.0, 300))
    study = _study(made)
    for maps, regions in (
        (srtm_maps(study, made.target), srtm(study)),
        (srtm2_maps(study, made.target, 0.12), srtm2(study, 0.12)),
    ):
        assert maps.DVR.dtype == np.float32
        np.testing.assert_allclose(maps.DVR, made.DVR, rtol=3e-3)
        np.testing.assert_allclose(maps.R1, made.R1, rtol=5e-3)
        np.testing.assert_allclose(maps.BPND, regions.values["BPND"], atol=5e-3)


@pytest.mark.parametrize(("level", "bar"), [(0.05, 0.01), (0.1, 0.03)])
def test_noise_of_voxels_biases_little(level, bar):
    bpnd = np.array([0.1, 0.2, 0.4, 0.6, 1.0, 2.0])
    made = tissues(np.array([1.05, 0.65, 0.9, 1.05, 1.05, 0.9]), bpnd)
    rng = np.random.default_rng(1)
    voxels = np.concatenate([made.noisy(level, rng)[0] for _ in range(1500)])
    study = _study(made)
    for maps in (srtm_maps(study, voxels), srtm2_maps(study, voxels, 0.12)):
        dvr = maps.DVR.reshape(-1, len(bpnd))
        assert np.isnan(dvr).mean() < 0.02
        assert np.abs(np.nanmean(dvr, axis=0) / made.DVR - 1).max() < bar


def test_fixed_clearance_lowers_the_noise():
    made, rng = tissues([1.05], [0.4]), np.random.default_rng(2)
    voxels = np.concatenate([made.noisy(0.1, rng)[0] for _ in range(1000)])
    study = _study(made)
    spread = [np.nanstd(m.DVR) for m in (srtm_maps(study, voxels), srtm2_maps(study, voxels, 0.12))]
    assert spread[1] < 0.95 * spread[0]


def test_empty_voxels_have_no_value():
    made = tissues([1.0], [0.5])
    voxels = np.vstack([made.target, np.zeros_like(made.target), np.full_like(made.target, np.nan)])
    for maps in (srtm_maps(_study(made), voxels), srtm2_maps(_study(made), voxels, 0.12)):
        for values in (maps.DVR, maps.BPND):
            assert np.isnan(values).tolist() == [False, True, True]


def test_chunks_change_no_bit():
    made, rng = tissues([1.05], [0.4]), np.random.default_rng(3)
    voxels = np.concatenate([made.noisy(0.1, rng)[0] for _ in range(6000)])
    study = _study(made)
    whole = srtm_maps(study, voxels)
    parts = [srtm_maps(study, voxels[part]).DVR for part in (slice(4096), slice(4096, None))]
    np.testing.assert_array_equal(whole.DVR, np.concatenate(parts))
