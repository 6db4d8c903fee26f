"""Files at the root of the raw dataset; made when absent, never replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bidsapp import __version__
from bidsapp.errors import CannotCreateError
from bidsapp.nifti import write_text

_BIDS_VERSION = "1.11.1"
_README = """# PET and MRI converted from DICOM

This dataset was made from DICOM by CentiPET, with dcm2niix for the voxels.

* One session per injection, numbered in time; a T1w lies in the session nearest to it.
* All times of a PET count from `TimeZero`, the moment of injection.
* Every sidecar says under the key `CentiPET` where each of its values comes from, and what
  contradictions were found in the headers and how they were resolved.
* `code/dicom_decisions/` lists, per participant, every DICOM series, what it was taken for, and
  why it was converted or left out.
* Participant labels are derived from the patient identifier by a one-way function, unless they
  were given. Names, identifiers and dates of patients are left out.
"""


def choose_folder(bids_dir: Path, converted_dir: Path | None) -> Path:
    """Return the folder to convert into: ``bids_dir`` when it can be written, else the other.

    Raises
    ------
    CannotCreateError
        Neither can be written.
    """
    for folder in filter(None, (bids_dir, converted_dir)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    if converted_dir is None:
        raise CannotCreateError(
            f"{bids_dir}: cannot be written, so the converted DICOM has no place; "
            "give a writable folder with --converted-dir"
        )
    raise CannotCreateError(f"{converted_dir}: cannot be written; give another --converted-dir")


def write_root_files(folder: Path, dcm2niix_version: str) -> None:
    """Write ``dataset_description.json`` and ``README.md`` unless they exist."""
    description = {
        "Name": "PET and MRI converted from DICOM by CentiPET",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "raw",
        "License": "n/a",
        "Authors": ["n/a"],
        "GeneratedBy": [
            {"Name": "CentiPET", "Version": __version__},
            {"Name": "dcm2niix", "Version": dcm2niix_version},
        ],
    }
    if not (folder / "dataset_description.json").exists():
        write_text(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")
    if not any(
        (folder / name).exists() for name in ("README", "README.md", "README.rst", "README.txt")
    ):
        write_text(folder / "README.md", _README)


def list_participants(folder: Path, labels: Iterable[str]) -> None:
    """Add participants to ``participants.tsv``; lines that are there stay as they are.

    Age and sex are not copied from the headers: the raw dataset holds no personal data.
    """
    path = folder / "participants.tsv"
    lines = path.read_text("utf-8").splitlines() if path.exists() else ["participant_id"]
    n_columns = len(lines[0].split("\t"))
    known = {line.split("\t")[0] for line in lines[1:]}
    new = [f"sub-{label}" for label in sorted(set(labels)) if f"sub-{label}" not in known]
    if not new:
        return
    rows = ["\t".join([name, *["n/a"] * (n_columns - 1)]) for name in new]
    write_text(path, "\n".join([*lines, *rows]) + "\n")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a TSV table; tabs and line breaks inside a value become spaces."""
    lines = ["\t".join(" ".join(cell.split()) or "n/a" for cell in row) for row in (header, *rows)]
    write_text(path, "\n".join(lines) + "\n")
