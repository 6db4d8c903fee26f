"""A participant of real size, made from the template: a head of 1 mm and a PET of known uptake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from synthetic_records import finished_record, write

from bidsapp import data
from bidsapp.bids.derivatives import output_path
from bidsapp.nifti import save_volume
from bidsapp.volume import Volume

SCAN = {"sub": "01", "trc": "FBB"}


def _at_1mm(image: np.ndarray) -> np.ndarray:
    """Nearest voxel of the 2 mm grid for every voxel of the 1 mm grid (both start at a voxel)."""
    x, y, z = (np.arange(n) // 2 for n in data.mni_grid(1).shape)
    return image[np.ix_(x, y, z)]


def fake_pet() -> np.ndarray:
    """Uptake on the 2 mm grid, Bq/mL: 5000 in the cerebellum, 9000 in cortex, 7000 in white."""
    vois, maps = data.vois(2), data.priors().maps
    uptake = 500 + 6500 * maps[1] + 5500 * maps[0]
    uptake[vois["ctx"]], uptake[vois["wc"]] = 9000, 5000
    return gaussian_filter(uptake.astype(np.float32), 1.0)


@pytest.fixture(scope="session")
def derivatives(tmp_path_factory) -> Path:
    """Derivatives of one participant with one finished scan, images of real size."""
    folder = tmp_path_factory.mktemp("derivatives")
    fine, coarse = data.mni_grid(1).affine, data.mni_grid(2).affine
    pet = fake_pet()
    images = {
        "t1w": Volume(data.template(1).data, fine),
        "mask": Volume(data.template_mask(1).data, fine),
        "wm": Volume(_at_1mm(data.priors().maps[1]), fine),
        "pet_t1w": Volume(_at_1mm(pet), fine),
        "t1w_mni": Volume(data.template(2).data, coarse),
        "pet_mni": Volume(pet, coarse),
    }
    for key, volume in images.items():
        save_volume(output_path(folder, key, SCAN), volume)
    write(folder, finished_record(SCAN, suvr_wc=1.8), SCAN)
    return folder
