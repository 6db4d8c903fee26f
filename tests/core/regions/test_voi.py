"""VOI statistics: known answers, unmeasured voxels, fixed rows."""

import numpy as np
import pytest

from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.regions.voi import in_native_space, measure


@pytest.fixture
def vois():
    masks = {}
    for index, name in enumerate(("ctx", "wc", "cg")):
        masks[name] = np.zeros((6, 5, 4), bool)
        masks[name][2 * index : 2 * index + 2] = True
    return masks


def test_means_sds_and_volumes_are_those_of_the_voxels(vois):
    image = np.random.default_rng(0).random((6, 5, 4)).astype(np.float32)
    table = measure(image, vois, 8.0)
    assert list(table) == ["ctx", "wc", "cg"]
    for index, name in enumerate(vois):
        values = image[2 * index : 2 * index + 2].astype(float).tolist()
        flat = [v for plane in values for row in plane for v in row]
        mean = sum(flat) / 40
        sd = (sum((v - mean) ** 2 for v in flat) / 40) ** 0.5
        assert table[name].mean == pytest.approx(mean) and table[name].sd == pytest.approx(sd)
        assert (table[name].n_voxels, table[name].coverage) == (40, 1)
        assert table[name].volume_ml == pytest.approx(0.32)


def test_voxels_that_were_not_measured_do_not_count_as_zero(vois):
    image = np.full((6, 5, 4), 3.0, np.float32)
    image[0] = np.nan
    table = measure(image, vois, 8.0)
    assert table["ctx"].mean == 3 and table["ctx"].coverage == 0.5 and table["ctx"].n_voxels == 20
    assert table["ctx"].volume_ml == pytest.approx(0.16)


def test_below_the_least_coverage_there_is_no_mean_but_the_row_stays(vois):
    image = np.full((6, 5, 4), 3.0, np.float32)
    image[:2] = np.nan
    image[2, :4] = np.nan
    table = measure(image, vois, 8.0, least_coverage=0.65)
    assert table["ctx"].mean is None and table["ctx"].n_voxels == 0
    assert table["wc"].mean is None and table["wc"].coverage == 0.6
    assert table["cg"].mean == 3


def test_the_same_image_stored_left_or_right_gives_the_same_means(vois, tiny_volume):
    flipped = tiny_volume.affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] += tiny_volume.affine[:3, 0] * (tiny_volume.data.shape[0] - 1)
    mirrored = Volume(tiny_volume.data[::-1], flipped)
    rng = np.random.default_rng(3)
    points = rng.uniform((-9, -15, 0), (9, 9, 10), (6, 5, 4, 3))
    first = measure(sample(tiny_volume, points), vois, 8.0)
    second = measure(sample(mirrored, points), vois, 8.0)
    for name in vois:
        assert first[name].mean == pytest.approx(second[name].mean, rel=1e-6)
        assert first[name].coverage == 1


def test_volumes_come_to_a_brain_through_its_warp():
    template = Grid((8, 8, 8), np.diag([-2.0, 2.0, 2.0, 1.0]))
    template.affine[:3, 3] = (7, -7, -7)
    voi = np.zeros(template.shape, bool)
    voi[2:5, 3:6, 1:4] = True
    brain = np.ones((26, 18, 20), bool)
    brain[:, :, :8] = False

    def to_template(*index):
        x, y, z = np.meshgrid(*index, indexing="ij")
        return np.stack([0.9 * (x - 12) + 1, 0.9 * (y - 9), 0.9 * (z - 11) + 0.5])

    native = in_native_space({"ctx": voi}, template, to_template, brain)["ctx"]
    assert native.shape == brain.shape and native.any() and not native[~brain].any()
    for index in np.argwhere(brain)[::37]:  # one voxel at a time, by the definition
        point = to_template(*index[:, None]).ravel()
        at = np.rint((point - template.affine[:3, 3]) / np.diag(template.affine)[:3]).astype(int)
        inside = ((at >= 0) & (at < 8)).all()
        assert native[tuple(index)] == (inside and voi[tuple(at)])
