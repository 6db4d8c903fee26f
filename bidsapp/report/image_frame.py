"""Axes of an image, which are those of the world only where the image is not oblique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import inverse
from bidsapp.core.grid.volume import Volume, mask_slices


@dataclass(frozen=True)
class ImageFrame:
    """Part of a grid, turned so that its axes run to the right, to the front and upwards.

    Coordinates are mm along these axes: what is cut along them is shown as it was acquired.

    Attributes
    ----------
    orientation : of nibabel, shape (3, 2): where each axis of the array runs, and which way
    affine : turned voxel indices -> world, RAS mm
    first, last : voxels of the part, ``last`` excluded
    """

    orientation: NDArray[np.float64]
    affine: NDArray[np.float64]
    first: tuple[int, ...]
    last: tuple[int, ...]

    @classmethod
    def of(cls, image: Volume) -> ImageFrame:
        """Whole grid of an image.

        Parameters
        ----------
        image : 3D

        Returns
        -------
        ImageFrame
        """
        orientation = io_orientation(image.affine)
        affine = image.affine @ inv_ornt_aff(orientation, image.data.shape)
        return cls(orientation, affine, (0, 0, 0), apply_orientation(image.data, orientation).shape)

    @classmethod
    def around(cls, mask: Volume, margin_mm: float) -> ImageFrame:
        """Part of the grid of a mask that contains the mask and a margin.

        Parameters
        ----------
        mask : Volume of bool
        margin_mm : around it

        Returns
        -------
        ImageFrame
        """
        whole = cls.of(mask)
        inside = apply_orientation(mask.data, whole.orientation) != 0
        box = mask_slices(inside, np.rint(margin_mm / whole.steps).astype(int))
        first, last = zip(*((part.start, part.stop) for part in box), strict=True)
        return replace(whole, first=first, last=last)

    @property
    def steps(self) -> NDArray[np.float64]:
        """Edges of a voxel, mm, shape (3,)."""
        return voxel_sizes(self.affine)

    @property
    def low(self) -> NDArray[np.float64]:
        """Coordinates of the first voxel, mm, shape (3,)."""
        return inverse(self.to_world)[:3, :3] @ self.affine[:3, 3] + self.first * self.steps

    @property
    def high(self) -> NDArray[np.float64]:
        """Coordinates of the last voxel, mm, shape (3,)."""
        return self.low + (np.subtract(self.last, self.first) - 1) * self.steps

    @property
    def to_world(self) -> NDArray[np.float64]:
        """4 x 4: coordinates of the frame -> world, RAS mm; a rotation about the origin of both."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.affine[:3, :3] / self.steps
        return matrix

    def part(self, data: NDArray[np.generic], strides: Sequence[int]) -> NDArray[np.generic]:
        """Crop an array to the frame, reorient it and take every n-th voxel.

        Parameters
        ----------
        data : on the grid of the frame
        strides : n, along each axis

        Returns
        -------
        ndarray
        """
        part = tuple(map(slice, self.first, self.last, strides))
        return apply_orientation(data, self.orientation)[part]

    def shape(self, step_mm: float) -> tuple[int, int, int]:
        """Number of voxels along each axis at a step.

        Parameters
        ----------
        step_mm : edge of the shown voxels, about

        Returns
        -------
        (int, int, int)
        """
        ends = zip(self.first, self.last, self.strides(step_mm), strict=True)
        x, y, z = (len(range(*along)) for along in ends)
        return x, y, z

    def indices_to_world(self, step_mm: float) -> NDArray[np.float64]:
        """Affine of the voxels at a step.

        Parameters
        ----------
        step_mm : edge of the shown voxels, about

        Returns
        -------
        ndarray
            Shape (4, 4), voxel indices -> world, RAS mm.
        """
        strided = np.diag([*self.strides(step_mm), 1.0])
        strided[:3, 3] = self.first
        matrix: NDArray[np.float64] = self.affine @ strided
        return matrix

    def strides(self, step_mm: float) -> tuple[int, ...]:
        """Strides in voxels for a step.

        Parameters
        ----------
        step_mm : edge of the shown voxels, about

        Returns
        -------
        (int, ...)
        """
        return tuple(max(1, round(step_mm / step)) for step in self.steps)
