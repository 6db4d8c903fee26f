"""The folder in which BABS runs a BIDS App: a DataLad dataset with the raw data as subdataset.

Files are links into the annex, read-only; what was not fetched for the job is a link to nothing
(https://github.com/PennLINC/babs, templates of participant_job and bidsapp_run).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path


def as_datalad_job(raw: Path, job: Path, *fetched: str) -> Path:
    """Lay out a raw dataset as the input of a job; return the dataset in the job's folder.

    Parameters
    ----------
    raw : plain dataset, left as it is
    job : new folder, from which the command is to be run
    fetched : folders whose contents are there, such as ``sub-01/ses-A``, and files of the root
    """
    dataset = job / "inputs" / "data" / "BIDS"
    modules = job / ".git" / "modules" / "inputs" / "data" / "BIDS"
    dataset.mkdir(parents=True)
    modules.mkdir(parents=True)
    (dataset / ".git").symlink_to(os.path.relpath(modules, dataset))
    for path in sorted(path for path in raw.rglob("*") if path.is_file()):
        name = path.relative_to(raw)
        content = path.read_bytes()
        digest = hashlib.md5(f"{name}".encode() + content).hexdigest()
        key = f"MD5E-s{len(content)}--{digest}.{path.name.split('.', 1)[1]}"
        stored = Path(".git/annex/objects") / key[-8:-6] / key / key
        if any(name.is_relative_to(part) for part in fetched):
            (dataset / stored).parent.mkdir(parents=True, exist_ok=True)
            (dataset / stored).write_bytes(content)
            (dataset / stored).chmod(0o444)
        link = dataset / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(dataset / stored, link.parent))
    return dataset


def session_filter(job: Path, session: str) -> Path:
    """The filter file BABS writes for a session; it knows no PET."""
    kinds = {"fmap": "fmap", "sbref": "func", "flair": "anat", "t2w": "anat", "t1w": "anat"}
    suffixes = {"sbref": "sbref", "flair": "FLAIR", "t2w": "T2w", "t1w": "T1w"}
    filters = {
        kind: {"datatype": datatype, "session": session}
        | ({"suffix": suffixes[kind]} if kind in suffixes else {})
        for kind, datatype in kinds.items()
    }
    path = job / f"ses-{session}_filter.json"
    path.write_text(json.dumps(filters))
    return path


def babs_arguments(job: Path, participant: str, session: str | None = None) -> list[str]:
    """Arguments after the image, of the configuration in docs/cluster.md."""
    filters = ["--bids-filter-file", str(session_filter(job, session))] if session else []
    chosen = ["--session-label", f"ses-{session}"] if session else []
    return [
        str(job / "inputs/data/BIDS"), str(job / "outputs/centipet"), "participant", *filters,
        "-w", str(job / ".git/tmp/wkdir"), "--n_cpus", "2", "--stop-on-first-crash",
        "--skip-bids-validation", "-v", "-v", *chosen,
        "--participant-label", f"sub-{participant}",
    ]  # fmt: skip
