"""A window as one mean per position of the head, each interpolated once."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp.core.frames.position_means import (
    mean_at_points,
    mean_at_reference,
    mean_in_scanner,
    mean_on_grid,
    mean_per_position,
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
    (mean,) = mean_per_position(iter(frames), [100, 300, 0], [np.eye(4)] * 3)
    assert mean.seconds == 400 and not mean.moved
    expected = (frames[0].data + 3 * frames[1].data.astype(float)) / 4
    np.testing.assert_allclose(mean.image.data, expected, rtol=1e-6)


def test_a_single_frame_is_kept_bit_for_bit():
    frame = blob()
    position_means = mean_per_position([frame], [600], [np.eye(4)])
    np.testing.assert_array_equal(mean_at_reference(position_means).data, frame.data)
    points = GRID.world()[5:-5, 5:-5, 3:-3] + 0.3
    np.testing.assert_array_equal(mean_at_points(position_means, points), sample(frame, points))
    to_reference = rigid_matrix([1, 2, 3, 0.1, 0, 0])
    np.testing.assert_array_equal(
        mean_on_grid(position_means, GRID, to_reference).data,
        resample(frame, GRID, to_reference).data,
    )


def test_moved_frames_come_back_everywhere():
    motion = [np.eye(4), MOVE, MOVE, np.eye(4)]
    frames = [blob(matrix) for matrix in motion]
    position_means = mean_per_position(iter(frames), [60, 120, 180, 60], motion)
    assert [(mean.seconds, mean.moved) for mean in position_means] == [(120, False), (300, True)]
    truth = blob().data
    inner = (slice(6, -6), slice(6, -6), slice(4, -4))
    assert np.abs(mean_at_reference(position_means).data - truth)[inner].max() < 1.2
    points = GRID.world()[inner] + 0.4
    exact = 1 + 100 * np.exp(-((points - (0.0, 2.0, -1.0)) ** 2).sum(axis=-1) / 300)
    assert np.abs(mean_at_points(position_means, points) - exact).max() < 1.2
    # left alone the moved frames are elsewhere
    assert np.abs(mean_in_scanner(position_means).data - truth)[inner].max() > 5


def test_each_image_is_interpolated_once():
    """The mean read on another grid is the mean of the frames read there, not of moved frames."""
    frames = [blob(), blob(MOVE)]
    position_means = mean_per_position(iter(frames), [100, 100], [np.eye(4), MOVE])
    to_reference = rigid_matrix([0.7, 0.9, -1.3, 0.02, 0, 0.03])
    found = mean_on_grid(position_means, GRID, to_reference).data
    each = [resample(frames[0], GRID, to_reference).data,
            resample(frames[1], GRID, MOVE @ to_reference).data]  # fmt: skip
    both = np.isfinite(each[0]) & np.isfinite(each[1])
    np.testing.assert_allclose(found[both], ((each[0] + each[1]) / 2)[both], rtol=1e-6)


def test_half_of_the_time_is_enough_at_the_edge_of_the_field():
    far = rigid_matrix([0, 0, 12, 0, 0, 0])
    position_means = mean_per_position(iter([blob(), blob(far)]), [300, 100], [np.eye(4), far])
    top = mean_at_reference(position_means).data[:, :, -1]
    np.testing.assert_allclose(top, blob().data[:, :, -1], rtol=1e-6)
    position_means = mean_per_position(iter([blob(), blob(far)]), [100, 300], [np.eye(4), far])
    assert np.isnan(mean_at_reference(position_means).data[:, :, -1]).all()


def test_numbers_of_frames_must_agree():
    with pytest.raises(BadDataError, match="2 frames and the image 1"):
        mean_per_position([blob()], [1, 1], [np.eye(4)] * 2)
