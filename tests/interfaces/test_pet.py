"""Nodes on the frames of a PET: damage, positions, a lost part, the mean, its resolution."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from rigid_phantom import PET_GRID, make_head, make_pet
from scipy import ndimage
from stored_head import TISSUES, stored_head

from bidsapp.core.frames.position_means import mean_at_reference, mean_per_position
from bidsapp.core.grid.alignment import displacement, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, vois
from bidsapp.errors import BadDataError
from bidsapp.interfaces.pet import AlignFrames, Inspect, Smooth, TimeAverage
from bidsapp.interfaces.store import (
    fetch_position_means,
    fetch_volume,
    keep,
    keep_position_means,
    keep_volume,
)
from bidsapp.io.nifti import save_volume
from bidsapp.record.model import Smoothing
from bidsapp.steps.averaging import FrameSeries

# ----------------------------------------------------------------------------------------- damage

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
    with pytest.raises(BadDataError, match=r"reference region wc has one constant value"):
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


# ----------------------------------------------------------------------------------------- frames

MOVE = rigid_matrix([4.0, -2.0, 3.0, 0.03, 0.02, -0.05])
EARLY = rigid_matrix([-6.0, 5.0, 2.0, 0.0, 0.05, 0.08])


@pytest.fixture(scope="module")
def head():
    return make_head()


@pytest.fixture(scope="module")
def raw_scan(head, tmp_path_factory):
    """A scan of three frames, the last one moved, an early part elsewhere, and half a file."""
    folder = tmp_path_factory.mktemp("frames")
    frames = [make_pet(head, move).data for move in (np.eye(4), np.eye(4), MOVE)]
    early = make_pet(head, EARLY, grey=2.2, white=0.9, cerebellar_grey=2.4).data
    for name, data in (("scan", np.stack(frames, -1)), ("early", early)):
        nib.Nifti1Image(data, PET_GRID.affine).to_filename(folder / f"{name}.nii.gz")
    whole = (folder / "early.nii.gz").read_bytes()
    (folder / "half.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def aligned(raw_scan):
    return AlignFrames(
        series=[
            FrameSeries((raw_scan / f"{name}.nii.gz",), start_s, duration_s)
            for name, start_s, duration_s in (
                ("scan", (5400.0, 5700.0, 6000.0), (300.0,) * 3),
                ("half", (900.0,), (300.0,)),
                ("early", (0.0,), (600.0,)),
            )
        ],
        weights_s=[300.0, 300.0, 300.0],
    ).run()


def test_positions_of_the_scan_and_of_its_early_part(aligned, head):
    motion, points = aligned.outputs.motion, head.brain_points
    assert motion[0][0] == motion[0][1] == np.eye(4).tolist()
    assert displacement(np.array(motion[0][2]), MOVE, points) < 0.7
    assert displacement(np.array(motion[2][0]), EARLY, points) < 0.7


def test_a_part_that_cannot_be_read_is_lost_alone(aligned):
    assert aligned.outputs.motion[1] == []
    record = aligned.outputs.record
    assert [flag.code for flag in record.flags] == ["motion-window", "dual-window-part"]
    message = record.flags[1].message
    assert message.startswith("half.nii.gz of the same injection") and "/" not in message
    assert "missing from the time-activity curves (cannot be read as NIfTI" in message
    assert record.motion.frame_start_s == (0, 5400, 5700, 6000)
    assert record.motion.pet == (2, 0, 0, 0) and record.motion.reference_frame == 1
    assert record.qc["motion_window_mm"] == pytest.approx(
        max(record.motion.distance_mm[1:]), abs=0.3
    )


def test_the_mean_has_the_head_at_one_position(raw_scan, aligned, head, tmp_path):
    done = TimeAverage(
        pet=[str(raw_scan / "scan.nii.gz")], weights_s=[300.0] * 3, motion=aligned.outputs.motion
    ).run(cwd=str(tmp_path))
    position_means = fetch_position_means(done.outputs.position_means)
    assert [(mean.seconds, mean.moved) for mean in position_means] == [(600, False), (300, True)]
    mean = np.asarray(fetch_volume(done.outputs.pet).data)
    still = make_pet(head, np.eye(4)).data
    blurred = np.mean(nib.load(raw_scan / "scan.nii.gz").get_fdata(), axis=-1)
    brain = still > 4000
    assert np.abs(mean - still)[brain].mean() < 0.4 * np.abs(blurred - still)[brain].mean()
    assert done.outputs.record.field_of_view.excluded_planes == tuple(done.outputs.ends)


def smooth(raw_scan, folder, head=None, **options):
    pet = Volume(
        nib.load(raw_scan / "early.nii.gz").get_fdata().astype(np.float32), PET_GRID.affine
    )
    arrays = {"data": pet.data[None], "affine": pet.affine, "seconds": np.array([600.0]),
              "motion": np.eye(4)[None]}  # fmt: skip
    (folder / "node").mkdir()
    tissues = None if head is None else dict(zip(TISSUES, (*head.tissue, head.mask), strict=True))
    grid = PET_GRID if head is None else head.t1w.grid
    return Smooth(
        **stored_head(folder, grid, tissues, EARLY),
        pet=keep_volume(folder / "pet.npz", pet),
        position_means=keep(folder / "one.npz", arrays),
        **options,
    ).run(cwd=str(folder / "node"))


def test_smoothing_by_a_width(raw_scan, tmp_path):
    done = smooth(raw_scan, tmp_path, fwhm_mm=6.0)
    assert done.outputs.record.smoothing == Smoothing(None, (6.0,) * 3)
    [mean] = fetch_position_means(done.outputs.position_means)
    np.testing.assert_array_equal(mean.image.data, fetch_volume(done.outputs.pet).data)


def test_a_given_resolution_is_brought_to_the_target(raw_scan, tmp_path):
    record = smooth(raw_scan, tmp_path, target_mm=10.0, psf_mm=[6.0, 6.0, 11.0]).outputs.record
    assert record.smoothing.kernel_fwhm_mm == pytest.approx((8.0, 8.0, 0.0))
    assert record.smoothing.resolution_source == "given"
    [flag] = record.flags
    assert flag.code == "resolution-target" and "6.0 x 6.0 x 11.0 mm" in flag.message
    (tmp_path / "sharper").mkdir()
    assert not smooth(
        raw_scan, tmp_path / "sharper", target_mm=11.0, psf_mm=[6.0, 6.0, 11.0]
    ).outputs.record.flags


def test_without_a_given_one_it_is_measured(raw_scan, head, tmp_path):
    regions = keep(tmp_path / "regions.npz", head.regions)
    done = smooth(raw_scan, tmp_path, head, target_mm=12.0, regions=regions)
    smoothing = done.outputs.record.smoothing
    assert smoothing.resolution_source == "measured"
    assert smoothing.resolution_mm == pytest.approx(
        (7.0,) * 3, abs=1.2
    )  # blurred by 7 mm, voxels 4
