"""All frames of an injection in the order of time, with the head at one position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.frames.field import box_without_ends
from bidsapp.core.grid.alignment import Matrix, transform
from bidsapp.core.grid.resample import Box, common_box, resample, sample
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero
from bidsapp.core.regions.regions import covered_means
from bidsapp.data import read_table, template_mask
from bidsapp.data.atlases import chosen_atlases
from bidsapp.errors import prefixed_errors
from bidsapp.io.nifti import read_frames
from bidsapp.settings import Processing
from bidsapp.steps.averaging import FrameSeries
from bidsapp.steps.measuring import template_space


@dataclass(frozen=True)
class AlignedFrames:
    """The frames of a scan and of other parts of its injection, and the head in each of them.

    Attributes
    ----------
    series : the scan, other parts of its injection
    motion : by part and frame, world of the reference -> world of the frame; empty for a lost part
    ends : planes of the scan that were not measured
    """

    series: Sequence[FrameSeries]
    motion: Sequence[Sequence[Matrix]]
    ends: Sequence[int]

    @cached_property
    def order(self) -> list[tuple[int, int]]:
        """(Part, frame) of all frames in the order of time, without those of lost parts."""
        parts = sorted(range(len(self.series)), key=lambda number: self.series[number].start_s[0])
        return [(number, index) for number in parts for index in range(len(self.motion[number]))]

    def times(self) -> dict[str, NDArray[np.float64]]:
        """Seconds after injection, and decay, of the frames.

        Returns
        -------
        dict of ndarray
            ``frame_start_s``, ``frame_end_s`` and ``decay_factor``.
        """
        start = np.array([self.series[number].start_s[index] for number, index in self.order])
        length = np.array([self.series[number].duration_s[index] for number, index in self.order])
        decay = np.array([self.series[number].decay[index] for number, index in self.order])
        return {"frame_start_s": start, "frame_end_s": start + length, "decay_factor": decay}

    def on_grid(self, grid: Grid) -> Iterator[Volume]:
        """Frames on the grid of the scan, the head at the reference; 0 where not measured.

        Parameters
        ----------
        grid : of the scan

        Yields
        ------
        Volume
        """
        for image, box, motion in self._read():
            same = image.grid.shape == grid.shape and np.array_equal(image.affine, grid.affine)
            unmoved = same and np.array_equal(motion, np.eye(4))
            placed = image if unmoved else resample(image, grid, motion, box)
            yield Volume(known_or_zero(placed.data), grid.affine)

    def on_template(
        self, t1w_to_pet: Matrix, field: Volume, processing: Processing, images: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float64]]:
        """Sample every frame on the template, by one interpolation, and take means of all regions.

        Parameters
        ----------
        t1w_to_pet, field : where the PET lies; T1w world coordinate of every MNI voxel
        processing : atlases
        images : ndarray, shape (T, X, Y, Z)
            Receives the frames on the 2 mm MNI grid, NaN outside.

        Returns
        -------
        dict of ndarray
            (R, T) by atlas, NaN where too little of a region was measured.
        """
        space = template_space({}, field.data)
        atlases = {a.name: space.placed(a.measured, a.grid) for a in chosen_atlases(processing)}
        wanted = template_mask(2).data.copy()
        for regions in atlases.values():
            wanted.reshape(-1)[regions.voxels] = True
        points = transform(t1w_to_pet, field.data[wanted].astype(np.float64))
        least = read_table("limits")["voi_coverage"]["refuse"]
        tacs = {name: np.empty((len(regions), len(images))) for name, regions in atlases.items()}
        for place, (image, box, motion) in enumerate(self._read()):
            placed = images[place]
            placed[...] = np.nan
            placed[wanted] = sample(image, transform(motion, points), box)
            for name, regions in atlases.items():
                tacs[name][:, place] = covered_means(placed, regions, least)
        return tacs

    def _read(self) -> Iterator[tuple[Volume, Box, Matrix]]:
        """Activity of every frame in time, the part that was measured, and reference -> frame."""
        for number in dict.fromkeys(number for number, _ in self.order):
            part = self.series[number]
            with prefixed_errors(part.files[0]):
                # of all frames: before the tracer arrives there is nothing to recognise it by
                box = common_box(frame.data for frame in read_frames(*part.files))
                for index, frame in enumerate(read_frames(*part.files)):
                    if index == 0 and number == 0:  # other parts may come from another scanner
                        box = box_without_ends(frame, box, (self.ends[0], self.ends[1]))
                    activity = np.asarray(frame.data, np.float32) * np.float32(part.factors[index])
                    yield Volume(activity, frame.affine), box, self.motion[number][index]
