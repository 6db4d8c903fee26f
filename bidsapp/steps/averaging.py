"""Head motion in the frames of an injection, and the mean of a scan over its window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from bidsapp.core.frames.field import artefact_ends, without_ends
from bidsapp.core.frames.position_means import PositionMean, mean_in_scanner, mean_per_position
from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import flagged
from bidsapp.core.registration.motion import FrameAlignment, align_frames, align_parts
from bidsapp.data import read_table
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import CentipetError
from bidsapp.io.nifti import read_frames
from bidsapp.record import RecordPart
from bidsapp.record.model import FieldOfView
from bidsapp.record.parts import motion_part

# What is left to do about a head that moved.
_ALIGNED = (
    "frames were realigned, but not for motion within a frame or relative to the attenuation map, "
    "so look at the images"
)
_NOT_ALIGNED = "frames were not realigned, so leave out --no-motion-correction"


@dataclass(frozen=True)
class FrameSeries:
    """The frames of one PET of an injection.

    Attributes
    ----------
    files : of the raw image; several where its frames are spread over them
    start_s, duration_s : of each frame, seconds after injection
    factors : what each frame is multiplied by to be Bq/mL, decay-corrected to the injection
    decay : what measured activity is multiplied by to be decay-corrected to the injection
    """

    files: tuple[Path, ...]
    start_s: tuple[float, ...]
    duration_s: tuple[float, ...]
    factors: tuple[float, ...] = ()
    decay: tuple[float, ...] = ()

    def frames(self) -> Iterator[Volume]:
        """Read the frames; errors leave the path out, which the caller adds.

        Frames that are not decay-corrected to one time are here, or the last ones of carbon-11
        would look as faint as those before the tracer arrives.

        Yields
        ------
        Volume
        """
        first, factors = self.files[0], iter(self.factors)
        alike = len(set(self.factors)) <= 1
        try:
            for frame in read_frames(*self.files):
                factor = 1.0 if alike else next(factors, 1.0) / self.factors[0]
                data = frame.data if factor == 1 else np.float32(factor) * frame.data
                yield Volume(data, frame.affine)
        except CentipetError as error:
            reason = str(error).replace(f"{first}: ", "").replace(f"{first.parent}/", "")
            raise type(error)(reason) from error


def aligned(
    scan: FrameSeries,
    others: Sequence[FrameSeries],
    weights_s: Sequence[float],
    *,
    within: bool,
) -> tuple[list[list[Matrix]], RecordPart]:
    """Position of the head in every frame of a scan, and of others after the same injection.

    Parameters
    ----------
    scan : the scan itself
    others : the other PETs
    weights_s : seconds of the frames of ``scan`` that count
    within : align the frames of a PET, too

    Returns
    -------
    list of list of ndarray, shape (4, 4)
        Per PET and frame, world of the reference -> world of the frame, RAS mm; no frames for a PET
        that cannot be used, which a flag reports.
    RecordPart

    Raises
    ------
    CentipetError
        The scan itself cannot be used.
    """
    first = align_frames(scan.frames(), scan.duration_s, [weight > 0 for weight in weights_s])
    matrices = [_applied(first, np.eye(4), within)]
    alignments: list[FrameAlignment | None] = [first]
    moved = {"frame_motion_mm": first.spread_mm}
    flags = flagged(moved, read_table("limits"), undone=_ALIGNED if within else _NOT_ALIGNED)
    for other in others:
        try:
            part = align_frames(other.frames(), other.duration_s)
        except CentipetError as error:  # the Centiloid does not need this PET
            flags += (worded_flag("dual-window-part", name=other.files[0].name, reason=error),)
            matrices.append([])
            alignments.append(None)
            continue
        to_part = align_parts(first.mean(), part.mean())
        matrices.append(_applied(part, to_part, within))
        alignments.append(part.after(to_part))
    every = (scan, *others)
    starts, durations = [pet.start_s for pet in every], [pet.duration_s for pet in every]
    return matrices, RecordPart(
        motion=motion_part(alignments, starts, durations, within),
        qc={"motion_window_mm": first.spread_mm},
        flags=flags,
    )


def _applied(part: FrameAlignment, to_part: Matrix, within: bool) -> list[Matrix]:
    within_part = part.matrices if within else np.eye(4)[None].repeat(len(part.measured), 0)
    return [matrix @ to_part for matrix in within_part]


def averaged(
    frames: Iterable[Volume],
    weights_s: Sequence[float],
    motion: Sequence[ArrayLike],
    decay_factors: Sequence[float] | None = None,
) -> tuple[list[PositionMean], tuple[int, int], RecordPart]:
    """Time-weighted mean of the frames in the uptake window, one image per position of the head.

    Parameters
    ----------
    frames : of the raw PET
    weights_s : seconds of each frame that count
    motion : world of the reference -> world of each frame, 4 x 4, RAS mm
    decay_factors : correction of each frame, if it needs one

    Returns
    -------
    list of PositionMean
    (int, int)
        Planes left out at both ends of the axis of the scanner.
    RecordPart
    """
    position_means = mean_per_position(frames, weights_s, motion, decay_factors)
    # artefacts belong to planes of the scanner, whatever the position of the head
    ends = artefact_ends(mean_in_scanner(position_means))
    position_means = [
        replace(position_mean, image=without_ends(position_mean.image, ends))
        for position_mean in position_means
    ]
    flags = (worded_flag("end-planes", lower=ends[0], upper=ends[1]),) if any(ends) else ()
    seen = FieldOfView(excluded_planes=ends)
    return position_means, ends, RecordPart(field_of_view=seen, flags=flags)
