"""The steps of a scan from Python, on nibabel images."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from stand_in_head import GRID, segmentation

import bidsapp
from bidsapp.core.quality import Flag
from bidsapp.core.registration.rigid import RigidFit
from bidsapp.data import mni_grid
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.record import RecordPart
from bidsapp.steps.anatomy import SegmentedT1w

MOVED = np.eye(4)
MOVED[:3, 3] = (4.0, -8.0, 12.0)


@pytest.fixture
def stand_ins(monkeypatch):
    """A head that lies in MNI already, and a PET whose position is known."""

    def segment_head(t1w):
        maps = np.stack([t1w.data / 200, 1 - t1w.data / 200, 0 * t1w.data])
        found = segmentation(t1w, maps, np.ones(GRID.shape, bool))
        return SegmentedT1w(found, {"brain_ml": 1.0}, (Flag("odd", "look"),))

    class Fit:
        matrix = MOVED

    monkeypatch.setattr("bidsapp.api.images.segment_head", segment_head)
    monkeypatch.setattr("bidsapp.api.images.head_of", lambda *given: given)
    monkeypatch.setattr(
        "bidsapp.api.images.positioned",
        lambda pet, head, **options: (Fit, RecordPart(qc={"pet_t1w_nmi": 1.1})),
    )
    assert "matrix" in RigidFit.__dataclass_fields__  # as the stand-in has it


def ramp(affine=GRID.affine):
    """100 plus a tenth of the distance from the origin in each direction, mm."""
    index = np.stack(np.indices(GRID.shape), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return nib.Nifti1Image((100 + world @ [0.1, 0.2, 0.3]).astype(np.float32), affine)


def test_a_head_a_position_and_the_way_to_the_template(stand_ins, tmp_path):
    ramp().to_filename(tmp_path / "t1w.nii.gz")
    head = bidsapp.segment(tmp_path / "t1w.nii.gz")
    assert np.allclose(head.gm.get_fdata(), ramp().get_fdata() / 200, atol=1e-6)
    assert np.array_equal(head.wm.affine, GRID.affine) and head.mask.get_data_dtype() == np.uint8
    assert head.flags[0].code == "odd" and head.quality == {"brain_ml": 1.0}
    pet = ramp(MOVED @ GRID.affine)  # the head lies elsewhere in the scanner
    place = bidsapp.register(pet, head)
    assert np.array_equal(place.t1w_to_pet, MOVED) and place.quality["pet_t1w_nmi"] == 1.1
    inner = (slice(8, -8),) * 3
    world = mni_grid(2).world()
    for image, at, moved in ((head.gm, None, np.zeros(3)), (pet, MOVED, MOVED[:3, 3])):
        placed = bidsapp.to_template(image, head, at)
        expected = 100 + (world + moved) @ [0.1, 0.2, 0.3]
        scale = 200 if at is None else 1
        assert placed.shape == mni_grid(2).shape and np.array_equal(
            placed.affine, mni_grid(2).affine
        )
        assert np.allclose(placed.get_fdata()[inner] * scale, expected[inner], atol=2e-3)


def test_what_is_no_image_of_a_head_is_told(stand_ins, tmp_path):
    with pytest.raises(NoInputError, match="no such image"):
        bidsapp.segment(tmp_path / "absent.nii.gz")
    frames = nib.Nifti1Image(np.ones((5, 5, 5, 2), np.float32), np.eye(4))
    with pytest.raises(BadDataError, match=r"bidsapp\.quantify"):
        bidsapp.segment(frames)
