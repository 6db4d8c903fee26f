"""The phantom is what it claims to be: its truth is checked by other ways than it was made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bidsapp import data
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.volume import Volume
from bidsapp.demo import phantom as ph
from bidsapp.errors import UsageError

pytestmark = pytest.mark.slow  # a whole head


def read(image: Volume, points: np.ndarray) -> np.ndarray:
    """Voxel values nearest to world points: no interpolation shared with the code under test."""
    homogeneous = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)
    index = np.rint(homogeneous @ np.linalg.inv(image.affine).T)[..., :3].astype(int)
    inside = ((index >= 0) & (index < image.data.shape[:3])).all(axis=-1)
    assert inside.all()
    return image.data[tuple(np.moveaxis(index, -1, 0))]


@pytest.fixture(scope="module")
def field(phantom) -> np.ndarray:
    """T1w world coordinate of every voxel of the MNI 2 mm grid."""
    return phantom.deformation.to_person(data.mni_grid(2).world())


def test_the_true_suvr_is_read_from_the_noisy_frames(phantom, field):
    in_pet = transform(phantom.t1w_to_pet, field)
    average = Volume(phantom.pet.data.mean(axis=-1), phantom.pet.affine)
    means = {name: read(average, in_pet[voi]).mean() for name, voi in data.vois(2).items()}
    for name, truth in phantom.suvr.items():
        assert means["ctx"] / means[name] == pytest.approx(truth, rel=0.01)
    assert phantom.suvr["wc"] == pytest.approx(1.4, abs=1e-5)


def test_t1w_shows_the_template_at_the_deformed_place(phantom, field):
    head, brain = data.template(2), data.template_mask(2).data
    t1w = Volume(phantom.t1w.data, phantom.t1w.affine)
    shown = read(t1w, phantom.deformation.to_person(head.grid.world()[brain]))
    unwarped = read(t1w, transform(phantom.deformation.affine, head.grid.world()[brain]))
    agreement = np.corrcoef(shown, head.data[brain])[0, 1]
    assert agreement > 0.9
    assert agreement > np.corrcoef(unwarped, head.data[brain])[0, 1] + 0.05


def test_no_voi_voxel_is_cut_by_a_scan(phantom, field):
    everywhere = np.logical_or.reduce(list(data.vois(2).values()))
    for volume, points in (
        (phantom.t1w, field[everywhere]),
        (phantom.pet, transform(phantom.t1w_to_pet, field[everywhere])),
    ):
        index = transform(np.linalg.inv(volume.affine), points)
        assert (index > 2).all() and (index < np.array(volume.data.shape[:3]) - 3).all()


def test_deformation_is_smooth_known_and_several_millimetres(phantom, field):
    deformation = phantom.deformation
    world = data.mni_grid(2).world()
    shift = np.linalg.norm(deformation.displacement(world)[data.template_mask(2).data], axis=-1)
    assert np.sqrt((shift**2).mean()) > 2.0 and shift.max() < 12.0
    some = world[::7, ::7, ::7]
    assert np.abs(deformation.to_template(deformation.to_person(some)) - some).max() < 1e-6
    # no folding: neighbouring voxels keep their order and 70 to 140 % of their distance
    for axis in range(3):
        slope = np.linalg.norm(np.diff(field, axis=axis), axis=-1) / 2
        assert slope.min() > 0.7 and slope.max() < 1.4


def test_points_between_the_iterated_ones_are_right(phantom):
    """Reading the inverse linearly between every third voxel costs less than 0.05 mm."""
    fine = ph.centred_grid((91, 91, 31), ph.PET_VOXEL_MM, np.eye(3))
    exact = phantom.deformation.to_template(fine.world())
    assert np.abs(ph.template_points(phantom.deformation, fine, np.eye(4)) - exact).max() < 0.05


@pytest.mark.slow
def test_same_bits_every_time(phantom, make):
    again = make()
    for name in ("t1w", "pet", "pet_nac", "pet_noiseless"):
        assert np.array_equal(getattr(again, name).data, getattr(phantom, name).data), name
    assert again.suvr == phantom.suvr


@pytest.mark.slow
def test_only_the_cortex_follows_the_amyloid_load(phantom, make):
    more = make(1.9)
    assert more.suvr["wc"] == pytest.approx(1.9, abs=1e-5)
    assert np.array_equal(more.t1w.data, phantom.t1w.data)
    gain = more.pet_noiseless.data - phantom.pet_noiseless.data
    field = transform(phantom.t1w_to_pet, phantom.deformation.to_person(data.mni_grid(2).world()))
    gains = {
        name: read(Volume(gain, more.pet.affine), field[voi]).mean()
        for name, voi in data.vois(2).items()
    }
    # the references get no more than what the point spread brings over from their neighbours
    assert gains["ctx"] > 8 * max(gains[name] for name in ("wc", "cg", "wcb", "pons"))


@pytest.mark.parametrize("suvr", [0.2, 3.5])
def test_an_impossible_load_is_refused_with_advice(suvr):
    fixed, cortical = {"ctx": 0.5, "wc": 0.9}, {"ctx": 0.45, "wc": 0.02}
    with pytest.raises(UsageError, match="choose a Centiloid between"):
        ph.solve_uptake(fixed, cortical, suvr)


def test_tissue_volumes_are_those_of_a_head():
    head, brain = data.template(2), data.template_mask(2).data
    grey, white, csf = ph.classify(head, brain).sum(axis=(1, 2, 3)) * 8e-3
    assert grey + white + csf == pytest.approx(brain.sum() * 8e-3, rel=1e-4)
    assert 1000 < grey < 1300 and 350 < white < 700 and 150 < csf < 350


def test_noise_is_that_of_a_five_minute_frame(phantom):
    frames, truth = phantom.pet.data, phantom.pet_noiseless.data
    brain = truth > 0.8 * truth.max()
    error = (frames - truth[..., None])[brain]
    assert 0.03 < error.std() / truth[brain].mean() < 0.06
    assert abs(error.mean()) < 0.005 * truth[brain].mean()
    assert abs(np.corrcoef(error[:, 0], error[:, 1])[0, 1]) < 0.05
    assert frames.min() >= 0


def test_uncorrected_pet_has_a_dark_centre(phantom):
    nac, pet = phantom.pet_nac.data, phantom.pet_noiseless.data
    depth = ndimage.distance_transform_edt(pet > 0.1 * ph.ACTIVITY_BQML)
    centre, rim = depth > 0.9 * depth.max(), (depth > 4) & (depth < 6)
    assert (nac[centre] / pet[centre]).mean() < 0.5 * (nac[rim] / pet[rim]).mean()
