"""Mixture of Gaussians with spatial priors: the intensity part of unified segmentation.

Source of the method: Ashburner & Friston, NeuroImage 26:839 (2005), sections 2.1 and 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

CLASSES = 4  # grey matter, white matter, CSF, everything else
GAUSSIANS_PER_CLASS = (2, 2, 2, 4)
CLASS_OF = np.repeat(np.arange(CLASSES), GAUSSIANS_PER_CLASS)
MEMBERS = np.eye(CLASSES)[CLASS_OF]  # (K, 4): which Gaussian belongs to which class

_EM_STEPS = 40
_EM_GAIN = 1e-4  # per voxel
# Intensities are scaled to a typical value of one; no Gaussian gets narrower than this.
_NARROWEST = 4e-3


@dataclass(frozen=True)
class Mixture:
    """K Gaussians, each of one tissue class.

    Attributes
    ----------
    weight : ndarray, shape (K,)
        gamma_k, the relative frequency within the priors.
    mean, variance : ndarray, shape (K,)
        Of bias-corrected intensity.
    """

    weight: Float
    mean: Float
    variance: Float

    def density(self, intensity: Float) -> Float:
        """gamma_k N(intensity; mean_k, variance_k), shape (n, K)."""
        distance = intensity[:, None] - self.mean
        scale = self.weight / np.sqrt(2 * np.pi * self.variance)
        result: Float = scale * np.exp(-0.5 * distance * distance / self.variance)
        return result

    def class_weight(self) -> Float:
        """Sum of gamma over the Gaussians of each class, shape (4,)."""
        result: Float = self.weight @ MEMBERS
        return result


def initial_mixture(intensity: Float, prior: Float) -> Mixture:
    """Start values from prior-weighted moments, the Gaussians of a class spread around its mean.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
    prior : ndarray, shape (n, 4)
    """
    total = prior.sum(axis=0)
    mean = intensity @ prior / total
    variance = ((intensity[:, None] - mean) ** 2 * prior).sum(axis=0) / total
    means, variances, weights = [], [], []
    for c, n in enumerate(GAUSSIANS_PER_CLASS):
        offset = np.linspace(-1, 1, n + 2)[1:-1]
        means.append(mean[c] + offset * np.sqrt(variance[c]))
        variances.append(np.full(n, variance[c] / n + _NARROWEST**2))
        weights.append(np.full(n, 1.0 / n))
    return Mixture(np.concatenate(weights), np.concatenate(means), np.concatenate(variances))


def log_likelihood(density: Float, prior: Float, mixture: Mixture, log_bias: Float | None) -> float:
    """Sum over voxels of ``log(rho sum_k gamma_k b_k N_k / sum_k gamma_k b_k)``."""
    by_class = density @ MEMBERS
    top = (by_class * prior).sum(axis=1)
    bottom = prior @ mixture.class_weight()
    total = np.log((top + 1e-300) / bottom).sum()
    if log_bias is not None:
        total += log_bias.sum()
    return float(total)


def responsibilities(density: Float, prior: Float) -> Float:
    """Probability of every Gaussian in every voxel, shape (n, K)."""
    joint = density * prior[:, CLASS_OF]
    joint /= joint.sum(axis=1, keepdims=True) + 1e-300
    return joint


def expectation_maximisation(
    intensity: Float, prior: Float, mixture: Mixture, log_bias: Float | None = None
) -> tuple[Mixture, float]:
    """Update the mixture until the gain per voxel is small.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
        Bias-corrected.
    prior : ndarray, shape (n, 4)
    mixture : Mixture
        Start values.
    log_bias : ndarray, shape (n,), optional
        Enters the likelihood only.

    Returns
    -------
    mixture : Mixture
    log_likelihood : float
    """
    density = mixture.density(intensity)
    likelihood = log_likelihood(density, prior, mixture, log_bias)
    for _ in range(_EM_STEPS):
        p = responsibilities(density, prior)
        mass = p.sum(axis=0) + 1e-10
        mean = intensity @ p / mass
        # centred second moment without an (n, K) temporary
        variance = np.maximum((intensity * intensity) @ p / mass - mean * mean, _NARROWEST**2)
        expected = (prior / (prior @ mixture.class_weight())[:, None]).sum(axis=0)
        mixture = Mixture(mass / expected[CLASS_OF], mean, variance)
        density = mixture.density(intensity)
        before, likelihood = likelihood, log_likelihood(density, prior, mixture, log_bias)
        if likelihood - before < _EM_GAIN * intensity.size:
            break
    return mixture, likelihood
