"""Derivatives against the BIDS validator, with our .bidsignore and with an empty one."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from bidsapp import __version__
from bidsapp.bids import derivative_root
from bidsapp.bids.derivative_root import (
    RAW_FACTS,
    bidsignore,
    refuse_foreign,
    remove_leftovers,
    replaced_results,
    root_files,
    write_root_files,
)
from bidsapp.bids.derivatives import (
    derivative_uri,
    output_path,
    outputs,
    raw_uri,
    sidecar_path,
)
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import CannotCreateError
from bidsapp.io.atomic import write_text
from bidsapp.io.nifti import save_volume

PET = {"sub": "01", "ses": "a", "trc": "FBB", "rec": "x", "run": "1"}
T1W = {"sub": "01", "ses": "b", "acq": "mprage", "run": "2"}


def entities(key):
    return T1W if outputs()[key].datatype == "anat" else PET


@pytest.mark.parametrize("name", ["README.md", ".bidsignore", "descriptions.tsv"])
def test_a_file_of_somebody_is_never_replaced(raw, tmp_path, name):
    out = tmp_path / "project"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(CannotCreateError, match="choose a separate folder"):
        write_root_files(out, raw.root)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


@pytest.fixture
def derivatives(raw, tmp_path):
    """A dataset with one tiny file of every kind."""
    raw.t1w("sub-01_ses-b_acq-mprage_run-2")
    raw.pet("sub-01_ses-a_trc-FBB_rec-x_run-1")
    out = tmp_path / "out"
    write_root_files(out, raw.root)
    tiny = Volume(np.ones((4, 4, 4), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    for key, row in outputs().items():
        path = output_path(out, key, entities(key))
        if row.extension == ".nii.gz":
            save_volume(path, tiny)
        else:
            write_text(path, "name\tmean\nctx\t1\n")
        sidecar = {"SkullStripped": False, "Units": "Bq/mL", "Type": "Brain"}
        if "res" in row.entities:
            sidecar["Resolution"] = "2 mm"
        if row.entities.get("space") in ("T1w", "MNIrigid"):
            sidecar["SpatialReference"] = derivative_uri(output_path(out, "t1w", T1W), out)
        if row.extension != ".json":
            write_text(sidecar_path(path), json.dumps(sidecar))
    for name in ("sub-01.html", "group_centiloid.tsv", "group_centiloid.json", "logs/run.log"):
        write_text(out / name, "{}" if name.endswith("json") else "a\n1\n")
    return out


def errors(folder: Path) -> set[str]:
    """Paths of everything the validator finds wrong."""
    if shutil.which("bids-validator-deno") is None:
        pytest.skip("bids-validator-deno IS NOT INSTALLED: pip install centipet[test]")
    done = subprocess.run(
        ["bids-validator-deno", "--json", str(folder)], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)["issues"]["issues"]
    return {str(issue["location"]) for issue in found if issue["severity"] == "error"}


def test_derivatives_are_valid(derivatives):
    assert errors(derivatives) == set()


def test_without_bidsignore_exactly_the_documented_files_fail(derivatives):
    (derivatives / ".bidsignore").write_text("")
    ours = {f"/{path.relative_to(derivatives)}" for path in derivatives.rglob("*.*")}
    ignored = {
        path for path in ours
        if any(fnmatch(Path(path).name, pattern) for pattern in bidsignore())
    }  # fmt: skip
    assert len(ignored) > 5
    assert errors(derivatives) == ignored


def test_the_readme_documents_what_is_ignored(derivatives):
    readme = (derivatives / "README.md").read_text()
    for row in outputs().values():
        assert row.standard or f"_{row.suffix}" in readme


def test_description(derivatives, raw):
    content = json.loads((derivatives / "dataset_description.json").read_text())
    assert content["DatasetType"] == "derivative"
    assert content["GeneratedBy"][0]["Name"] == "CentiPET"
    assert content["GeneratedBy"][0]["Version"] == __version__
    assert content["DatasetLinks"] == {"raw": "../raw"}
    assert str(raw.root) not in (derivatives / "dataset_description.json").read_text()


def test_the_raw_dataset_is_found_from_an_output_folder_behind_a_link(raw, tmp_path):
    """The system looks for what follows ``..`` beside the folder, not beside the link."""
    scratch, home = tmp_path / "scratch/of/somebody", tmp_path / "home"
    scratch.mkdir(parents=True)
    home.mkdir()
    (home / "out").symlink_to(scratch)
    (home / "study").symlink_to(raw.root)
    write_root_files(home / "out", home / "study")
    content = json.loads((scratch / "dataset_description.json").read_text())
    assert (scratch / content["DatasetLinks"]["raw"]).samefile(raw.root)
    assert (scratch / content["SourceDatasets"][0]["URL"]).samefile(raw.root)


@pytest.mark.parametrize(
    ("authors", "expected"), [(["A", "B"], ["A", "B"]), ("A", None), ([], None), ([1], None)]
)
def test_authors_are_those_of_the_raw_dataset(raw, tmp_path, authors, expected):
    """Nobody is made up where it names none."""
    path = raw.root / "dataset_description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Authors": authors}))
    write_root_files(tmp_path / "out", raw.root)
    content = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert content.get("Authors") == expected


def test_every_desc_label_is_described(derivatives):
    lines = (derivatives / "descriptions.tsv").read_text().splitlines()
    described = {line.split("\t")[0] for line in lines[1:]}
    assert described == {
        f"desc-{row.entities['desc']}" for row in outputs().values() if "desc" in row.entities
    }


def test_root_files_are_left_alone_when_they_are_right(derivatives, raw):
    before = {path: path.stat().st_mtime_ns for path in derivatives.iterdir() if path.is_file()}
    write_root_files(derivatives, raw.root)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("text", ["", None], ids=["left empty", "removed"])
def test_a_description_that_was_lost_is_written_again(derivatives, raw, text):
    path = derivatives / "dataset_description.json"
    before = path.read_bytes()
    path.unlink() if text is None else path.write_text(text)
    write_root_files(derivatives, raw.root)
    assert path.read_bytes() == before


def test_a_run_that_begins_while_another_does_takes_its_files_for_ours(raw, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def read_before_another_writes(path):
        monkeypatch.undo()
        write_root_files(out, raw.root)
        (out / RAW_FACTS).unlink()  # not written yet
        raise FileNotFoundError(path)

    monkeypatch.setattr(derivative_root, "read_text", read_before_another_writes)
    refuse_foreign(out)


def test_many_at_once(raw, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_root_files(tmp_path / "out", raw.root), range(24)))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == set(root_files(tmp_path / "out", raw.root))


def test_leftovers_of_ones_own_participants_are_removed(tmp_path):
    """Another run may be at work on the others, and in a work folder."""
    own, others = (".", "figures", "tpl-X/anat", "sub-01/ses-a/pet"), ("sub-02/pet", "work/sub-01")
    left = {place: tmp_path / place / f".x.json.{'0' * 32}.tmp" for place in (*own, *others)}
    for path in left.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    assert remove_leftovers(tmp_path, ["01"]) == len(own)
    assert tuple(place for place, path in left.items() if path.exists()) == others


@pytest.mark.parametrize("content", ["{", "[]", '{"GeneratedBy": [{"Name": "fMRIPrep"}]}', "{}"])
def test_the_folder_of_somebody_else_is_refused(raw, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "dataset_description.json").write_text(content)
    with pytest.raises(CannotCreateError, match="separate folder"):
        write_root_files(out, raw.root)
    assert [path.name for path in out.iterdir()] == ["dataset_description.json"]


def test_results_of_a_dataset_that_may_not_be_looked_at_are_no_error(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    write_text(tmp_path / "dataset_description.json", '{"DatasetLinks": {"raw": "../private"}}')
    (tmp_path / "sub-1").mkdir()
    monkeypatch.setattr(Path, "is_dir", closed)
    assert replaced_results(tmp_path, tmp_path, ["1"]) == []


def test_names():
    assert output_path("o", "vois", PET).as_posix() == (
        "o/sub-01/ses-a/pet/sub-01_ses-a_trc-FBB_rec-x_run-1_atlas-Centiloid_vois.tsv"
    )
    assert output_path("o", "gm", T1W).as_posix() == (
        "o/sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-2_label-GM_probseg.nii.gz"
    )
    assert output_path("o", "pet_mni", {"sub": "1"}, res="1").name == (
        "sub-1_space-MNI152NLin6Asym_res-1_desc-preproc_pet.nii.gz"
    )
    assert sidecar_path("o/sub-1_pet.nii.gz").as_posix() == "o/sub-1_pet.json"
    assert raw_uri("/d/sub-1/x.nii", "/d") == "bids:raw:sub-1/x.nii"


def test_no_two_outputs_share_a_name():
    # what a run adds where one row of the table stands for several files
    added = {
        "suvr_image": {"desc": "suvrwm"},
        "cl_image": {"desc": "clwm"},
        "pet_dseg": {"atlas": "labels"},
        "pet_probseg": {"atlas": "probabilities"},
    }
    paths = [output_path("o", key, PET, **added.get(key, {})) for key in outputs()]
    assert len(set(paths)) == len(paths)
