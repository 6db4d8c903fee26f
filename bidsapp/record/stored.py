"""A scan on disk: its record, and the files that the run wrote beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivatives import output_path, outputs, sidecar_path
from bidsapp.errors import BadDataError
from bidsapp.record.model import ScanRecord


@dataclass(frozen=True)
class StoredScan:
    """A scan in a derivative dataset; its files have the names of ``data/outputs.toml``.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    record : of the scan
    """

    output_dir: Path
    record: ScanRecord

    def path(self, key: str, **extra: str) -> Path:
        """Place of a file of the PET, or of its T1w; it need not exist.

        Parameters
        ----------
        key : row of ``data/outputs.toml``
        **extra : further entities, such as ``atlas`` of a table

        Returns
        -------
        Path
        """
        of_t1w = outputs()[key].datatype == "anat"
        entities = dict(self.record.t1w_entities) if of_t1w else self.record.entities
        return output_path(self.output_dir, key, entities, **extra)

    def name(self, key: str, **extra: str) -> str:
        """Name of the same relative to the dataset, as records list files.

        Parameters
        ----------
        key, **extra : as `path` takes them

        Returns
        -------
        str
        """
        return self.path(key, **extra).relative_to(self.output_dir).as_posix()

    @property
    def warp(self) -> Path:
        """Warp that brings the T1w to the template, or without a T1w the PET itself."""
        return self.path("pet_warp" if self.record.t1w_source is None else "warp")

    def t1w_to_pet(self) -> NDArray[np.float64]:
        """T1w world -> PET world, 4 x 4, RAS mm: ``T1wToPet`` beside the transform.

        Returns
        -------
        ndarray

        Raises
        ------
        BadDataError
            It holds none that can be inverted.
        """
        path = sidecar_path(self.path("xfm"))
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
