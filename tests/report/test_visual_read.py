"""Images to read by eye: one orientation, one grid, one scale per tracer, one interpolation."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass
from synthetic_derivatives import SCAN, fake_pet, write_images
from synthetic_records import finished_record, write

from bidsapp import data
from bidsapp.bids.derivatives import output_path, sidecar_path
from bidsapp.core.grid.alignment import rigid_between, rigid_matrix
from bidsapp.core.grid.resample import itk_displacements
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.nifti import load_displacements, save_displacements, save_volume
from bidsapp.record import read_record
from bidsapp.record.stored import StoredScan
from bidsapp.report.visual_read import export_read, read_grid

TILT = rigid_matrix([6, -9, 12, 0.2, -0.15, 0.3])  # template world -> T1w world
MOVE = rigid_matrix([-3, 5, 2, 0.05, 0.1, -0.02])  # T1w world -> PET world


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    """A person whose head lies askew in both scanners, but is the template otherwise."""
    tmp_path = tmp_path_factory.mktemp("tilted")
    grid, pet = data.mni_grid(2), fake_pet()
    write_images(tmp_path, SCAN, only=("xfm", "pet_mni"))
    save_volume(output_path(tmp_path, "pet_native", SCAN), Volume(pet, MOVE @ TILT @ grid.affine))
    t1w = Volume(data.template(2).data, TILT @ grid.affine)
    save_volume(output_path(tmp_path, "t1w", SCAN), t1w)
    field = grid.world() @ TILT[:3, :3].T + TILT[:3, 3]
    warp = output_path(tmp_path, "warp", SCAN)
    save_displacements(warp, itk_displacements(field, grid), grid.affine)
    xfm = sidecar_path(output_path(tmp_path, "xfm", SCAN))
    xfm.write_text(json.dumps({"T1wToPet": MOVE.tolist()}))
    path = write(tmp_path, finished_record(SCAN, suvr_wc=1.8), SCAN)
    return StoredScan(tmp_path, read_record(path, tmp_path))


@pytest.mark.slow
def test_the_head_lies_as_the_template_and_the_scale_is_the_tracers(tilted):
    pet, t1w = export_read(tilted)
    first = pet.read_bytes()
    assert export_read(tilted)[0].read_bytes() == first
    image = nib.load(pet)
    assert image.shape == read_grid(2).shape and nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert np.array_equal(image.affine, read_grid(2).affine)
    # every even coordinate of this grid is a voxel of the template: nothing is blurred
    points = np.array([(-8, -52, 26), (20, -64, -40), (40, 20, 4)])
    ours = np.round((points - image.affine[:3, 3]) / 2).astype(int)
    theirs = np.round((points - data.mni_grid(2).affine[:3, 3]) / [-2, 2, 2]).astype(int)
    found, expected = image.get_fdata()[tuple(ours.T)], fake_pet()[tuple(theirs.T)] / 5000
    assert found == pytest.approx(expected, abs=0.03)
    sidecar = json.loads(sidecar_path(pet).read_text())
    assert sidecar["ColorMap"] == "gray" and sidecar["DisplayRange"][0] == 0
    # deep white matter has 7000, the whole cerebellum 5000, and lies at 90 % of the scale
    assert sidecar["DisplayRange"][1] == pytest.approx(7000 / 5000 / 0.9, rel=0.03)
    assert "the deep white matter" in sidecar["DisplayRangeSource"]
    assert image.header["cal_max"] == pytest.approx(sidecar["DisplayRange"][1])
    assert sidecar["Units"] == "unitless" and "Neuraceq" in sidecar["ColorMapSource"]
    head = nib.load(t1w)
    assert head.shape == read_grid(1).shape
    centre = np.array(center_of_mass(head.get_fdata())) + read_grid(1).affine[:3, 3]
    template = data.template(2)
    expected = np.array(center_of_mass(template.data)) @ template.affine[:3, :3].T
    assert centre == pytest.approx(expected + template.affine[:3, 3], abs=0.5)


def test_a_lost_or_foreign_warp_is_a_sentence(tilted, tmp_path):
    shutil.copytree(tilted.output_dir, tmp_path, dirs_exist_ok=True)
    scan = StoredScan(tmp_path, tilted.record)
    save_volume(scan.warp, Volume(np.ones((4, 4, 4), np.float32), np.eye(4)))
    with pytest.raises(BadDataError, match="not a displacement field"):
        export_read(scan)
    scan.warp.unlink()
    with pytest.raises(NoInputError, match="no such image"):
        export_read(scan)


def test_displacements_come_back_as_they_were_written(tilted):
    field = load_displacements(tilted.warp)
    assert field.data.shape == (91, 109, 91, 3)


def test_a_rigid_transform_is_found_between_points():
    points = np.random.default_rng(0).normal(size=(50, 3)) * 40
    moved = points @ TILT[:3, :3].T + TILT[:3, 3]
    assert rigid_between(points, moved) == pytest.approx(TILT, abs=1e-9)
    mirrored = rigid_between(points, points * [-1, 1, 1])
    assert np.linalg.det(mirrored[:3, :3]) == pytest.approx(1)
