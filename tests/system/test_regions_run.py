"""The regions of a person of the development data, in the three spaces, by the whole app."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from whole_app import run_centipet, validator_errors

from bidsapp.data.atlases import atlas

pytestmark = pytest.mark.slow

STEM = "sub-02/pet/sub-02_trc-PIB"
LARGE_ML = 20.0


@pytest.fixture(scope="module")
def out(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("regions_run")
    for level in ("participant", "group"):
        options = () if level == "group" else (
            "--participant-label", "02", "--nprocs", 1, "-w", folder / "work",
            "--atlas", "AAL3", "--output-spaces", "T1w", "pet", "--write-masks",
            "--reference-region", "cgeroded", "wm", "crus=AAL3:lCERCRU1,rCERCRU1",
        )  # fmt: skip
        done = run_centipet(shared_data / "bids", folder / "out", level, *options)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def table(out: Path, atlas_name: str, space: str = "") -> pd.DataFrame:
    path = out / f"{STEM}{space}_atlas-{atlas_name}_vois.tsv"
    described = json.loads(path.with_suffix(".json").read_text())
    read = pd.read_csv(path, sep="\t", index_col="name")
    assert set(read.columns) <= set(described)
    return read


@pytest.mark.parametrize("space", ["T1w", "pet"])
@pytest.mark.parametrize("name", ["Centiloid", "AAL3"])
def test_spaces_agree_within_two_percent_in_large_regions(out, name, space):
    template, native = table(out, name), table(out, name, f"_space-{space}")
    assert list(template.index) == list(native.index)
    large = template.volume_ml > LARGE_ML
    assert large.sum() >= 3
    difference = (native["mean"] / template["mean"] - 1)[large].abs()
    assert difference.max() < 0.02, difference.idxmax()
    assert difference.median() < 0.006


def test_the_masks_are_the_regions_of_the_tables(out):
    rows = {row.name: row.index for row in atlas("AAL3").rows}
    for image, masks, space in (
        (f"{STEM}_desc-preproc_pet", f"{STEM}_space-pet_atlas-AAL3_desc-masks_vois", "_space-pet"),
        (f"{STEM}_space-T1w_desc-preproc_pet", "sub-02/anat/sub-02_atlas-AAL3_dseg", "_space-T1w"),
    ):
        pet = nib.load(out / f"{image}.nii.gz").get_fdata(dtype=np.float32)
        labels = np.asarray(nib.load(out / f"{masks}.nii.gz").dataobj)
        found = table(out, "AAL3", space)
        for name in ("lINS", "rPCUN", "lSTG"):
            inside = labels == rows[name]
            assert inside.sum() == found.n_voxels[name]
            assert pet[inside].astype(float).mean() == pytest.approx(found["mean"][name], rel=1e-6)


def test_reference_regions_divide(out):
    found = table(out, "AAL3")
    crus = (found["mean"] * found.n_voxels)[["lCERCRU1", "rCERCRU1"]].sum()
    crus /= found.n_voxels[["lCERCRU1", "rCERCRU1"]].sum()
    assert found.suvr_crus["lINS"] == pytest.approx(found["mean"]["lINS"] / crus, rel=1e-9)
    assert (found.suvr_wm < found.suvr_cgeroded).all()  # PiB: white matter is hot
    record = json.loads((out / f"{STEM}_centiloid.json").read_text())
    assert set(record["reference_uptake"]) == {"wc", "cg", "wcb", "pons", "cgeroded", "wm", "crus"}
    centiloid = table(out, "Centiloid").centiloid_wc["ctx"]
    assert centiloid == record["centiloid"]


def test_ratio_and_centiloid_images_in_every_space(out):
    line = json.loads((out / f"{STEM}_centiloid.json").read_text())["equation"]
    for space in ("", "_space-T1w", "_space-MNI152NLin6Asym_res-2"):
        ratio, scaled = (
            nib.load(out / f"{STEM}{space}_desc-{kind}wc_pet.nii.gz").get_fdata()
            for kind in ("suvr", "cl")
        )
        seen = ratio != 0
        assert np.allclose(scaled[seen], line["slope"] * ratio[seen] + line["intercept"], atol=1e-3)
        assert (out / f"{STEM}{space}_desc-suvrcrus_pet.json").is_file()


def test_the_group_table_has_every_region(out):
    group = pd.read_csv(out / "group_regions.tsv", sep="\t")
    one = group[group.atlas == "AAL3"].set_index("region")
    own = table(out, "AAL3")
    assert list(one.index) == list(own.index)
    assert one["mean"].equals(own["mean"].rename_axis("region"))
    assert one.suvr_crus.notna().any()


def test_the_output_is_bids(out):
    assert validator_errors(out) == {}
