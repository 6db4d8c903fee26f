"""Files at the root of the raw dataset; made when absent, never replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bidsapp import __version__
from bidsapp.bids.derivative_root import APP_NAME, BIDS_VERSION
from bidsapp.data import package_text
from bidsapp.data.sentences import refused, worded
from bidsapp.errors import CannotCreateError, StorageError
from bidsapp.io.atomic import write_text
from bidsapp.io.reading import has_content
from bidsapp.io.tsv import line as table_line


def choose_folder(bids_dir: Path, converted_dir: Path | None) -> Path:
    """Return the folder to convert into: ``bids_dir`` when it can be written, else the other.

    Parameters
    ----------
    bids_dir : where the dataset should be
    converted_dir : where it may be instead; None for nowhere

    Returns
    -------
    Path

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
        raise CannotCreateError(worded("conversion", "no-folder", bids_dir=bids_dir))
    raise CannotCreateError(f"{converted_dir}: cannot be written; give another --converted-dir")


def write_root_files(folder: Path, dcm2niix_version: str) -> None:
    """Write ``dataset_description.json`` and ``README.md`` unless they exist.

    Parameters
    ----------
    folder : root of the dataset
    dcm2niix_version : as it prints it
    """
    description = {
        "Name": "PET and MRI converted from DICOM by CentiPET",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "License": "n/a",
        "Authors": ["n/a"],
        "GeneratedBy": [
            {"Name": APP_NAME, "Version": __version__},
            {"Name": "dcm2niix", "Version": dcm2niix_version},
        ],
    }
    _write_new(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")
    if not any(map(has_content, folder.glob("README*"))):
        _write_new(folder / "README.md", package_text("converted_readme.md"))


def list_participants(folder: Path, labels: Iterable[str]) -> None:
    """Add participants to ``participants.tsv``.

    Age and sex are not copied from the headers: the raw dataset contains no personal data.

    Parameters
    ----------
    folder : root of the dataset
    labels : without ``sub-``
    """
    rows = [{"participant_id": f"sub-{label}"} for label in sorted(set(labels))]
    add_rows(folder / "participants.tsv", rows)


def add_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Append rows to a TSV unless their first cell is there; columns a row lacks are ``n/a``.

    Lines that exist stay as they are, and several processes may append at the same time.

    Parameters
    ----------
    path : of the table
    rows : text by column, the first column first
    """
    _write_new(path, "\t".join(rows[0]) + "\n")
    try:
        text = path.read_text("utf-8-sig")
        columns, *lines = [line.split("\t") for line in text.splitlines()]
        known = {line[0] for line in lines}
        new = [row for row in rows if row[columns[0]] not in known]
        added = "".join(table_line([row.get(c) for c in columns]) for row in new)
        if added:
            with path.open("a", encoding="utf-8") as file:
                file.write(added if text.endswith("\n") else "\n" + added)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
    except (ValueError, KeyError) as error:
        raise refused("conversion", "no-table", path=path, column=next(iter(rows[0]))) from error


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there, or empty, whole or not at all; another one stays."""
    if has_content(path):
        return
    is_empty = path.exists()
    ours = write_text(path.with_name(f".{path.name}.{os.getpid()}.new"), text)
    try:
        if is_empty:
            ours.replace(path)
        else:
            os.link(ours, path)  # fails when another process was faster
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        ours.replace(path)
    finally:
        ours.unlink(missing_ok=True)
