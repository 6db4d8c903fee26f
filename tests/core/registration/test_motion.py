"""Motion between frames of a small head whose positions are known."""

from __future__ import annotations

import numpy as np
import pytest
from rigid_phantom import PET_GRID, make_head, make_pet

from bidsapp.core.grid.alignment import displacement, inverse, rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.registration.motion import (
    LEAST_CORRECTED_MM,
    align_frames,
    align_parts,
    merged_groups,
)
from bidsapp.errors import BadDataError
from bidsapp.record.parts import motion_part


@pytest.fixture(scope="module")
def head():
    return make_head()


@pytest.fixture(scope="module")
def still(head):
    """Two frames at one place, aligned."""
    return align_frames(film(head, [np.eye(4)] * 2).frames(), [300] * 2)


def positions(n, seed=2):
    """Head positions up to 6 mm and 5 degrees from the first."""
    rng = np.random.default_rng(seed)
    moves = []
    for size in np.linspace(0, 1, n):
        shift, axis = rng.normal(size=(2, 3))
        shift *= 6 * size / np.linalg.norm(shift)
        axis *= np.radians(5) * size / np.linalg.norm(axis)
        moves.append(rigid_matrix([*shift, *axis]))
    return moves


def film(head, moves, **uptake):
    frames = [make_pet(head, move, **uptake).data for move in moves]
    noise = np.random.default_rng(0).normal(size=(*PET_GRID.shape, len(moves)))
    return Volume((np.stack(frames, -1) + 300 * noise).astype(np.float32), PET_GRID.affine)


def errors(found, moves, head):
    """Distance of each found position from the true one, mm over the brain."""
    start = inverse(moves[found.reference])
    points = head.brain_points
    return [
        displacement(matrix, move @ start, points)
        for matrix, move in zip(found.matrices, moves, strict=True)
    ]


def test_recovers_motion_up_to_6_mm_and_5_degrees(head):
    moves = positions(5)
    found = align_frames(film(head, moves).frames(), [300] * 5)
    assert max(errors(found, moves, head)) < 0.7
    assert found.distance_mm[found.reference] == 0
    assert found.spread_mm > 5
    assert np.array_equal(found.matrices, found.measured)
    assert not found.borrowed.any()


def test_still_frames_stay_put(head):
    found = align_frames(film(head, [np.eye(4)] * 3).frames(), [300] * 3)
    assert found.distance_mm.max() < 0.3
    assert found.spread_mm < 0.5
    assert np.array_equal(found.matrices, [np.eye(4)] * 3)  # noise is no motion


def test_the_reference_is_the_frame_nearest_to_all(head):
    moves = [rigid_matrix([x, 0, 0, 0, 0, 0]) for x in (-4.0, 0.0, 4.0)]
    found = align_frames(film(head, moves).frames(), [300] * 3)
    assert found.reference == 1
    assert found.distance_mm == pytest.approx([4, 0, 4], abs=0.5)


def test_the_reference_is_a_frame_that_counts(head):
    moves = [rigid_matrix([x, 0, 0, 0, 0, 0]) for x in (0.0, 0.0, 0.0, 3.0, 5.0)]
    found = align_frames(film(head, moves).frames(), [300] * 5, [False] * 3 + [True] * 2)
    assert found.reference == 3
    assert found.spread_mm == pytest.approx(2, abs=0.5)


def test_small_voxels_are_averaged_first(head):
    """Each voxel of 4 mm becomes eight of 2 mm: the same image, so the same motion."""
    moves = [np.eye(4), rigid_matrix([2, -3, 1, 0.02, 0, -0.03])]
    frames = []
    for frame in film(head, moves).frames():
        data = frame.data.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        half = np.diag([0.5, 0.5, 0.5, 1.0])
        half[:3, 3] = -0.25
        frames.append(Volume(data, frame.affine @ half))
    fine_found = align_frames(iter(frames), [300] * 2).measured
    found = align_frames(film(head, moves).frames(), [300] * 2).measured
    assert displacement(fine_found[1], found[1], head.brain_points) < 0.1


@pytest.mark.parametrize("move", [[14, -20, 12, 0, 0, 0], [3, 2, -4, 0.15, 0.2, -0.1]])
def test_another_part_is_found_after_a_break(head, still, move):
    there = rigid_matrix(move)
    early = film(head, [there], grey=2.2, white=0.9, cerebellar_grey=2.4)
    part = align_frames(early.frames(), [300])
    to_part = align_parts(still.mean(), part.mean())
    assert displacement(to_part, there, head.brain_points) < 1.0
    seen = part.after(to_part)
    assert displacement(seen.measured[0], there, head.brain_points) < 1.0
    far = displacement(np.eye(4), there, head.brain_points)
    assert seen.distance_mm[0] == pytest.approx(far, abs=1.0)


def test_what_is_told_is_in_the_order_of_time(still):
    late, shift = still, rigid_matrix([3.0, 0, 0, 0, 0, 0.1])
    early = late.after(shift)
    starts = [[5400, 5700], [7000], [0, 300]]
    motion = motion_part([late, None, early], starts, [[300] * 2] * 3, True)
    assert motion.frame_start_s == (0, 300, 5400, 5700)
    assert motion.pet == (2, 2, 0, 0) and motion.least_corrected_mm == LEAST_CORRECTED_MM
    assert motion.distance_mm == (*early.distance_mm, *late.distance_mm)
    assert motion.reference_frame == 2 + late.reference
    centre = early.head.mean(axis=0)
    expected = shift[:3, :3] @ centre + shift[:3, 3] - centre
    assert motion.translation_mm[late.reference] == pytest.approx(expected, abs=1e-6)
    assert motion.rotation_deg[late.reference] == pytest.approx([0, 0, np.degrees(0.1)], abs=1e-6)


def test_the_tracer_may_move_meanwhile(head):
    moves = positions(3)
    early = film(head, moves[:1], grey=2.2, white=0.9, cerebellar_grey=2.4).data
    late = film(head, moves[1:], grey=1.0, white=1.8, cerebellar_grey=0.8).data
    frames = Volume(np.concatenate([early, late], axis=-1), PET_GRID.affine)
    found = align_frames(frames.frames(), [300] * 3)
    assert max(errors(found, moves, head)) < 0.7


def test_faint_frames_borrow_the_next_position(head):
    moves = [rigid_matrix([5, 0, 0, 0, 0, 0]), rigid_matrix([0, 0, 4, 0, 0, 0])]
    frames = film(head, [moves[0], moves[0], moves[1]])
    frames.data[..., 0] *= 0.001
    found = align_frames(frames.frames(), [60, 300, 300])
    assert found.borrowed.tolist() == [True, False, False]
    assert np.array_equal(found.matrices[0], found.matrices[1])


def test_short_frames_of_the_window_are_aligned_beside_a_long_early_one(head):
    moves = [np.eye(4), *positions(4)]
    frames = [make_pet(head, move).data for move in moves]
    images = [
        Volume(level * data, PET_GRID.affine)
        for level, data in zip([1.0, 0.3, 0.3, 0.3, 0.3], frames, strict=True)
    ]
    found = align_frames(images, [600, 60, 60, 60, 60], [False, True, True, True, True])
    assert not found.borrowed.any() and found.reference > 0
    assert max(errors(found, moves, head)) < 0.7
    images[2] = Volume(0 * images[2].data, PET_GRID.affine)
    found = align_frames(images, [600, 60, 60, 60, 60], [False, True, True, True, True])
    assert found.borrowed.tolist() == [False, False, True, False, False]


def test_a_frame_that_was_aligned_where_no_head_can_be_borrows_a_position(head):
    """Two frames of four at one place, and one 46 mm away, as uptake without contrast may end."""
    there = rigid_matrix([14, 25, -36, 0, 0, 0])
    far = Volume(make_pet(head, there).data, PET_GRID.affine)
    frames = [*film(head, [np.eye(4)] * 2).frames()]
    found = align_frames(
        iter([frames[0], far, frames[1], frames[0]]), [300] * 4, [False, False, True, True]
    )
    assert found.borrowed.tolist() == [False, True, False, False]
    assert found.spread_mm < 0.5 and np.allclose(found.measured[1], found.measured[2])
    counted = align_frames(iter([frames[0], far, frames[1], frames[0]]), [300] * 4, [True] * 4)
    assert not counted.borrowed.any()
    moved = align_frames(iter([frames[0], far, far, frames[0]]), [300] * 4)  # a head that moved
    assert not moved.borrowed.any()
    assert (
        displacement(moved.measured[1] @ inverse(moved.measured[0]), there, head.brain_points) < 1
    )


@pytest.mark.parametrize(
    ("durations", "groups"),
    [
        ([300, 300], [[0], [1]]),
        ([10, 20, 30, 60, 20], [[0, 1, 2], [3, 4]]),
        ([20, 20], [[0, 1]]),
        ([59, 300], [[0, 1]]),
    ],
)
def test_short_frames_are_merged(durations, groups):
    assert merged_groups(durations) == groups


def test_frames_of_one_group_share_a_position(head):
    moves = positions(2)
    found = align_frames(film(head, [moves[0]] * 3 + [moves[1]]).frames(), [20, 20, 20, 60])
    assert np.array_equal(found.matrices[0], found.matrices[2])
    assert not np.array_equal(found.matrices[0], found.matrices[3])


def test_durations_must_fit():
    frames = Volume(np.ones((4, 4, 4, 2), np.float32), np.eye(4))
    with pytest.raises(BadDataError, match="one for each frame"):
        align_frames(frames.frames(), [300])


def test_an_empty_pet_is_an_error():
    with pytest.raises(BadDataError, match="activity"):
        align_frames(Volume(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)).frames(), [300, 300])
