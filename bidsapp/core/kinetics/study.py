"""Input and output of every reference-tissue model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.kinetics.curves import Curve, Float64, Timeline, bridged
from bidsapp.errors import BadDataError

_ROUNDING_S = 1.0  # a frame may end that much after the time limit
# Of the frames before: with less, a frame was lost. Of the peak: with more, the tracer has arrived.
_LEAST_SHARE = 0.1

PARAMETERS = ("R1", "k2", "k2_prime", "BPND", "DVR")


@dataclass(frozen=True)
class KineticStudy:
    """Curves of tissues beside that of the reference tissue.

    Attributes
    ----------
    target : ndarray, shape (R, T)
        Mean decay-corrected activity by region and frame.
    reference : Curve
        Of the reference tissue, from injection to the end of the last frame.
    weights : ndarray, shape (T,)
        Inverse variances of the frames up to a factor (`bidsapp.core.kinetics.weights`).
    """

    target: Float64
    reference: Curve
    weights: Float64

    @classmethod
    def of(
        cls,
        frame_start_s: Float64,
        frame_end_s: Float64,
        target: Float64,
        reference: Float64,
        weights: Float64,
        *,
        t_end_min: float | None = None,
    ) -> KineticStudy:
        """Take the frames until ``t_end_min`` and bridge the gaps between them.

        Parameters
        ----------
        frame_start_s, frame_end_s : ndarray, shape (T,)
            Seconds after injection, rising.
        target : ndarray, shape (R, T)
        reference, weights : ndarray, shape (T,)
        t_end_min : float, optional
            Frames that end later are left out; minutes after injection.

        Returns
        -------
        Study

        Raises
        ------
        BadDataError
            The frame times contradict each other or the injection, or the reference curve is not
            positive.
        """
        used = frames_until(frame_end_s, t_end_min)
        timeline = Timeline.of(np.asarray(frame_start_s)[used], np.asarray(frame_end_s)[used])
        values = np.asarray(reference, dtype=np.float64)[used]
        if not (np.isfinite(values).all() and values.mean() > 0):
            raise BadDataError(
                "the curve of the reference region contains no activity in some frame; check "
                "whether the field of view covers that region throughout, or choose another one"
            )
        before = np.asarray(frame_end_s)[used] <= 0
        if values[before].max(initial=0.0) > _LEAST_SHARE * values.max():
            raise BadDataError(
                "frames before the injection contain activity, so InjectionStart or "
                "FrameTimesStart is wrong, and with it the uptake window; correct the sidecar"
            )
        kept = np.asarray(weights, dtype=np.float64)[used]
        rows = np.atleast_2d(np.asarray(target, dtype=np.float64))[:, used]
        return cls(rows, bridged(timeline, values, kept), kept)

    @property
    def timeline(self) -> Timeline:
        """Frames and gaps."""
        return self.reference.timeline

    @property
    def scaled_target(self) -> Float64:
        """Target curves times the square root of the weights, shape (R, T)."""
        return self.target * np.sqrt(self.weights)

    def scaled(self, means: Float64) -> Float64:
        """Means over intervals, (..., E), at the frames and times the roots of the weights.

        Parameters
        ----------
        means : ndarray, shape (..., E)
            Means over all intervals of the timeline.

        Returns
        -------
        ndarray, shape (..., T)
        """
        return np.asarray(means[..., self.timeline.frame] * np.sqrt(self.weights))


def frames_until(frame_end_s: Float64, t_end_min: float | None) -> NDArray[np.bool_]:
    """Frames that end by ``t_end_min`` minutes after injection, all when it is None; shape (T,).

    Parameters
    ----------
    frame_end_s : ndarray, shape (T,)
        Seconds after injection.
    t_end_min : minutes after injection; None takes all

    Returns
    -------
    ndarray of bool, shape (T,)

    Raises
    ------
    BadDataError
        There is none.
    """
    limit_s = np.inf if t_end_min is None else 60 * t_end_min + _ROUNDING_S
    used = np.asarray(frame_end_s) <= limit_s
    if not used.any():
        raise BadDataError(
            f"no frame ends within --t-end {t_end_min:g} min of the injection; give a later time"
        )
    return np.asarray(used)


def lost_frames(reference: Float64) -> NDArray[np.bool_]:
    """Frames in which the reference region lost almost all of its activity.

    No tissue is cleared of nine tenths from one frame to the next. Before the tracer arrives there
    is only noise, of which nothing can be lost.

    Parameters
    ----------
    reference : ndarray, shape (T,)
        Curve of the reference region, frames in the order of time; NaN, which is lost, where the
        field of view did not cover it.

    Returns
    -------
    ndarray of bool, shape (T,)
    """
    lost = np.zeros(len(reference), np.bool_)
    # the second largest, because the largest may be an error
    peak = np.sort(reference[np.isfinite(reference)])[-2:].min(initial=np.inf)
    before = [-np.inf]
    for index, activity in enumerate(reference.tolist()):
        least = _LEAST_SHARE * min(before[-2:])  # one of them may be far too large
        lost[index] = not activity >= least
        arrived = len(before) > 1 or activity >= _LEAST_SHARE * peak
        if arrived and not lost[index]:
            before.append(activity)
    return lost


@dataclass(frozen=True)
class Estimates:
    """Parameters of one model for R regions or voxels.

    NaN where the data do not determine a parameter or the model does not have it.

    Attributes
    ----------
    values, errors : dict of ndarray, shape (R,)
        By the names of `PARAMETERS`: ``R1`` delivery relative to the reference tissue, K1/K1';
        ``k2`` clearance from the tissue and ``k2_prime`` from the reference tissue, per minute;
        ``BPND`` binding potential relative to the non-displaceable tracer; ``DVR`` = BPND + 1;
        ``errors`` their standard errors.
    fitted : ndarray, shape (R, T)
        The model's activity in every frame it was fitted to, NaN in others.
    """

    values: dict[str, Float64]
    errors: dict[str, Float64]
    fitted: Float64


def estimates(values: dict[str, Float64], errors: dict[str, Float64], fitted: Float64) -> Estimates:
    """Complete a set of parameters: DVR from BPND, NaN for what the model does not have.

    Parameters
    ----------
    values : dict of ndarray, shape (R,)
        Parameters that the model gives, by name.
    errors : dict of ndarray, shape (R,)
        Their standard errors.
    fitted : ndarray, shape (R, T)
        What the model makes of the curves.

    Returns
    -------
    Estimates
    """
    nothing = np.full(len(fitted), np.nan)
    values = values | {"DVR": values["BPND"] + 1}
    errors = errors | {"DVR": errors["BPND"]}
    return Estimates(
        {name: values.get(name, nothing) for name in PARAMETERS},
        {name: errors.get(name, nothing) for name in PARAMETERS},
        fitted,
    )


def standard_errors(jacobian: Float64, rss: Float64, gradients: Float64) -> Float64:
    """Standard errors of functions of least-squares parameters.

    Parameters
    ----------
    jacobian : ndarray, shape (R, T, P)
        Derivatives of the weighted model by its parameters.
    rss : ndarray, shape (R,)
        Weighted residual sum of squares.
    gradients : ndarray, shape (R, Q, P)
        Derivatives of Q wanted quantities by the parameters.

    Returns
    -------
    ndarray, shape (R, Q)
        Root of the diagonal of G s2 (J'J)^-1 G', with s2 = rss / (T - P); infinite where the
        parameters cannot be distinguished, NaN without degrees of freedom.
    """
    freedom = jacobian.shape[1] - jacobian.shape[2]
    if freedom < 1:
        return np.full(gradients.shape[:2], np.nan)
    size = np.linalg.norm(jacobian, axis=1, keepdims=True)
    size[size == 0] = 1.0
    triangle = np.asarray(np.linalg.qr(jacobian / size, mode="r"), dtype=np.float64)
    apart = np.abs(np.diagonal(triangle, axis1=1, axis2=2)).min(axis=1) > 1e-7
    triangle[~apart] = np.eye(triangle.shape[1])
    # G (J'J)^-1 G' is the squared length of x where R' x = G', J = QR
    transposed = np.swapaxes(gradients / size, 1, 2)
    roots = np.linalg.solve(np.swapaxes(triangle, 1, 2), transposed)
    errors = np.sqrt((roots**2).sum(axis=1) * (rss / freedom)[:, None])
    errors[~apart] = np.inf
    return np.asarray(errors, dtype=np.float64)
