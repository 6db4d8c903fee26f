"""Mixture of Gaussians with spatial priors: the intensity part of unified segmentation.

Source of the method: Ashburner & Friston, NeuroImage 26:839 (2005), sections 2.1 and 2.4; of
`reseeded`: Ueda et al., Neural Comput 12:2109 (2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

CLASSES = 4  # grey matter, white matter, CSF, everything else
GAUSSIANS_PER_CLASS = (2, 2, 2, 4)
CLASS_OF = np.repeat(np.arange(CLASSES), GAUSSIANS_PER_CLASS)
MEMBERS = np.eye(CLASSES, dtype=np.float32)[CLASS_OF]  # (K, 4), which Gaussian is of which class

_EM_STEPS = 40
_EM_GAIN = 1e-4  # per voxel
_LOST = 0.01  # of the voxels of its class: a Gaussian that has less explains nothing
# Intensities are scaled to a typical value of one; no Gaussian gets narrower than this.
_NARROWEST = 4e-3
_TINY = np.float32(1e-30)
_CHUNK = 16384  # voxels at a time: sums in double precision stay in the processor's cache


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

    def density(self, intensity: Float) -> Float32:
        """gamma_k N(intensity; mean_k, variance_k), shape (n, K).

        Parameters
        ----------
        intensity : ndarray, shape (n,)

        Returns
        -------
        ndarray, shape (n, K)
        """
        # single precision: exp is where the time goes, and seven digits are plenty for a density;
        # Gaussian by Gaussian in memory, so that loops run along the voxels
        sharpness = (1 / np.sqrt(2 * self.variance)).astype(np.float32)
        density = np.multiply.outer(sharpness, intensity.astype(np.float32))
        density -= (self.mean * sharpness).astype(np.float32)[:, None]
        np.multiply(density, density, out=density)
        np.exp(np.negative(density, out=density), out=density)
        density *= (self.weight / np.sqrt(2 * np.pi * self.variance)).astype(np.float32)[:, None]
        return density.T

    def class_weight(self) -> Float:
        """Sum of gamma over the Gaussians of each class, shape (4,).

        Returns
        -------
        ndarray, shape (4,)
        """
        result: Float = self.weight @ MEMBERS
        return result


def initial_mixture(intensity: Float, prior: Float32) -> Mixture:
    """Start values from prior-weighted moments, the Gaussians of a class spread around its mean.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
    prior : ndarray, shape (n, 4)

    Returns
    -------
    Mixture
    """
    _, mean, variance = _moments(intensity, prior)
    spread = [np.linspace(-1, 1, n + 2)[1:-1] for n in GAUSSIANS_PER_CLASS]
    count = np.array(GAUSSIANS_PER_CLASS)[CLASS_OF]
    return Mixture(
        weight=1.0 / count,
        mean=mean[CLASS_OF] + np.concatenate(spread) * np.sqrt(variance[CLASS_OF]),
        variance=variance[CLASS_OF] / count,
    )


@dataclass(frozen=True)
class Evidence:
    """Likelihood of the voxels under a mixture.

    Attributes
    ----------
    joint : ndarray, shape (n, K)
        gamma_k b_k N_k.
    total : ndarray, shape (n,)
        Sum of ``joint``.
    log_likelihood : float
        Sum over voxels of ``log(rho sum_k gamma_k b_k N_k / sum_k gamma_k b_k)``.
    """

    joint: Float32
    total: Float32
    log_likelihood: float

    def responsibilities(self) -> Float32:
        """Probability of every Gaussian in every voxel, shape (n, K).

        Returns
        -------
        ndarray, shape (n, K)
            They add up to 1 in every voxel.
        """
        return self.joint / self.total[:, None]


def evidence(
    intensity: Float, prior: Float32, mixture: Mixture, log_bias: Float | None = None
) -> Evidence:
    """Evaluate the mixture.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
        Bias-corrected, in units of the mixture.
    prior : ndarray, shape (n, 4)
    mixture : Mixture
    log_bias : ndarray, shape (n,), optional

    Returns
    -------
    Evidence
    """
    joint = np.empty((len(CLASS_OF), len(intensity)), np.float32)
    total = np.empty(len(intensity), np.float32)
    for first in range(0, len(intensity), _CHUNK):
        part = slice(first, first + _CHUNK)
        weighted = mixture.density(intensity[part]).T
        for row, of_class in zip(weighted, CLASS_OF, strict=True):
            row *= prior[part, of_class]
        joint[:, part], total[part] = weighted, weighted.sum(axis=0) + _TINY
    likelihood = log_ratio(total, prior, mixture)
    if log_bias is not None:
        likelihood += float(log_bias.sum())
    return Evidence(joint.T, total, likelihood)


def log_ratio(total: Float32, prior: Float32, mixture: Mixture) -> float:
    """Sum of ``log(total / sum_k gamma_k b_k)``: the part of the likelihood that priors move.

    Parameters
    ----------
    total : ndarray, shape (n,)
        Sum of `by_class` times the priors.
    prior : ndarray, shape (n, 4)
    mixture : Mixture

    Returns
    -------
    float
    """
    expected = prior @ mixture.class_weight().astype(np.float32)
    return float(np.log(total / expected).sum(dtype=np.float64))


def by_class(intensity: Float, mixture: Mixture) -> Float32:
    """gamma-weighted likelihood of each class, priors left out, shape (n, 4).

    Parameters
    ----------
    intensity : ndarray, shape (n,)
        Bias-corrected, in units of the mixture.
    mixture : Mixture

    Returns
    -------
    ndarray, shape (n, 4)
    """
    result: Float32 = (MEMBERS.T @ mixture.density(intensity).T).T
    result += _TINY
    return result


def expectation_maximisation(
    intensity: Float,
    prior: Float32,
    mixture: Mixture,
    log_bias: Float | None = None,
    known: Evidence | None = None,
) -> tuple[Mixture, Evidence]:
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
    known : Evidence, optional
        That of the start values, if it is there already.

    Returns
    -------
    mixture : Mixture
    evidence : Evidence
        Of the returned mixture.
    """
    now = known or evidence(intensity, prior, mixture, log_bias)
    for _ in range(_EM_STEPS):
        mass, mean, variance = _moments(intensity, now.responsibilities())
        balance = 1 / (prior @ mixture.class_weight().astype(np.float32))
        expected = balance.astype(np.float64) @ prior.astype(np.float64)
        mixture = Mixture(mass / expected[CLASS_OF], mean, variance)
        before, now = now, evidence(intensity, prior, mixture, log_bias)
        if now.log_likelihood - before.log_likelihood < _EM_GAIN * intensity.size:
            break
    return mixture, now


def reseeded(mixture: Mixture, now: Evidence) -> Mixture | None:
    """Give every lost Gaussian half of the heaviest one of its class; None when none is lost.

    A Gaussian that fits a few outliers does not recover by expectation maximisation, and the rest
    of its class is too narrow: darker white matter becomes grey.

    Parameters
    ----------
    mixture : Mixture
    now : Evidence
        Of this mixture.

    Returns
    -------
    Mixture or None
    """
    mass = now.responsibilities().sum(axis=0, dtype=np.float64)
    weight, mean, variance = mixture.weight.copy(), mixture.mean.copy(), mixture.variance.copy()
    lost = np.flatnonzero(mass < _LOST * (mass @ MEMBERS)[CLASS_OF])
    for k in lost:
        siblings = CLASS_OF[k] == CLASS_OF
        heaviest = np.argmax(np.where(siblings, mass, 0))
        pair, half = np.array([k, heaviest]), np.sqrt(variance[heaviest]) / 2
        mean[pair] = mean[heaviest] + np.array([-half, half])
        variance[pair] = variance[heaviest]
        weight[pair] = weight[heaviest] / 2
        mass[pair] = mass[heaviest] / 2
    return Mixture(weight, mean, variance) if lost.size else None


def _moments(intensity: Float, weight: Float32) -> tuple[Float, Float, Float]:
    """Mass, mean and variance of the intensities under each column of ``weight``."""
    sums = np.zeros((3, weight.shape[1]))
    for first in range(0, len(intensity), _CHUNK):
        values = intensity[first : first + _CHUNK]
        powers = np.stack([np.ones_like(values), values, values**2])
        sums += powers @ weight[first : first + _CHUNK].astype(np.float64)
    mass, first_power, second = sums
    mass += 1e-10
    mean = first_power / mass
    return mass, mean, np.maximum(second / mass - mean**2, _NARROWEST**2)
