"""Files that say whether they are whole, and the command line that options stand for."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from bidsapp.bids.command import command, options
from bidsapp.bids.seals import is_intact, sealed, write_manifest
from bidsapp.cli.parser import parse
from bidsapp.io.hashes import file_hash
from bidsapp.settings import Processing


def test_every_flipped_byte_of_a_sealed_file_is_seen():
    text = sealed({"name": "Müller", "numbers": [1.5, None], "sha256": "an older one"}).encode()
    assert is_intact(text)
    assert list(json.loads(text)) == ["name", "numbers", "sha256"]
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        assert not is_intact(bytes(changed)), place
    assert not is_intact(b"") and not is_intact(b'{"a": 1}\n') and not is_intact(text + b"\n")


def test_a_manifest_names_every_file_but_itself(tmp_path):
    page = tmp_path / "sub-1.html"
    page.write_text("page")
    path = tmp_path / "sub-1" / "figures" / "manifest.json"
    for _ in range(2):
        files = [page, tmp_path / "removed.svg", *path.parent.glob("*")]
        write_manifest(path, tmp_path, files, ["gone.json"], Version="1")
        assert is_intact(path.read_bytes())
        content = json.loads(path.read_text())
        assert content["Files"] == {"sub-1.html": file_hash(page)}
        assert (content["Inputs"], content["Version"]) == ({}, "1")


EVERYTHING = """
    --window 40 60 --allow-off-window --no-motion-correction --smooth 4 --psf 5 5 6
    --pet-to-t1w nmi --pet-only --calibration cal.json --tau-vois taus --cutoff 12 24.4
    --tau-calibration lines.json --tracer-file lab.toml
    --dicom-metadata said.json
    --atlas AAL3 mine=mine.nii.gz,mine.tsv,space=MNI152NLin2009cAsym
    --reference-region wm crus=AAL3:lCERCRU1,rCERCRU1 --output-spaces T1w --norms norms.tsv
    --write-masks --atlas-threshold 0.5 --gm-threshold 0.4 --kinetics srtm logan
    --kinetics-reference wm --t-star 30 --t-end 60 --k2-prime 0.1 --pvc gtm
    --interval pib --voi-resolution 1 --background pons --histograms 0.05
"""


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Parse options in a folder that has the files they name."""
    monkeypatch.chdir(tmp_path)
    for name in ("cal.json", "said.json", "mine.nii.gz", "mine.tsv", "norms.tsv", "first.txt"):
        (tmp_path / name).touch()
    for name in ("taus", "fs"):
        (tmp_path / name).mkdir()
    return lambda words: parse(["bids", "out", "participant", *words]).processing


@pytest.mark.parametrize(
    "words",
    [
        EVERYTHING,
        "--target-resolution 8 --kinetics none --atlas Centiloid --longitudinal",
        "--initial-transform first.txt",
    ],
)
def test_the_command_gives_the_same_options_again(typed, words, tmp_path):
    processing = typed(words.split())
    assert typed(options(processing)) == processing
    assert str(tmp_path) not in command(processing)


def test_every_option_that_changes_numbers_is_told(typed):
    processing, standard = typed(EVERYTHING.split()), Processing()
    values = {
        f.name
        for f in fields(Processing)
        if getattr(processing, f.name) != getattr(standard, f.name)
    }
    others = {"target_resolution_mm", "longitudinal", "initial_transform", "derivatives"}
    assert {f.name for f in fields(Processing)} - values <= others  # do not go with these
    assert options(standard) == []
