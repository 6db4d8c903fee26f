"""Time-activity curves as the integrals that a scanner measures.

A frame gives the mean activity over its duration, not the activity at its middle: on a curve that
bends, frames of minutes make these differ by per cents. Here a curve is a function of time whose
means over the frames *are* the measured values (the integral is interpolated, the activity is its
derivative), and every model is averaged over the frames in the same way before it is compared with
the data. So frames may be as long as the scanner made them.

Times are minutes after injection; activity is decay-corrected to one time and zero at injection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bidsapp.errors import BadDataError

Float64 = NDArray[np.float64]

# Frame times of real headers are rounded: neighbours that miss each other by less touch.
_ROUNDING_MIN = 1.0 / 60
# Of the shorter neighbour: a pause between two frames that is shorter hides nothing.
_PAUSE = 0.5
# Intervals that were not measured are cut into pieces of about that length.
_PIECE_MIN = 5.0
# A break is bridged by one tissue: rates of the plasma's exponentials (the last ones make the
# bolus) and clearances of the tissue, per minute; arrivals of the tracer, minutes after the stated
# injection, of which true ones are a minute off where it was slow or noted roughly.
_PLASMA_RATES = np.concatenate([np.geomspace(2e-3, 0.6, 24), [1.0, 2.0, 4.0, 8.0]])
_CLEARANCES = np.geomspace(0.02, 0.6, 36)
_ARRIVALS_MIN = (0.0, 0.15, 0.3, 0.5, *np.arange(0.65, 2.5, 0.15).tolist())
# Gauss-Legendre rule for exp(-theta t) times a parabola over one frame.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class Timeline:
    """Frames of a study and the intervals between them that were not measured.

    Attributes
    ----------
    edges_min : ndarray, shape (E + 1,)
        Ends of the intervals, from injection (0), or the first frame if that is earlier, to the end
        of the last frame.
    frame : ndarray of int, shape (T,)
        The interval of each frame.
    """

    edges_min: Float64
    frame: NDArray[np.intp]

    @classmethod
    def of(cls, start_s: Float64, end_s: Float64) -> Timeline:
        """Put frames in a row from injection, or an earlier first frame, on.

        Parameters
        ----------
        start_s, end_s : ndarray, shape (T,)
            Seconds after injection, rising.

        Returns
        -------
        Timeline

        Raises
        ------
        BadDataError
            Frames overlap or run backwards.
        """
        start, end = np.asarray(start_s, float) / 60, np.asarray(end_s, float) / 60
        if start.shape != end.shape or start.ndim != 1 or not start.size:
            raise BadDataError("kinetics needs one start and one end per frame; check FrameTimes")
        rising = (end > start).all() and (start[1:] > end[:-1] - 1.01 * _ROUNDING_MIN).all()
        if not rising:
            raise BadDataError("the frames overlap; check FrameTimesStart and FrameDuration")
        edges, frame = [min(float(start[0]), 0.0)], []
        for begin, finish in zip(start, end, strict=True):
            missing = begin - edges[-1]
            if missing > _ROUNDING_MIN:
                pieces = max(1, round(missing / _PIECE_MIN))
                edges.extend(np.linspace(edges[-1], begin, pieces + 1)[1:].tolist())
            frame.append(len(edges) - 1)
            edges.append(float(finish))
        return cls(np.array(edges), np.array(frame, dtype=np.intp))

    @property
    def length_min(self) -> Float64:
        """Length of the intervals, shape (E,)."""
        return np.diff(self.edges_min)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether an interval is a frame, shape (E,)."""
        seen = np.zeros(len(self.edges_min) - 1, dtype=bool)
        seen[self.frame] = True
        return seen

    @property
    def gaps_min(self) -> list[tuple[float, float]]:
        """Begin and end of every break between frames; pauses of a scanner are none."""
        begin, end = self.edges_min[self.frame], self.edges_min[self.frame + 1]
        length, pause = end - begin, begin[1:] - end[:-1]
        is_break = pause > _PAUSE * np.minimum(length[:-1], length[1:])
        return list(zip(end[:-1][is_break].tolist(), begin[1:][is_break].tolist(), strict=True))


@dataclass(frozen=True)
class Curve:
    """One or several curves on a timeline.

    Attributes
    ----------
    timeline : Timeline
    means : ndarray, shape (..., E)
        Mean activity of every interval.
    """

    timeline: Timeline
    means: Float64

    @cached_property
    def integral(self) -> Float64:
        """Integral from the first edge to every edge, shape (..., E + 1)."""
        steps = self.means * self.timeline.length_min
        start = np.zeros((*steps.shape[:-1], 1))
        return np.concatenate([start, np.cumsum(steps, axis=-1)], axis=-1)

    @cached_property
    def edges(self) -> Float64:
        """Activity at every edge, shape (..., E + 1), zero at the first.

        Slopes of the monotone cubic through the integral (Fritsch & Butland 1984), so that the
        activity is never negative where the means are not.
        """
        from scipy.interpolate import PchipInterpolator  # slow to import, for dynamic scans only

        cubic = PchipInterpolator(self.timeline.edges_min, self.integral, axis=-1)
        slopes = np.asarray(cubic.derivative()(self.timeline.edges_min), dtype=np.float64)
        slopes[..., 0] = 0.0
        return slopes

    @cached_property
    def integral_means(self) -> Float64:
        """Mean over every interval of the integral from the first edge, shape (..., E)."""
        bend = self.timeline.length_min * (self.edges[..., :-1] - self.edges[..., 1:]) / 12
        middle: Float64 = (self.integral[..., :-1] + self.integral[..., 1:]) / 2
        return middle + bend

    def convolved(self, theta: Float64) -> Float64:
        """Mean over every interval of the convolution of one curve with exp(-theta t).

        Parameters
        ----------
        theta : ndarray, shape (N,)
            Positive rates, per minute.

        Returns
        -------
        ndarray, shape (N, E)
            The curve times minutes. With g' = C - theta g the mean of g over an interval is
            (integral of C - rise of g) / theta: exact for the interpolated curve.
        """
        length = self.timeline.length_min
        gained = self._gained(theta)
        kept = np.exp(-theta[:, None] * length)
        at_edge = np.zeros((len(theta), len(length) + 1))
        for index in range(len(length)):
            at_edge[:, index + 1] = at_edge[:, index] * kept[:, index] + gained[:, index]
        rise = np.diff(at_edge, axis=1)
        return np.asarray((self.means - rise / length) / theta[:, None], dtype=np.float64)

    def _gained(self, theta: Float64) -> Float64:
        """Integral of C(u) exp(-theta (end - u)) over every interval, shape (N, E)."""
        at = (_NODES + 1) / 2
        begin, end = self.edges[:-1, None], self.edges[1:, None]
        bow = 6 * at * (1 - at) * self.means[:, None]
        activity = begin * (1 - 4 * at + 3 * at**2) + bow + end * (3 * at**2 - 2 * at)
        length = self.timeline.length_min
        weighted = activity * (_NODE_WEIGHTS / 2) * length[:, None]
        left = (1 - at) * length[:, None]
        return np.einsum("ek,nek->ne", weighted, np.exp(-theta[:, None, None] * left))


def bridged(timeline: Timeline, means: Float64, weights: Float64) -> Curve:
    """Make a curve from frame means, including the gaps between them.

    Before the first frame the activity rises linearly from zero at injection. Across a gap it is
    that of one tissue compartment, which is what SRTM takes a reference tissue for, under a plasma
    curve of exponentials with amplitudes that are not negative: non-negative least squares (Lawson
    & Hanson 1974) to all frames for every clearance and arrival of a grid, the best of which is
    taken. It is *stated, not measured*.

    Parameters
    ----------
    timeline : Timeline
    means : ndarray, shape (T,)
        Mean activity of every frame.
    weights : ndarray, shape (T,)
        Inverse variances of the means up to a factor.

    Returns
    -------
    Curve
    """
    filled = np.zeros(len(timeline.edges_min) - 1)
    filled[timeline.frame] = means
    missing = ~timeline.measured
    early = missing & (np.arange(len(filled)) < timeline.frame[0])
    if early.any():
        edges, first = timeline.edges_min, timeline.edges_min[timeline.frame[0]]
        filled[early] = means[0] * (edges[:-1] + edges[1:])[early] / (2 * first)
    late = missing & ~early
    if late.any():
        filled[late] = _one_tissue(timeline, means, weights)[late]
    return Curve(timeline, filled)


def _one_tissue(timeline: Timeline, means: Float64, weights: Float64) -> Float64:
    """Means over every interval, shape (E,), of the compartment that fits the frames best."""
    root = np.sqrt(weights)
    middle = (timeline.edges_min[:-1] + timeline.edges_min[1:]) / 2
    least, best = np.inf, np.interp(middle, middle[timeline.frame], means)
    for arrival in _ARRIVALS_MIN:
        for clearance in _CLEARANCES:
            columns = _responses(timeline.edges_min, clearance, arrival)
            scaled = columns[timeline.frame] * root[:, None]
            try:
                amplitudes, residual = nnls(scaled, means * root, maxiter=500)
            except RuntimeError:  # it found no end, which says nothing of other clearances
                continue
            if residual < least:
                least, best = residual, columns @ amplitudes
    return best


def _responses(edges_min: Float64, clearance: float, arrival_min: float) -> Float64:
    """Means over every interval of the compartment's answers to exponentials, (E, rates).

    The answer to exp(-b t) is (exp(-b t) - exp(-k t)) / (k - b).
    """
    since = np.maximum(edges_min - arrival_min, 0.0)[:, None]
    alike = np.abs(_PLASMA_RATES / clearance - 1) < 1e-3  # the limit, within its rounding
    rates = np.where(alike, 1.002 * clearance, _PLASMA_RATES)
    lasting = -np.expm1(-since * rates) / rates
    cleared = -np.expm1(-since * clearance) / clearance
    integral = (lasting - cleared) / (clearance - rates)
    return np.asarray(np.diff(integral, axis=0) / np.diff(edges_min)[:, None])
