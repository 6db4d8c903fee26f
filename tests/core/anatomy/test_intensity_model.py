"""The mixture in few numbers: it must describe the intensities it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.anatomy.intensity_model import intensity_model
from bidsapp.core.anatomy.mixture import expectation_maximisation, initial_mixture


def test_gaussians_add_up_to_the_histogram():
    rng = np.random.default_rng(0)
    mean, part = np.array([0.7, 1.0, 0.3, 0.1]), np.array([0.4, 0.35, 0.15, 0.1])
    kind = rng.choice(4, size=30_000, p=part)
    intensity = np.abs(rng.normal(mean[kind], 0.05))
    prior = np.full((kind.size, 4), 0.1, np.float32)
    prior[np.arange(kind.size), kind] = 0.7
    mixture, _ = expectation_maximisation(intensity, prior, initial_mixture(intensity, prior))
    model = intensity_model(intensity, prior, mixture, 200.0)
    shares, means, sds = (np.array(values) for values in (model.share, model.mean, model.sd))
    counts = np.array(model.counts)
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    for name, share, at in zip(("GM", "WM", "CSF", "other"), part, 200 * mean, strict=True):
        own = np.array([tissue == name for tissue in model.tissue])
        assert shares[own].sum() == pytest.approx(share, abs=0.03)
        assert np.average(means[own], weights=shares[own]) == pytest.approx(at, abs=4)
    edges = np.linspace(model.low, model.high, counts.size + 1)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)[0]
    gap = (middle[:, None] - means) / sds
    density = (shares * np.exp(-0.5 * gap**2) / (sds * np.sqrt(2 * np.pi))).sum(axis=1)
    expected = counts.sum() * width * density
    assert np.abs(expected - counts).sum() / counts.sum() < 0.1
