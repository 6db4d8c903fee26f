"""Archives: read like folders, and harmless whatever they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from conversions import dry, run
from dicom_studies import Mr, Pet

from bidsapp.dicom.archives import unpack
from bidsapp.dicom.scratch import scratch_folder
from bidsapp.errors import BadDataError, NoInputError


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
    report = run(source, tmp_path / "bids")
    assert report.errors == [] and report.n_converted == 2
    assert sorted(path.name for path in (tmp_path / "bids").rglob("*.nii.gz")) == [
        "sub-07_ses-2_T1w.nii.gz",
        "sub-07_ses-2_trc-FBB_pet.nii.gz",
    ]


@pytest.mark.parametrize("damage", ["cut", "header", "none"])
@pytest.mark.parametrize("suffix", ["tar", "tar.bz2"])
def test_a_tar_that_ends_early_is_told(tmp_path: Path, damage: str, suffix: str) -> None:
    """Cut between two files, or with a header that was overwritten: the rest is lost."""
    archive, content = tmp_path / f"a.{suffix}", io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number in range(40):
            info = tarfile.TarInfo(f"{number}")
            info.size = 1024
            tar.addfile(info, io.BytesIO(bytes(1024)))
    packed = bytearray(content.getvalue())
    if damage == "cut":
        del packed[30 * 1536 :]
    elif damage == "header":
        packed[30 * 1536 : 30 * 1536 + 512] = b"x" * 512
    archive.write_bytes(bytes(packed) if suffix == "tar" else bz2.compress(packed))
    problems = unpack(archive, tmp_path / "out")
    sentences = [f"a.{suffix}: is truncated, so files may be missing; copy or pack it again"]
    assert problems == ([] if damage == "none" else sentences)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == (40 if damage == "none" else 30)


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
    assert unpack(archive, target) == []
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
    unpack(archive, tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").rglob("*") if path.is_file()] == ["plain"]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidsapp.dicom.archives._ALWAYS_ALLOWED", 2**20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", bytes(2**24))
    with pytest.raises(BadDataError, match=r"bomb\.zip: unpacks to far more"):
        unpack(archive, tmp_path / "target")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("content", [b"", b"noise" * 400, b"PK\x03\x04" + bytes(900)])
def test_broken_archive_is_an_error_and_the_rest_converts(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    source = tmp_path / "source"
    Pet().write(source / "pet")
    (source / f"broken{suffix}").write_bytes(content)
    report = dry(source)
    assert [row.decision for row in report.rows] == ["kept"]
    assert len(report.errors) == 1 and f"broken{suffix}" in report.errors[0]


HUGE = 300 * 2**20


def huge_header(kind: bytes, size: int = HUGE) -> bytes:
    """A tar.gz of a header that says it is followed by ``size`` bytes about the next file."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, size
    packed = gzip.compress(info.tobuf(tarfile.GNU_FORMAT), 1)
    block = gzip.compress(b"1048576 path=" + b"x" * (2**20 - 14) + b"\n", 1)
    return packed + block * (size // 2**20)


def sparse_map() -> bytes:
    """A tar.gz of an old GNU sparse file with a map without end."""
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386 + 96] = 1  # more of the map follows
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more = (b"00000000001\0" * 42)[:504] + b"\1" + bytes(7)
    return gzip.compress(bytes(header) + more * 4_000, 1)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: huge_header(tarfile.XHDTYPE), id="pax"),
        pytest.param(lambda: huge_header(tarfile.XGLTYPE), id="pax of all"),
        pytest.param(lambda: huge_header(tarfile.GNUTYPE_LONGNAME), id="long name"),
        pytest.param(lambda: huge_header(tarfile.GNUTYPE_LONGLINK), id="long link"),
        pytest.param(sparse_map, id="sparse"),
    ],
)
def test_what_lies_between_the_files_of_a_tar_takes_no_memory(tmp_path: Path, content) -> None:
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(content())
    tracemalloc.start()
    with pytest.raises(BadDataError, match=r"bomb\.tar\.gz: unpacks to far more"):
        unpack(archive, tmp_path / "target")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_a_million_empty_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidsapp.dicom.archives._ALWAYS_ALLOWED", 2**18)
    monkeypatch.setattr("bidsapp.dicom.archives._MAX_RATIO", 1)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as zipped:
        for number in range(200):
            zipped.writestr(f"{number}", b"")
    with pytest.raises(BadDataError, match="unpacks to far more"):
        unpack(tmp_path / "many.zip", tmp_path / "target")


NAMES = ["x/a", "x/00000002_a", "x/a", "x/a", "x/A", "y\\a", "x/\u982d.nii", "x/\u8133.nii", "x/.a"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_file_is_lost_whatever_the_names(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"names.{kind}"
    contents = [f"{number}".encode() for number in range(len(NAMES))]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name, content in zip(NAMES, contents, strict=True):
                zipped.writestr(name, content)
    else:
        with tarfile.open(archive, "w") as tar:
            for name, content in zip(NAMES, contents, strict=True):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    assert unpack(archive, tmp_path / "target") == []
    assert sum(path.is_file() for path in (tmp_path / "target").rglob("*")) == len(NAMES)
    found = [path.read_bytes() for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert sorted(found) == sorted(contents)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_image_and_its_sidecar_keep_their_common_name(tmp_path: Path) -> None:
    name = "\u982d\u90e8" * 20
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        for suffix in (".nii.gz", ".json", ".nii.gz", ".json"):
            zipped.writestr(f"d/{name}{suffix}", suffix)
    unpack(tmp_path / "a.zip", tmp_path / "target")
    pairs = {str(path).split(".")[0] for path in (tmp_path / "target").rglob("*.*")}
    assert len(pairs) == 2


def test_single_compressed_files_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    writers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    for number, path in enumerate(Pet(frames=[(5400, 300)]).write(source / "sub-07" / "pet")):
        suffix = list(writers)[number % 3]
        path.with_name(f"{path.name}.dcm{suffix}").write_bytes(writers[suffix](path.read_bytes()))
        path.unlink()
    (source / "broken.dcm.gz").write_bytes(gzip.compress(b"DICM" * 400)[:-20])
    report = dry(source)
    assert [(row.participant_id, row.files, row.decision) for row in report.rows] == [
        ("sub-07", 9, "kept")
    ]
    assert len(report.errors) == 1 and "broken.dcm.gz: cannot be unpacked" in report.errors[0]


def encrypted() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("a", "abc")
    content = bytearray(buffer.getvalue())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, at + 8, 1)
    return bytes(content)


def nested() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("inner.zip", "abc")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encrypted, "is encrypted"),
        (nested, r"inner\.zip: cannot be unpacked"),
        (bytes, "cannot be unpacked"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_the_reason_is_told_when_nothing_else_is_there(
    tmp_path: Path, content, reason: str, alone: bool
) -> None:
    archive = tmp_path / "in" / "a.zip"
    archive.parent.mkdir()
    archive.write_bytes(content())
    with pytest.raises(NoInputError, match=rf"contains no DICOM.* image .*a\.zip: {reason}"):
        dry(archive if alone else archive.parent)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_archives_inside_archives_are_read_one_level_deep(tmp_path: Path) -> None:
    """As repositories hand them out: a zip of visits, each a zip, a tar or files packed singly."""
    mr, pet = Mr().write(tmp_path / "mr"), Pet().write(tmp_path / "pet")
    inner = zipped({path.name: path.read_bytes() for path in mr})
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar:
        for path in pet[:20]:
            tar.add(path, path.name)
    single = {f"scans/{path.name}.dcm.gz": gzip.compress(path.read_bytes()) for path in pet[20:]}
    outer = {"visit/MR.zip": inner, "visit/pet.tgz": tarred.getvalue(), **single}
    outer["deep.zip"] = zipped({"deeper.zip": inner})
    outer["locked.zip"] = encrypted()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "all.zip").write_bytes(zipped(outer))
    report = dry(tmp_path / "in")
    assert sorted((row.kind, row.files) for row in report.rows) == [
        ("PET", len(pet)),
        ("T1w", len(mr)),
    ]
    (error,) = report.errors
    assert error.startswith("2 files cannot be read") and "all.zip" in error


def test_a_bomb_inside_an_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inner archives have no budget of their own, or each level would multiply it."""
    monkeypatch.setattr("bidsapp.dicom.archives._ALWAYS_ALLOWED", 2**20)
    outer = tmp_path / "outer.zip"
    outer.write_bytes(zipped({f"{n}.zip": zipped({"x": bytes(2**20)}) for n in range(3)}))
    with pytest.raises(BadDataError, match="far more"):
        unpack(outer, tmp_path / "target")
    assert not (tmp_path / "target").exists()


KILLED = """
import sys, time
from pathlib import Path
from bidsapp.dicom.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "patient").write_text("secret")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of a run that is alive, nor of somebody else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    runs = []
    for _ in range(2):
        run = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
        runs.append(run)
    (tmp_path / "centipet-dicom-of-old").mkdir()
    assert len(list(tmp_path.rglob("patient"))) == 2
    os.kill(runs[0].pid, signal.SIGKILL)
    runs[0].wait()
    try:
        with scratch_folder():
            assert len(list(tmp_path.rglob("patient"))) == 1
        assert runs[1].poll() is None
    finally:
        runs[1].terminate()
        runs[1].wait()
    with scratch_folder() as folder:
        assert list(tmp_path.rglob("patient")) == []
    assert not folder.exists()


def test_what_a_run_left_that_was_killed_before_its_lock_goes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no folder that may be about to be locked, or that holds anything."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ages = {"new": 10, "old": 7200, "filled": 7200}
    for name, age in ages.items():
        folder = tmp_path / f"centipet-dicom-{name}"
        folder.mkdir()
        (folder / ("scan" if name == "filled" else ".lock")).write_text("")
        os.utime(folder, (time.time() - age,) * 2)
    with scratch_folder():
        pass
    assert {folder.name[15:] for folder in tmp_path.iterdir()} == {"new", "filled"}
