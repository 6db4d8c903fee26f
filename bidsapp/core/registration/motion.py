"""Head motion between the frames of a PET, and between two PETs of one injection.

Frames are merged until they last a minute. Every merged frame is then aligned rigidly with the one
of most counts by normalised mutual information, which does not mind that the tracer moves from
blood to grey to white meanwhile; the search walks outwards in time, each frame starting where its
neighbour was found. Frames that are too faint to show a head borrow the position of the next frame
that does; so does one outside the uptake window that lies far from the frames before and after it,
which are at one place. The reference is the frame from which those that matter are the least far in
sum, and distances are mean displacements over the head: one number in mm, whatever the mixture of
rotation and translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bidsapp.core.frames.frames import weighted_mean
from bidsapp.core.grid.alignment import (
    Matrix,
    displacement,
    inverse,
    rigid_matrix,
    rigid_parameters,
    transform,
)
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.sampling import Float64, block_affine, block_mean, blur, scattered_points
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero, mask_centre
from bidsapp.core.registration.similarity import MutualInformation, climb
from bidsapp.errors import BadDataError

MERGED_S = 60.0  # frames are merged until they last that long
LEAST_CORRECTED_MM = 0.5  # less is not corrected: the search itself is 0.1 to 0.3 mm off
COARSE_MM = 2.5  # smaller voxels are averaged up to this size: enough for the blur below
LEVELS = ((6.0, 8.0), (4.0, 6.0))  # distance of points and blur, mm
PART_LEVEL = (9.0, 12.0)  # the same for the first look at another part of the study
PART_ROTATION_DEG = 12.0  # after a break the head may lie this differently: one start each way
JUMP_MM = 5.0  # centroids that moved by more give a start of their own
HEAD_LEVEL = 0.15  # of the bright part of the image: above it is head
ASTRAY_MM = 20.0  # a frame farther from both neighbours was aligned wrongly
FAINT = 0.05  # of the brightest frame's counts, in the window activity: less shows no head


@dataclass(frozen=True)
class FrameAlignment:
    """Positions of the frames of one PET.

    Attributes
    ----------
    reference : int
        Frame that the others are compared with.
    measured : ndarray, shape (T, 4, 4)
        World of the reference frame -> world of each frame, RAS mm, as measured.
    distance_mm : ndarray, shape (T,)
        Mean displacement over the head against the reference, by ``measured``.
    spread_mm : float
        Largest such displacement between two of the frames that count.
    borrowed : ndarray of bool, shape (T,)
        Frames too faint to be aligned, or aligned where no head can be, which have the position of
        a neighbour.
    visible : list of (Volume, ndarray of shape (4, 4), float)
        Frames that show a head, short ones merged, coarser voxels when theirs are small; world of
        the reference -> world of the image; seconds.
    grid : Grid
        Of the reference among them.
    head : ndarray, shape (N, 3)
        Points of the head at the reference, world mm, over which displacements are averaged.
    """

    reference: int
    measured: NDArray[np.float64]
    distance_mm: NDArray[np.float64]
    spread_mm: float
    borrowed: NDArray[np.bool_]
    visible: list[tuple[Volume, Matrix, float]]
    grid: Grid
    head: Float64

    @property
    def matrices(self) -> NDArray[np.float64]:
        """``measured`` if a frame moved by LEAST_CORRECTED_MM, else the identity, (T, 4, 4)."""
        moved = self.distance_mm >= LEAST_CORRECTED_MM
        chosen: NDArray[np.float64] = np.where(moved[:, None, None], self.measured, np.eye(4))
        return chosen

    def mean(self) -> Volume:
        """Mean of the frames that show a head, at the position of the reference.

        Returns
        -------
        Volume, 3D
        """
        images, positions, seconds = zip(*self.visible, strict=True)
        resampled = (
            np.asarray(resample(image, self.grid, position).data, np.float32)
            for image, position in zip(images, positions, strict=True)
        )
        return Volume(weighted_mean(resampled, seconds), self.grid.affine)

    def after(self, to_reference: Matrix) -> FrameAlignment:
        """Return the same frames as seen from another PET, whose world ``to_reference`` leaves.

        Parameters
        ----------
        to_reference : ndarray, shape (4, 4)
            World of the other PET -> world of the reference frame of this one.

        Returns
        -------
        FrameAlignment
        """
        measured = np.array([matrix @ to_reference for matrix in self.measured])
        head = transform(inverse(to_reference), self.head)
        far = np.array([displacement(np.eye(4), matrix, head) for matrix in measured])
        return replace(self, measured=measured, distance_mm=far, head=head)

    @property
    def parameters(self) -> tuple[Float64, Float64]:
        """Translation of the head's centre, mm, and rotation vector, radians: each (T, 3)."""
        centre = self.head.mean(axis=0)
        six = np.array([rigid_parameters(matrix, centre) for matrix in self.measured])
        return six[:, :3], six[:, 3:]


def align_frames(
    frames: Iterable[Volume], durations_s: Sequence[float], counted: Sequence[bool] | None = None
) -> FrameAlignment:
    """Find the head's position in every frame.

    Parameters
    ----------
    frames : iterable of 3D Volume
        Activity concentration of each frame; non-finite voxels count as 0. Read once, in order.
    durations_s : sequence of float, length T
    counted : sequence of bool, length T
        Frames that matter most, those of the uptake window: one of them becomes the reference.
        None: all.

    Returns
    -------
    FrameAlignment

    Raises
    ------
    BadDataError
        The durations do not fit the frames, or no frame holds activity.
    """
    groups = merged_groups(durations_s)
    images = _merged(frames, durations_s, groups)
    lasting = np.array([sum(durations_s[i] for i in group) for group in groups])
    activity = np.array([float(image.data.mean(dtype=np.float64)) for image in images])
    counts = activity * lasting
    if not counts.max() > 0:
        raise BadDataError("no frame of the PET contains activity; look at the image")
    matters = np.array([counted is None or any(counted[i] for i in group) for group in groups])
    in_window = matters & (counted is not None)  # its frames have contrast, however short they are
    shown = np.where(in_window, activity / activity.max(), counts / counts.max())
    faint = shown < FAINT
    with threadpool_limits(limits=1):
        head, aligned = _align(images, int(counts.argmax()), faint)
    faint |= _astray(aligned, faint, head) & ~in_window
    _borrow(aligned, faint)
    apart = np.array([[displacement(a, b, head) for b in aligned] for a in aligned])
    chosen = _least_far(apart, faint, matters)
    to_reference = inverse(aligned[chosen])
    positions = [matrix @ to_reference for matrix in aligned]
    positions[chosen] = np.eye(4)  # to the last bit: the reference is not interpolated
    visible = [
        (image, position, float(seconds))
        for image, position, seconds, hidden in zip(images, positions, lasting, faint, strict=True)
        if not hidden
    ]
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return FrameAlignment(
        reference=groups[chosen][0],
        measured=np.array(positions)[owner],
        distance_mm=apart[chosen][owner],
        spread_mm=float(apart[np.ix_(matters, matters)].max()) if matters.any() else 0.0,
        borrowed=faint[owner],
        visible=visible,
        grid=images[chosen].grid,
        head=transform(aligned[chosen], head),
    )


def align_parts(first: Volume, other: Volume) -> Matrix:
    """Register one PET to another of the same injection, after a break.

    The person left the scanner in between, so the search starts from several positions.

    Parameters
    ----------
    first, other : Volume, 3D
        Means of the two, `FrameAlignment.mean`.

    Returns
    -------
    ndarray, shape (4, 4)
        World of ``first`` -> world of ``other``, RAS mm.
    """
    first, other = _reduced(first), _reduced(other)
    centre = _centroid(first)
    shifts = np.zeros(3), _centroid(other) - centre
    angle = np.radians(PART_ROTATION_DEG)
    rotations = [np.zeros(3), *(sign * angle * axis for axis in np.eye(3) for sign in (1, -1))]
    starts = [
        rigid_matrix([*shift, *rotation], centre) for shift in shifts for rotation in rotations
    ]
    mask = _head(first)
    with threadpool_limits(limits=1):
        for level in (PART_LEVEL, *LEVELS):
            starts = [_Fixed.at(first, mask, level).find(other, starts)]
    return starts[0]


def merged_groups(durations_s: Sequence[float]) -> list[list[int]]:
    """Put consecutive frames together until each group lasts MERGED_S; the last may be longer.

    Parameters
    ----------
    durations_s : of the frames

    Returns
    -------
    list of list of int
        Positions of the frames of each group.
    """
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


def _merged(
    frames: Iterable[Volume], durations_s: Sequence[float], groups: list[list[int]]
) -> list[Volume]:
    """Means of the groups of frames, coarse, so that a long study fits into memory."""
    owner = [number for number, group in enumerate(groups) for _ in group]
    images: list[Volume | None] = [None] * len(groups)
    n_frames = 0
    for index, frame in enumerate(frames):
        n_frames += 1
        if index < len(owner):
            lasting = sum(durations_s[i] for i in groups[owner[index]])
            coarse = _reduced(frame)
            part = np.asarray(coarse.data, np.float32) * np.float32(durations_s[index] / lasting)
            before = images[owner[index]]
            total = part if before is None else part + np.asarray(before.data, np.float32)
            images[owner[index]] = Volume(total, coarse.affine)
    merged = [image for image in images if image is not None]
    if n_frames != len(durations_s) or len(merged) != len(groups):
        raise BadDataError(
            f"the PET of {n_frames} frames has {len(durations_s)} frame durations; give one for "
            "each frame"
        )
    return merged


def _reduced(image: Volume) -> Volume:
    """Average blocks of small voxels; values that are not finite count as 0."""
    x, y, z = (max(1, int(COARSE_MM // size)) for size in image.grid.voxel_size)
    data = known_or_zero(np.asarray(image.data, np.float32))
    if x * y * z == 1:
        return Volume(data, image.affine)
    return Volume(block_mean(data, (x, y, z)), block_affine(image.affine, (x, y, z)))


def _align(
    images: list[Volume], base: int, faint: NDArray[np.bool_]
) -> tuple[Float64, list[Matrix]]:
    """Return points of the head, (N, 3), and base -> image matrices, identity for faint ones."""
    mask = _head(images[base])
    head = scattered_points(mask, images[base].affine, 10.0)
    visible = [index for index in range(len(images)) if not faint[index]]
    later = [index for index in visible if index > base]
    earlier = [index for index in reversed(visible) if index < base]
    positions = [np.eye(4) for _ in images]
    centre = _centroid(images[base])
    coarse, *finer = (_Fixed.at(images[base], mask, level) for level in LEVELS)
    for order in (later, earlier):
        before = np.eye(4)
        for index in order:
            starts = [before]
            jump = _centroid(images[index]) - transform(before, centre)
            if np.linalg.norm(jump) > JUMP_MM:
                starts.append(rigid_matrix([*jump, 0, 0, 0]) @ before)
            before = positions[index] = coarse.find(images[index], starts)
    for fixed in finer:
        for index in (*later, *earlier):
            positions[index] = fixed.find(images[index], [positions[index]])
    return head, positions


def _astray(positions: list[Matrix], faint: NDArray[np.bool_], head: Float64) -> NDArray[np.bool_]:
    """Images aligned far from both neighbours, which are at one place: no head does so."""
    astray = np.zeros_like(faint)
    visible = [int(index) for index in np.flatnonzero(~faint)]
    for before, index, after in zip(visible, visible[1:], visible[2:], strict=False):
        far = [displacement(positions[index], positions[i], head) for i in (before, after)]
        near = displacement(positions[before], positions[after], head)
        astray[index] = min(far) > ASTRAY_MM and near < ASTRAY_MM / 4
    return astray


def _borrow(positions: list[Matrix], faint: NDArray[np.bool_]) -> None:
    """Give every faint image the position of the next that is not, or else of the last."""
    visible = [int(index) for index in np.flatnonzero(~faint)]
    for index in map(int, np.flatnonzero(faint)):
        after = [other for other in visible if other > index]
        positions[index] = positions[after[0] if after else visible[-1]]


@dataclass(frozen=True)
class _Fixed:
    """The image that others are aligned with, at one level of detail."""

    smooth: Volume
    points: Float64
    fwhm_mm: float

    @classmethod
    def at(cls, image: Volume, mask: NDArray[np.bool_], level: tuple[float, float]) -> _Fixed:
        spacing, fwhm = level
        return cls(blur(image, fwhm), scattered_points(mask, image.affine, spacing), fwhm)

    def find(self, moving: Volume, starts: list[Matrix]) -> Matrix:
        """Climb from each start and return the best end."""
        smooth = blur(moving, self.fwhm_mm)
        measure = MutualInformation.between(self.smooth, self.points, smooth)
        ends = [climb(measure, start, self.points.mean(axis=0)) for start in starts]
        return max(ends, key=lambda end: end[1])[0]


def _head(image: Volume) -> NDArray[np.bool_]:
    smooth = np.asarray(blur(image, LEVELS[0][1]).data)
    mask: NDArray[np.bool_] = smooth > HEAD_LEVEL * float(np.percentile(smooth, 99))
    return mask


def _centroid(image: Volume) -> Float64:
    """Middle of the head, world mm: of its outline, which is the same whatever is bright in it."""
    return transform(image.affine, mask_centre(_head(image)))


def _least_far(apart: Float64, faint: NDArray[np.bool_], matters: NDArray[np.bool_]) -> int:
    """Return the image whose summed distance to those that matter is least; no faint one."""
    if not (matters & ~faint).any():
        matters = np.ones_like(faint)
    sums = apart[:, matters].sum(axis=1)
    return int(np.argmin(np.where(faint | ~matters, np.inf, sums)))
