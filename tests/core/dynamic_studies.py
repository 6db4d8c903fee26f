"""Dynamic studies of known kinetics, made without the code under test.

Tissue answers a plasma curve (Feng, Huang & Wang 1993, model 2) by compartments, solved on a grid
of half seconds by the exact recursion for a linear plasma curve between its points; frames are
integrals of that. The fitted code knows neither plasma nor compartments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

STEP_MIN = 0.5 / 60
HALF_LIFE_S = 6586.2
FULL = [15] * 4 + [30] * 4 + [60] * 3 + [120] * 2 + [300] * 17  # s, to 95 min
EARLY = [*FULL[:13], *[300] * 4]  # s, to 30 min


def feng(t: np.ndarray, delay: float = 0.3) -> np.ndarray:
    """Plasma activity at ``t`` min after a bolus."""
    u = np.maximum(t - delay, 0)
    a1, a2, a3 = 851.1, 21.88, 20.81
    fast, middle, slow = np.exp(-4.134 * u), np.exp(-0.1191 * u), np.exp(-0.0104 * u)
    return np.where(t > delay, (a1 * u - a2 - a3) * fast + a2 * middle + a3 * slow, 0.0)


def convolve(values: np.ndarray, rate: float) -> np.ndarray:
    """Convolution with exp(-rate t) of a curve that is linear between the points of the grid."""
    x = rate * STEP_MIN
    whole = -np.expm1(-x) / rate
    new = (1 - whole / STEP_MIN) / rate
    return lfilter([new, whole - new], [1.0, -np.exp(-x)], values)


def two_tissue(plasma, K1: float, k2: float, k3: float, k4: float) -> np.ndarray:
    """Free and bound tracer together: two exponentials."""
    total = k2 + k3 + k4
    root = np.sqrt(total**2 - 4 * k2 * k4)
    slow, fast = (total - root) / 2, (total + root) / 2
    share = (k3 + k4 - slow) / (fast - slow)
    return K1 * (share * convolve(plasma, slow) + (1 - share) * convolve(plasma, fast))


def schedule(*parts: tuple[float, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Start and end (s) of the frames of parts, each a start in min and durations in s."""
    start, end = [], []
    for begin, durations in parts:
        stops = 60 * begin + np.cumsum(durations)
        start.append(stops - durations)
        end.append(stops)
    return np.concatenate(start), np.concatenate(end)


def frame_means(curve: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Means of a curve on the grid over frames."""
    steps = (curve[1:] + curve[:-1]) / 2 * STEP_MIN
    integral = np.concatenate([[0.0], np.cumsum(steps)])
    t = np.arange(len(curve)) * STEP_MIN
    low, high = (np.interp(edge / 60, t, integral) for edge in (start_s, end_s))
    return (high - low) / (end_s - start_s) * 60


def decay_factor(start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """What corrects activity of F-18 to the injection."""
    return np.exp(np.log(2) / HALF_LIFE_S * (start_s + end_s) / 2)


@dataclass(frozen=True)
class Tissues:
    """Frames of tissues that follow SRTM exactly, and what they were made of."""

    start_s: np.ndarray
    end_s: np.ndarray
    reference: np.ndarray
    target: np.ndarray
    R1: np.ndarray
    BPND: np.ndarray
    k2_prime: float

    @property
    def DVR(self) -> np.ndarray:
        return 1 + self.BPND

    @property
    def decay_factor(self) -> np.ndarray:
        return decay_factor(self.start_s, self.end_s)

    def noisy(self, level: float, rng: np.random.Generator):
        """Target and reference with the noise of counts; ``level`` is that of the last frames."""
        floor = 0.02 * self.reference.max()

        def sd(curve):
            least = np.maximum(curve, floor)
            return np.sqrt(least * self.decay_factor / (self.end_s - self.start_s))

        def noise(curve, level):
            last = sd(curve)[..., -4:] / curve[..., -4:]
            size = level / last.mean(axis=-1, keepdims=True)
            return size * sd(curve) * rng.standard_normal(curve.shape)

        # a reference region is large: its mean has a third of the noise
        return self.target + noise(self.target, level), self.reference + noise(
            self.reference, level / 3
        )


def tissues(R1, BPND, *, k2_prime: float = 0.12, frames=None, delay: float = 0.3) -> Tissues:
    """Frames (default: 95 min without break) of tissues of one compartment each."""
    start, end = schedule((0.0, FULL)) if frames is None else frames
    t = np.arange(0, end[-1] / 60 + 1, STEP_MIN)
    plasma = feng(t, delay)
    k1 = 0.1
    R1, BPND = np.asarray(R1, float), np.asarray(BPND, float)
    curves = [
        r1 * k1 * convolve(plasma, r1 * k2_prime / (1 + bp))
        for r1, bp in zip(R1, BPND, strict=True)
    ]
    return Tissues(
        start_s=start,
        end_s=end,
        reference=frame_means(k1 * convolve(plasma, k2_prime), start, end),
        target=np.array([frame_means(curve, start, end) for curve in curves]),
        R1=R1,
        BPND=BPND,
        k2_prime=k2_prime,
    )
