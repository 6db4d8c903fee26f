"""The mixture model recovers what made the data and never loses likelihood."""

import numpy as np
import pytest

from bidsapp.core.anatomy import mixture as gmm

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


@pytest.fixture(scope="module")
def shaded(data):
    """White matter of two shades, and a mixture that has lost one of its two Gaussians."""
    intensity, prior = data[0].copy(), data[1]
    white = np.flatnonzero(prior[:, 1] > 0.5)
    rng = np.random.default_rng(6)
    intensity[white] = rng.normal(np.where(white % 2, 1.2, 1.5), 0.06)
    begin = gmm.initial_mixture(intensity, prior)
    mean, variance, weight = begin.mean.copy(), begin.variance.copy(), begin.weight.copy()
    mean[2], variance[2], weight[2] = 50.0, 1.0, 1e-3  # nothing is there
    lost = gmm.Mixture(weight, mean, variance)
    return intensity, prior, *gmm.expectation_maximisation(intensity, prior, lost)


def test_a_lost_gaussian_does_not_come_back_by_itself(shaded):
    _, _, _, now = shaded
    mass = now.responsibilities().sum(axis=0, dtype=float)
    assert mass[2] < 0.01 * (mass[2] + mass[3])


def test_a_lost_gaussian_gets_half_of_the_heaviest_of_its_class(shaded):
    intensity, prior, lost, now = shaded
    split = gmm.reseeded(lost, now)
    np.testing.assert_allclose(split.class_weight()[1], lost.weight[3], rtol=1e-6)
    assert split.mean[2] < lost.mean[3] < split.mean[3]
    np.testing.assert_array_equal(split.mean[[0, 1]], lost.mean[[0, 1]])  # of another class
    found, after = gmm.expectation_maximisation(intensity, prior, split)
    assert after.log_likelihood > now.log_likelihood + 1000
    np.testing.assert_allclose(np.sort(found.mean[2:4]), [1.2, 1.5], atol=0.02)


def test_a_mixture_without_lost_gaussians_is_left_alone(data):
    assert gmm.reseeded(*gmm.expectation_maximisation(*data, gmm.initial_mixture(*data))) is None
