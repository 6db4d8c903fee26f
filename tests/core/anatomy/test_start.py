"""Which voxels the segmentation looks at, and what is taken for a head."""

from __future__ import annotations

import numpy as np
import pytest

from bidsapp import data
from bidsapp.core.anatomy.priors import PriorSampler
from bidsapp.core.anatomy.start import find_head, skull_missing, subsample, without_shading
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError


@pytest.mark.parametrize(
    "voxel_mm", [(1, 1, 1), (0.5, 0.5, 0.5), (0.88, 0.88, 0.88), (1.25, 1.25, 1.25), (2, 2, 2),
                 (2.2, 2.2, 2.2), (2.5, 2.5, 2.5), (3, 3, 3), (1, 1, 3), (0.9, 0.9, 2.2),
                 (1.95, 1.95, 4)]
)  # fmt: skip
def test_samples_are_about_as_dense_as_wanted_whatever_the_voxels(voxel_mm):
    shape = tuple(int(60 / size) for size in voxel_mm)
    image = Volume(np.ones(shape, np.float32), np.diag([*voxel_mm, 1.0]))
    samples = subsample(image, 3.0)
    assert 0.55 * 27 <= samples.volume_mm3 <= 2 * 27
    volume = samples.intensity.size * samples.volume_mm3
    assert volume == pytest.approx(np.prod(shape) * np.prod(voxel_mm), rel=0.2)


def test_a_chequerboard_has_no_neighbours_along_an_axis():
    image = Volume(np.ones((20, 20, 20), np.float32), np.diag([2.2, 2.2, 2.2, 1.0]))
    index = subsample(image, 3.0).index
    taken = np.zeros((20, 20, 20), bool)
    taken[tuple(index.T)] = True
    assert taken.sum() == 4000
    for axis in range(3):
        assert not (taken & np.roll(taken, 1, axis)).any()


def test_voxels_of_2_mm_are_taken_with_those_in_the_middle_between_them():
    """Else one in eight, and a plane cut off would decide which."""
    image = Volume(np.ones((20, 20, 20), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    samples = subsample(image, 3.0)
    parity = samples.index % 2
    assert (parity == parity[:, :1]).all()
    assert np.bincount(parity[:, 0]).tolist() == [1000, 1000]
    assert samples.volume_mm3 == 32


def test_shading_is_divided_out_and_contrast_stays():
    x, y, z = np.indices((60, 60, 60)) * 3.0 - 90
    head = np.where(x**2 + y**2 + z**2 < 80**2, 100.0, 0.0)
    head[(x // 12 + y // 12 + z // 12) % 2 == 0] *= 0.6  # tissue
    shaded = head * np.exp(0.7 * x / 90)
    found = without_shading(Volume(shaded.astype(np.float32), np.diag([3.0, 3, 3, 1]))).data
    centre = np.abs(x) + np.abs(y) + np.abs(z) < 100
    bright = centre & (head == 100)
    assert np.log(found[bright]).std() < 0.35 * np.log(shaded[bright]).std()
    assert found[centre & (head == 60)].mean() / found[bright].mean() == pytest.approx(
        0.6, abs=0.05
    )
    assert np.isfinite(found).all()


def head(noise, contrast=1.0):
    """The template's head, 4 mm."""
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [90, -126, -72]
    image = data.template(1).data[::4, ::4, ::4] * contrast
    grain = np.random.default_rng(3).normal(0, noise, (2, *image.shape))
    return Volume(np.hypot(image + grain[0], grain[1]).astype(np.float32), affine)


def found_in(image):
    return find_head(image, data.priors(), PriorSampler(data.priors()))


@pytest.mark.slow
def test_a_missing_skull_is_seen():
    whole, brain = data.template(2), data.template_mask(2).data
    displaced = np.eye(4)
    displaced[:3, 3] = 5, -20, 30

    def missing(image):
        moved = Volume(image, np.linalg.inv(displaced) @ whole.affine)
        return skull_missing(moved, data.priors(), displaced)

    assert missing(whole.data) < 0.1
    assert missing(np.where(brain, whole.data, 0)) > 0.9
    assert missing(np.where(brain, whole.data, np.nan)) > 0.9
    grain = np.abs(np.random.default_rng(3).normal(0, 0.5, brain.shape))  # white matter has 90
    assert missing(np.where(brain, whole.data, grain)) > 0.9
    assert missing(whole.data[40:50, 50:60, 40:50]) == 0  # nobody knows


def test_a_head_convinces_and_its_starts_agree():
    start = found_in(head(noise=2.0))
    assert start.convincing and start.spread_mm < 5


@pytest.mark.slow
@pytest.mark.parametrize("what", ["noise", "ramp"])
def test_what_is_no_head_is_told_before_anything_is_fitted_to_it(what):
    affine = head(0.0).affine
    x = np.indices((46, 55, 46))[0]
    image = {"noise": np.zeros(x.shape), "ramp": 10.0 * x}[what]
    grain = np.random.default_rng(3).normal(0, 3, (2, *x.shape))
    grainy = Volume(np.hypot(image + grain[0], grain[1]).astype(np.float32), affine)
    with pytest.raises(BadDataError, match="no head"):
        found_in(grainy)
