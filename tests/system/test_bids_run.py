"""The seven people of the development data, BIDS to group table, and what else shares that run.

Two of them are processed again in one process (same bits), one of these with more regions and
spaces from the same work folder, where its T1w is segmented already.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from agreement import PIB_SCALE, agreement, read
from tsv_rows import table_rows
from whole_app import hashes, run_centipet, validator_errors

from bidsapp import quantify
from bidsapp.data import mni_grid, vois
from bidsapp.data.atlases import atlas
from bidsapp.io.nifti import load_displacements

pytestmark = pytest.mark.slow

NOT_STANDARD = re.compile(
    r"_xfm\.|_vois\.|_tacs\.|_timeseries\.|_centiloid\.|/group_|\.html$|/figures(/|$)"
)
AGAIN = ("02", "04")
STEM = "sub-02/pet/sub-02_trc-PIB"
LARGE_ML = 20.0


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


@pytest.mark.parametrize("sub", [f"sub-0{i}" for i in range(1, 8)])
def test_the_standard_normalisation_is_matched(out, shared_data, sub):
    """Distance to the standard pipeline's own field.

    Its repeatability and the prototype's figures (1.0-2.6 mm in the cortex, 0.5-1.4 mm in the
    cerebellum) set the bounds; sub-04 is the one on which the standard had to be started by hand.
    """
    (warp,) = out.glob(f"{sub}/anat/*_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.nii.gz")
    field = mni_grid(2).world() + load_displacements(warp).data
    standard = nib.load(shared_data / f"spm_fields/{sub}_from-MNI_to-T1w.nii.gz").get_fdata()
    distance = np.linalg.norm(field - standard, axis=-1)
    assert distance[vois(2)["ctx"]].mean() < (3.0 if sub == "sub-04" else 2.0)
    assert distance[vois(2)["wc"]].mean() < 1.8
    record = json.loads(next(out.glob(f"{sub}/pet/*_centiloid.json")).read_text())
    assert not [flag for flag in record["flags"] if flag["code"].startswith("normalisation")]


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
    raw = shared_data / "bids" / "sub-04"  # the quickest to process
    pet.symlink_to(next(raw.glob("pet/*_pet.nii.gz")))
    t1w.symlink_to(next(raw.glob("anat/*_T1w.nii.gz")))
    places = {"output_dir": tmp_path / "out", "work_dir": tmp_path / "work"}
    found = quantify(pet, t1w, tracer="FBP", window=(50, 60), frame_duration=300, **places)
    (row,) = table[table.participant_id == "sub-04"].to_dict("records")
    assert found.suvr == {name: row[f"suvr_{name}"] for name in ("wc", "cg", "wcb", "pons")}
    assert found.centiloid == row["centiloid"] and found.page.is_file()
    assert "stated" in {flag.code for flag in found.flags}
    regions = found.regions["DesikanKilliany"]
    assert regions == table_rows(next(out.glob("sub-04/pet/*_atlas-DesikanKilliany_vois.tsv")))
    ours, theirs = (
        nib.load(path).get_fdata()
        for path in (found.images["suvr_wc"], next(out.glob("sub-04/pet/*desc-suvrwc_pet.nii.gz")))
    )
    assert np.array_equal(ours, theirs)
    assert table_rows(found.output_dir / "group_centiloid.tsv")[0]["status"] == "ok"


# --------------------------------------------------------------------- two of them once more


@dataclass
class Again:
    """A run of `AGAIN` in one process, with its group level."""

    out: Path
    work: Path
    files: dict[str, str]


@pytest.fixture(scope="module")
def again(shared_data, tmp_path_factory) -> Again:
    folder = tmp_path_factory.mktemp("again")
    out, work = folder / "out", folder / "work"
    done = run_centipet(
        shared_data / "bids", out, "participant", "--participant-label", *AGAIN,
        "--nprocs", 1, "-w", work,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_centipet(shared_data / "bids", out, "group").returncode == 0
    return Again(out, work, hashes(out))


def told_apart(first: Path, second: Path) -> str:
    """Where two images of one name differ: some voxels with their bits, or the compression."""
    a, b = (np.asanyarray(nib.load(path).dataobj) for path in (first, second))
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{first.name}: {a.shape} {a.dtype}, {b.shape} {b.dtype}"
    apart = np.argwhere((a != b) & ~((a != a) & (b != b)))
    values = [(tuple(i), a[tuple(i)].tobytes().hex(), b[tuple(i)].tobytes().hex()) for i in apart]
    return f"{first.name}: {len(apart)} voxels differ (0: header or compression): {values[:20]}"


def test_one_process_or_two_give_the_same_files(out, again, shared_data, tmp_path):
    """Two of seven, computed among others by two processes, and by one process on their own."""
    among = tmp_path / "out"
    among.mkdir()
    for path in out.iterdir():  # but the other people and what the group level wrote of them
        if re.match(r"sub-0[24]|group_raw|(?!sub-|group_|figures|logs)", path.name):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, among / path.name)
    assert run_centipet(shared_data / "bids", among, "group").returncode == 0
    found = hashes(among)
    assert len(found) > 40
    apart = [name for name in found if found[name] != again.files.get(name)]
    images = [name for name in apart if name.endswith(".nii.gz")]
    differing = [told_apart(among / name, again.out / name) for name in images]
    assert found == again.files, (apart, differing)


# ------------------------------------------------------------------------ regions and spaces


@pytest.fixture(scope="module")
def regional(again, shared_data) -> Path:
    """More regions, spaces and references of one of them: its T1w is not segmented again."""
    for level in ("participant", "group"):
        options = () if level == "group" else (
            "--participant-label", "02", "--nprocs", 1, "-w", again.work,
            "--atlas", "AAL3", "--output-spaces", "T1w", "pet", "--write-masks",
            "--reference-region", "cgeroded", "wm", "crus=AAL3:lCERCRU1,rCERCRU1",
        )  # fmt: skip
        done = run_centipet(shared_data / "bids", again.out, level, *options)
        assert done.returncode == 0, done.stdout + done.stderr
    return again.out


def regions_of(out: Path, atlas_name: str, space: str = "") -> pd.DataFrame:
    path = out / f"{STEM}{space}_atlas-{atlas_name}_vois.tsv"
    described = json.loads(path.with_suffix(".json").read_text())
    read = pd.read_csv(path, sep="\t", index_col="name")
    assert set(read.columns) <= set(described)
    return read


@pytest.mark.parametrize("space", ["T1w", "pet"])
@pytest.mark.parametrize("name", ["Centiloid", "AAL3"])
def test_spaces_agree_within_two_percent_in_large_regions(regional, name, space):
    template, native = regions_of(regional, name), regions_of(regional, name, f"_space-{space}")
    assert list(template.index) == list(native.index)
    large = template.volume_ml > LARGE_ML
    assert large.sum() >= 3
    difference = (native["mean"] / template["mean"] - 1)[large].abs()
    assert difference.max() < 0.02, difference.idxmax()
    assert difference.median() < 0.006


def test_the_masks_are_the_regions_of_the_tables(regional):
    rows = {row.name: row.index for row in atlas("AAL3").rows}
    for image, masks, space in (
        (f"{STEM}_desc-preproc_pet", f"{STEM}_space-pet_atlas-AAL3_desc-masks_vois", "_space-pet"),
        (f"{STEM}_space-T1w_desc-preproc_pet", "sub-02/anat/sub-02_atlas-AAL3_dseg", "_space-T1w"),
    ):
        pet = nib.load(regional / f"{image}.nii.gz").get_fdata(dtype=np.float32)
        labels = np.asarray(nib.load(regional / f"{masks}.nii.gz").dataobj)
        found = regions_of(regional, "AAL3", space)
        for name in ("lINS", "rPCUN", "lSTG"):
            inside = labels == rows[name]
            assert inside.sum() == found.n_voxels[name]
            assert pet[inside].astype(float).mean() == pytest.approx(found["mean"][name], rel=1e-6)


def test_reference_regions_divide(regional):
    found = regions_of(regional, "AAL3")
    crus = (found["mean"] * found.n_voxels)[["lCERCRU1", "rCERCRU1"]].sum()
    crus /= found.n_voxels[["lCERCRU1", "rCERCRU1"]].sum()
    assert found.suvr_crus["lINS"] == pytest.approx(found["mean"]["lINS"] / crus, rel=1e-9)
    assert (found.suvr_wm < found.suvr_cgeroded).all()  # PiB: white matter is hot
    record = json.loads((regional / f"{STEM}_centiloid.json").read_text())
    assert set(record["reference_uptake"]) == {"wc", "cg", "wcb", "pons", "cgeroded", "wm", "crus"}
    centiloid = regions_of(regional, "Centiloid").centiloid_wc["ctx"]
    assert centiloid == record["centiloid"]


def test_ratio_and_centiloid_images_in_every_space(regional):
    line = json.loads((regional / f"{STEM}_centiloid.json").read_text())["equation"]
    for space in ("", "_space-T1w", "_space-MNI152NLin6Asym_res-2"):
        ratio, scaled = (
            nib.load(regional / f"{STEM}{space}_desc-{kind}wc_pet.nii.gz").get_fdata()
            for kind in ("suvr", "cl")
        )
        seen = ratio != 0
        assert np.allclose(scaled[seen], line["slope"] * ratio[seen] + line["intercept"], atol=1e-3)
        assert (regional / f"{STEM}{space}_desc-suvrcrus_pet.json").is_file()


def test_the_group_table_has_every_region(regional):
    group = pd.read_csv(regional / "group_regions.tsv", sep="\t")
    one = group[(group.participant_id == "sub-02") & (group.atlas == "AAL3")].set_index("region")
    own = regions_of(regional, "AAL3")
    assert list(one.index) == list(own.index)
    assert one["mean"].equals(own["mean"].rename_axis("region"))
    assert one.suvr_crus.notna().any()


def test_the_output_is_bids(regional):
    assert validator_errors(regional) == {}
