"""Images that belong together, and whether they make a grid of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.data.sentences import refused
from bidsapp.dicom.header import Header
from bidsapp.dicom.nifti_ecat import is_nifti_or_ecat
from bidsapp.errors import BadDataError

SeriesKey = tuple[str, int]
_MAX_MISSING = 0.02  # fraction of the slices of a T1w that interpolation may replace
_MAX_COORDINATE_MM = 1e5
SAME_PLACE_MM = 0.02  # what writing and rounding moves a slice; no scanner's slices are as near
_SAME_VALUE = 1e-3  # of a number; rounded and rewritten ones differ by less, echoes by more
_FEWEST_SLICES = 3  # of a PET that others were lost of
_WIDEST_STEP = 1.5  # slice distances of a PET by its slice thickness
_UNEQUAL = 0.1  # slice distances differing by more than this fraction are not equidistant


@dataclass(frozen=True)
class Series:
    """Images that make one volume or one time series of volumes.

    Attributes
    ----------
    uid : SeriesInstanceUID
    part : 1, 2 ... when a series was split, else 0
    images : headers of its files; each holds the tags of ``tables.toml``
    """

    uid: str
    part: int
    images: tuple[Header, ...]

    @property
    def header(self) -> Header:
        """The header of the first image, for what all share."""
        return self.images[0]

    @property
    def key(self) -> SeriesKey:
        """What identifies the series in the decision table."""
        return self.uid, self.part

    def positions(self) -> NDArray[np.float64]:
        """Distance of every image along the slice normal in mm, shape (number of images,).

        Images whose distances differ by rounding have exactly the same.

        Returns
        -------
        ndarray, shape (number of images,)
            mm.

        Raises
        ------
        BadDataError
            Position or orientation is missing, malformed or not orthonormal.
        """
        orientation = self.header.required("ImageOrientationPatient", 6)
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        if abs(np.linalg.norm(np.cross(row, column)) - 1) > 1e-3:
            raise self.header.error("ImageOrientationPatient", "is not orthonormal")
        normal = np.cross(row, column)
        points = [image.required("ImagePositionPatient", 3) for image in self.images]
        if np.abs(points).max() > _MAX_COORDINATE_MM:
            raise self.header.error("ImagePositionPatient", "lies far outside of any scanner")
        return snapped(np.array(points) @ normal, SAME_PLACE_MM)

    def slice_positions(self) -> NDArray[np.float64]:
        """Distances along the slice normal at which there are images, mm, ascending.

        Returns
        -------
        ndarray, shape (number of positions,)
        """
        return np.unique(self.positions().round(3))

    def missing_slices(self) -> NDArray[np.int_]:
        """Count the slices missing between neighbours, shape (number of positions - 1,).

        Returns
        -------
        ndarray, shape (number of positions - 1,), int

        Raises
        ------
        BadDataError
            Slices are not equidistant, too many are missing, or one of a PET is, whose activity
            nobody may invent.
        """
        positions = self.slice_positions()
        if len(positions) < 3:
            return np.zeros(max(len(positions) - 1, 0), int)
        steps = np.diff(positions)
        step = float(np.median(steps))
        missing = np.rint(steps / step).astype(int) - 1
        if np.abs(steps / step - (missing + 1)).max() > _UNEQUAL:
            raise refused(
                "slices", "not-equidistant", header=self.header, least=steps.min(), most=steps.max()
            )
        total, whole = int(missing.sum()), int(missing.sum()) + len(positions)
        allowed = max(int(_MAX_MISSING * whole), 1) if self.header.text("Modality") == "MR" else 0
        if total > allowed:
            raise refused("slices", "missing", header=self.header, total=total, whole=whole)
        return np.asarray(missing)

    def check_grid(self) -> None:
        """Refuse a series whose pixels have no size, number or scale, or whose slices make no grid.

        Raises
        ------
        BadDataError
            PixelSpacing, Rows, Columns or the RescaleSlope of a PET is missing or not positive; see
            also `missing_slices`.
        """
        self.missing_slices()
        for keyword, length in (("PixelSpacing", 2), ("Rows", 1), ("Columns", 1)):
            if min(self.header.required(keyword, length)) <= 0:
                raise self.header.error(keyword, f"is '{self.header.shown(keyword)}'; correct it")
        if self.header.text("Modality") == "MR" or is_nifti_or_ecat(self.header.path):
            return
        for image in self.images:  # PS3.3 C.8.9.4: what makes activity of the stored numbers
            if image.required("RescaleSlope", 1)[0] <= 0:
                shown = image.shown("RescaleSlope")
                raise image.error("RescaleSlope", f"is '{shown}'; export the series again")
        self._refuse_sparse()

    def _refuse_sparse(self) -> None:
        """Refuse a PET of which single slices are left: whole ones touch or overlap."""
        stated = [
            abs(number)
            for keyword in ("SliceThickness", "SpacingBetweenSlices")
            for number in numbers_of([self.header], keyword)[0]
            if isinstance(number, float)
        ]
        positions = self.slice_positions()
        n_stated = self.header.number("NumberOfSlices") or 0
        if len(positions) < _FEWEST_SLICES and n_stated > len(positions):
            n, header = len(positions), self.header
            raise refused("slices", "fewer-than-stated", header=header, n_stated=n_stated, n=n)
        if len(positions) < 2 or not any(stated) or n_stated == len(positions):
            return
        step = float(np.diff(positions).min())
        if step > _WIDEST_STEP * max(stated):
            raise refused("slices", "sparse", header=self.header, step=step, thickness=max(stated))


def numbers_of(
    images: Sequence[Header], keyword: str, tolerance: float | None = None
) -> list[tuple[float | str, ...]]:
    """Values of a tag of every image, the same where they differ by no more than rounding.

    Parameters
    ----------
    images : of a series
    keyword : of the tag
    tolerance : `_SAME_VALUE` of the largest value when None

    Returns
    -------
    list of tuple of float or str
        One per image; text where it is not a number.
    """
    values: list[tuple[float | str, ...]] = []
    for image in images:
        try:
            values.append(image.numbers(keyword))
        except BadDataError:
            values.append(image.texts(keyword))
    numeric = [i for i, value in enumerate(values) if value and isinstance(value[0], float)]
    for length in {len(values[i]) for i in numeric}:
        of_length = [i for i in numeric if len(values[i]) == length]
        table = np.array([values[i] for i in of_length], float)
        for column in table.T:
            limit = _SAME_VALUE * np.abs(column).max() if tolerance is None else tolerance
            column[:] = snapped(column, limit)
        for i, row in zip(of_length, table.tolist(), strict=True):
            values[i] = tuple(row)
    return values


def snapped(values: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Give values that lie no further apart than a tolerance, in a chain, the lowest of them.

    Parameters
    ----------
    values : shape (number,)
    tolerance : in their unit

    Returns
    -------
    ndarray, shape (number,)
    """
    order = np.argsort(values, kind="stable")
    ascending = np.asarray(values, float)[order]
    begins = np.concatenate([[True], np.diff(ascending) > tolerance])
    result = np.empty(len(ascending))
    result[order] = ascending[begins][np.cumsum(begins) - 1]
    return result
