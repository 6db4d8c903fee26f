"""``centipet voi``: tables from an image in MNI space; anything else is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from bidsapp.cli.main import main
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, template_mask, vois
from bidsapp.data.atlases import atlas
from bidsapp.io.nifti import save_volume


@pytest.fixture(scope="module")
def uptake():
    """Uptake in the brain and little around it, on the 2 mm grid."""
    image = np.random.default_rng(0).gamma(50, 2.0, mni_grid(2).shape)
    return np.where(template_mask(2).data, image, 5).round().astype(np.float32)


def write(folder, data, affine=None, name="sub-1_trc-FBB_space-MNI152NLin6Asym_pet.nii.gz"):
    return save_volume(
        folder / name, Volume(data, mni_grid(2).affine if affine is None else affine)
    )


def rows(path):
    with path.open() as file:
        return {row["name"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_tables_hold_the_means_of_the_image(tmp_path, uptake):
    image = write(tmp_path, uptake)
    assert main(["voi", str(image), "-o", str(tmp_path), "--atlas", "AAL3"]) == 0
    stem = image.name.removesuffix(".nii.gz")
    found = rows(tmp_path / f"{stem}_atlas-AAL3_vois.tsv")
    labels = atlas("AAL3").labels
    assert float(found["lINS"]["mean"]) == uptake[labels == 33].astype(float).mean()
    wc = uptake[vois(2)["wc"]].astype(float).mean()
    centiloid = rows(tmp_path / f"{stem}_atlas-Centiloid_vois.tsv")
    ratio = uptake[vois(2)["ctx"]].astype(float).mean() / wc
    assert float(centiloid["ctx"]["suvr_wc"]) == ratio
    assert float(centiloid["ctx"]["centiloid_wc"]) == pytest.approx(153.4 * ratio - 154.9)
    told = json.loads((tmp_path / f"{stem}_atlas-AAL3_vois.json").read_text())
    assert told["Tracer"] == "FBB" and told["Image"]["sha256"].startswith("sha256:")
    assert str(tmp_path) not in json.dumps(told)


def test_norms_and_grey_matter_fill_their_columns(tmp_path, uptake):
    image = write(tmp_path, uptake)
    grey = write(tmp_path, np.full(uptake.shape, 0.5, np.float32), name="gm.nii.gz")
    norms = tmp_path / "norms.tsv"
    norms.write_text("atlas\tregion\tmean\tsd\nAAL3\tlINS\t0.5\t0.25\n")
    options = ["--atlas", "AAL3", "--norms", str(norms), "--gm", str(grey)]
    assert main(["voi", str(image), "-o", str(tmp_path), *options]) == 0
    row = rows(tmp_path / f"{image.name.removesuffix('.nii.gz')}_atlas-AAL3_vois.tsv")["lINS"]
    assert float(row["z"]) == (float(row["suvr_wc"]) - 0.5) / 0.25
    assert float(row["gm_voxels"]) == 0.5 * int(row["n_voxels"])


def test_frames_give_curves(tmp_path, uptake):
    image = write(tmp_path, np.stack([uptake, 2 * uptake], axis=-1))
    assert main(["voi", str(image), "-o", str(tmp_path), "--atlas", "Centiloid"]) == 0
    path = tmp_path / f"{image.name.removesuffix('.nii.gz')}_atlas-Centiloid_tacs.tsv"
    header, first, second = (line.split("\t") for line in path.read_text().splitlines())
    assert header == ["frame", "ctx", "wc", "cg", "wcb", "pons"]
    assert float(first[1]) == uptake[vois(2)["ctx"]].astype(float).mean()
    assert float(second[3]) == 2 * float(first[3])


@pytest.mark.parametrize("shift", [(12, 0, 0), (0, 0, -20)])
def test_an_image_that_lies_elsewhere_is_refused(tmp_path, uptake, shift, capsys):
    affine = mni_grid(2).affine.copy()
    affine[:3, 3] += shift
    image = write(tmp_path, uptake, affine, name="pet.nii.gz")
    assert main(["voi", str(image), "-o", str(tmp_path)]) == 65
    assert "does not lie where the template lies" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tsv"))


def test_one_bad_image_does_not_stop_the_others(tmp_path, uptake, capsys):
    good = write(tmp_path, uptake)
    native = write(tmp_path, uptake, name="sub-1_space-T1w_pet.nii.gz")
    images = [str(tmp_path / "absent.nii.gz"), str(native), str(good)]
    assert main(["voi", *images, "-o", str(tmp_path), "--atlas", "Centiloid"]) == 66
    assert len(list(tmp_path.glob("*_vois.tsv"))) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "absent" in told[0] and "T1w" in told[1]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("atlas\tregion\tmean\n", "no column sd"),
        ("atlas\tregion\tmean\tsd\nA\tb\tone\t1\n", "not a number"),
        ("atlas\tregion\tmean\tsd\nA\tb\t1\t0\n", "not positive"),
        ("atlas\tregion\tmean\tsd\nA\tb\t1\n", "not a number"),
        ("atlas\tregion\tmean\tsd\treference\nA\tb\t1\t1\tmoon\n", "moon"),
        ("atlas\tregion\tmean\tsd\nA\tb\t1\t1\nA\tb\t2\t1\n", "twice"),
        ("", "no column"),
    ],
)
def test_broken_norms_are_refused(tmp_path, capsys, text, hint):
    norms = tmp_path / "norms.tsv"
    norms.write_text(text)
    assert main(["voi", "image.nii.gz", "--norms", str(norms)]) == 65
    assert hint in capsys.readouterr().err


def test_usage_errors(tmp_path, capsys):
    assert main(["voi"]) == 64
    assert main(["voi", "x.nii.gz", "--atlas", "NoSuch"]) == 64
    assert main(["voi", "x.nii.gz", "--reference-region", "own=AAL3:nowhere"]) == 64
    assert "nowhere" in capsys.readouterr().err
