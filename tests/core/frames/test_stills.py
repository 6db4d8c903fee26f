"""A window as images per head position: averaged where the head lay still, interpolated once."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.frames.stills import (
    mean_at_reference,
    mean_in_scanner,
    resample_stills,
    sample_stills,
    still_images,
)
from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import resample, sample
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.errors import BadDataError

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -40], [0, 0, 3, -30], [0, 0, 0, 1]])
GRID = Grid((40, 40, 20), AFFINE)
MOVE = rigid_matrix([3.0, -2.0, 4.0, 0.05, 0.02, -0.04])


def blob(motion=None, level=1.0):
    """A smooth image of the same thing, wherever ``motion`` has put it."""
    world = GRID.world() if motion is None else transform(inverse(motion), GRID.world())
    distance2 = ((world - (0.0, 2.0, -1.0)) ** 2).sum(axis=-1)
    return Volume((level * (1 + 100 * np.exp(-distance2 / 300))).astype(np.float32), AFFINE)


def test_frames_of_one_position_are_one_image():
    frames = [blob(level=level) for level in (1.0, 2.0, 5.0)]
    (still,) = still_images(iter(frames), [100, 300, 0], [np.eye(4)] * 3)
    assert still.seconds == 400 and not still.moved
    expected = (frames[0].data + 3 * frames[1].data.astype(float)) / 4
    np.testing.assert_allclose(still.image.data, expected, rtol=1e-6)


def test_a_single_frame_is_kept_bit_for_bit():
    frame = blob()
    stills = still_images([frame], [600], [np.eye(4)])
    np.testing.assert_array_equal(mean_at_reference(stills).data, frame.data)
    points = GRID.world()[5:-5, 5:-5, 3:-3] + 0.3
    np.testing.assert_array_equal(sample_stills(stills, points), sample(frame, points))
    to_reference = rigid_matrix([1, 2, 3, 0.1, 0, 0])
    np.testing.assert_array_equal(
        resample_stills(stills, GRID, to_reference).data, resample(frame, GRID, to_reference).data
    )


def test_moved_frames_come_back_everywhere():
    motion = [np.eye(4), MOVE, MOVE, np.eye(4)]
    frames = [blob(matrix) for matrix in motion]
    stills = still_images(iter(frames), [60, 120, 180, 60], motion)
    assert [(still.seconds, still.moved) for still in stills] == [(120, False), (300, True)]
    truth = blob().data
    inner = (slice(6, -6), slice(6, -6), slice(4, -4))
    assert np.abs(mean_at_reference(stills).data - truth)[inner].max() < 1.2
    points = GRID.world()[inner] + 0.4
    exact = 1 + 100 * np.exp(-((points - (0.0, 2.0, -1.0)) ** 2).sum(axis=-1) / 300)
    assert np.abs(sample_stills(stills, points) - exact).max() < 1.2
    # left alone the moved frames are elsewhere
    assert np.abs(mean_in_scanner(stills).data - truth)[inner].max() > 5


def test_each_image_is_interpolated_once():
    """The mean read on another grid is the mean of the frames read there, not of moved frames."""
    frames = [blob(), blob(MOVE)]
    stills = still_images(iter(frames), [100, 100], [np.eye(4), MOVE])
    to_reference = rigid_matrix([0.7, 0.9, -1.3, 0.02, 0, 0.03])
    found = resample_stills(stills, GRID, to_reference).data
    each = [resample(frames[0], GRID, to_reference).data,
            resample(frames[1], GRID, MOVE @ to_reference).data]  # fmt: skip
    both = np.isfinite(each[0]) & np.isfinite(each[1])
    np.testing.assert_allclose(found[both], ((each[0] + each[1]) / 2)[both], rtol=1e-6)


def test_half_of_the_time_is_enough_at_the_edge_of_the_field():
    far = rigid_matrix([0, 0, 12, 0, 0, 0])
    stills = still_images(iter([blob(), blob(far)]), [300, 100], [np.eye(4), far])
    top = mean_at_reference(stills).data[:, :, -1]
    np.testing.assert_allclose(top, blob().data[:, :, -1], rtol=1e-6)
    stills = still_images(iter([blob(), blob(far)]), [100, 300], [np.eye(4), far])
    assert np.isnan(mean_at_reference(stills).data[:, :, -1]).all()


def test_numbers_of_frames_must_agree():
    with pytest.raises(BadDataError, match="2 frames and the image 1"):
        still_images([blob()], [1, 1], [np.eye(4)] * 2)
