"""Nodes on frames: positions, a lost part, the mean, and its resolution."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from rigid_phantom import PET_GRID, make_head, make_pet
from stored_head import TISSUES, stored_head

from bidsapp.core.grid.alignment import displacement, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.interfaces.pet import AlignFrames, Smooth, TimeAverage
from bidsapp.interfaces.store import fetch_position_means, fetch_volume, keep, keep_volume
from bidsapp.record.model import Smoothing
from bidsapp.steps.averaging import FrameSeries

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
                ("early", (0.0,), (600.0,)),
                ("half", (900.0,), (300.0,)),
            )
        ],
        weights_s=[300.0, 300.0, 300.0],
    ).run()


def test_positions_of_the_scan_and_of_its_early_part(aligned, head):
    motion, points = aligned.outputs.motion, head.brain_points
    assert motion[0][0] == motion[0][1] == np.eye(4).tolist()
    assert displacement(np.array(motion[0][2]), MOVE, points) < 0.7
    assert displacement(np.array(motion[1][0]), EARLY, points) < 0.7


def test_a_part_that_cannot_be_read_is_lost_alone(aligned):
    assert aligned.outputs.motion[2] == []
    record = aligned.outputs.record
    assert [flag.code for flag in record.flags] == ["motion-window", "dual-window-part"]
    message = record.flags[1].message
    assert message.startswith("half.nii.gz of the same injection") and "/" not in message
    assert "missing from the activity over time (cannot be read as NIfTI" in message
    assert record.motion.frame_start_s == (0, 5400, 5700, 6000)
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
