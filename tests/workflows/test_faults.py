"""Disks that fill up, refuse or vanish: the code, the sentence, and a rerun that makes it good.

The whole command in this process, with stand-ins for segmentation and registration. The disks are
small file systems in memory, which only root may mount.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from whole_app import hashes

from bidsapp.cli.main import main
from bidsapp.steps import positioning

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stand_ins")]

needs_mount = pytest.mark.skipif(os.getuid() != 0, reason="ONLY ROOT MAY MOUNT A SMALL DISK")
RECORD = "sub-01/pet/sub-01_trc-PIB_centiloid.json"


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, or a skipped test where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("NO SMALL DISK CAN BE MOUNTED HERE")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def run(bids: Path, out: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """One scan of one participant; the exit code and what the person reads."""
    code = main([str(bids), str(out), "participant", "--participant-label", "01", "--tracer-label",
                 "PIB", "--nprocs", "1", "-w", str(work)])  # fmt: skip
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed and "bug in CentiPET" not in printed, printed
    return code, printed


def is_no_result(out: Path) -> bool:
    """Whether nothing in the output folder says that the scan is done."""
    path = out / RECORD
    return not path.is_file() or json.loads(path.read_text())["status"] != "ok"


@pytest.fixture(scope="module")
def undisturbed(bids_dir, stand_ins, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    # beside the datasets of the tests, so that paths between them are the same
    arguments = [str(bids_dir), str(folder / "out"), "participant", "--participant-label", "01",
                 "--tracer-label", "PIB", "--nprocs", "1", "-w", str(folder / "work")]  # fmt: skip
    assert main(arguments) == 0
    return hashes(folder / "out")


@needs_mount
@pytest.mark.parametrize(
    ("which", "room", "expected"),
    [
        ("out", "size=64k", 74),
        ("out", "size=1m", 74),
        ("out", "size=30m", 1),  # there is a result, but no room for its page
        ("work", "size=3m", 74),
        ("work", "nr_inodes=40", 74),
    ],
)
def test_a_full_disk_and_more_room(bids_dir, tmp_path, capfd, undisturbed, which, room, expected):
    out, work = tmp_path / "out", tmp_path / "work"
    with disk(tmp_path / which, room) as full:
        code, printed = run(bids_dir, out, work, capfd)
        assert code == expected and "No space left on device" in printed, printed
        assert is_no_result(out) == (expected == 74)
        remount(full, "size=500m,nr_inodes=100000")
        assert run(bids_dir, out, work, capfd)[0] == 0
        assert hashes(out) == undisturbed
        assert not list(out.rglob("*.tmp"))


def test_a_limit_of_file_size(bids_dir, tmp_path, capfd, undisturbed):
    out, work = tmp_path / "out", tmp_path / "work"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        code, printed = run(bids_dir, out, work, capfd)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 74 and "File too large" in printed
    assert is_no_result(out)
    assert run(bids_dir, out, work, capfd)[0] == 0
    assert hashes(out) == undisturbed


@needs_mount
@pytest.mark.parametrize("which", ["out", "work"])
def test_a_read_only_disk(bids_dir, tmp_path, capfd, which):
    with disk(tmp_path / which, "size=9m") as locked:
        remount(locked, "ro")
        code, printed = run(bids_dir, tmp_path / "out", tmp_path / "work", capfd)
    assert code == 73 and str(tmp_path / which) in printed
    assert len(printed.strip().splitlines()[-1]) < 300


@pytest.mark.parametrize("gone", ["out", "out/sub-01", "out/sub-01/pet"])
def test_results_removed_while_they_are_made(
    bids_dir, tmp_path, capfd, undisturbed, monkeypatch, gone
):
    works = positioning.register

    def remove_and_register(*args, **kwargs):
        shutil.rmtree(tmp_path / gone)
        return works(*args, **kwargs)

    monkeypatch.setattr(positioning, "register", remove_and_register)
    out, work = tmp_path / "out", tmp_path / "work"
    code, printed = run(bids_dir, out, work, capfd)
    monkeypatch.undo()
    assert is_no_result(out) == (code != 0)
    if code:
        assert code == 74 and "removed" in printed
    shutil.rmtree(work)
    assert run(bids_dir, out, work, capfd)[0] == 0
    assert hashes(out) == undisturbed
