"""The seven people of the development data, BIDS to group table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from agreement import PIB_SCALE, agreement, read
from tsv_rows import table_rows
from whole_app import run_centipet, validator_errors

from bidsapp import quantify

pytestmark = pytest.mark.slow

NOT_STANDARD = re.compile(
    r"_xfm\.|_vois\.|_tacs\.|_timeseries\.|_centiloid\.|/group_|\.html$|/figures(/|$)"
)


@pytest.fixture(scope="module")
def out(shared_data, tmp_path_factory) -> Path:
    """Derivatives of all participants and of the group level."""
    folder = tmp_path_factory.mktemp("bids_run")
    for level in ("participant", "group"):
        done = run_centipet(
            shared_data / "bids", folder / "out", level, "--nprocs", 2, "-w", folder / "work"
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def table(out) -> pd.DataFrame:
    return pd.read_csv(out / "group_centiloid.tsv", sep="\t", na_values="n/a")


def test_every_scan_has_its_row(table):
    assert list(table.participant_id) == [f"sub-0{i}" for i in range(1, 8)]
    assert list(table.tracer) == ["FBB", "PIB", "FMM", "FBP", "NAV", "FBB", "FBP"]
    assert set(table.status) == {"ok"}


@pytest.mark.parametrize("region", PIB_SCALE)
def test_suvr_agrees_with_the_standard_pipeline(out, shared_data, region):
    """Level-1 criterion of the Centiloid project, and bounds on single scans.

    sub-04 has its own bound and stays out of the regression: on it the standard pipeline's own
    start failed and was set by hand, and its normalised vertex still lies below the template's.
    """
    ours, standard = read(out, shared_data / "reference.tsv")
    ours, standard = ours[f"suvr_{region}"], standard[f"suvr_{region}"]
    odd = agreement(ours[["sub-04"] * 2], standard[["sub-04"] * 2], region)
    assert odd.largest < (8 if region == "wc" else 9)
    found = agreement(ours.drop("sub-04"), standard.drop("sub-04"), region)
    assert found.largest < (6 if region == "pons" else 5)
    assert found.r2 > 0.98
    if region == "pons":
        assert 0.96 < found.slope < 1.04
    else:
        assert found.mean_absolute < 2
        assert 0.98 < found.slope < 1.02
        assert abs(found.intercept) < 2


def test_pet_is_found_where_it_truly_was(out, shared_data):
    """Mean error over the cortical and cerebellar VOIs, against the known displacement."""
    from bidsapp import data
    from bidsapp.io.nifti import load_volume

    truth = json.loads((shared_data / "rigid_truth.json").read_text())
    errors = {}
    for sub, matrix in truth.items():
        field = load_volume(shared_data / f"spm_fields/{sub}_from-MNI_to-T1w.nii.gz").data
        points = field[data.vois(2)["ctx"] | data.vois(2)["wc"]].astype(float)
        sidecar = next((out / sub / "pet").glob("*_xfm.json"))
        change = np.array(json.loads(sidecar.read_text())["T1wToPet"]) - np.array(matrix)
        errors[sub] = np.linalg.norm(points @ change[:3, :3].T + change[:3, 3], axis=1).mean()
    assert max(errors.values()) < 1.0, errors
    assert np.mean(list(errors.values())) < 0.6, errors


def test_derivatives_are_valid_bids(out):
    assert validator_errors(out) == {}


def test_only_the_documented_files_are_not_standard(out):
    ignore = out / ".bidsignore"
    patterns = ignore.read_text()
    ignore.write_text("")
    try:
        errors = validator_errors(out)
    finally:
        ignore.write_text(patterns)
    assert errors
    locations = [location for where in errors.values() for location in where]
    assert [where for where in locations if not NOT_STANDARD.search(where)] == []


def test_numbers_follow_from_the_images(out):
    """The table again, from the written PET in MNI and the packaged VOIs."""
    from bidsapp import data
    from bidsapp.io.nifti import load_volume

    vois = data.vois(2)
    for row in table_rows(out / "group_centiloid.tsv"):
        folder = out / row["participant_id"] / "pet"
        pet = load_volume(next(folder.glob("*_space-MNI*_desc-preproc_pet.nii.gz"))).data
        for region in data.REFERENCES:
            suvr = pet[vois["ctx"]].mean(dtype=float) / pet[vois[region]].mean(dtype=float)
            assert float(row[f"suvr_{region}"]) == pytest.approx(suvr, rel=1e-4)
            image = load_volume(next(folder.glob(f"*_desc-suvr{region}_pet.nii.gz"))).data
            assert image[vois["ctx"]].mean(dtype=float) == pytest.approx(suvr, rel=1e-4)


def test_every_image_says_how_it_was_made(out):
    for image in out.glob("sub-*/*/*.nii.gz"):
        sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
        text = json.dumps(sidecar)
        assert "sha256:" in text, image
        assert "Sources" in sidecar, image
        assert str(out.parent) not in text, image


def test_every_participant_has_a_page_that_needs_nothing_else(out):
    for sub in range(1, 8):
        page = (out / f"sub-0{sub}.html").read_text()
        assert "Centiloid" in page
        assert not re.search(r"""(src|href)=["']https?://""", page.replace("https://doi.org", ""))
        assert len(page) < 6e6


def test_every_file_is_verified_and_every_number_derived_again(out, capsys):
    """Hashes, and the tables from the images of real heads, some frames moved by the alignment."""
    from bidsapp.cli.verify import main

    assert main([str(out)]) == 0, capsys.readouterr().out
    assert "all verified" in capsys.readouterr().out


def test_plain_images_give_the_same_bits(out, table, shared_data, tmp_path):
    """Two files without sidecars, the window and the length of the frames: one command."""
    pet, t1w = tmp_path / "pet.nii.gz", tmp_path / "t1w.nii.gz"
    raw = shared_data / "bids" / "sub-05"
    pet.symlink_to(next(raw.glob("pet/*_pet.nii.gz")))
    t1w.symlink_to(next(raw.glob("anat/*_T1w.nii.gz")))
    places = {"output_dir": tmp_path / "out", "work_dir": tmp_path / "work"}
    found = quantify(pet, t1w, tracer="NAV", window=(50, 70), frame_duration=300, **places)
    (row,) = table[table.participant_id == "sub-05"].to_dict("records")
    assert found.suvr == {name: row[f"suvr_{name}"] for name in ("wc", "cg", "wcb", "pons")}
    assert found.centiloid == row["centiloid"] and found.page.is_file()
    assert "stated" in {flag.code for flag in found.flags}
    regions = found.regions["DesikanKilliany"]
    assert regions == table_rows(next(out.glob("sub-05/pet/*_atlas-DesikanKilliany_vois.tsv")))
    ours, theirs = (
        nib.load(path).get_fdata()
        for path in (found.images["suvr_wc"], next(out.glob("sub-05/pet/*desc-suvrwc_pet.nii.gz")))
    )
    assert np.array_equal(ours, theirs)
    assert table_rows(found.output_dir / "group_centiloid.tsv")[0]["status"] == "ok"
