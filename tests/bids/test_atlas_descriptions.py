"""Descriptions of the atlases at the root of the output."""

import json

from bidsapp.bids.atlas_descriptions import write_atlases
from bidsapp.core.grid.volume import Volume
from bidsapp.data import VOI_NAMES, mni_grid, vois
from bidsapp.data.atlases import atlas
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.settings import AtlasChoice, AtlasFile


def test_atlases_of_the_package_say_licence_and_regions(tmp_path):
    write_atlases(tmp_path, [AtlasChoice("DesikanKilliany"), AtlasChoice("Centiloid")], masks=False)
    described = json.loads((tmp_path / "atlas-DesikanKilliany_description.json").read_text())
    assert described["License"].startswith("FreeSurfer")
    assert described["Regions"]["1035"] == "ctx-lh-insula"
    assert len(described["Composites"]["amyloid"]) == 38
    assert "doi:" in described["ReferencesAndLinks"][0]
    assert (tmp_path / "atlas-Centiloid_description.json").is_file()


def test_an_atlas_of_the_user_is_named_by_what_it_holds(tmp_path):
    one = atlas("AAL3")
    path = save_volume(
        tmp_path / "own_space-MNI152NLin6Asym.nii.gz",
        Volume(one.labels.astype("i2"), mni_grid(2).affine),
    )
    write_atlases(tmp_path / "out", [AtlasFile("Own", path)], masks=True)
    text = (tmp_path / "out" / "atlas-Own_description.json").read_text()
    assert file_hash(path) in text and str(tmp_path) not in text
    write_atlases(tmp_path / "out", [AtlasFile("Own", path)], masks=True)
    assert (tmp_path / "out" / "atlas-Own_description.json").read_text() == text


def test_the_regions_of_the_package_are_in_the_output_and_written_once(tmp_path):
    choices = [AtlasChoice("AAL3"), AtlasChoice("Centiloid")]
    write_atlases(tmp_path, choices, masks=False)
    files = sorted((tmp_path / "tpl-MNI152NLin6Asym" / "anat").iterdir())
    assert [path.name.split("_", 1)[1] for path in files] == [
        "atlas-AAL3_res-2_dseg.json", "atlas-AAL3_res-2_dseg.nii.gz", "atlas-AAL3_res-2_dseg.tsv",
        "atlas-Centiloid_res-2_probseg.json", "atlas-Centiloid_res-2_probseg.nii.gz",
    ]  # fmt: skip
    assert (load_volume(files[1], dtype=int).data == atlas("AAL3").labels).all()
    maps = load_volume(files[4], dtype=int).data
    assert all((maps[..., n] == vois(2)[name]).all() for n, name in enumerate(VOI_NAMES))
    assert files[2].read_text().splitlines()[:2] == ["index\tname", "1\tlPreCG"]
    times = [path.stat().st_mtime_ns for path in files]
    write_atlases(tmp_path, choices, masks=False)
    assert [path.stat().st_mtime_ns for path in files] == times


def test_an_atlas_of_the_user_is_not_copied(tmp_path):
    path = save_volume(
        tmp_path / "own_space-MNI152NLin6Asym.nii.gz",
        Volume(atlas("AAL3").labels.astype("i2"), mni_grid(2).affine),
    )
    write_atlases(tmp_path / "out", [AtlasFile("Own", path)], masks=False)
    assert not (tmp_path / "out").exists()
