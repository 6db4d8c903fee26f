"""The atlases of the package, and every way in which an atlas of a user can be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.regions.regions import region_means
from bidsapp.data import RESOURCES, mni_grid, priors, provenance, read_table, template, vois
from bidsapp.data.atlases import (
    OWN_SPACE,
    atlas,
    atlas_names,
    nearest_regions,
    points_in,
    uptake_regions,
)
from bidsapp.data.label_table import parse_label_table
from bidsapp.data.reference_regions import references
from bidsapp.errors import BadDataError, CentipetError, UsageError
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import save_volume
from bidsapp.settings import AtlasFile, ReferenceChoice

NAMES = atlas_names()


def test_the_package_has_the_atlases_that_are_promised():
    promised = {"Centiloid", "DesikanKilliany", "Destrieux", "AAL3"}
    promised |= {"Schaefer100", "Schaefer200", "Schaefer400"}
    assert promised <= set(NAMES) and NAMES[0] == "Centiloid"


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_region_lies_on_its_side_of_the_template(name):
    one, x = atlas(name), mni_grid(2).world()[..., 0].reshape(-1)
    sides = {"L": 0, "R": 0, "B": 0}
    for position, row in enumerate(one.rows):
        centre = x[one.regions.of(position)].mean()
        assert (centre < 0) if row.hemisphere == "L" else (centre > -4), row.name
        assert (centre > 0) if row.hemisphere == "R" else (centre < 4), row.name
        sides[row.hemisphere] += 1
    assert abs(sides["L"] - sides["R"]) <= 1 or name.startswith("Schaefer")


def test_left_is_left_on_the_template_itself():
    """The left of an atlas lies in the left half of the T1w: the heads are not symmetric."""
    labels, head = atlas("AAL3").labels, template(2)
    grey = priors().maps[0]
    cortex = (labels > 0) & (labels <= 94)
    fits = [np.corrcoef(one.ravel(), grey.ravel())[0, 1] for one in (cortex, cortex[::-1])]
    assert fits[0] > fits[1] + 0.005
    assert head.affine[0, 0] < 0 and (head.affine == mni_grid(2).affine).all()


def test_the_cerebellum_that_takes_up_tracer_as_one_is_whole():
    """The Centiloid's `wc` ends below the tentorium; the cortex above it is not cerebellum."""
    cerebellum, brain = uptake_regions()["cbl"], priors().maps[0] > 0.3
    assert cerebellum[vois(2)["wc"]].mean() > 0.99
    culmen, fusiform, pons = ((0, -52, -4), (34, -40, -16), (0, -26, -34))
    index = [tuple(np.linalg.solve(mni_grid(2).affine, (*at, 1))[:3].round().astype(int))
             for at in (culmen, fusiform, pons)]  # fmt: skip
    assert [bool(cerebellum[at]) for at in index] == [True, False, False]
    assert not vois(2)["wc"][index[0]]
    inside = cerebellum & brain
    assert 1.2 < inside.sum() / (vois(2)["wc"] & brain).sum() < 1.8
    assert not (inside & vois(2)["ctx"]).any()


def test_every_place_has_a_nearest_region_and_both_sides_the_same():
    regions = nearest_regions()
    assert regions.data.shape == mni_grid(2).shape
    numbers = np.unique(regions.data)
    assert numbers.min() == 1 and 35 < numbers.max() == numbers.size < 50
    cerebellum = uptake_regions()["cbl"] & vois(2)["wc"]
    assert np.unique(regions.data[cerebellum]).size == 1
    points = np.array([[x, *at] for at in ((-20, -20), (10, 0), (-60, 40)) for x in (-30.0, 30.0)])
    left, right = nearest(regions, points).reshape(3, 2).T
    assert (left == right).all() and np.unique(left).size == 3


@pytest.mark.parametrize("name", NAMES[1:])
def test_cortex_lies_on_grey_matter(name):
    one = atlas(name)
    cortical = [p for p, row in enumerate(one.rows) if row.lobe in
                ("frontal", "parietal", "temporal", "occipital")]  # fmt: skip
    inside = one.regions.combined([cortical])
    grey, white, fluid = (region_means(tissue, inside)[0] for tissue in priors().maps)
    # priors of people of many ages: sulci where a young template has cortex
    assert grey > 1.8 * white and grey > 1.5 * fluid


def test_the_cerebellar_grey_of_the_centiloid_project_lies_in_their_cerebella():
    for name in ("AAL3", "DesikanKilliany", "Destrieux"):
        one = atlas(name)
        cerebellum = one.measured.of(one.names.index("cerebellum"))
        assert vois(2)["cg"].reshape(-1)[cerebellum].sum() > 0.99 * vois(2)["cg"].sum(), name


def test_composites_are_unions():
    one = atlas("DesikanKilliany")
    assert len(one.composites["amyloid"]) == 38 and len(one.composites["braak1"]) == 2
    stages = [set(one.composites[f"braak{stage}"]) for stage in range(1, 7)]
    assert sum(map(len, stages)) == len(set.union(*stages))
    for lobe in ("frontal", "parietal", "temporal", "occipital"):
        left, right = one.composites[f"{lobe}_L"], one.composites[f"{lobe}_R"]
        assert set(left) | set(right) == set(one.composites[lobe]) and len(left) == len(right)
    assert len(one.names) == len(set(one.names)) == len(one.measured)


def test_files_are_those_of_the_provenance_and_have_a_licence():
    hashes = provenance()["files"]
    for name in NAMES[1:]:
        entry = read_table("atlases")[name]
        assert entry["license"] and entry["reference"] in read_table("references")
        for path in RESOURCES.glob(f"*_atlas-{name}_dseg.*"):
            assert hashes[path.name] == file_hash(path)


# ---------------------------------------------------------------------- atlases from files


@pytest.fixture
def aal():
    return atlas("AAL3").labels.astype(np.int16)


def given(folder: Path, labels, affine=None, *, name="toy.nii.gz", table=None, **choice):
    path = folder / name
    save_volume(path, Volume(np.asarray(labels), mni_grid(2).affine if affine is None else affine))
    if table is not None:
        (folder / "table.tsv").write_text(table)
        choice["table"] = folder / "table.tsv"
    return AtlasFile("Toy", path, **choice)


def full_table():
    rows = (
        f"{row.index}\t{row.name}\t{row.hemisphere}\t{row.lobe}\n" for row in atlas("AAL3").rows
    )
    return "index\tname\themisphere\tlobe\n" + "".join(rows)


def test_a_label_image_comes_back_voxel_by_voxel(tmp_path, aal):
    read = atlas(given(tmp_path, aal, table=full_table()))
    assert (read.labels == aal).all()
    assert [row.name for row in read.rows] == [row.name for row in atlas("AAL3").rows]
    assert "frontal_L" in read.composites and "names no space" in read.notes[0]


def test_another_grid_of_the_same_space_is_brought_over(tmp_path, aal):
    """Stored left to right, as most programs do: the voxels change places, the regions do not."""
    affine = mni_grid(2).affine @ np.array(
        [[-1, 0, 0, 90], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]
    )
    read = atlas(given(tmp_path, aal[::-1], affine, name="x_space-MNI152NLin6Asym_dseg.nii.gz"))
    assert (read.labels == aal).all() and read.notes == ()
    assert read.rows[0].name == "label-1"


def test_the_other_template_is_carried_over(tmp_path):
    """Labels drawn where 2009c has them end where MNI152NLin6Asym has them."""
    world = points_in("MNI152NLin2009cAsym")
    assert 0.5 < np.linalg.norm(world - mni_grid(2).world(), axis=-1).mean() < 5
    centre = np.array([-30.0, 20, 30])
    grid = Grid((60, 60, 60), np.eye(4))
    grid.affine[:3, 3] = centre - 30
    ball = (((grid.world() - centre) ** 2).sum(-1) < 12**2).astype(np.uint8)
    read = atlas(given(tmp_path, ball, grid.affine, name="tpl-MNI152NLin2009cAsym_dseg.nii.gz"))
    voxels = np.stack(np.unravel_index(read.regions.of(0), read.regions.shape), -1)
    assert np.linalg.norm(world[tuple(voxels.T)].mean(0) - centre) < 0.3
    assert len(voxels) * 8 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.1)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_probability_maps_are_fractional_regions(tmp_path, scale):
    maps = np.moveaxis(priors().maps[:2], 0, -1).astype(np.float32)
    read = atlas(
        given(tmp_path, maps * np.float32(scale), table="index\tname\n1\tgrey\n2\twhite\n")
    )
    assert [row.name for row in read.rows] == ["grey", "white"]
    image = np.random.default_rng(0).random(mni_grid(2).shape).astype(np.float32)
    for found, weights in zip(region_means(image, read.regions), priors().maps, strict=False):
        assert found == pytest.approx(np.average(image, weights=weights), rel=1e-5)


def refusal(choice) -> str:
    with pytest.raises(BadDataError) as caught:
        atlas(choice)
    sentence = str(caught.value)
    assert str(choice.image.name) in sentence or str(choice.table) in sentence
    assert "\n" not in sentence
    return sentence


def test_a_mirrored_atlas_is_refused(tmp_path, aal):
    assert "left and right are exchanged" in refusal(given(tmp_path, aal[::-1], table=full_table()))
    assert "mirror image" in refusal(given(tmp_path, aal[::-1], name="untold.nii.gz"))


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, -6, 0), (0, 0, 10), (8, 8, 0)])
def test_a_shifted_atlas_is_refused(tmp_path, aal, shift):
    affine = mni_grid(2).affine.copy()
    affine[:3, 3] += shift
    way = re.search(r"shifted.* when moved by \((.*)\) mm", refusal(given(tmp_path, aal, affine)))[
        1
    ]
    assert np.array(way.split(", "), float) == pytest.approx(-np.array(shift), abs=2)


def test_an_atlas_beside_the_brain_is_refused(tmp_path, aal):
    assert "in the brain" in refusal(given(tmp_path, aal, np.diag([2.0, 2, 2, 1])))
    turned = refusal(given(tmp_path, aal[:, ::-1], name="turned.nii.gz"))
    assert "in the brain" in turned or "shifted" in turned


def test_an_atlas_of_an_unknown_space_is_refused(tmp_path, aal):
    assert "fsLR" in refusal(given(tmp_path, aal, name="tpl-fsLR_dseg.nii.gz"))
    assert "MNIColin27" in refusal(given(tmp_path, aal, space="MNIColin27"))


def test_interpolated_labels_are_refused_and_whole_floats_are_not(tmp_path, aal):
    floats = aal.astype(np.float32)
    assert (atlas(given(tmp_path, floats)).labels == aal).all()
    smooth = (floats + np.roll(floats, 1, axis=0)) / 2
    assert "not whole numbers" in refusal(given(tmp_path, smooth, name="smooth.nii.gz"))


def test_values_that_are_no_labels_are_refused(tmp_path, aal):
    assert "negative" in refusal(given(tmp_path, -aal))
    assert "background" in refusal(given(tmp_path, np.zeros_like(aal), name="empty.nii.gz"))
    many = np.arange(aal.size, dtype=np.int32).reshape(aal.shape)
    assert "not a label image" in refusal(given(tmp_path, many, name="many.nii.gz"))
    maps = np.stack([aal, aal], axis=-1).astype(np.float32) * 7
    assert "percent" in refusal(given(tmp_path, maps, name="large.nii.gz"))


def test_labels_without_a_row_are_refused(tmp_path, aal):
    sentence = refusal(given(tmp_path, aal, table="index\tname\n1\tone\n2\ttwo\n"))
    assert "no row for the labels 3, 4" in sentence


def test_maps_and_rows_must_be_as_many(tmp_path):
    maps = np.moveaxis(priors().maps[:2], 0, -1).astype(np.float32)
    assert "2 maps" in refusal(given(tmp_path, maps, table="index\tname\n1\tgrey\n"))


BROKEN_TABLES = [
    "", "\n\n", "# only a comment\n", "index\tname", "index\tname\n", "index\n1\n", "name\none\n",
    "a\tb\n1\tone\n", "index\tname\nx\tone\n", "index\tname\n1.5\tone\n", "index\tname\n-1\tone\n",
    "index\tname\n1\t\n", "index\tname\n1\n", "index\tname\n\tone\n",
    "index\tname\n1\tone\n1\ttwo\n",
    "index\tname\n1\tone\n2\tone\n", "index\tname\n99999999999\tone\n", "index\tname\n0\tnothing\n",
    "index,name\n1\n", "index;name\n;;\n", "1\n2\n3\n", "one\ntwo\n", "1 one\n1 two\n",
    "1 a\n2 a\n",
    "1 \n", "index\tname\n1e3\tone\n", "index\tname\nNaN\tone\n", "index\tname\n1\tone\nx\ty\tz\n",
    '{"1": "one"}', "<xml/>", "[1, 2]", "index: 1\nname: one\n", "index\tname\n\u0661\tone\n",
    "\ufeff", "\x00\x01\x02", "PK\x03\x04", "index name\n1,one\n", "INDEX\tNAME\n\"1\tone\n",
    "index\tindex\n1\t2\n", "name\tname\na\tb\n", "1\t\t\n", ",,,\n1,,\n", ";\n;\n",
    "\t\t\t\n1\tone\n",
    "id\tlabel\nid\tlabel\n", "index\tname\n1\tone\n\n\n2\n", "index\tname\n\u22121\tone\n",
    "no. of region\n1\n", "\r\r\r", "index\tname\r1\tone\r2\tone\r", "0 Unknown 0 0 0 0\n",
    "index\tname\n+1\tone\n", "index\tname\n0x1\tone\n", "index\tname\n1 2\tone\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def two_labels(tmp_path_factory):
    """On a grid of its own, so that its place need not be judged."""
    labels = np.zeros((6, 5, 4), np.int16)
    labels[1:3, 1:4, 1:3], labels[4:, 1:4, 1:3] = 1, 2
    return given(tmp_path_factory.mktemp("labels"), labels).image


def read_with(table, image):
    return atlas(AtlasFile("Toy", image, table, space=OWN_SPACE))


@pytest.mark.parametrize("number", range(len(BROKEN_TABLES)))
def test_a_broken_table_gives_a_sentence(tmp_path, two_labels, number):
    """Never a traceback, and never a table taken for what it is not."""
    table = tmp_path / "broken.txt"
    table.write_bytes(BROKEN_TABLES[number].encode())
    with pytest.raises(CentipetError) as caught:
        read_with(table, two_labels)
    assert "broken.txt" in str(caught.value) and "\n" not in str(caught.value)


@over(
    st.text(alphabet=st.sampled_from('index\t name,;12.-\n\r#"\u00e9\x0b'), max_size=60) | st.text()
)
def test_any_text_is_a_table_or_a_sentence(text):
    try:
        table = parse_label_table(text, "t.tsv")
    except BadDataError as error:
        assert str(error).startswith("t.tsv") and "\n" not in str(error)
    else:
        assert table.labelled and len({row.name for row in table.rows}) == len(table.rows)


@pytest.mark.parametrize(
    "text",
    [
        "index\tname\n0\tnothing\n1\tone\n2\ttwo\n",
        "index,name\n1,one\n2,two\n",
        "ROIid;ROIname;ROIcolor\n1;one;1 2 3\n2;two;4 5 6\n",
        "1 one 255 0 0 0\n2 two 0 0 0 0\n3 other 0 0 0 0\n",
        "# lookup table\n\n1\tone\n2\ttwo\n",
        "\ufeffid\tlabel\r\n1\tone\r\n2\ttwo\r\n",
        "index\tname\n1.0\tone\n2.0\ttwo\n",
        "id,label,structure\n1,one,cortex\n2,two,cortex\n",
    ],
)
def test_the_usual_tables_are_understood(tmp_path, two_labels, text):
    table = tmp_path / "table.txt"
    table.write_text(text)
    rows = read_with(table, two_labels).rows
    assert [(row.index, row.name) for row in rows] == [(1, "one"), (2, "two")]


def test_names_of_both_sides_are_told_apart(tmp_path, two_labels):
    table = tmp_path / "table.csv"
    table.write_text("id,label,hemisphere,structure\n1,insula,L,cortex\n2,insula,R,cortex\n")
    rows = read_with(table, two_labels).rows
    assert [row.name for row in rows] == ["insula_L", "insula_R"]


def test_maps_may_be_numbered_from_zero(tmp_path):
    maps = np.moveaxis(priors().maps[:2], 0, -1).astype(np.float32)
    rows = atlas(given(tmp_path, maps, table="index\tname\n0\tgrey\n1\twhite\n")).rows
    assert [(row.index, row.name) for row in rows] == [(1, "grey"), (2, "white")]


# ------------------------------------------------------------------------ reference regions


def test_reference_regions_are_those_of_the_table_and_the_users():
    own = ReferenceChoice("crus", "AAL3", ("lCERCRU1", "96-98"))
    found = references((ReferenceChoice("cgeroded"), ReferenceChoice("wm"), own))
    assert [one.name for one in found] == ["wc", "cg", "wcb", "pons", "cgeroded", "wm", "crus"]
    by_name = {one.name: one for one in found}
    for name in ("wc", "cg", "wcb", "pons"):
        assert (by_name[name].regions.voxels == np.flatnonzero(vois(2)[name])).all()
    eroded = by_name["cgeroded"].regions.voxels
    assert set(eroded) < set(by_name["cg"].regions.voxels) and len(eroded) > 3000
    crus = np.isin(atlas("AAL3").labels, [95, 96, 97, 98])
    assert (by_name["crus"].regions.voxels == np.flatnonzero(crus)).all()


def test_unknown_reference_regions_are_refused():
    for choice in (ReferenceChoice("x"), ReferenceChoice("x", "AAL3", ("no",)),
                   ReferenceChoice("x", "NoAtlas", ("1",))):  # fmt: skip
        with pytest.raises(UsageError, match=r"unknown|has no region"):
            references((choice,))


def test_composites_name_labels_that_exist():
    for name, composites in read_table("composites").items():
        assert all(atlas(name).composites[one] for one in composites), json.dumps(composites)
