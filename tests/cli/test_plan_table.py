"""``--dry-run`` of a BIDS dataset: the plan as a table, and nothing written."""

from __future__ import annotations

import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.main import main
from bidsapp.cli.plan_table import plan_rows
from bidsapp.settings import Filters, Processing


@pytest.fixture
def raw_study(raw):
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB")
    raw.pet("sub-1_trc-FDG", TracerName="FDG")
    raw.pet("sub-2_trc-FBB", Units=None)
    pet = raw.pet("sub-3_trc-FBB", AttenuationCorrection="n/a")
    pet.unlink()
    pet.symlink_to("../../.git/annex/objects/x")
    return raw


def test_every_scan_has_a_line_with_what_is_missing(raw_study):
    plan = make_plan(read_dataset(raw_study.root, Filters()), Processing())
    rows = {row[0]: row[1:] for row in plan_rows(plan)}
    assert rows["sub-1_trc-FBB"] == (
        "run", "FBB", "90 to 110, 100%", "sub-1_T1w.nii.gz", "nothing",
    )  # fmt: skip
    assert rows["sub-1_trc-FDG"][:2] == ("left out", "FDG")
    assert rows["sub-2_trc-FBB"][0] == "refused" and "Units" in rows["sub-2_trc-FBB"][-1]
    # what is going to be done when the image has been fetched
    cells = rows["sub-3_trc-FBB"]
    assert cells[:4] == ("refused", "FBB", "90 to 110, 100%", "none: by the PET itself")
    assert "fetch" in cells[-1]


def test_the_command_prints_it_and_writes_nothing(raw_study, tmp_path, capfd):
    options = ["participant", "-w", str(tmp_path / "work"), "--dry-run"]
    assert main([str(raw_study.root), str(tmp_path / "out"), *options]) == 1
    printed = "".join(capfd.readouterr())
    assert "left out" in printed and "refused" in printed and "--dry-run" in printed
    assert not (tmp_path / "out").exists() and not (tmp_path / "work").exists()


def test_images_of_other_names_and_folders_are_told_with_the_reason(raw_study, tmp_path, capfd):
    root = raw_study.root
    misnamed = {
        "sub-4/PET/sub-4_trc-FBB_pet.nii.gz": "it is not in sub-4/pet/",
        "sub-5/pet/sub-5_trc-FBB_pet.NII.GZ": "its ending is .NII.GZ",
        "sub-6/pet/sub-6_trc-FBB_pet.img": "its ending is .img",
        "sub-t/sub-t_pet.img": "its ending is .img",
        "sub-v/pet/sub-v_trc-FBB_pet.v": "convert ECAT with --dicom-dir",
        "sub-7/pet/sub-7_trc-FBB_PET.nii": "its suffix is PET, not pet",
        "sub-8/ses01/pet/sub-8_trc-FBB_pet.nii.gz": "it is not in sub-8/pet/",
        "sub-9/pet/sub-9_run-1_run-2_pet.nii": "run- occurs twice in its name",
        "Sub-10/pet/sub-10_pet.nii": "folders of participants are named sub-<label>",
        "sub-11/anat/sub-11_acq-petmr_T1w.nii": "no PET to process\n",  # nothing like one
    }
    for name in misnamed:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"")
    (root / "sub-12").mkdir()
    main([str(root), str(tmp_path / "out"), "participant", "--dry-run"])
    printed = capfd.readouterr().out
    assert "! sub-11, sub-12: no PET to process\n" in printed
    for name, reason in misnamed.items():
        person = name.split("/")[0]
        (line,) = [line for line in printed.splitlines(True) if line.startswith(f"! {person}")
                   or f"/{person}: not used" in line]  # fmt: skip
        assert reason in line


def test_an_image_that_labels_leave_out_is_no_misnamed_one(raw_study, tmp_path, capfd):
    options = ["participant", "--dry-run", "--tracer-label", "FDG", "--participant-label", "1", "2"]
    main([str(raw_study.root), str(tmp_path / "out"), *options])
    assert "! sub-2: no PET to process\n" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("labels", "code"),
    [(["--tracer-label", "FBB", "--participant-label", "1"], 0),
     (["--participant-label", "2"], 65), (["--participant-label", "3"], 66),
     (["--tracer-label", "FDG"], 18)],
)  # fmt: skip
def test_its_exit_code_is_that_of_the_run(raw_study, tmp_path, labels, code):
    options = ["participant", "--dry-run", *labels]
    assert main([str(raw_study.root), str(tmp_path / "out"), *options]) == code
