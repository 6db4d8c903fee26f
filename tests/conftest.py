"""Fixtures for everybody: the development data, and tiny images in three orientations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bidsapp.volume import Volume

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
