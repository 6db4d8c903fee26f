"""Head motion between the frames of a PET.

Every frame is aligned rigidly with the frame of most counts by normalised mutual information, which
does not mind that the tracer moves from blood to grey to white meanwhile. Frames that are too short
or too early to show a head borrow the position of the next frame that does. The reference is then
the frame from which all others are the least far in sum, and distances are mean displacements over
the head: one number in mm, whatever the mixture of turn and shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bidsapp.core.alignment import Matrix, displacement, inverse
from bidsapp.core.sampling import Float64, blur, scattered_points
from bidsapp.core.similarity import MutualInformation, climb
from bidsapp.errors import BadDataError
from bidsapp.volume import Volume

MERGED_S = 60.0  # frames are merged until they last that long
MOTION_LIMIT_MM = 3.0  # from here on a person should look
LEVELS = ((6.0, 8.0), (4.0, 6.0))  # distance of points and blur, mm
HEAD_LEVEL = 0.15  # of the bright part of the image: above it is head
FAINT = 0.05  # of the counts of the brightest frame: below it a frame shows no head


@dataclass(frozen=True)
class FrameAlignment:
    """Positions of the frames of one PET.

    Attributes
    ----------
    reference : int
        Frame that the others are compared with.
    matrices : ndarray, shape (T, 4, 4)
        World of the reference frame -> world of each frame, RAS mm.
    distance_mm : ndarray, shape (T,)
        Mean displacement over the head against the reference.
    borrowed : ndarray of bool, shape (T,)
        Frames too faint to be aligned, which have the position of a neighbour.
    """

    reference: int
    matrices: NDArray[np.float64]
    distance_mm: NDArray[np.float64]
    borrowed: NDArray[np.bool_]

    @property
    def moved(self) -> bool:
        """Whether some frame lies farther than MOTION_LIMIT_MM from the reference."""
        return bool(self.distance_mm.max() > MOTION_LIMIT_MM)


def align_frames(frames: Volume, durations_s: Sequence[float]) -> FrameAlignment:
    """Find the head's position in every frame.

    Parameters
    ----------
    frames : Volume, shape (X, Y, Z, T)
        Activity concentration; non-finite voxels count as 0.
    durations_s : sequence of float, length T

    Returns
    -------
    FrameAlignment

    Raises
    ------
    BadDataError
        The durations do not fit the frames, or no frame holds activity.
    """
    if frames.data.ndim != 4 or frames.data.shape[3] != len(durations_s):
        raise BadDataError(
            f"the PET of shape {frames.data.shape} has {len(durations_s)} frame durations; give "
            "one for each frame"
        )
    groups = merged_groups(durations_s)
    images = [_mean(frames, durations_s, group) for group in groups]
    lasting = np.array([sum(durations_s[i] for i in group) for group in groups])
    counts = np.array([float(image.data.mean()) for image in images]) * lasting
    if not counts.max() > 0:
        raise BadDataError("no frame of the PET holds activity; look at the image")
    faint = counts < FAINT * counts.max()
    with threadpool_limits(limits=1):
        head, found = _align(images, int(counts.argmax()), faint)
    chosen = _least_far(found, head, faint)
    to_reference = inverse(found[chosen])
    positions = [matrix @ to_reference for matrix in found]
    positions[chosen] = np.eye(4)  # to the last bit: the reference is not interpolated
    far = [displacement(np.eye(4), matrix, head) for matrix in positions]
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return FrameAlignment(
        reference=groups[chosen][0],
        matrices=np.array(positions)[owner],
        distance_mm=np.array(far)[owner],
        borrowed=faint[owner],
    )


def merged_groups(durations_s: Sequence[float]) -> list[list[int]]:
    """Put consecutive frames together until each group lasts MERGED_S; the last may be longer."""
    groups: list[list[int]] = [[]]
    lasting = 0.0
    for index, duration in enumerate(durations_s):
        groups[-1].append(index)
        lasting += duration
        if lasting >= MERGED_S:
            groups.append([])
            lasting = 0.0
    rest = groups.pop()
    if rest and groups:
        groups[-1].extend(rest)
    return groups or [rest]


def _mean(frames: Volume, durations_s: Sequence[float], group: list[int]) -> Volume:
    total = np.zeros(frames.data.shape[:3], dtype=np.float32)
    for index in group:
        total += np.nan_to_num(frames.data[..., index]) * np.float32(durations_s[index])
    return Volume(total / np.float32(sum(durations_s[i] for i in group)), frames.affine)


def _align(
    images: list[Volume], base: int, faint: NDArray[np.bool_]
) -> tuple[Float64, list[Matrix]]:
    """Return points of the head, (N, 3), and base -> image matrices, borrowed ones included."""
    smooth = blur(images[base], LEVELS[0][1])
    level = HEAD_LEVEL * float(np.percentile(np.asarray(smooth.data, dtype=np.float32), 99))
    head_mask = np.asarray(smooth.data) > level
    head = scattered_points(head_mask, smooth.affine, 10.0)
    found = [np.eye(4) for _ in images]
    visible = [index for index in range(len(images)) if not faint[index]]
    for spacing, fwhm in LEVELS:
        fixed = blur(images[base], fwhm)
        points = scattered_points(head_mask, fixed.affine, spacing)
        for index in visible:
            if index != base:
                measure = MutualInformation.between(fixed, points, blur(images[index], fwhm))
                found[index], _ = climb(measure, found[index], head.mean(axis=0))
    for index in map(int, np.flatnonzero(faint)):
        later = [other for other in visible if other > index]
        found[index] = found[later[0] if later else visible[-1]]
    return head, found


def _least_far(found: list[Matrix], head: Float64, faint: NDArray[np.bool_]) -> int:
    """Return the image whose summed distance to all others is least; a faint one cannot be it."""
    sums = [sum(displacement(one, other, head) for other in found) for one in found]
    return int(np.argmin(np.where(faint, np.inf, sums)))
