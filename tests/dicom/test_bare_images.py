"""PET and T1w in a folder of NIfTI images without sidecars: found, or refused."""

from __future__ import annotations

import pytest

from bidsapp.dicom.bare_images import find_pair
from bidsapp.errors import BadDataError, NoInputError

ADNI = "AV45_Coreg,_Avg,_Std_Img_and_Vox_Siz,_Uniform_Resolution/2012-05-10/I240811"


def found(folder, tracer, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    pair = find_pair(folder, tracer)
    t1w = None if pair.t1w is None else pair.t1w.relative_to(folder).as_posix()
    return pair.pet.relative_to(folder).as_posix(), t1w, " | ".join(pair.sentences)


def test_results_of_an_earlier_run_in_the_folder_do_not_count(tmp_path):
    for name in ("pet.nii", "T1.nii", "out/sub-01/pet/sub-01_pet.nii.gz", "work/1/T1_pet.nii"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pair = find_pair(tmp_path, "FBB", (tmp_path / "out", tmp_path / "work"))
    assert (pair.pet, pair.t1w) == (tmp_path / "pet.nii", tmp_path / "T1.nii")
    assert len(pair.sentences) == 2


@pytest.mark.parametrize(("tracer", "pet", "t1w", "others"), [
    ("FBB", "pet.nii.gz", "T1.nii", ()),
    ("FBP", "sub-01_ses-2_trc-AV45_pet.nii.gz", "sub-01_ses-2_T1w.nii.gz", ("sub-01_T2w.nii.gz",)),
    ("FBP", f"{ADNI}/ADNI_002_S_0295_PT_AV45_Coreg,_Avg.nii",
     "MPRAGE/ADNI_002_S_0295_MR_MPRAGE_br_raw.nii", ()),
    ("FBP", f"{ADNI}/img.nii", "MP-RAGE/I1.nii", ("Axial_FLAIR/I2.nii", "B0map/I3.nii")),  # folders
    ("PiB", "YC101_PiB_5070.nii", "YC101_mprage.nii", ("AV1451.nii", "fdg_pet.nii", "._T1.nii")),
    ("FBB", "amyloid.nii", "t1.nii", ("fdg.nii",)),  # the one that names no other tracer
    ("FBB", "fbb.nii", "T1w.nii", ("T1w_post_gd.nii", "PET_NAC.nii", "umap.nii", "notes.nii")),
    ("FBB", "fbb.nii", None, ("T2.nii",)),
    ("NAV", "azd4694_SUVR.nii", "mt1.nii", ()),
])  # fmt: skip
def test_the_pair_is_found_and_everything_is_told(tmp_path, tracer, pet, t1w, others):
    *both, sentences = found(tmp_path, tracer, pet, *(others if t1w is None else (t1w, *others)))
    assert both == [pet, t1w]
    seen = [other for other in others if not other.startswith("._")]
    assert all(f"left out: {other} (" in sentences for other in seen)
    assert ("no T1w" in sentences) == (t1w is None)


@pytest.mark.parametrize(("names", "words"), [
    (("pet1_pet.nii", "second_pet.nii", "T1.nii"), "may each be the PET"),
    (("pet.nii", "T1.nii", "wmT1.nii"), "T1.nii, wmT1.nii may each be the T1w"),
    (("pet.nii", "brain.nii"), "no image is a T1w by its name (brain.nii may be it)"),
    (("scan.nii", "T1.nii"), "no image is a PET by its name (scan.nii may be it)"),
    (("rT1_to_PET.nii", "T1.nii"), "no image is a PET"),  # a T1w in the space of the PET
    (("pib.nii", "T1.nii"), "pib.nii say another tracer than --tracer FBB"),
    (("PET_NAC.nii", "T1.nii"), "no image is a PET"),
])  # fmt: skip
def test_what_is_ambiguous_is_refused(tmp_path, names, words):
    with pytest.raises(BadDataError) as caught:
        found(tmp_path, "FBB", *names)
    assert words in str(caught.value) and "centipet quantify PET T1W" in str(caught.value)


def test_a_folder_of_other_files_is_told(tmp_path):
    (tmp_path / "IM0001").touch()
    with pytest.raises(NoInputError, match="no NIfTI image; for DICOM: centipet BIDS OUT "):
        find_pair(tmp_path, "FBB")
