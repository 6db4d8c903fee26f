"""What the header of an image says about its place."""

import nibabel as nib
import numpy as np
import pytest

from bidsapp.steps.headers import header_findings

PLACE = np.diag([2.0, 2.0, 2.0, 1.0])
MOVED = np.array([[2.0, 0, 0, 3], [0, 2, 0, 0], [0, 0, 2, 4], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("sform", "qform", "code"),
    [
        ((PLACE, 1), (PLACE, 1), None),
        ((PLACE, 2), (MOVED, 0), None),
        ((MOVED, 0), (PLACE, 1), None),
        ((PLACE, 1), (MOVED, 1), "header-places-differ"),
        ((PLACE, 0), (PLACE, 0), "orientation-unknown"),
    ],
)
@pytest.mark.parametrize("name", ["PET", "T1w"])
def test_a_header_says_once_where_its_image_lies(tmp_path, sform, qform, code, name):
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), None)
    image.set_sform(*sform)
    image.set_qform(*qform)
    nib.save(image, tmp_path / "image.nii.gz")
    flags = header_findings(tmp_path / "image.nii.gz", name)
    assert [flag.code for flag in flags] == ([code] if code else [])
    assert all(f" of the {name} " in flag.message for flag in flags)
