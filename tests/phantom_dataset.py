"""The demo's phantom as a BIDS dataset, without the way through DICOM: whole runs in seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from raw_sidecar import PET_SIDECAR

from bidsapp.cli.demo import TRACER, phantom_of
from bidsapp.data.tracers import tracers
from bidsapp.demo.phantom import FRAME_DURATION_S, FRAME_START_S
from bidsapp.io.nifti import save_volume

CENTILOID = 60.0
SIDECAR = PET_SIDECAR | {
    "ScanStart": FRAME_START_S[0],
    "FrameTimesStart": FRAME_START_S,
    "FrameDuration": FRAME_DURATION_S,
    "ImageDecayCorrectionTime": FRAME_START_S[0],
}


def write_phantom(bids: Path, label: str = "phantom") -> Path:
    """Write one participant: a T1w of full resolution and a florbetaben scan of four frames."""
    phantom = phantom_of(CENTILOID, tracers()[TRACER])
    folder = bids / f"sub-{label}"
    save_volume(folder / "anat" / f"sub-{label}_T1w.nii.gz", phantom.t1w, dtype=np.int16)
    pet = save_volume(folder / "pet" / f"sub-{label}_trc-{TRACER}_pet.nii.gz", phantom.pet)
    pet.with_name(pet.name.replace(".nii.gz", ".json")).write_text(json.dumps(SIDECAR))
    description = {"Name": "phantom", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    (bids / "README.md").write_text("The phantom of the demo.\n")
    return bids


def copy_participant(bids: Path, label: str, new: str, *, source: Path | None = None) -> Path:
    """Add the images of a participant, perhaps of another dataset, under a new label."""
    target = bids / f"sub-{new}"
    shutil.copytree((source or bids) / f"sub-{label}", target)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in [path for path in target.rglob("*") if path.is_file()]:
        path.rename(path.with_name(path.name.replace(f"sub-{label}", f"sub-{new}")))
    return target
