"""Images of a scan as the participant level writes them, without running it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from bidsapp import data
from bidsapp.bids.derivatives import output_path, sidecar_path
from bidsapp.core.grid.volume import Volume
from bidsapp.io.atomic import write_text
from bidsapp.io.nifti import save_displacements, save_volume

SCAN = {"sub": "01", "trc": "FBB"}


@cache
def fake_pet() -> np.ndarray:
    """Uptake on the 2 mm grid, Bq/mL: 5000 in the cerebellum, 9000 in cortex, 7000 in white."""
    vois, maps = data.vois(2), data.priors().maps
    uptake = 500 + 6500 * maps[1] + 5500 * maps[0]
    uptake[vois["ctx"]], uptake[vois["wc"]] = 9000, 5000
    return gaussian_filter(uptake.astype(np.float32), 1.0)


def write_images(
    folder: Path, entities: Mapping[str, str], *, res: int = 2, only: Iterable[str] = ()
) -> None:
    """Write what pages read; the T1w of the participant is the template itself.

    Parameters
    ----------
    res : voxels of the T1w, 1 or 2 mm
    only : keys of ``data/outputs.toml``; empty for all
    """
    coarse, fine = data.mni_grid(2).affine, data.mni_grid(res).affine
    maps, pet = data.priors().maps, fake_pet()
    cut = coarse.copy()
    cut[:3, 3] = coarse[:3, :3] @ (0, 0, 12) + coarse[:3, 3]  # the lowest 24 mm are not seen
    images = {
        "t1w": (data.template(res).data, fine),
        "mask": (data.template_mask(res).data, fine),
        "gm": (_at(maps[0], res), fine),
        "wm": (_at(maps[1], res), fine),
        "csf": (_at(maps[2], res), fine),
        "t1w_mni": (data.template(2).data, coarse),
        "pet_t1w": (_at(pet, res), fine),
        "pet_mni": (pet, coarse),
        "pet_native": (pet[:, :, 12:], cut),
    }
    for key, image in images.items():
        if not only or key in only:
            save_volume(output_path(folder, key, entities), Volume(*image))
    if not only or "warp" in only:
        still = np.zeros((*data.mni_grid(2).shape, 1, 3), np.float32)
        save_displacements(output_path(folder, "warp", entities), still, coarse)
    if not only or "xfm" in only:
        xfm = sidecar_path(output_path(folder, "xfm", entities))
        write_text(xfm, json.dumps({"T1wToPet": np.eye(4).tolist()}))


def _at(image: np.ndarray, res: int) -> np.ndarray:
    """Nearest voxel of the 2 mm grid for every voxel of the 1 mm grid (both start at a voxel)."""
    x, y, z = (np.arange(n) * res // 2 for n in data.mni_grid(res).shape)
    return image[np.ix_(x, y, z)]
