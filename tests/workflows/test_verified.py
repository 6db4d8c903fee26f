"""The whole app on images of known answers: what every file says of itself, and centipet-verify."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bidsapp import __version__
from bidsapp.cli.main import main as centipet
from bidsapp.cli.verify import main as verify_command
from bidsapp.io.hashes import file_hash
from bidsapp.record import find_records
from bidsapp.record.files import record_from_json
from bidsapp.verify.curves import check_curves
from bidsapp.verify.dataset import check_scan
from bidsapp.verify.differences import How
from bidsapp.verify.file_hashes import Findings
from bidsapp.verify.numbers import FinishedScan, check_numbers

pytestmark = pytest.mark.slow

FBB = "sub-01/pet/sub-01_trc-FBB"
OPTIONS = (
    "--output-spaces", "T1w", "pet", "--write-masks", "--cutoff", "20", "--visual-read",
    "--reference-region", "cgeroded", "--nprocs", "1",
    "--background", "cgeroded", "--histograms", "0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def out(bids_dir, stand_ins, tmp_path_factory) -> Path:
    """Participant level, where sub-02 fails, and group level; segmentation is a stand-in."""
    folder = tmp_path_factory.mktemp("verified")
    level = [str(bids_dir), str(folder / "out")]
    assert centipet([*level, "participant", *OPTIONS, "-w", str(folder / "work")]) == 1
    assert centipet([*level, "group"]) == 0
    return folder / "out"


@pytest.fixture
def copy(out, tmp_path) -> Path:
    """A dataset that may be damaged."""
    return Path(shutil.copytree(out, tmp_path / "out"))


def results(out: Path) -> list[Path]:
    """Every file but the logs."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return [path for path in files if out / "logs" not in path.parents]


def test_every_derivative_says_what_made_it(out, bids_dir):
    """Each image, table and transform: sources, command, version, parameters, hashes."""
    hashes = {f"bids:raw:{p.relative_to(bids_dir)}": file_hash(p) for p in bids_dir.rglob("*.gz")}
    seen = 0
    for path in results(out):
        if path.suffix not in (".gz", ".tsv", ".txt") or not path.is_relative_to(out / "sub-01"):
            continue
        if path.name == "captions.tsv":
            continue
        content = json.loads(path.with_name(f"{path.name.split('.')[0]}.json").read_text())
        provenance = content["CentiPET"]
        if path.name.endswith("_scans.tsv"):  # a view of the records
            assert provenance["Sources"] == ["bids::sub-01/figures/manifest.json"]
            continue
        assert content["Sources"], path
        for uri in content["Sources"]:
            assert uri in hashes or (out / uri.removeprefix("bids::")).is_file(), (path, uri)
        assert provenance["Version"] == __version__ and provenance["Parameters"]["cutoff"] == [
            20.0
        ], path
        assert provenance["Command"].startswith(
            "centipet BIDS_DIR OUTPUT_DIR participant --atlas"
        ) or ("--cutoff 20.0" in provenance["Command"])
        assert provenance["Inputs"] and provenance["Inputs"].items() <= hashes.items(), path
        of_t1w_only = path.parent.name == "anat"
        assert any("_pet." in uri for uri in provenance["Inputs"]) != of_t1w_only, path
        seen += 1
    assert seen > 60
    for path in set(out.glob("group_*.json")) - {out / "group_raw.json"}:
        text = path.read_text()
        assert f'"Version": "{__version__}"' in text, path
    manifest = json.loads((out / "group_manifest.json").read_text())
    assert manifest["Command"] == "centipet BIDS_DIR OUTPUT_DIR group"
    assert manifest["Inputs"][f"{FBB}_centiloid.json"] == file_hash(out / f"{FBB}_centiloid.json")


def test_records_name_every_file_of_their_scans(out):
    named = {name for record in find_records(out) for name in record.provenance.outputs or ()}
    written = {path.relative_to(out).as_posix() for path in results(out)}
    own = {name for name in written if name.startswith("sub-") and "/figures/" not in name}
    own = {name for name in own if "_desc-read_" not in name and not name.endswith(".html")}
    own = {name for name in own if not name.endswith(("_scans.tsv", "_scans.json"))}
    assert own - named == {r.path for r in find_records(out)}


def test_no_file_but_logs_has_a_path_of_this_machine(out, bids_dir):
    for path in results(out):
        content = path.read_bytes()
        assert str(out).encode() not in content and str(bids_dir).encode() not in content, path


def test_what_was_computed_is_verified(out, tmp_path, capsys):
    assert verify_command([str(out), "--report", str(tmp_path / "r.json")]) == 0, (
        capsys.readouterr()
    )
    files = json.loads((tmp_path / "r.json").read_text())["Files"]
    assert set(files) == {path.relative_to(out).as_posix() for path in results(out)}
    derived = {name for name, how in files.items() if how == How.NUMBERS}
    for name in (
        f"{FBB}_centiloid.json", f"{FBB}_atlas-DesikanKilliany_vois.tsv",
        f"{FBB}_atlas-Centiloid_tacs.tsv", f"{FBB}_space-T1w_desc-clwc_pet.nii.gz",
        f"{FBB}_desc-suvrcgeroded_pet.nii.gz", "group_centiloid.tsv", "group_regions.tsv",
        "group_curves.tsv",
    ):  # fmt: skip
        assert name in derived, name
    assert How.UNKNOWN not in files.values()


def test_one_flipped_byte_in_any_file_is_found(copy, capsys):
    for path in results(copy):
        with path.open("r+b") as file:
            middle = path.stat().st_size // 2
            file.seek(middle)
            byte = file.read(1)
            file.seek(middle)
            file.write(bytes([byte[0] ^ 16]))
        assert verify_command([str(copy), "--quick"]) == 1, path
        printed = capsys.readouterr().out
        assert f"x {path.relative_to(copy).as_posix()}: " in printed, path
        with path.open("r+b") as file:
            file.seek(middle)
            file.write(byte)
    assert verify_command([str(copy), "--quick"]) == 0


def derived_again(out: Path, changed: dict[str, Any] | None = None) -> Findings:
    """Numbers of the florbetaben scan without looking at any hash."""
    content = (
        json.loads((out / f"{FBB}_centiloid.json").read_text()) if changed is None else changed
    )
    found = Findings()
    scan, notes = FinishedScan.of(out, record_from_json(content, f"{FBB}_centiloid.json"))
    assert notes == []
    check_numbers(scan, found)
    check_curves(scan, found)
    return found


def test_an_edited_number_in_every_column_is_found_without_its_hash(copy):
    """Every column of the tables that are said to be derived again, in the last row."""
    checked = derived_again(copy)
    assert checked.differences == []
    edited = {}
    for name in (name for name in checked.files if name.endswith(".tsv")):
        path = copy / name
        *lines, last = [line.split("\t") for line in path.read_text().splitlines()]
        cells = [_edited(cell) for cell in last]
        edited[name] = [
            c for c, one, other in zip(lines[0], last, cells, strict=True) if one != other
        ]
        path.write_text("".join("\t".join(line) + "\n" for line in [*lines, cells]))
    differing = {(one.path, one.field) for one in derived_again(copy).differences}
    for name, columns in edited.items():
        assert columns
        for column in set(columns) - {"frame_start", "frame_end"}:
            assert any(path == name and column in where for path, where in differing), (
                name,
                column,
            )


def _edited(cell: str) -> str:
    if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell):
        return cell
    return repr(1.3 * float(cell) + 1)


def test_an_edited_number_in_the_record_is_found_without_its_hash(copy):
    content = json.loads((copy / f"{FBB}_centiloid.json").read_text())
    for field in (
        "voi", "suvr", "centiloid", "centiloid_sd", "centiloid_interval", "uncertainty",
        "centiloids", "p_above_cutoff", "equation",
    ):  # fmt: skip
        changed = json.loads(json.dumps(content))
        leaf = _first_number(changed, field)
        found = derived_again(copy, changed)
        assert [one for one in found.differences if one.field.startswith(field)], leaf


def _first_number(content: Any, key: Any) -> str:
    """Change the first number below a key; return where it was."""
    value = content[key]
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        return f"{key}." + _first_number(value, next(iter(keys)))
    content[key] = value * 1.01 + 0.01
    return str(key)


def test_an_edited_voxel_is_found_without_its_hash(copy):
    from bidsapp.io.nifti import load_volume, save_volume

    for kind in ("suvrwc", "clwc"):
        path = copy / f"{FBB}_space-MNI152NLin6Asym_res-2_desc-{kind}_pet.nii.gz"
        image = load_volume(path)
        image.data[45, 50, 40] += 0.5
        save_volume(path, image)
    sentences = [one.sentence for one in derived_again(copy).differences]
    assert len(sentences) == 2 and all(
        "voxel (45, 50, 40) (1 voxels in all)" in text for text in sentences
    )


def test_a_failed_scan_has_nothing_to_derive(out):
    (failed,) = (record for record in find_records(out) if record.status != "ok")
    found = check_scan(out, failed.path)
    assert found.differences == []
    assert len(found.files) > 20 and set(found.files.values()) == {How.HASH}
