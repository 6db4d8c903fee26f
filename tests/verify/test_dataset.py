"""Datasets without images: what is missing, changed, foreign, mixed, or no dataset at all."""

from __future__ import annotations

import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from synthetic_records import finished_record, tau_record, write_sealed

from bidsapp.bids.derivative_root import write_root_files
from bidsapp.bids.derivatives import is_inside
from bidsapp.bids.seals import write_manifest
from bidsapp.cli.verify import main
from bidsapp.group.collect import run_group
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.settings import Filters
from bidsapp.verify.file_hashes import Findings, check_hashes

SCANS = ({"sub": "01", "trc": "FBB"}, {"sub": "02", "trc": "PIB"})


def _add_scan(
    out: Path, entities: dict[str, str], make: Any = finished_record, **provenance: object
) -> None:
    """A scan of one output, its page and its manifest, as a run of another machine left them."""
    label = f"sub-{entities['sub']}"
    image = write_text(out / label / "pet" / f"{label}_pet.nii.gz", "an image")
    record = make(entities)
    outputs = {image.relative_to(out).as_posix(): file_hash(image)}
    record["provenance"] = {**record["provenance"], "outputs": outputs, **provenance}
    path = write_sealed(out, record)
    page = write_text(out / f"{label}.html", "<p>page</p>")
    manifest = out / label / "figures" / "manifest.json"
    write_manifest(manifest, out, [page], [path.relative_to(out).as_posix()])


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    write_root_files(folder, tmp_path)
    for entities in SCANS:
        _add_scan(folder, entities)
    return folder


@pytest.fixture
def verify(out, capsys):
    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(out), *map(str, arguments)])
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def test_a_dataset_as_it_was_written(verify):
    code, printed = verify()
    assert code == 0, printed
    assert "all verified" in printed
    assert "made with other templates or VOIs" in printed  # so nothing was derived again


def test_one_flipped_byte_in_any_file_is_found(out, verify):
    run_group(out, Filters())
    assert verify("--quick")[0] == 0
    files = [
        path
        for path in sorted(out.rglob("*"))
        if path.is_file() and out / "logs" not in path.parents
    ]
    assert len(files) > 15
    for path in files:
        before = path.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 4
        path.write_bytes(changed)
        code, printed = verify("--quick")
        assert code == 1 and path.relative_to(out).as_posix() in printed, path
        path.write_bytes(before)
    assert verify("--quick")[0] == 0


def test_every_edited_number_of_the_group_tables_is_found_without_hashes(out, verify):
    run_group(out, Filters())
    for path in sorted(out.glob("group_*.tsv")):
        lines = path.read_text().splitlines()
        head, first = lines[0].split("\t"), lines[1].split("\t")
        edited = [f"{float(cell) + 0.125}" if _is_number(cell) else cell for cell in first]
        columns = [
            name for name, one, other in zip(head, first, edited, strict=True) if one != other
        ]
        path.write_text("\n".join([lines[0], "\t".join(edited), *lines[2:]]) + "\n")
        _accept(out, path)
        code, printed = verify()
        assert code == 1 and columns, path
        for column in columns:
            assert f"{path.name}: {column} of " in printed, path
        run_group(out, Filters())


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


def _accept(out: Path, path: Path) -> None:
    """Put the hash of an edited file into the manifest, as somebody who knows how would."""
    manifest = out / "group_manifest.json"
    files = [out / name for name in json.loads(manifest.read_text())["Files"]]
    inputs, options = (json.loads(manifest.read_text())[key] for key in ("Inputs", "Options"))
    write_manifest(manifest, out, files, inputs, Options=options)


def test_missing_and_foreign_files_and_folders(out, verify):
    (out / "sub-01/pet/sub-01_pet.nii.gz").unlink()
    (out / "sub-02/pet/.left.tmp").write_text("")
    (out / "notes.txt").write_text("")
    (out / "work").mkdir()
    (out / "participants.tsv").write_text("participant_id\n")
    code, printed = verify()
    assert code == 1
    assert "sub-01/pet/sub-01_pet.nii.gz: is missing" in printed
    for name in ("sub-02/pet/.left.tmp", "notes.txt"):
        assert f"{name}: is not listed in any record or manifest" in printed
    assert "work/: not part of the results" in printed and "participants.tsv" not in printed


def test_mixed_versions_and_pages_of_older_records_are_told(out, verify):
    record = json.loads((out / "sub-01/pet/sub-01_trc-FBB_centiloid.json").read_text())
    record["provenance"]["version"] = "0.0.9"
    write_sealed(out, record)
    code, printed = verify()
    assert code == 1
    assert "made with different versions: " in printed and "0.0.9 of 1" in printed
    assert "sub-01/figures/manifest.json: the page is not of the record sub-01/pet/" in printed
    assert verify("--participant-label", "sub-02")[0] == 0
    code, printed = verify("--participant-label", "02", "99")
    assert code == 1 and "sub-99: has no record; correct --participant-label" in printed


@pytest.mark.parametrize(("tracer", "make"), [("FTP", tau_record), ("FBB", finished_record)])
def test_amyloid_and_tau_of_one_run_are_no_mixture(tmp_path, capsys, tracer, make):
    out = tmp_path / "out"
    write_root_files(out, tmp_path)
    options = {"parameters": {"smooth_fwhm_mm": None, "tau_vois": {"name": "CenTauR"}}}
    _add_scan(out, SCANS[0], **options)
    _add_scan(out, {"sub": "03", "trc": "FTP"}, tau_record, **options)
    assert main([str(out)]) == 0, capsys.readouterr()
    _add_scan(out, {"sub": "04", "trc": tracer}, make, parameters={"smooth_fwhm_mm": 6.0})
    assert main([str(out)]) == 1
    assert "different parameters or resources" in capsys.readouterr().out


def test_a_run_that_ended_half_way_is_not_verified(out, verify):
    write_sealed(out, {**finished_record(SCANS[0]), "status": "incomplete"})
    code, printed = verify()
    assert code == 1 and "says that the scan was not finished" in printed
    assert (
        "sub-01: files not checked, as what names them is broken: 1" in printed
        and "sub-01_pet.nii.gz" not in printed
    )


def test_what_is_no_dataset_of_ours(tmp_path, capsys):
    folder = tmp_path / "folder"
    cases: list[tuple[int, str]] = []

    def tell() -> None:
        cases.append((main([str(folder)]), capsys.readouterr().err))

    tell()
    folder.mkdir()
    tell()
    (folder / "file").write_text("")
    tell()
    (folder / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    tell()
    (folder / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "CentiPET"}]}')
    tell()
    assert [code for code, _ in cases] == [66, 66, 16, 16, 66]
    for _, sentence in cases:
        assert str(folder) in sentence and sentence.count("\n") == 1
    assert main([str(folder), "--nprocs", "0"]) == main([str(folder), "--report", "x.doc"]) == 64


def test_a_killed_worker_means_try_again(verify, monkeypatch):
    class Killed:
        def map(self, check, paths):
            raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr("bidsapp.execution.workers.workers", lambda count: Killed())
    code, printed = verify("--nprocs", "2")
    assert code == 75 and "--nprocs 1" in printed and "Traceback" not in printed


def test_several_processes_tell_what_one_does(out, verify):
    (out / "sub-01.html").write_text("<p>changed</p>")
    assert verify("--nprocs", "2") == verify("--nprocs", "1")


def test_no_report_is_written_into_what_is_verified(out, verify, tmp_path, monkeypatch):
    before = (out / "dataset_description.json").read_bytes()
    assert verify("--report", out / "dataset_description.json")[0] == 64
    (tmp_path / "link").symlink_to(out)
    monkeypatch.chdir(out)
    assert (
        verify("--report", tmp_path / "link" / "x.tsv")[0] == verify("--report", "x.tsv")[0] == 64
    )
    assert (out / "dataset_description.json").read_bytes() == before
    assert not (out / "x.tsv").exists()


def test_the_report_has_everything(out, verify, tmp_path):
    (out / "sub-01.html").write_text("changed")
    assert verify("--report", tmp_path / "report.json")[0] == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["Verified"] is False and report["Files"]["sub-02.html"] == "hash"
    assert [one["path"] for one in report["Differences"]] == ["sub-01.html"]
    verify("--report", tmp_path / "report.tsv")
    head, row = (tmp_path / "report.tsv").read_text().splitlines()
    assert head.split("\t") == ["path", "field", "stated", "found", "sentence"]
    assert row.startswith("sub-01.html\t")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\0b", 7, None])
def test_a_record_cannot_name_files_outside_the_dataset(tmp_path, name):
    assert not is_inside(name)
    found = Findings()
    check_hashes(tmp_path, {name: "sha256:0"}, "record.json", found)
    assert "outside the dataset" in found.differences[0].sentence and found.files == {}
