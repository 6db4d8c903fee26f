"""Uncompressed copies of DICOM files, made by a separate process.

Codecs are C programs that a broken file may crash; then it is this process that ends, and the
copies that are missing show it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from bidsapp.errors import BadDataError

_TIMEOUT_S = 1800
_REMEDY = "export it again, uncompressed"
_OWN_REMEDY = "the file may be sound: check memory, TMPDIR and installation, and run again"


def needs_decoding(path: Path) -> bool:
    """Whether the pixels of a file, or the whole of it, are compressed.

    Parameters
    ----------
    path : of a DICOM file

    Returns
    -------
    bool
    """
    try:
        syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
        return bool(syntax.is_compressed or syntax.is_deflated)
    except Exception:  # old files do not say; and what is broken, reading its pixels will show
        return False


def decompress(paths: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Write uncompressed copies of files; return where that of each is.

    Parameters
    ----------
    paths : of compressed files
    folder : that is made for the copies

    Returns
    -------
    dict of Path

    Raises
    ------
    BadDataError
        Pixels cannot be decoded.
    """
    copies = {path: folder / f"{number:06d}" / path.name for number, path in enumerate(paths)}
    folder.mkdir(parents=True)
    report = folder / "said.txt"
    task = json.dumps([str(report), [[str(path), str(copy)] for path, copy in copies.items()]])
    why = _run(task, report)
    for path, copy in copies.items():
        if not copy.exists():
            problem = (report.exists() and report.read_text("utf-8")) or why
            raise BadDataError(f"{path.name}: (7FE0,0010) PixelData cannot be decoded {problem}")
    return copies


def _run(task: str, report: Path) -> str:
    """Run the process; return why copies may be missing of which it said nothing."""
    try:
        code = subprocess.run(
            [sys.executable, "-m", __name__],
            input=task,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"(its codec did not finish within {_TIMEOUT_S} s); {_REMEDY}"
    except OSError as error:
        return f"(the decoder cannot be started: {error.strerror}); {_OWN_REMEDY}"
    if not report.exists():
        return f"(the decoder cannot be started: exit code {code}); {_OWN_REMEDY}"
    if code == -signal.SIGKILL:
        return f"(the decoder was killed, often because memory ran out); {_OWN_REMEDY}"
    if code > 0:
        return f"(the decoder ended with exit code {code}); {_OWN_REMEDY}"
    return f"(its codec crashed); {_REMEDY}"


def write_copy(path: str, copy: Path) -> str | None:
    """Write an uncompressed copy of a file; return why it cannot be done.

    Parameters
    ----------
    path : of the file
    copy : path of the copy, in a folder that is made

    Returns
    -------
    str or None
    """
    syntax = ""
    try:
        dataset = pydicom.dcmread(path)
        syntax = f"as {dataset.file_meta.TransferSyntaxUID.name} "
        if dataset.file_meta.TransferSyntaxUID.is_deflated:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        else:
            dataset.decompress(generate_instance_uid=False)
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises some twenty classes on broken pixel data
        return f"{syntax}({type(error).__name__}); {_REMEDY}"
    copy.parent.mkdir()
    part = copy.with_name("part")  # a process that is killed leaves no copy that is cut
    dataset.save_as(part)
    part.replace(copy)
    return None


def main() -> None:
    """Write the copies that standard input names, up to the first that cannot be."""
    report, tasks = json.load(sys.stdin)
    Path(report).touch()  # it has started
    for path, copy in tasks:
        if problem := write_copy(path, Path(copy)):
            Path(report).write_text(problem, "utf-8")
            return


if __name__ == "__main__":
    main()
