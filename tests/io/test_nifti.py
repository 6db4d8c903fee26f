"""Images in and out: broken ones are told, good ones come back as they were."""

from __future__ import annotations

import gzip
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import broken_images
import nibabel as nib
import numpy as np
import pytest

from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError, CentipetError, NoInputError
from bidsapp.interfaces.derivatives import measured_or_zero
from bidsapp.io.atomic import remove_temporaries
from bidsapp.io.nifti import (
    affine_disagreement,
    load_volume,
    read_frames,
    read_grid,
    read_shape,
    save_volume,
    voxel_hash,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", broken_images.BROKEN)
def test_a_broken_image_is_refused_with_a_sentence(tmp_path, name):
    content, word = broken_images.BROKEN[name]
    path = broken_images.write(tmp_path, name, content)
    with pytest.raises((BadDataError, NoInputError)) as caught:
        load_volume(path)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence
    assert word in sentence.replace(str(path), "")


@pytest.mark.parametrize("name", broken_images.ODD)
def test_an_odd_image_is_read(tmp_path, name):
    path = broken_images.write(tmp_path, name, broken_images.ODD[name])
    volume = load_volume(path, ndim=3)
    assert volume.data.shape == read_shape(path) == broken_images.SHAPE
    reference = nib.load(path)
    np.testing.assert_array_equal(volume.data, np.squeeze(reference.get_fdata()))
    np.testing.assert_array_equal(volume.affine, reference.affine)


@pytest.mark.parametrize("name", ["missing", "folder"])
def test_what_is_no_file(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(NoInputError, match=name):
        load_volume(tmp_path / name)


def test_a_loop_of_links(tmp_path):
    path = tmp_path / "loop_T1w.nii.gz"
    path.symlink_to(path)
    with pytest.raises(NoInputError, match="loop_T1w"):
        read_shape(path)


@pytest.fixture
def little_memory():
    """An address space in which no absurd array has a place."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 6_000_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("number", [500, pytest.param(5000, marks=pytest.mark.slow)])
def test_headers_with_random_bytes(tmp_path, little_memory, number):
    logging.getLogger("nibabel.global").setLevel("CRITICAL")
    random = np.random.default_rng(number)
    path = tmp_path / "mutated_pet.nii"
    refused = 0
    for _ in range(number):
        path.write_bytes(broken_images.mutated(random))
        try:
            volume = load_volume(path)
        except CentipetError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert 3 <= volume.data.ndim <= 4 and np.isfinite(volume.affine).all()
    assert 0.2 * number < refused < 0.9 * number, (
        "the mutations are neither all harmless nor all deadly"
    )


@pytest.mark.parametrize("frames", [(), (3,)])
def test_an_infinite_voxel_is_as_missing_as_one_without_a_number(tmp_path, frames):
    data = np.ones((4, 5, 6, *frames))
    data[0, 0, 0], data[0, 0, 1], data[0, 0, 2], data[0, 0, 3] = np.inf, -np.inf, np.nan, 1e300
    path = tmp_path / "odd.nii"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    whole = load_volume(path).data
    assert np.isnan(whole[0, 0, :4]).all()
    assert np.isfinite(whole).sum() == whole.size - np.isnan(whole[0, 0, :4]).size
    for number, frame in enumerate(read_frames(path)):
        expected = whole[..., number] if frames else whole
        np.testing.assert_array_equal(frame.data, expected)
    written = measured_or_zero(Volume(np.where(np.isnan(whole), np.inf, whole), np.eye(4)))
    assert (written.data[0, 0, :4] == 0).all()
    assert written.data.max() == 1


def test_what_is_written_is_read_and_has_the_same_bytes(tmp_path, tiny_volume):
    first = save_volume(tmp_path / "one.nii.gz", tiny_volume)
    again = save_volume(tmp_path / "two.nii.gz", load_volume(first))
    assert first.read_bytes() == again.read_bytes()
    assert gzip.decompress(first.read_bytes()) == nib.load(first).to_bytes()
    mask = save_volume(tmp_path / "mask.nii.gz", Volume(tiny_volume.data > 5, tiny_volume.affine))
    assert nib.load(mask).get_data_dtype() == np.uint8


@pytest.mark.parametrize(
    ("codes", "expected"), [((1, 1), 5.0), ((1, 0), 0.0), ((0, 1), 0.0), ((0, 0), None)]
)
def test_sform_and_qform_that_differ(tmp_path, codes, expected):
    place = np.diag([2.0, 2.0, 2.0, 1.0])
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), place)
    image.set_sform(place, codes[0])
    moved = place.copy()
    moved[:3, 3] = [3, 0, 4]
    image.set_qform(moved, codes[1])
    nib.save(image, tmp_path / "both.nii.gz")
    assert affine_disagreement(tmp_path / "both.nii.gz") == (expected and pytest.approx(expected))


def test_an_origin_may_lie_anywhere_that_single_precision_can_tell(tmp_path):
    for origin_mm, readable in ((9e4, True), (-1.1e5, False)):
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[:3, 3] = origin_mm
        path = tmp_path / "far.nii.gz"
        nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.float32), affine), path)
        if readable:
            assert np.allclose(load_volume(path).affine, affine)
        else:
            with pytest.raises(BadDataError, match="too far from the origin"):
                load_volume(path)


def test_leftovers_of_killed_writers_go_and_those_of_live_ones_stay(tmp_path):
    names = ("killed", "just-made")
    killed, new = (tmp_path / f".{name}.nii.gz.{'0a' * 16}.tmp" for name in names)
    foreign = tmp_path / ".notes.tmp"
    for path in (killed, new, foreign):
        path.write_bytes(b"half")
    for path in (killed, foreign):
        os.utime(path, (0, 0))
    os.utime(new, (2**32, 2**32))
    code = (
        "import sys, time\n"
        "from bidsapp.io.atomic import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    print(temporary, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "live.json"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    live = Path(writer.stdout.readline().strip())
    os.utime(live, (0, 0))
    assert remove_temporaries([tmp_path]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {new.name, foreign.name, live.name}
    writer.kill()
    writer.wait()
    assert remove_temporaries([tmp_path]) == 1
    assert not live.exists()


def test_voxels_have_one_hash_whatever_header_and_packing(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    paths = [tmp_path / name for name in ("a.nii", "b.nii.gz", "c.nii", "d.nii")]
    for path in paths[:2]:
        nib.Nifti1Image(data, np.eye(4)).to_filename(path)
    other = nib.Nifti1Image(data, np.diag([2, 2, 2, 1]))
    other.header["descrip"] = b"another name"
    other.to_filename(paths[2])
    nib.Nifti1Image(data + np.int16(1), np.eye(4)).to_filename(paths[3])
    hashes = [voxel_hash(path) for path in paths]
    assert len(set(hashes[:3])) == 1 and hashes[3] != hashes[0]
    assert hashes[0].startswith("sha256:")


def test_frames_on_another_grid_come_on_that_of_the_first(tmp_path):
    def plane(points):  # a linear image is the same wherever it is read
        return (100 + points @ [1.0, 2.0, 3.0]).astype(np.float32)

    turned = np.array([[0, -2.0, 0, 12], [2.0, 0, 0, -3], [0, 0, 2.0, 1], [0, 0, 0, 1]])
    paths = []
    for name, affine in (("a", np.diag([2.0, 2.0, 2.0, 1.0])), ("b", turned)):
        world = Volume(np.empty((6, 7, 8), np.float32), affine).grid.world()
        data = np.stack([plane(world), 2 * plane(world)], axis=-1)
        paths.append(save_volume(tmp_path / f"{name}.nii.gz", Volume(data, affine)))
    first, second, third, fourth = read_frames(*paths)
    assert third.grid.is_same(first.grid) and not third.grid.is_same(read_grid(paths[1]))
    seen = np.isfinite(third.data)
    assert 0.3 < seen.mean() < 1
    np.testing.assert_allclose(third.data[seen], first.data[seen], rtol=1e-5)
    np.testing.assert_allclose(fourth.data[seen], second.data[seen], rtol=1e-5)
