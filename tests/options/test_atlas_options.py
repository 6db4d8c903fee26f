"""Words of the options about atlases and reference regions."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from bidsapp.bids.command import command
from bidsapp.cli.parser import parse
from bidsapp.data import read_table
from bidsapp.data.atlases import atlas_names
from bidsapp.errors import UsageError
from bidsapp.options.atlas_options import known
from bidsapp.settings import (
    TEMPLATE_SPACE,
    AtlasFile,
    ParcellationChoice,
    ReferenceChoice,
)
from bidsapp.verify.options import known_options


def parsed(*options):
    return parse(["/in", "/out", "participant", *map(str, options)]).processing


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "atlas.nii.gz"
    path.touch()
    return path


def test_help_lists_what_the_package_has():
    assert known("atlases") == atlas_names()
    assert known("reference_regions") == tuple(read_table("reference_regions"))


def test_without_options_the_centiloid_volumes_and_one_atlas():
    processing = parsed()
    assert [one.name for one in processing.atlases] == ["Centiloid", "DesikanKilliany"]
    assert processing.reference_regions == () and processing.voi_spaces == (TEMPLATE_SPACE,)
    assert processing.norms is None and not processing.write_masks


def test_atlases_by_name_in_any_case_and_once():
    names = [one.name for one in parsed("--atlas", "aal3", "SCHAEFER400", "AAL3").atlases]
    assert names == ["Centiloid", "AAL3", "Schaefer400"]


def test_an_atlas_from_a_file_with_table_and_space(image):
    table = image.with_name("t.tsv")
    table.touch()
    (_, one) = parsed("--atlas", f"Toy={image},{table},space=MNI152NLin2009cAsym").atlases
    assert one == AtlasFile("Toy", image, table, "MNI152NLin2009cAsym")
    assert parsed("--atlas", f"Toy={image}").atlases[1] == AtlasFile("Toy", image)


def test_a_margin_is_left_out_of_own_atlases_and_told_as_typed(image, tmp_path):
    typed = [f"Toy={image},space=T1w,erode=2.5"]
    (_, one) = parsed("--atlas", *typed).atlases
    assert one == ParcellationChoice("Toy", own=image, erode_mm=2.5)
    processing = parsed("--derivatives", f"freesurfer={tmp_path},erode=1")
    assert {one.erode_mm for one in processing.derivatives} == {1.0}
    assert f"freesurfer={tmp_path.name},erode=1" in command(processing)
    line = command(parsed("--atlas", *typed))
    assert line.endswith(f"Toy={image.name},space=T1w,erode=2.5")


def test_reference_regions_of_the_table_and_of_atlases():
    found = parsed("--reference-region", "CGeroded", "crus=aal3:lCERCRU1, 96-98").reference_regions
    own = ReferenceChoice("crus", "AAL3", ("lCERCRU1", "96-98"))
    assert found == (ReferenceChoice("cgeroded"), own)


def test_a_composite_is_a_weighted_union_across_atlases_and_is_told_as_typed():
    typed = ["mine=2*wm+0.5*AAL3:95-98,lCERCRU1", "all=WC+DesikanKilliany:Brain-Stem"]
    processing = parsed("--reference-region", *typed)
    mine, union = processing.reference_regions
    own = ReferenceChoice("mine", "AAL3", ("95-98", "lCERCRU1"), weight=0.5)
    assert mine.parts == (ReferenceChoice("wm", weight=2.0), own)
    assert [part.weight for part in union.parts] == [None, None] and union.parts[0].name == "wc"
    words = shlex.split(command(processing))[4:]
    assert parsed(*words).reference_regions == (mine, union)
    rows = [asdict(one) for one in (mine, union)]
    again, notes = known_options({"reference_regions": json.loads(json.dumps(rows))}, "a record")
    assert again.reference_regions == (mine, union) and notes == []


def test_spaces_of_tables():
    assert parsed("--output-spaces", "anat", "pet", "T1w").voi_spaces == (
        TEMPLATE_SPACE, "T1w", "pet",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--atlas", "Hammers"], "NAME=FILE"),
        (["--atlas", "AAL3={image}"], "has its own"),
        (["--atlas", "my-atlas={image}"], "letters and digits"),
        (["--atlas", "={image}"], "letters and digits"),
        (["--atlas", "Toy="], "NAME=FILE"),
        (["--atlas", "Toy={image},{image},{image}"], "NAME=FILE"),
        (["--atlas", "Toy=/nowhere.nii.gz"], "no such file"),
        (["--atlas", "Toy={image},erode=x"], "erode=x is not a distance"),
        (["--atlas", "Toy={image},erode=0"], "erode=0 is not a distance"),
        (["--atlas", "Toy={image},erode=1,erode=2"], "erode= is given twice"),
        (["--derivatives", "freesurfer=/,erode=-1"], "erode=-1 is not a distance"),
        (["--reference-region", "own=AAL3:1,erode=mm"], "erode=mm is not a distance"),
        (["--histograms", "0"], "--histograms"),
        (["--atlas", "Toy={image}", "Toy={image},space=T1w"], "twice"),
        (["--reference-region", "cerebellum"], "cgeroded"),
        (["--reference-region", "wc=AAL3:1"], "has its own"),
        (["--reference-region", "own=AAL3"], "NAME=ATLAS:LABEL"),
        (["--reference-region", "own=AAL3:"], "NAME=ATLAS:LABEL"),
        (["--reference-region", "own=:1"], "NAME=ATLAS:LABEL"),
        (["--reference-region", "own=wm+"], "own=wm+"),
        (["--reference-region", "own=2*wm"], "at least two parts"),
        (["--reference-region", "own=2*wm+wc"], "a weight for all"),
        (["--reference-region", "own=0*wm+1*wc"], "WEIGHT*"),
        (["--reference-region", "own=-1*wm+1*wc"], "WEIGHT*"),
        (["--reference-region", "own=wm+cortex"], "cgeroded"),
        (["--output-spaces", "fsaverage"], "fsaverage"),
        (["--atlas-threshold", "0"], "--atlas-threshold"),
        (["--atlas-threshold", "1.5"], "--atlas-threshold"),
        (["--gm-threshold", "-1"], "--gm-threshold"),
    ],
)
def test_what_makes_no_sense_is_refused(image, options, hint):
    with pytest.raises(UsageError) as caught:
        parsed(*(option.format(image=image) for option in options))
    assert hint in str(caught.value) and "\n" not in str(caught.value)
