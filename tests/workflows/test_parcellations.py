"""A parcellation of the participant through the whole participant level, with stand-ins."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.parser import parse
from bidsapp.execution import engine
from bidsapp.interfaces import anatomy
from bidsapp.io.tsv import read_rows
from bidsapp.settings import Filters, Resources
from bidsapp.workflows.participant import init_participants_wf

pytestmark = pytest.mark.slow


def test_a_parcellation_reaches_tables_curves_correction_and_reference(
    bids_dir, stand_ins, tmp_path, monkeypatch
):
    """Two images of one person, one of them off its anatomy, through all that regions reach."""
    t1w = nib.load(bids_dir / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    x, y, z = np.indices(t1w.shape)
    tissue = (x // 2 + 2 * (y // 2) + z // 2) % 3  # cubes of 8 mm; regions are those of an eighth
    labels = np.where(
        t1w.get_fdata() > 0, 1 + tissue + 3 * (x // 23 + 2 * (y // 27) + 4 * (z // 23)), 0
    )
    segment = anatomy.segment_head

    def of_blocks(*given):
        found = segment(*given)
        maps = np.stack([(tissue == n) & (labels > 0) for n in range(3)]).astype(np.float32)
        own = replace(found.segmentation, probabilities=np.clip(maps, 0.02, 0.96))
        return replace(found, segmentation=own)

    monkeypatch.setattr(anatomy, "segment_head", of_blocks)
    for folder, image in (("own", labels), ("other", np.roll(labels, 1, axis=1))):
        (tmp_path / folder).mkdir()
        nifti = nib.Nifti1Image(image.astype(np.int32), t1w.affine)
        nifti.to_filename(tmp_path / folder / "sub-01_x_dseg.nii.gz")
    middle = labels[22, 27, 22]
    processing = parse(
        ["/in", "/out", "participant",
         "--atlas", f"Own={tmp_path}/own/sub-{{participant}}_*_dseg.nii.gz",
         f"Other={tmp_path}/other/sub-{{participant}}_*_dseg.nii.gz",
         "--reference-region", f"mid=Own:{middle}", f"none=Other:{middle}",
         "--output-spaces", "T1w", "pet", "--pvc", "gtm", "--psf", "6", "--write-masks"]
    ).processing  # fmt: skip
    plan = make_plan(
        read_dataset(bids_dir, Filters(participant=("01",), tracer=("FBB",))), processing
    )
    level = init_participants_wf(
        plan, bids_dir=bids_dir, output_dir=tmp_path / "out", work_dir=tmp_path / "work",
        processing=processing,
    )  # fmt: skip
    assert engine.run(level.workflow, Resources(nprocs=1), crash_dir=tmp_path) == []
    stem = tmp_path / "out" / "sub-01" / "pet" / "sub-01_trc-FBB"
    pet = nib.load(f"{stem}_space-T1w_desc-preproc_pet.nii.gz").get_fdata(dtype=np.float32)
    rows = {row["name"]: row for row in _rows(stem, "_space-T1w_atlas-Own_vois.tsv")}
    wanted = float(pet[labels == middle].mean(dtype=float))
    for label in (middle, labels[15, 20, 15], labels[30, 33, 25]):
        row = rows[f"label-{label}"]
        mean = pet[labels == label].mean(dtype=float)
        assert float(row["mean"]) == pytest.approx(mean, rel=1e-6)
        assert float(row["suvr_mid"]) == pytest.approx(mean / wanted, rel=1e-6)
        assert row["suvr_none"] == "n/a"
    for name in ("_atlas-Own_vois.tsv", "_space-pet_atlas-Own_vois.tsv", "_atlas-Own_pvc.tsv"):
        [there] = [r for r in _rows(stem, name) if r["name"] == f"label-{middle}"]
        assert "n/a" not in {v for k, v in there.items() if k in ("mean", "gtm_mean")}
    curves = _rows(stem, "_atlas-Own_tacs.tsv")
    assert len(curves) == 3 and all(float(row[f"label-{middle}"]) > 0 for row in curves)
    assert not stem.with_name(f"{stem.name}_atlas-Other_vois.tsv").exists()
    record = json.loads(stem.with_name(f"{stem.name}_centiloid.json").read_text())
    messages = {flag["code"]: flag["message"] for flag in record["flags"]}
    assert "sub-01_x_dseg.nii.gz" in messages["parcellation-refused"] and record["centiloid"]
    sidecar = json.loads(stem.with_name(f"{stem.name}_atlas-Own_vois.json").read_text())
    assert sidecar["Parcellation"]["SHA256"].startswith("sha256:")
    assert "--atlas" in record["provenance"]["command"]
    # tissue maps are on the template, too, which the head of the stand-ins lies in already
    anat = tmp_path / "out" / "sub-01" / "anat"
    grey = nib.load(anat / "sub-01_space-MNI152NLin6Asym_res-2_label-GM_probseg.nii.gz")
    own = nib.load(anat / "sub-01_label-GM_probseg.nii.gz")
    there = np.linalg.inv(own.affine) @ grey.affine @ [45, 54, 40, 1]
    expected = map_coordinates(own.get_fdata(), there[:3, None], order=1)[0]
    assert grey.shape == (91, 109, 91)
    assert grey.get_fdata()[45, 54, 40] == pytest.approx(expected, abs=1e-4)
    assert str(tmp_path) not in json.dumps(record["provenance"])


def _rows(stem, name):
    return read_rows(stem.with_name(stem.name + name))
