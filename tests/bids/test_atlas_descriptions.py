"""Descriptions of the atlases at the root of the output."""

import json

from bidsapp.bids.atlas_descriptions import write_atlas_descriptions
from bidsapp.data import mni_grid
from bidsapp.data.atlases import atlas
from bidsapp.nifti import file_hash, save_volume
from bidsapp.settings import AtlasChoice
from bidsapp.volume import Volume


def test_atlases_of_the_package_say_licence_and_regions(tmp_path):
    write_atlas_descriptions(tmp_path, [AtlasChoice("DesikanKilliany"), AtlasChoice("Centiloid")])
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
    write_atlas_descriptions(tmp_path / "out", [AtlasChoice("Own", path)])
    text = (tmp_path / "out" / "atlas-Own_description.json").read_text()
    assert file_hash(path) in text and str(tmp_path) not in text
    write_atlas_descriptions(tmp_path / "out", [AtlasChoice("Own", path)])
    assert (tmp_path / "out" / "atlas-Own_description.json").read_text() == text
