"""The mixture model recovers what made the data and never loses likelihood."""

import numpy as np
import pytest

from bidsapp.core import mixture as gmm

MEANS = np.array([0.8, 1.2, 0.3])


@pytest.fixture(scope="module")
def data():
    """Three tissues of known intensity and a broad rest, with soft priors."""
    rng = np.random.default_rng(5)
    label = rng.integers(0, 4, size=20000)
    intensity = np.where(
        label < 3, rng.normal(np.append(MEANS, 0)[label], 0.06), rng.uniform(0.05, 2, label.size)
    )
    prior = np.full((label.size, 4), 0.1, np.float32)
    prior[np.arange(label.size), label] = 0.7
    return intensity, prior


def class_means(mixture):
    weight = mixture.weight[:, None] * gmm.MEMBERS
    return mixture.mean @ weight / weight.sum(axis=0)


def test_tissue_means_are_recovered(data):
    mixture, _ = gmm.expectation_maximisation(*data, gmm.initial_mixture(*data))
    np.testing.assert_allclose(class_means(mixture)[:3], MEANS, atol=0.03)


def test_expectation_maximisation_never_loses_likelihood(data):
    mixture = gmm.initial_mixture(*data)
    before = gmm.evidence(*data, mixture).log_likelihood
    for _ in range(3):
        mixture, now = gmm.expectation_maximisation(*data, mixture)
        assert now.log_likelihood >= before
        before = now.log_likelihood


def test_intensity_scale_does_not_matter_to_responsibilities(data):
    intensity, prior = data
    once, now = gmm.expectation_maximisation(intensity, prior, gmm.initial_mixture(*data))
    doubled = gmm.Mixture(once.weight, once.mean * 2, once.variance * 4)
    again = gmm.evidence(intensity * 2, prior, doubled)
    np.testing.assert_allclose(now.responsibilities(), again.responsibilities(), atol=1e-4)


def test_evidence_is_the_sum_it_says(data):
    intensity, prior = data[0][:50], data[1][:50]
    mixture = gmm.initial_mixture(*data)
    sd = np.sqrt(mixture.variance)
    density = np.exp(-0.5 * ((intensity[:, None] - mixture.mean) / sd) ** 2)
    density *= mixture.weight / (sd * np.sqrt(2 * np.pi))
    spatial = prior[:, gmm.CLASS_OF]
    expected = np.log((density * spatial).sum(axis=1) / (mixture.weight * spatial).sum(axis=1))
    found = gmm.evidence(intensity, prior, mixture).log_likelihood
    assert found == pytest.approx(expected.sum(), rel=1e-5)


def test_a_constant_tissue_keeps_a_finite_density(data):
    intensity, prior = data[0].copy(), data[1]
    intensity[prior[:, 1] > 0.5] = 1.2
    mixture, now = gmm.expectation_maximisation(
        intensity, prior, gmm.initial_mixture(intensity, prior)
    )
    assert np.isfinite(now.log_likelihood)
    assert mixture.variance.min() > 0
