"""Why an image is none of a raw dataset, by its name and place."""

import pytest

from bidsapp.bids.raw_names import misnamed_images, misnamed_people
from bidsapp.io.atomic import write_text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pet/sub-1_pet.v", "its ending is .v, not .nii or .nii.gz; convert ECAT with --dicom-dir"),
        ("pet/sub-1_acq-FBB_pet.nii.gz", "if it names the tracer, rename acq- to trc-"),
        ("pet/sub-1_acq-FBB_echo-1_pet.nii.gz", "acq-, echo- are not entities of a raw image"),
        ("pet/sub-2_pet.nii.gz", "it is not in sub-2/pet/, where its name belongs"),
        ("ses-a/sub-1_ses-a_pet.nii", "it is not in sub-1/ses-a/pet/, where its name belongs"),
        ("pet/sub-1_run-1_run-2_pet.nii.gz", "run- occurs twice in its name"),
        ("pet/pet.nii.gz", "its name has no sub-"),
        ("pet/sub-1_petmean.nii.gz", "its suffix is petmean, not pet"),
    ],
)
def test_an_image_of_another_name_has_its_reason(tmp_path, name, reason):
    path = write_text(tmp_path / "sub-1" / name, "")
    write_text(tmp_path / "sub-1" / "pet" / "sub-1_pet.json", "{}")
    (image,) = misnamed_images(tmp_path, "1", "pet")
    assert image.path == path and reason in image.reason


def test_folders_like_those_of_participants_are_told(tmp_path):
    for name in ("sub-1", "sub_2", "code"):
        (tmp_path / name).mkdir()
    (told,) = misnamed_people(tmp_path)
    assert str(tmp_path / "sub_2") in told
