"""A BIDS dataset of known answers, and stand-ins for the two slow steps.

The heads lie in MNI already, so that the stand-in segmentation has no warp; the PET grid is the MNI
grid moved by a known rigid displacement, so that resampling meets voxel centres and the means in
the volumes of interest are known exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import stand_in_head

from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, template_mask, vois
from bidsapp.settings import PetToT1w
from bidsapp.steps.anatomy import SegmentedT1w

T1W_TO_PET = rigid_matrix((4.0, -6.0, 3.0, 0.05, -0.08, 0.1))
UPTAKE = {"ctx": 9000.0, "wcb": 6000.0, "wc": 5000.0, "cg": 4000.0, "pons": 7000.0}
BACKGROUND, AIR = 2000.0, 20.0
NOISE = 0.02  # of the uptake: a tissue of equal values would be no measurement


class Truth:
    """What the images of `bids_dir` were made of."""

    t1w_to_pet = T1W_TO_PET

    @staticmethod
    def image() -> np.ndarray:
        """Uptake on the 2 mm MNI grid, Bq/mL: later regions of the list lie in earlier ones."""
        head = template_mask(2).data.any(axis=2, keepdims=True)  # through all planes
        image = np.where(head, BACKGROUND, np.full(mni_grid(2).shape, AIR))
        for name, value in UPTAKE.items():
            image[vois(2)[name]] = value
        return image * (1 + NOISE * np.random.default_rng(1).normal(size=image.shape))

    def mean(self, name: str) -> float:
        """Mean uptake of a volume of interest."""
        return float(self.image()[vois(2)[name]].mean())


@pytest.fixture(scope="session")
def truth() -> Truth:
    return Truth()


def head() -> Volume:
    """A T1w of 45 x 54 x 45 voxels of 4 mm around the MNI origin: a bright ellipsoid."""
    radius = np.sqrt(
        (((stand_in_head.GRID.world() - (0, -18, 8)) / (70, 88, 76)) ** 2).sum(axis=-1)
    )
    return Volume((1000 * (radius < 1)).astype(np.int16), stand_in_head.GRID.affine)


def write_image(path: Path, data: np.ndarray, affine: np.ndarray, sidecar: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(data, affine).to_filename(path)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


def write_pet(
    bids: Path, name: str, *, frames: np.ndarray, start: list, duration: list, affine=None, **fields
) -> None:
    """Write one PET scan; ``fields`` replace those of its sidecar."""
    sidecar = {
        "Manufacturer": "n/a", "ManufacturersModelName": "n/a", "Units": "Bq/mL",
        "TracerRadionuclide": "F18", "InjectedRadioactivity": 300,
        "InjectedRadioactivityUnits": "MBq", "InjectedMass": "n/a", "InjectedMassUnits": "n/a",
        "SpecificRadioactivity": "n/a", "SpecificRadioactivityUnits": "n/a",
        "ModeOfAdministration": "bolus", "TimeZero": "10:00:00", "ScanStart": start[0],
        "InjectionStart": 0, "FrameTimesStart": start, "FrameDuration": duration,
        "AcquisitionMode": "list mode", "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": start[0], "ReconMethodName": "OSEM",
        "ReconMethodParameterLabels": ["none"], "ReconFilterType": "none",
        "AttenuationCorrection": "CT",
    } | fields  # fmt: skip
    affine = T1W_TO_PET @ mni_grid(2).affine if affine is None else affine
    subject = name.split("_", 1)[0]
    write_image(bids / subject / "pet" / f"{name}_pet.nii.gz", frames, affine, sidecar)


@pytest.fixture(scope="session")
def bids_dir(tmp_path_factory, truth) -> Path:
    """sub-01: florbetaben in three frames and PiB in one, stored left-right flipped, one T1w.

    sub-02: a florbetapir scan whose field of view ends above the cerebellum.
    """
    bids = tmp_path_factory.mktemp("bids")
    description = {"Name": "known answers", "BIDSVersion": "1.11.0", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    (bids / "README.md").write_text("Synthetic images of known uptake.\n")
    image = truth.image()
    three = np.stack([factor * image for factor in (0.9, 1.2, 0.95)], axis=-1)
    write_pet(
        bids, "sub-01_trc-FBB", frames=three.astype(np.float32), TracerName="[18F]florbetaben",
        start=[5400, 5700, 6000], duration=[300, 300, 600],
    )  # fmt: skip
    affine = T1W_TO_PET @ mni_grid(2).affine
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = image.shape[0] - 1
    write_pet(
        bids, "sub-01_trc-PIB", frames=image[::-1].astype(np.float32), affine=affine @ flip,
        TracerName="[11C]PiB", TracerRadionuclide="C11", start=[3000], duration=[1200],
    )  # fmt: skip
    above = image[..., 40:].astype(np.float32)
    raised = np.eye(4)
    raised[2, 3] = 40
    write_pet(
        bids, "sub-02_trc-FBP", frames=above, affine=affine @ raised, TracerName="AV-45",
        start=[3000], duration=[600],
    )  # fmt: skip
    t1w = head()
    for subject in ("sub-01", "sub-02"):
        path = bids / subject / "anat" / f"{subject}_T1w.nii.gz"
        write_image(path, t1w.data, t1w.affine, {"MagneticFieldStrength": 3})
    return bids


@dataclass(frozen=True)
class StandInFit:
    """What `bidsapp.core.registration.rigid.register` returns, as far as the workflow reads it."""

    matrix: np.ndarray
    nmi: np.ndarray
    model: np.ndarray
    method: PetToT1w
    distance_mm: float
    score: float
    unexplained: float
    fwhm_mm: float
    own_anatomy: float
    strain: np.ndarray
    mirrored: float = 0.3
    doubts: tuple[str, ...] = ("pet-t1w-fallback",)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[list[str]]:
    """Replace segmentation and registration; the list names their calls."""
    with pytest.MonkeyPatch.context() as patch:
        yield _install(patch)


def _install(patch: pytest.MonkeyPatch) -> list[str]:
    calls = []

    def segment_head(t1w: Volume, initial: Path | None = None) -> SegmentedT1w:
        calls.append("segment")
        brain = t1w.data > 0
        tissue = np.stack([0.5 * brain, 0.4 * brain, 0.1 * brain])
        quality = {"brain_ml": float(brain.sum() * 0.064), "gm_wm_contrast": 2.5}
        found = stand_in_head.segmentation(t1w, tissue, brain, quality=quality)
        return SegmentedT1w(found, quality, ())

    def register(pet, head, *, method) -> StandInFit:
        calls.append("register")
        inside = head.t1w.grid.world()[head.outside_mm <= 0]
        assert np.unique(head.region_of(inside)).size > 20
        assert head.average.shape == head.classes.shape
        nmi = T1W_TO_PET.copy()
        nmi[0, 3] += 1.5
        numbers = (1.5, 1.2, 0.1, 6.0, 1.1)
        return StandInFit(T1W_TO_PET, nmi, T1W_TO_PET, method, *numbers, np.zeros((3, 3)))

    patch.setattr("bidsapp.interfaces.anatomy.segment_head", segment_head)
    patch.setattr("bidsapp.steps.positioning.register", register)
    return calls
