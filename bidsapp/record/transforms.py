"""Transforms between the spaces of a scan, from the files beside its record.

A file ``from-A_to-B`` brings images of A to B, so it takes points of B to points of A.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.bids.entities import parse_entities
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.resample import displaced
from bidsapp.core.grid.volume import Grid
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.nifti import load_displacements, read_grid
from bidsapp.record.model import ScanRecord
from bidsapp.settings import TEMPLATE_SPACE

Entities = tuple[tuple[str, str], ...]

# The image whose grid a space has.
_IMAGE = {"pet": "pet_native", "T1w": "t1w", TEMPLATE_SPACE: "pet_mni"}


def t1w_entities(record: ScanRecord) -> Entities:
    """Entities of the T1w of a scan; of the scan itself when it never got one.

    Parameters
    ----------
    record : of a scan

    Returns
    -------
    Entities
    """
    return tuple((parse_entities(record.t1w_source or "") or record.entities).items())


def file_of(output_dir: Path, record: ScanRecord, key: str) -> Path:
    """Place of a derivative of a scan, or of its T1w.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    record : of the scan
    key : of the table of outputs

    Returns
    -------
    Path
    """
    of_t1w = outputs()[key].datatype == "anat"
    entities = dict(t1w_entities(record)) if of_t1w else record.entities
    return output_path(output_dir, key, entities)


def warp_of(output_dir: Path, record: ScanRecord) -> Path:
    """Warp that brings the T1w of a scan to the template, or without a T1w the PET itself.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    record : of the scan

    Returns
    -------
    Path
    """
    return file_of(output_dir, record, "pet_warp" if record.t1w_source is None else "warp")


def t1w_to_pet(output_dir: Path, record: ScanRecord) -> NDArray[np.float64]:
    """T1w world -> PET world of a scan, 4 x 4, RAS mm: ``T1wToPet`` beside its transform.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    record : of the scan

    Returns
    -------
    ndarray

    Raises
    ------
    BadDataError
        It holds none that can be inverted.
    """
    path = sidecar_path(file_of(output_dir, record, "xfm"))
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        matrix = np.asarray(content["T1wToPet"], np.float64)
        if matrix.shape != (4, 4) or abs(np.linalg.det(matrix)) < 1e-6:
            raise ValueError("no 4 x 4 matrix that can be inverted")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadDataError(
            f"{path}: contains no T1wToPet ({error}); run the participant level again"
        ) from error
    return matrix


@dataclass(frozen=True)
class Transforms:
    """The transforms of a scan, in both directions.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    record : of the scan
    """

    output_dir: Path
    record: ScanRecord

    @property
    def spaces(self) -> tuple[str, ...]:
        """Spaces that an image can be brought to, each beside those that it is linked with."""
        if self.record.t1w_source is None:
            return ("pet", TEMPLATE_SPACE)
        return ("pet", "T1w", TEMPLATE_SPACE)

    def grid(self, space: str) -> Grid:
        """Grid of the images of the scan in a space.

        Parameters
        ----------
        space : one of `spaces`

        Returns
        -------
        Grid
        """
        return read_grid(file_of(self.output_dir, self.record, _IMAGE[self._known(space)]))

    def points(self, points: NDArray[np.floating], space: str, other: str) -> NDArray[np.float64]:
        """Positions of points of one space in another, for resampling images from there.

        Parameters
        ----------
        points : ndarray, shape (..., 3), RAS mm in ``space``
        space, other : of `spaces`

        Returns
        -------
        ndarray, shape (..., 3)
            RAS mm in ``other``; NaN where no transform reaches.

        Raises
        ------
        UsageError
            The scan has no such space.
        NoInputError, BadDataError
            A transform is missing or none.
        """
        place = [self.spaces.index(self._known(name)) for name in (space, other)]
        moved = np.asarray(points, np.float64)
        step = 1 if place[0] < place[1] else -1
        for here in range(place[0], place[1], step):
            moved = self._moved(moved, self.spaces[here], self.spaces[here + step])
        return moved

    def _known(self, space: str) -> str:
        if space not in self.spaces:
            raise UsageError(
                f"{self.record.name} has no space {space}: choose one of {', '.join(self.spaces)}"
            )
        return space

    def _moved(self, points: NDArray[np.float64], space: str, beside: str) -> NDArray[np.float64]:
        if TEMPLATE_SPACE not in (space, beside):
            matrix = t1w_to_pet(self.output_dir, self.record)
            return transform(inverse(matrix) if space == "pet" else matrix, points)
        key = "pet_warp" if "pet" in (space, beside) else "warp"
        key = key if space == TEMPLATE_SPACE else f"{key}_inverse"
        path = file_of(self.output_dir, self.record, key)
        return displaced(points, load_displacements(path))
