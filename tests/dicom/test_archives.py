"""Archives: read like folders, and harmless whatever they hold."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from dicom_studies import Mr, Pet

from bidsapp.dicom.archives import unpack
from bidsapp.dicom.convert import convert
from bidsapp.errors import BadDataError
from bidsapp.settings import DicomInput


def test_zip_and_tar_are_read_like_folders(tmp_path: Path) -> None:
    source = tmp_path / "source"
    mr, pet = Mr().write(tmp_path / "mr"), Pet().write(tmp_path / "pet")
    (source / "sub-07").mkdir(parents=True)
    with zipfile.ZipFile(source / "sub-07" / "MR.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in mr:
            archive.write(path, f"mr/{path.name}")
    with tarfile.open(source / "pet.tar.gz", "w:gz") as archive:
        for path in pet:
            archive.add(path, f"sub-07/ses-2/{path.name}")
    report = convert(DicomInput(source), tmp_path / "bids", nprocs=1)
    assert report.errors == [] and report.n_converted == 2
    assert sorted(path.name for path in (tmp_path / "bids").rglob("*.nii.gz")) == [
        "sub-07_ses-2_T1w.nii.gz",
        "sub-07_ses-2_trc-FBB_pet.nii.gz",
    ]


def test_members_cannot_leave_the_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("../../escaped", "/tmp/absolute", "a/../../b", "sub-1/../x"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    target = tmp_path / "inside" / "target"
    assert unpack(archive, target) == 4
    found = sorted(path for path in tmp_path.rglob("*") if not path.is_dir())
    assert [path for path in found if target not in path.parents] == [archive]
    assert all(path.read_bytes() == b"abc" for path in found if path != archive)


def test_links_in_a_zip_are_passed_over(tmp_path: Path) -> None:
    archive = tmp_path / "links.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        zipped.writestr(info, "/etc/passwd")
        zipped.writestr("plain", "abc")
    assert unpack(archive, tmp_path / "target") == 1


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidsapp.dicom.archives._ALWAYS_ALLOWED", 2**20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", bytes(2**24))
    with pytest.raises(BadDataError, match=r"bomb\.zip: unpacks to far more"):
        unpack(archive, tmp_path / "target")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize("content", [b"", b"noise" * 400, b"PK\x03\x04" + bytes(900)])
def test_broken_archive_is_an_error_and_the_rest_converts(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    source = tmp_path / "source"
    Pet().write(source / "pet")
    (source / f"broken{suffix}").write_bytes(content)
    report = convert(DicomInput(source, dry_run=True), tmp_path / "bids", nprocs=1)
    assert [row.decision for row in report.rows] == ["kept"]
    assert len(report.errors) == 1 and f"broken{suffix}" in report.errors[0]
