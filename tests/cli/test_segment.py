"""``centipet-segment``: files, provenance, errors; the segmentation itself once, on a real head."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from stand_in_head import GRID, segmentation, template_field

from bidsapp.cli.segment import main
from bidsapp.core.anatomy.normalise import Normalised
from bidsapp.data import mni_grid
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import load_displacements

FILES = (
    "desc-preproc_T1w.nii.gz", "desc-brain_mask.nii.gz", "label-GM_probseg.nii.gz",
    "label-WM_probseg.nii.gz", "label-CSF_probseg.nii.gz",
    "space-MNI152NLin6Asym_res-2_desc-preproc_T1w.nii.gz",
    *(f"space-MNI152NLin6Asym_res-2_label-{one}_probseg.nii.gz" for one in ("GM", "WM", "CSF")),
    "from-T1w_to-MNI152NLin6Asym_mode-image_xfm.nii.gz",
    "from-MNI152NLin6Asym_to-T1w_mode-image_xfm.nii.gz", "desc-segmentation_qc.json",
)  # fmt: skip


@pytest.fixture
def t1w(tmp_path):
    """A T1w of 4 mm whose two affines disagree by 5 mm."""
    image = nib.Nifti1Image(np.full(GRID.shape, 100, np.int16), GRID.affine)
    elsewhere = GRID.affine.copy()
    elsewhere[2, 3] += 5
    image.set_qform(elsewhere, code=1)
    image.set_sform(GRID.affine, code=1)
    path = tmp_path / "sub-07_ses-2_T1w.nii.gz"
    image.to_filename(path)
    return path


@pytest.fixture
def stand_in(monkeypatch):
    """Replace the fit: half of every voxel is grey, nothing is warped, one finding."""

    def normalise(t1w, template, limits, given=None):
        shape, field = t1w.data.shape, template_field() + np.float32([1, 2, 3])
        found = segmentation(t1w, np.full((3, *shape), 0.5), np.ones(shape, bool), field=field)
        return Normalised(found, {"brain_ml": 1200.0}, (), 0.0, "another start", "odd")

    monkeypatch.setattr("bidsapp.steps.anatomy.normalise", normalise)


def test_every_file_is_written_and_told(t1w, stand_in, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert main([str(t1w), str(out)]) == 0
    names = [f"sub-07_ses-2_{name}" for name in FILES]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    output = capsys.readouterr()
    assert [line.rsplit("/", 1)[1] for line in output.out.splitlines()] == names
    assert output.err.startswith(
        "! the usual normalisation failed its check (odd) and another start"
    )
    grey = nib.load(out / names[2])
    assert np.allclose(grey.get_fdata(), 0.5) and np.allclose(grey.affine, nib.load(t1w).affine)
    displacement = load_displacements(out / names[9])
    assert nib.load(out / names[6]).get_fdata().max() == pytest.approx(0.5)  # GM on the template
    assert np.allclose(displacement.data, [1, 2, 3], atol=1e-4)
    normalised = nib.load(out / names[5])
    assert normalised.shape == mni_grid(2).shape
    assert normalised.get_fdata().max() == pytest.approx(100)


def test_the_json_says_what_made_it(t1w, stand_in, tmp_path):
    main([str(t1w), str(tmp_path), "--prefix", "head"])
    text = (tmp_path / "head_desc-segmentation_qc.json").read_text()
    content = json.loads(text)
    assert content["T1w"] == {"name": t1w.name, "sha256": file_hash(t1w)}
    assert content["Quality"] == {"brain_ml": 1200.0}
    assert content["Findings"][0]["code"] == "normalisation-fallback"
    assert len(content["Findings"]) == 2  # the affines of the header
    assert content["Software"]["name"] == "CentiPET" and content["Resources"]
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.nii.gz", "out"], 66, "no such image"),
        (["{t1w}", "{t1w}/out"], 73, "choose another OUT_DIR"),
        (["{t1w}", "out", "--prefix", "a/b"], 64, "--prefix"),
        (["{t1w}"], 64, "OUT_DIR"),
    ],
)
def test_errors_are_one_sentence(t1w, capsys, arguments, code, words):
    assert main([part.format(t1w=t1w) for part in arguments]) == code
    complaint = capsys.readouterr().err
    assert words in complaint and complaint.count("\n") == 1


def test_an_image_without_a_head_is_refused(t1w, tmp_path, capsys):
    assert main([str(t1w), str(tmp_path / "out")]) == 65
    assert "contains no head" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_help_needs_no_numpy():
    code = "import sys; from bidsapp.cli.segment import main\ntry: main(['--help'])\nexcept "
    code += "SystemExit: sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_real_head(shared_data, tmp_path):
    t1w = shared_data / "bids/sub-06/anat/sub-06_T1w.nii.gz"
    assert main([str(t1w), str(tmp_path)]) == 0
    content = json.loads((tmp_path / "sub-06_desc-segmentation_qc.json").read_text())
    assert content["Findings"] == []
    grey, white, fluid = (
        nib.load(tmp_path / f"sub-06_label-{tissue}_probseg.nii.gz").get_fdata().sum()
        for tissue in ("GM", "WM", "CSF")
    )
    assert grey > white > fluid > 0
