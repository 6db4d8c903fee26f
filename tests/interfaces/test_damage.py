"""The node that looks for damage in the frames, on a ball for a head."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from scipy import ndimage
from stored_head import stored_head

from bidsapp.core.frames.position_means import mean_at_reference, mean_per_position
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, vois
from bidsapp.errors import BadDataError
from bidsapp.interfaces.pet import Inspect
from bidsapp.interfaces.store import (
    fetch_position_means,
    fetch_volume,
    keep_position_means,
    keep_volume,
)
from bidsapp.io.nifti import save_volume

SHAPE, VOXEL_MM = (64, 64, 64), 3.0
AFFINE = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
AFFINE[:3, 3] = -VOXEL_MM * (np.array(SHAPE) - 1) / 2
SHRUNK = 0.55  # the template fits into the ball
FRAMES, STILL = 2, np.eye(4).tolist()


@pytest.fixture(scope="module")
def brain():
    world = Volume(np.zeros(SHAPE), AFFINE).grid.world()
    return np.linalg.norm(world, axis=-1) < 75


@pytest.fixture(scope="module")
def frames(brain):
    rng = np.random.default_rng(6)
    noise = ndimage.gaussian_filter(rng.normal(size=(FRAMES, *SHAPE)), (0, 0.9, 0.9, 0.9))
    values = ndimage.gaussian_filter(np.where(brain, 6000.0, 30.0), 0.9)
    return np.moveaxis(values * (1 + 0.1 * noise / noise.std()), 0, -1).astype(np.float32)


@pytest.fixture
def inspected(tmp_path, brain):
    """Run the node on frames; with or without the maps of a T1w."""

    def run(data, *, with_t1w=True, placed=True):
        image = Volume(data, AFFINE)
        position_means = mean_per_position(image.frames(), [60.0] * FRAMES, [STILL] * FRAMES)
        tissues = {"gm": brain.astype(np.float32), "mask": brain} if with_t1w else None
        pet = save_volume(tmp_path / "pet.nii.gz", image)
        if not placed:
            content = bytearray(gzip.decompress(pet.read_bytes()))
            content[252:256] = bytes(4)  # qform_code and sform_code
            pet = tmp_path / "unplaced.nii"
            pet.write_bytes(content)
        node = Inspect(
            pet=[str(pet)],
            weights_s=[60.0] * FRAMES,
            motion=[[STILL] * FRAMES],
            mean=keep_volume(tmp_path / "mean.npz", mean_at_reference(position_means)),
            position_means=keep_position_means(tmp_path / "position_means.npz", position_means),
            reference="wc",
            **stored_head(tmp_path, image.grid, tissues, field=SHRUNK * mni_grid(2).world()),
        )
        (tmp_path / "node").mkdir(exist_ok=True)
        found = node.run(cwd=str(tmp_path / "node")).outputs
        return found, [flag.code for flag in found.record.flags]

    return run


def plane_of(region):
    """Plane of the PET through the middle of a volume of interest."""
    place = SHRUNK * mni_grid(2).world()[vois(2)[region]].mean(axis=0)
    return round(float(np.linalg.inv(AFFINE)[2] @ [*place, 1]))


@pytest.mark.parametrize("with_t1w", [True, False])
def test_an_undamaged_pet_passes_as_it_is(inspected, frames, with_t1w):
    found, codes = inspected(frames, with_t1w=with_t1w)
    assert codes == []
    assert found.record.qc["pet_lost_share"] == 0
    assert found.record.qc["pet_air_level"] < 0.01
    assert fetch_volume(found.pet).data.shape == SHAPE
    assert found.position_means.endswith("position_means.npz")


@pytest.mark.parametrize("with_t1w", [True, False])
def test_a_header_without_orientation_is_flagged(inspected, frames, with_t1w):
    assert inspected(frames, with_t1w=with_t1w, placed=False)[1] == ["orientation-unknown"]


@pytest.mark.parametrize("with_t1w", [True, False])
def test_what_one_frame_lost_is_missing_in_the_mean(inspected, frames, brain, with_t1w):
    damaged = frames.copy()
    plane = SHAPE[2] - 25  # above the cerebellum
    damaged[:, :, plane : plane + 3, 1] = 77
    found, codes = inspected(damaged, with_t1w=with_t1w)
    assert "pet-lost" in codes
    missing = np.isnan(fetch_volume(found.pet).data)
    lost = missing[:, :, plane : plane + 3]
    assert lost[32, 32].all() if with_t1w else lost.any()
    assert not missing[:, :, : plane - 2].any()
    assert np.isnan(fetch_position_means(found.position_means)[0].image.data).sum() == missing.sum()
    assert not (missing & ~brain).any()


def test_a_damaged_reference_region_gives_no_number(inspected, frames):
    middle = plane_of("wc")
    emptied = frames.copy()
    emptied[:, :, middle : middle + 2] = 0
    with pytest.raises(BadDataError, match=r"reference region wc holds one and the same"):
        inspected(emptied)
    scaled = frames.copy()
    scaled[:, :, :middle, 1] *= 0.6
    with pytest.raises(BadDataError, match=r"jumps by .* within the reference region wc"):
        inspected(scaled)


@pytest.mark.parametrize("with_t1w", [True, False])
def test_a_mask_gives_no_number(inspected, frames, brain, with_t1w):
    mask = np.broadcast_to(brain[..., None], frames.shape).astype(np.float32)
    with pytest.raises(BadDataError, match="it is a mask"):
        inspected(mask, with_t1w=with_t1w)


def test_planes_beyond_the_field_of_view_are_no_damage(inspected, frames):
    cut = frames.copy()
    cut[:, :, SHAPE[2] - 18 :] = 0
    assert inspected(cut)[1] == []
