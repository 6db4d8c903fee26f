"""Transforms in both directions, as ITK, nitransforms and CentiPET itself read them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import displacement, inverse, rigid_matrix, transform
from bidsapp.core.grid.resample import displaced, itk_affine_text
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.data import mni_grid, template_mask
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.affine_files import load_itk_affine
from bidsapp.io.nifti import load_displacements, save_displacements
from bidsapp.steps.anatomy import initial_affine

RAS = np.array([-1.0, -1.0, 1.0])
RIGID = rigid_matrix([3, -7, 11, 0.1, -0.2, 0.3], (5, 20, -30))


@pytest.fixture(scope="module")
def warp():
    """Waves of some millimetres, an oblique T1w of 1.5 x 1.5 x 1.8 mm, a head 6 % larger."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.1, 0.05, -0.15]).as_matrix() @ np.diag(
        [-1.5, 1.5, 1.8]
    )
    shape = (150, 180, 120)
    rng = np.random.default_rng(3)
    coefficients = rng.normal(size=(3, 6, 7, 6)) * 1500
    coefficients /= 1 + np.add.outer(np.add.outer(np.arange(6), np.arange(7)), np.arange(6)) ** 2
    head = np.diag([0.93, 0.95, 0.94, 1.0])
    head[:3, 3] = (2, -10, 5)
    middle = transform(inverse(head), np.array([0.0, -18, 5]))
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Warp(coefficients, np.zeros(3), np.array(shape, float), affine, head), Grid(
        shape, affine
    )


@pytest.fixture(scope="module")
def files(warp, tmp_path_factory):
    """The two files of a warp, there and back."""
    model, native = warp
    folder, grid = tmp_path_factory.mktemp("fields"), mni_grid(2)
    fields = model.itk_fields(Volume(model.to_t1w(grid), grid.affine), native)
    return [
        save_displacements(folder / f"{name}.nii.gz", field.data, field.affine)
        for name, field in zip(("there", "back"), fields, strict=True)
    ]


@pytest.fixture(scope="module")
def brain():
    mask = template_mask(2)
    return mask.grid.world()[np.asarray(mask.data) > 0][::41]


def test_there_and_back_is_where_it_began(warp, files, brain):
    there, back = map(load_displacements, files)
    native = warp[1]
    t1w = displaced(brain, there)
    assert np.linalg.norm(t1w - transform(inverse(warp[0].affine), brain), axis=-1).max() > 3
    inside = transform(inverse(native.affine), t1w)
    assert (inside > 0).all() and (inside < np.array(native.shape) - 1).all()
    assert np.linalg.norm(displaced(t1w, back) - brain, axis=-1).max() < 0.05
    corners = transform(
        native.affine, np.argwhere(np.ones((2, 2, 2))) * (np.array(native.shape) - 1.0)
    )
    assert np.isfinite(displaced(corners, back)).all()  # the way back reaches the last voxel


def test_itk_takes_points_where_we_do(files, brain):
    sitk = pytest.importorskip("SimpleITK")
    fields = [
        sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
        for path in files
    ]
    points = brain[::10]
    t1w = np.array([fields[0].TransformPoint(point) for point in points * RAS])
    assert t1w * RAS == pytest.approx(displaced(points, load_displacements(files[0])), abs=1e-3)
    again = np.array([fields[1].TransformPoint(point) for point in t1w]) * RAS
    assert np.linalg.norm(again - points, axis=-1).max() < 0.05


@pytest.mark.slow
def test_nitransforms_takes_points_where_we_do(files, brain, tmp_path):
    nonlinear = pytest.importorskip("nitransforms.nonlinear")
    linear = pytest.importorskip("nitransforms.linear")
    there, back = (nonlinear.load(path, fmt="itk") for path in files)
    # it knows the displacement of the nearest voxel only: points that are voxels
    assert there.map(brain) == pytest.approx(
        displaced(brain, load_displacements(files[0])), abs=1e-3
    )
    field = load_displacements(files[1])
    voxels = field.grid.world()[::9, ::9, ::9].reshape(-1, 3)
    assert back.map(voxels) == pytest.approx(displaced(voxels, field), abs=1e-3)
    path = tmp_path / "rigid.txt"
    path.write_text(itk_affine_text(RIGID))
    assert linear.load(path, fmt="itk").map(brain) == pytest.approx(
        transform(RIGID, brain), abs=1e-4
    )


@pytest.mark.parametrize("ending", ["txt", "tfm", "mat"])
def test_an_affine_of_itk_is_read_as_itk_reads_it(tmp_path, brain, ending):
    path, points = tmp_path / f"affine.{ending}", brain[::200]
    sitk = pytest.importorskip("SimpleITK")
    made = sitk.AffineTransform(3)
    made.SetMatrix((RIGID[:3, :3] * [1.1, 0.9, 1]).ravel())
    made.SetTranslation([1, 2, 3])
    made.SetCenter([30, -40, 50])
    sitk.WriteTransform(made, str(path))
    expected = np.array([made.TransformPoint(point) for point in points * RAS]) * RAS
    assert transform(load_itk_affine(path), points) == pytest.approx(expected, abs=1e-6)


def test_what_we_write_we_read(tmp_path):
    path = tmp_path / "ours.txt"
    path.write_text(itk_affine_text(RIGID))
    assert load_itk_affine(path) == pytest.approx(RIGID, abs=1e-12)


FORWARD, BACKWARD = "sub-1_from-T1w_to-MNI152NLin6Asym_xfm", "sub-1_from-MNI152NLin6Asym_to-T1w_xfm"


def test_the_affine_of_a_written_warp_is_the_nearest_in_the_brain(warp, files, brain, tmp_path):
    found = []
    for file, name in zip(files, (FORWARD, BACKWARD), strict=True):
        path = tmp_path / f"{name}.nii.gz"
        path.symlink_to(file)
        found.append(initial_affine(path))
    t1w = displaced(brain, load_displacements(files[0]))
    apart = transform(found[0], t1w) - brain
    assert np.abs(apart.mean(axis=0)).max() < 0.1
    best = np.column_stack([t1w, np.ones(len(t1w))])
    best = best @ np.linalg.lstsq(best, brain, rcond=None)[0] - brain
    assert (apart**2).sum() < 1.01 * (best**2).sum()
    assert displacement(*found, brain) < 0.3  # the other direction says the same


def test_a_written_field_that_is_affine_gives_that_affine(tmp_path):
    truth = rigid_matrix([3, -7, 11, 0.1, -0.2, 0.3]) @ np.diag([0.9, 1.1, 1.0, 1.0])
    grid = mni_grid(2)  # from the template to a T1w
    field = (transform(truth, grid.world()) - grid.world()).astype(np.float32) * RAS
    path = tmp_path / f"{FORWARD}.nii.gz"
    save_displacements(path, field[:, :, :, None].astype(np.float32), grid.affine)
    assert initial_affine(path) == pytest.approx(inverse(truth), abs=1e-3)


def test_an_affine_is_turned_round_where_its_name_says_so(tmp_path):
    for name, expected in ((FORWARD, inverse(RIGID)), ("by_hand", inverse(RIGID)),
                           (BACKWARD, RIGID)):  # fmt: skip
        path = tmp_path / f"{name}.txt"
        path.write_text(itk_affine_text(RIGID))
        assert initial_affine(path) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "words"), [
    ("sub-1_from-pet_to-T1w_mode-image_xfm.txt", "maps pet to T1w; give"),
    ("sub-1_from-orig_to-T1w_xfm.nii.gz", "maps orig to T1w"),
    ("sub1Warp.nii.gz", "0GenericAffine.mat"),
    (f"{BACKWARD}.nii.gz", "does not map the T1w into the brain"),
])  # fmt: skip
def test_a_transform_between_other_spaces_is_refused(tmp_path, name, words):
    path = tmp_path / name
    far = np.eye(4)
    far[:3, 3] = 1000
    save_displacements(tmp_path / "x.nii.gz", np.zeros((4, 4, 4, 1, 3), np.float32), far)
    (tmp_path / "x.nii.gz").rename(path)
    with pytest.raises(BadDataError, match=words):
        initial_affine(path)


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("fsl.mat", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", BadDataError, "lta_convert"),
        ("a.lta", "type = 1\nnxforms = 1\n", BadDataError, "c3d_affine_tool"),
        ("two.txt", itk_affine_text(RIGID) * 2, BadDataError, "one affine"),
        ("bspline.txt", itk_affine_text(RIGID).replace("Affine", "BSpline"), BadDataError, "BSpl"),
        ("flat.txt", itk_affine_text(np.zeros((4, 4))), BadDataError, "inverted"),
        ("missing.txt", None, NoInputError, "cannot be read"),
        ("missing.mat", None, NoInputError, "cannot be read"),
    ],
)
def test_what_is_no_affine_of_itk_is_refused(tmp_path, name, text, error, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=words):
        load_itk_affine(path)
