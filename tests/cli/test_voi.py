"""``centipet voi``: tables from an image in MNI space; anything else is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from scipy import ndimage
from tsv_rows import table_rows

from bidsapp.cli.main import main
from bidsapp.core.grid.alignment import rigid_matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_normalisation import template_misfit
from bidsapp.data import mni_grid, priors, template_mask, vois
from bidsapp.data.atlases import atlas
from bidsapp.io.nifti import save_volume
from bidsapp.steps import measuring


@pytest.fixture(scope="module")
def uptake():
    """Uptake in grey and white matter and in a scalp, on the 2 mm grid."""
    grey, white, _ = priors().maps
    outside = ndimage.distance_transform_edt(~template_mask(2).data, sampling=2.0)
    scalp = 90 * ((outside > 12) & (outside < 18))
    image = ndimage.gaussian_filter(100 * grey + 140 * white + scalp, 1.3)
    noise = np.random.default_rng(0).normal(1, 0.05, image.shape)
    return (image * noise + 5).round().astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def places_are_searched_once():
    """The place of one image is the same in every test; finding it takes most of the time."""
    found = {}

    def remembered(pet, patterns):
        key = hashlib.sha256(pet.affine.tobytes() + pet.data.tobytes()).digest()
        if key not in found:
            found[key] = template_misfit(pet, patterns)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "template_misfit", remembered)
        yield


def write(folder, data, affine=None, name="sub-1_trc-FBB_space-MNI152NLin6Asym_pet.nii.gz"):
    return save_volume(
        folder / name, Volume(data, mni_grid(2).affine if affine is None else affine)
    )


def rows(path):
    return {row["name"]: row for row in table_rows(path)}


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
    sidecar = json.loads((tmp_path / f"{stem}_atlas-AAL3_vois.json").read_text())
    assert sidecar["Tracer"] == "FBB" and sidecar["Image"]["sha256"].startswith("sha256:")
    assert str(tmp_path) not in json.dumps(sidecar)


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


def test_histograms_and_background_of_an_image(tmp_path, uptake):
    image = write(tmp_path, uptake)
    options = ["--atlas", "Centiloid", "--histograms", "0.05", "--background", "pons"]
    assert main(["voi", str(image), "-o", str(tmp_path), *options]) == 0
    stem = image.name.removesuffix(".nii.gz")
    row = rows(tmp_path / f"{stem}_atlas-Centiloid_vois.tsv")["ctx"]
    pons = uptake[vois(2)["pons"]].astype(float)
    assert float(row["snr"]) == float(row["mean"]) / pons.std()
    path = tmp_path / f"{stem}_atlas-Centiloid_histograms.tsv"
    held = [line for line in table_rows(path) if line["name"] == "ctx"]
    assert sum(float(line["voxels"]) for line in held) == int(row["n_voxels"])
    mean = sum(
        float(line["voxels"]) * (float(line["suvr_from"]) + float(line["suvr_to"])) / 2
        for line in held
    ) / int(row["n_voxels"])  # fmt: skip
    assert mean == pytest.approx(float(row["suvr_wc"]), abs=0.025)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["suvr_from"]["Units"] == "unitless" and "histogram" in sidecar["Description"]


def test_frames_give_curves(tmp_path, uptake):
    image = write(tmp_path, np.stack([uptake / 2, uptake * 1.5], axis=-1))
    assert main(["voi", str(image), "-o", str(tmp_path), "--atlas", "Centiloid"]) == 0
    path = tmp_path / f"{image.name.removesuffix('.nii.gz')}_atlas-Centiloid_tacs.tsv"
    header, first, second = (line.split("\t") for line in path.read_text().splitlines())
    assert header == ["frame", "ctx", "wc", "cg", "wcb", "pons"]
    assert float(first[1]) == uptake[vois(2)["ctx"]].astype(float).mean() / 2
    assert float(second[3]) == 3 * float(first[3])


MIDDLE = (0, -18, 8)
MISPLACED = {
    "right": rigid_matrix([8, 0, 0, 0, 0, 0]),
    "pitch": rigid_matrix([0, 0, 0, np.radians(5), 0, 0], MIDDLE),
    "larger": np.diag([1.1, 1.1, 1.1, 1]),
}


@pytest.mark.parametrize("way", MISPLACED)
def test_an_image_that_lies_elsewhere_is_refused(tmp_path, uptake, way, capsys):
    affine = MISPLACED[way] @ mni_grid(2).affine
    image = write(tmp_path, uptake, affine, name="pet.nii.gz")
    assert main(["voi", str(image), "-o", str(tmp_path)]) == 65
    assert "is not aligned with the template" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tsv"))


def test_a_misplaced_image_is_measured_where_a_person_insists(tmp_path, uptake, capsys):
    image = write(tmp_path, uptake, MISPLACED["right"] @ mni_grid(2).affine, name="pet.nii.gz")
    options = ["-o", str(tmp_path), "--atlas", "Centiloid"]
    assert main(["voi", str(image), *options]) == 65
    assert "--ignore-place" in capsys.readouterr().err
    assert main(["voi", str(image), *options, "--ignore-place"]) == 0
    assert "is not aligned with the template" in capsys.readouterr().err
    sidecar = json.loads((tmp_path / "pet_atlas-Centiloid_vois.json").read_text())
    assert [flag["code"] for flag in sidecar["Flags"]] == ["mni-place"]
    assert "8" in sidecar["Flags"][0]["message"]


def test_scalp_blur_and_units_make_no_difference(tmp_path, uptake, capsys):
    stripped = np.where(template_mask(2).data, uptake, 0)
    image = write(tmp_path, (ndimage.gaussian_filter(stripped, 1.7) / 107.3).astype(np.float32))
    assert main(["voi", str(image), "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "units", "words"), [
    ("sub-1_trc-FBB_desc-clwc_pet", None, "name says clwc"),
    ("mean_Centiloid_map", None, "name says Centiloid"),
    ("sub-1_trc-FBB_pet", "CL", "Units are CL"),
    ("sub-1_trc-FBB_pet", None, "of its cerebellum is zero or less"),
])  # fmt: skip
def test_a_centiloid_image_is_not_read_as_uptake(tmp_path, uptake, capsys, name, units, words):
    ratio = uptake / uptake[vois(2)["wc"]].mean()
    image = write(tmp_path, (153.4 * ratio - 154.9).astype(np.float32), name=f"{name}.nii.gz")
    if units is not None:
        (tmp_path / f"{name}.json").write_text(json.dumps({"Units": units}))
    assert main(["voi", str(image), "-o", str(tmp_path), "--atlas", "Centiloid"]) == 0
    assert words in capsys.readouterr().err
    row = rows(tmp_path / f"{name}_atlas-Centiloid_vois.tsv")["ctx"]
    expected = 153.4 * ratio[vois(2)["ctx"]].mean() - 154.9
    assert float(row["mean"]) == pytest.approx(expected, rel=1e-3)
    assert {row[f"{kind}_{ref}"] for kind in ("suvr", "centiloid") for ref in ("wc", "pons")} == {
        "n/a"
    }


def test_one_bad_image_does_not_stop_the_others(tmp_path, uptake, capsys):
    good = write(tmp_path, uptake)
    native = write(tmp_path, uptake, name="sub-1_space-T1w_pet.nii.gz")
    images = [str(tmp_path / "absent.nii.gz"), str(native), str(good)]
    assert main(["voi", *images, "-o", str(tmp_path), "--atlas", "Centiloid"]) == 66
    assert len(list(tmp_path.glob("*_vois.tsv"))) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 2 and "absent" in complaints[0] and "T1w" in complaints[1]


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


def test_a_parcellation_of_a_t1w_is_refused(tmp_path, uptake, capsys):
    image, own = tmp_path / "pet.nii.gz", tmp_path / "own_dseg.nii.gz"
    save_volume(image, Volume(uptake, mni_grid(2).affine))
    atlas = f"Own={own},space=T1w"
    assert main(["voi", str(image), "-o", str(tmp_path), "--atlas", atlas]) == 64
    assert "in T1w space" in capsys.readouterr().err
