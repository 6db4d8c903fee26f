"""All tables of one image: reference regions with tissue, norms, thresholds, fixed columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.data import mni_grid, read_table, vois
from bidsapp.data.atlases import atlas
from bidsapp.data.label_table import pairs_of_sides
from bidsapp.data.reference_regions import references
from bidsapp.errors import CentipetError
from bidsapp.io.nifti import save_volume
from bidsapp.settings import AtlasChoice, AtlasFile, Processing, ReferenceChoice
from bidsapp.steps.measuring import (
    check_options,
    measure_atlases,
    region_dictionary,
    template_space,
)

SHAPE = mni_grid(2).shape
ASKED = (ReferenceChoice("cgeroded"), ReferenceChoice("wm"))


def space(**tissues):
    return template_space(tissues)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).gamma(20, 300.0, SHAPE).astype(np.float32)


def measured(image, place, equations=None, **options):
    processing = Processing(atlases=(AtlasChoice("DesikanKilliany"),), **options)
    return measure_atlases(image, place, processing=processing, equations=equations or {})


def test_every_column_of_the_dictionary_is_there_for_every_region(image):
    found = measured(image, space(), reference_regions=ASKED).columns
    described = region_dictionary(Processing(reference_regions=ASKED), "Bq/mL")
    for name, columns in found.items():
        assert set(columns) == set(described)
        assert {len(column) for column in columns.values()} == {len(atlas(name).names)}
    assert described["mean"]["Units"] == "Bq/mL" and described["suvr_wm"]["Units"] == "unitless"
    assert all("{" not in entry["Description"] for entry in described.values())
    fixed = [name for name in read_table("region_columns") if name not in ("suvr", "centiloid")]
    assert [name for name in described if "_w" not in name][:5] == fixed[:5]


def test_a_tissue_weighs_or_selects_the_reference(image):
    rng = np.random.default_rng(1)
    grey, white = rng.random(SHAPE).astype(np.float32), rng.random(SHAPE).astype(np.float32)
    found = measured(image, space(GM=grey, WM=white), reference_regions=ASKED).references
    by_name = {one.name: one for one in references(ASKED)}
    voxels = by_name["cgeroded"].regions.voxels
    values, weights = image.ravel()[voxels].astype(float), grey.ravel()[voxels].astype(float)
    assert found["cgeroded"].mean == (values * weights).sum() / weights.sum()
    voxels = by_name["wm"].regions.voxels
    voxels = voxels[white.ravel()[voxels] >= 0.95]
    assert found["wm"].mean == image.ravel()[voxels].astype(float).mean()


def test_the_parts_of_a_composite_weigh_as_asked_whatever_their_size(image):
    rng = np.random.default_rng(3)
    tissues = {"WM": rng.random(SHAPE).astype(np.float32)}
    stem = ReferenceChoice("stem", "DesikanKilliany", ("Brain-Stem",))
    pair = (ReferenceChoice("wm", weight=2.0), ReferenceChoice("pons", weight=0.5))
    asked = (*ASKED, stem, ReferenceChoice("composite"), ReferenceChoice("two", parts=pair))
    found = measured(image, space(**tissues), reference_regions=asked).references
    means = {name: one.mean for name, one in found.items()}
    assert means["composite"] == pytest.approx((means["wm"] + means["stem"] + means["wc"]) / 3)
    assert means["two"] == pytest.approx((2 * means["wm"] + 0.5 * means["pons"]) / 2.5)
    # without the participant's white matter it would be another region
    assert measured(image, space(), reference_regions=asked).references["composite"].mean is None
    described = region_dictionary(Processing(reference_regions=asked), "Bq/mL")
    assert "2 times Deep cerebral white matter" in described["suvr_two"]["Description"]


def test_voxels_of_a_composite_without_weights_count_once(image):
    parts = (ReferenceChoice("wc"), ReferenceChoice("cg"), ReferenceChoice("pons"))
    asked = (ReferenceChoice("all", parts=parts),)
    found = measured(image, space(), reference_regions=asked).references
    mask = vois(2)["wc"] | vois(2)["cg"] | vois(2)["pons"]
    assert found["all"].mean == image[mask].astype(float).mean()


def test_grey_matter_weighs_or_selects(image):
    grey = np.random.default_rng(2).random(SHAPE).astype(np.float32)
    inside = vois(2)["cg"] & (grey >= 0.5)
    found = measured(image, space(GM=grey), gm_threshold=0.5).columns["Centiloid"]
    assert found["gm_mean"][2] == pytest.approx(image[inside].astype(float).mean(), rel=1e-12)
    assert found["gm_voxels"][2] == inside.sum()
    description = region_dictionary(Processing(gm_threshold=0.5), "Bq/mL")["gm_mean"]["Description"]
    assert "0.5" in description


def test_without_a_t1w_such_a_reference_is_not_guessed(image):
    found = measured(image, space(), reference_regions=ASKED)
    assert found.references["cgeroded"].mean is None
    columns = found.columns["Centiloid"]
    assert columns["suvr_cgeroded"] == columns["suvr_wm"] == columns["gm_mean"] == [None] * 5
    assert columns["suvr_wc"][1] == 1


def test_the_line_of_a_reference_gives_its_centiloids_only(image):
    columns = measured(image, space(), {"cg": Equation(100.0, -50.0, "cg", "", "", 0)}).columns[
        "Centiloid"
    ]
    assert columns["centiloid_cg"] == [100.0 * ratio - 50.0 for ratio in columns["suvr_cg"]]
    assert columns["centiloid_wc"] == [None] * 5


def test_a_reference_cut_off_by_the_field_of_view_divides_nothing(image):
    cut = image.copy()
    cut[vois(2)["pons"]] = np.nan
    columns = measured(cut, space()).columns["Centiloid"]
    assert columns["suvr_pons"] == [None] * 5 and columns["mean"][4] is None
    assert columns["coverage"][4] == 0 and columns["suvr_wc"][0] is not None


def test_options_are_checked_before_anything_is_computed(tmp_path):
    with pytest.raises(CentipetError, match="no such"):
        check_options(Processing(atlases=(AtlasFile("Toy", tmp_path / "absent.nii.gz"),)))
    with pytest.raises(CentipetError, match="NoAtlas"):
        check_options(Processing(reference_regions=(ReferenceChoice("x", "NoAtlas", ("1",)),)))
    with pytest.raises(CentipetError, match="cannot be read"):
        check_options(Processing(norms=tmp_path / "absent.tsv"))
    assert check_options(Processing()) == []


def test_norms_of_no_region_of_the_run_are_told(tmp_path):
    path = tmp_path / "norms.tsv"
    rows = ["atlas\tregion\tmean\tsd", "Centiloid\tctx\t1.1\t0.1"]
    path.write_text("\n".join(rows))
    assert check_options(Processing(norms=path)) == []
    path.write_text("\n".join([*rows, "centiloid\tctx\t1.1\t0.1", "Centiloid\tcortex\t1\t0.1"]))
    (note,) = check_options(Processing(norms=path))
    assert "has the region centiloid ctx, Centiloid cortex, so" in note


def test_extremes_percentiles_and_sides_are_those_of_numpy(image):
    columns = measured(image, space()).columns["DesikanKilliany"]
    one = atlas("DesikanKilliany")
    at = {name: place for place, name in enumerate(one.names)}
    values = {
        name: image.reshape(-1)[one.measured.of(at[name])].astype(float)
        for name in ("ctx-lh-insula", "ctx-rh-insula", "Brain-Stem", "frontal_R", "frontal_L")
    }
    for name, own in values.items():
        stored = [columns[key][at[name]] for key in ("minimum", "p05", "p95", "maximum")]
        assert stored == [own.min(), np.quantile(own, 0.05), np.quantile(own, 0.95), own.max()]
    for left, right in (("ctx-lh-insula", "ctx-rh-insula"), ("frontal_L", "frontal_R")):
        a, b = values[left].mean(), values[right].mean()
        for name in (left, right):
            assert columns["asymmetry_percent"][at[name]] == 200 * (a - b) / (a + b)
    assert columns["asymmetry_percent"][at["Brain-Stem"]] is None


def test_another_background_divides_snr_and_cnr(image):
    own = ReferenceChoice("crus", "AAL3", ("lCERCRU1",))
    for name in ("pons", "crus"):
        options = {"background": name, "reference_regions": (own,)}
        found = measured(image, space(), **options)
        mean, sd = found.references[name].mean, found.references[name].sd
        columns = found.columns["Centiloid"]
        assert columns["snr"] == [value / sd for value in columns["mean"]]
        assert columns["cnr"] == [(value - mean) / sd for value in columns["mean"]]
    description = region_dictionary(Processing(**options), "Bq/mL")["snr"]["Description"]
    assert description.endswith("standard deviation of AAL3: lCERCRU1")
    with pytest.raises(CentipetError, match="--background moon: this run has wc, cg, wcb, pons"):
        check_options(Processing(background="moon"))


def test_histograms_of_the_suvr_hold_every_voxel(image):
    cut = image.copy()
    cut[: SHAPE[0] // 2] = np.nan
    found = measured(cut, space(), histogram_width=0.1)
    table, columns = found.histograms["Centiloid"], found.columns["Centiloid"]
    assert list(table) == list(read_table("histogram_columns"))
    for name, n_voxels in zip(columns["name"], columns["n_voxels"], strict=True):
        at = [place for place, other in enumerate(table["name"]) if other == name]
        assert sum(table["voxels"][place] for place in at) == n_voxels > 0
    values = cut[vois(2)["pons"]].astype(float) / found.references["wc"].mean
    rows = list(
        zip(*(table[key] for key in ("name", "suvr_from", "suvr_to", "voxels")), strict=True)
    )
    for name, low, high, voxels in rows:
        if name == "pons":
            assert voxels == ((values >= low - 1e-9) & (values < high - 1e-9)).sum()
    assert measured(cut, space()).histograms == {}


def test_the_margin_of_an_own_atlas_is_not_measured(image, tmp_path):
    own = atlas("DesikanKilliany")
    path = tmp_path / "own_space-MNI152NLin6Asym.nii.gz"
    labels = np.where(np.isin(own.labels, (8, 47, 251)), own.labels, 0).astype(np.int16)
    save_volume(path, Volume(labels, mni_grid(2).affine))
    choice = AtlasFile("Own", path, erode_mm=2.0)
    found = measure_atlases(
        image, space(), processing=Processing(atlases=(choice,)), equations={}
    ).columns["Own"]
    mask = own.labels == 8  # Left-Cerebellum-Cortex
    inner = ndimage.distance_transform_edt(mask, sampling=2.0) > 2
    place = found["index"].index(8)
    assert found["mean"][place] == image[inner].astype(float).mean()
    assert 0 < found["n_voxels"][place] == inner.sum() < mask.sum()
    first, second = atlas(choice).notes
    assert "2 mm inside the border" in first and "leaves nothing of" in second
    assert atlas(choice).drawn.labelled(found["index"])[inner].tolist() == [8] * inner.sum()


def test_every_region_of_a_side_has_its_like_in_the_package():
    """But one thalamic nucleus of AAL3, whose right one is too small to be there."""
    for name in ("DesikanKilliany", "Destrieux", "AAL3"):
        rows = atlas(name).rows
        pairs = pairs_of_sides([row.name for row in rows], [row.hemisphere for row in rows])
        both = list(zip(rows, pairs, strict=True))
        alone = {row.name for row, pair in both if pair is None and row.hemisphere in ("L", "R")}
        assert len(alone) <= (name == "AAL3"), alone
        sides = {tuple(rows[place].hemisphere for place in pair) for pair in pairs if pair}
        assert sides == {("L", "R")}
