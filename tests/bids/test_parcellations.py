"""Which files are taken as the parcellations of a participant, and what is told of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bidsapp.bids.parcellations import absence_sentences, absent_everywhere, with_parcellations
from bidsapp.bids.plan import ScanPlan, T1wPlan
from bidsapp.cli.parser import parse


def scan_plan(label, session, t1w=True):
    visit = f"sub-{label}" if session is None else f"sub-{label}_ses-{session}"
    own = T1wPlan(label, session, Path(f"/in/{visit}_T1w.nii.gz"), {}) if t1w else None
    return ScanPlan(label, session, "FBB", {"sub": label}, Path("pet"), None, own, None)


def touched(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root, option, *, session=None):
    given = parse(["/in", "/out", "participant", *option]).processing
    scan = with_parcellations(scan_plan("1", session), given)
    files = [one.image.relative_to(root).as_posix() for one in scan.parcellations]
    [message] = [f.message for f in scan.flags if f.code == "parcellation-missing"] or [""]
    return files, message


@pytest.mark.parametrize(
    ("program", "session", "others", "wanted"),
    [
        ("freesurfer", None, ["sub-10/mri/aparc+aseg.mgz"], ["sub-1/mri/aparc+aseg.mgz"]),
        ("freesurfer", "2", ["sub-1/mri/aparc+aseg.mgz", "sub-1_ses-1/mri/aparc+aseg.mgz",
                             "sub-1_ses-2.long.sub-1/mri/aparc+aseg.mgz"],
         ["sub-1_ses-2/mri/aparc+aseg.mgz"]),
        ("freesurfer", "2", [], ["1/mri/aparc+aseg.mgz", "1/mri/aparc.DKTatlas+aseg.mgz"]),
        ("FastSurfer", None, ["sub-1/mri/aparc.DKTatlas+aseg.deep.mgz"],
         ["sub-1/mri/aparc.DKTatlas+aseg.mapped.mgz"]),
        ("synthseg", "2", ["sub-1_ses-1_T1w_synthseg.nii.gz", "sub-10_ses-2_T1w_synthseg.nii.gz"],
         ["sub-1_ses-2_T1w_synthseg.nii.gz"]),
        ("fmriprep", "2",
         ["sub-1/ses-2/anat/sub-1_ses-2_space-MNI152NLin6Asym_desc-aparcaseg_dseg.nii.gz",
          "sub-1/ses-2/anat/sub-1_ses-2_dseg.nii.gz"],
         ["sub-1/ses-2/anat/sub-1_ses-2_desc-aparcaseg_dseg.nii.gz"]),
        ("fmriprep", "2", [], ["sub-1/anat/sub-1_desc-aparcaseg_dseg.nii.gz"]),
    ],
)  # fmt: skip
def test_programs_are_known_by_where_they_write(tmp_path, program, session, others, wanted):
    touched(tmp_path, *others, *wanted)
    files, _ = found(tmp_path, ["--derivatives", f"{program}={tmp_path}"], session=session)
    assert files == wanted


def test_a_participant_without_is_told_of_with_what_was_looked_for(tmp_path):
    touched(tmp_path, "sub-2/mri/aparc+aseg.mgz")
    files, message = found(tmp_path, ["--derivatives", f"freesurfer={tmp_path}"])
    assert (
        files == [] and "FreeSurferDK is missing: there is no sub-1/mri/aparc+aseg.mgz" in message
    )
    assert (
        "FreeSurferDKT" not in message and "regions were not measured" in message
    )  # which nobody has


def test_what_a_program_wrote_for_nobody_is_told_once_and_flags_no_scan(tmp_path):
    touched(tmp_path, "sub-1/mri/aparc+aseg.mgz", "sub-2/mri/aparc+aseg.mgz")
    option = ["--derivatives", f"freesurfer={tmp_path}"]
    assert found(tmp_path, option) == (["sub-1/mri/aparc+aseg.mgz"], "")
    [sentence] = absence_sentences(parse(["/in", "/out", "participant", *option]).processing)
    assert "FreeSurferDKT exists for no participant" in sentence
    absent_everywhere.cache_clear()
    touched(tmp_path, "sub-2/mri/aparc.DKTatlas+aseg.mgz")  # now sub-1 lacks what another has
    assert "FreeSurferDKT is missing" in found(tmp_path, option)[1]
    assert absence_sentences(parse(["/in", "/out", "participant", *option]).processing) == []


def test_patterns_of_the_user_find_the_file_of_the_participant(tmp_path):
    option = ["--atlas", f"Own={tmp_path}/sub-{{participant}}/anat/*{{participant}}*_dseg.nii.gz"]
    own = "sub-1/anat/sub-1_ses-2_dseg.nii.gz"
    touched(
        tmp_path, own, "sub-1/anat/sub-1_ses-1_dseg.nii.gz", "sub-1/anat/sub-10_dseg.nii.gz",
        "sub-1/anat/sub-1_ses-2_space-MNI152NLin6Asym_dseg.nii.gz",
    )  # fmt: skip
    assert found(tmp_path, option, session="2") == ([own], "")


def test_of_two_that_may_be_right_none_is_taken(tmp_path):
    touched(tmp_path, "sub-1_a_dseg.nii.gz", "sub-1_b_dseg.nii.gz")
    option = ["--atlas", f"Own={tmp_path}/sub-{{participant}}_*_dseg.nii.gz"]
    files, message = found(tmp_path, option)
    assert files == [] and "sub-1_a_dseg.nii.gz" in message and "none was used" in message


def test_without_a_t1w_of_its_own_a_scan_has_none(tmp_path):
    touched(tmp_path, "sub-1/mri/aparc+aseg.mgz")
    given = parse(["/i", "/o", "participant", "--derivatives", f"freesurfer={tmp_path}"]).processing
    scan = with_parcellations(scan_plan("1", None, t1w=False), given)
    assert scan.parcellations == () and "without a T1w" in scan.flags[-1].message
