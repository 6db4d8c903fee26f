"""Heads whose deformation and position of the PET are known, and what benchmarks measure on them.

``DATA`` of the benchmarks holds ``bids/`` (one T1w and one PET per participant),
``rigid_truth.json`` (T1w world -> PET world) and ``spm_fields/`` (T1w world coordinate of every
voxel of the MNI grid, by the standard pipeline).
"""

from __future__ import annotations

import json
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from agreement import PIB_SCALE

from bidsapp.core.anatomy.segment import Segmentation
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.head import Head
from bidsapp.data import vois
from bidsapp.io.nifti import load_volume
from bidsapp.steps.positioning import head_of

sys.path.append(str(Path(__file__).parents[2]))  # what is installed has no tools
from tools.build_population import deformation as deformation


class KnownHead:
    """One participant of ``DATA``, read as it is asked for."""

    def __init__(self, data: Path, participant: str) -> None:
        self.data, self.name = data, f"sub-{participant.removeprefix('sub-')}"
        self.raw = data / "bids" / self.name

    @cached_property
    def t1w(self) -> Volume:
        return load_volume(next(self.raw.glob("anat/*_T1w.nii.gz")), ndim=3)

    @cached_property
    def pet(self) -> Volume:
        """Mean over the frames."""
        return frame_mean(load_volume(next(self.raw.glob("pet/*_pet.nii.gz"))))

    @cached_property
    def t1w_to_pet(self) -> np.ndarray:
        return np.array(json.loads((self.data / "rigid_truth.json").read_text())[self.name])

    @cached_property
    def field(self) -> np.ndarray:
        """T1w world coordinate of every voxel of the 2 mm MNI grid."""
        return load_volume(self.data / "spm_fields" / f"{self.name}_from-MNI_to-T1w.nii.gz").data


def participants(data: Path) -> list[str]:
    """Labels of the participants of ``DATA``."""
    return sorted(path.name.removeprefix("sub-") for path in (data / "bids").glob("sub-*"))


def frame_mean(pet: Volume) -> Volume:
    """Unweighted mean over the frames of a PET, which may have one only."""
    return pet if pet.data.ndim == 3 else Volume(pet.data.mean(axis=-1), pet.affine)


def registration_head(found: Segmentation, affine: np.ndarray) -> Head:
    """The T1w side of a registration, from a segmented T1w."""
    corrected = Volume(found.corrected, affine)
    return head_of(corrected, found.probabilities, found.brain_mask, found.warp.to_template)


def suvrs(pet: Volume, points: np.ndarray) -> dict[str, float]:
    """SUVR by reference region of a PET read at a point for every voxel of the 2 mm MNI grid."""
    means = {name: float(np.nanmean(sample(pet, points[mask]))) for name, mask in vois(2).items()}
    return {region: means["ctx"] / means[region] for region in PIB_SCALE}


def pib_centiloid(pet: Volume, points: np.ndarray) -> float:
    """Centiloid (PiB scale, whole cerebellum) of a PET read as in `suvrs`."""
    slope, intercept = PIB_SCALE["wc"]
    return slope * suvrs(pet, points)["wc"] + intercept
