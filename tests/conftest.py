"""Fixtures for everybody: the development data, and tiny images in three orientations."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from raw_sidecar import PET_SIDECAR

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.io.nifti import save_volume

# dcm2niix and the validator of the environment the tests run in, also where it is not active
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# The machine may be busy with something else.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data; without it the test is skipped and says so."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"DEVELOPMENT DATA MISSING: {SHARED_DATA} (../shared/data of the repository)")
    return SHARED_DATA


def _affine(orientation: str, voxel_mm: tuple[float, float, float]) -> np.ndarray:
    affine = np.diag([*voxel_mm, 1.0])
    affine[:3, 3] = (-20.0, -30.0, -10.0)
    if orientation == "LAS":
        affine[0, 0] *= -1
        affine[0, 3] *= -1
    elif orientation == "oblique":
        a, b = np.deg2rad((12.0, -7.0))
        about_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
        about_z = [[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]
        affine[:3, :3] = np.array(about_x) @ np.array(about_z) @ affine[:3, :3]
    return affine


@pytest.fixture(params=["RAS", "LAS", "oblique"])
def tiny_volume(request) -> Volume:
    """An image of 20 x 26 x 12 voxels, 2 x 2 x 3 mm: the same blob in world coordinates.

    A Gaussian of 8 mm (sd) at world (0, -5, 5) mm, height 100, on a floor of 1, float32.
    """
    shape = (20, 26, 12)
    volume = Volume(np.zeros(shape, np.float32), _affine(request.param, (2.0, 2.0, 3.0)))
    distance2 = ((volume.grid.world() - (0.0, -5.0, 5.0)) ** 2).sum(axis=-1)
    return Volume((1 + 100 * np.exp(-distance2 / (2 * 8.0**2))).astype(np.float32), volume.affine)


@pytest.fixture
def pet_sidecar() -> dict[str, object]:
    """A complete PET sidecar: florbetaben, two frames of 10 min from 90 min on."""
    return dict(PET_SIDECAR)


class RawDatasetMaker:
    """Writes a raw dataset of tiny images, one file at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        description = {"Name": "tiny", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
        (root / "dataset_description.json").write_text(json.dumps(description))
        (root / "README.md").write_text("Tiny images for tests.\n")

    def t1w(self, name: str) -> Path:
        """Add ``name`` + ``_T1w.nii.gz`` where it belongs."""
        path = self._place(name, "anat", "T1w")
        return save_volume(path, Volume(np.ones((6, 7, 8), np.float32), np.eye(4)))

    def pet(self, name: str, **sidecar: object) -> Path:
        """Add ``name`` + ``_pet.nii.gz`` with its sidecar; a value of None removes the field."""
        content = {k: v for k, v in {**PET_SIDECAR, **sidecar}.items() if v is not None}
        times = content.get("FrameTimesStart")
        n_frames = len(times) if isinstance(times, list) else 1
        path = self._place(name, "pet", "pet")
        save_volume(path, Volume(np.ones((6, 7, 8, n_frames), np.float32), np.eye(4)))
        path.with_name(f"{name}_pet.json").write_text(json.dumps(content))
        return path

    def _place(self, name: str, datatype: str, suffix: str) -> Path:
        labels = dict(part.split("-", 1) for part in name.split("_"))
        folder = self.root / f"sub-{labels['sub']}"
        if "ses" in labels:
            folder /= f"ses-{labels['ses']}"
        folder = folder / datatype
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}_{suffix}.nii.gz"


@pytest.fixture
def raw(tmp_path: Path) -> RawDatasetMaker:
    """An empty raw dataset to fill: ``raw.t1w("sub-01")``, ``raw.pet("sub-01_trc-FBB")``."""
    return RawDatasetMaker(tmp_path / "raw")


@pytest.fixture(scope="session")
def tau_vois(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for the CenTauR volumes: pieces of ours, under the names of the archive."""
    folder = tmp_path_factory.mktemp("tau") / "CenTauR_Pipelines_ROIs"
    folder.mkdir()
    affine = mni_grid(2).affine
    for number, (region, name) in enumerate(read_table("tau")["files"].items()):
        mask = vois(2)["cg"] if region == "reference" else vois(2)["ctx"].copy()
        if region != "reference":
            mask[:, : 20 * (number - 1)] = False
        # stored the other way round, as templates of other programs are
        flipped = affine @ np.array([[-1, 0, 0, 90], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        nib.Nifti1Image(mask[::-1].astype(np.uint8), flipped).to_filename(folder / name)
    return folder
