"""``centipet apply IMAGE RECORD --from SPACE --to SPACE``: any image between PET, T1w and MNI."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.cli.command import parse_and_run, refuse_to_replace
from bidsapp.errors import CentipetError, ExitCode, UsageError
from bidsapp.io.atomic import write_json

_PROG = "centipet apply"


def main(argv: Sequence[str] | None = None) -> int:
    """Bring one image to another space; return the exit code.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run("apply", _run, argv)


def _run(options: argparse.Namespace) -> int:
    print(apply(**vars(options)))
    return ExitCode.OK


def apply(
    image: str | os.PathLike[str],
    record: str | os.PathLike[str],
    *,
    space: str,
    goal: str,
    output: str | os.PathLike[str],
    like: str | os.PathLike[str] | None = None,
    labels: bool = False,
) -> Path:
    """Bring an image from one space of a scan to another and write it with a sidecar.

    Parameters
    ----------
    image : path
        NIfTI, 3D or 4D.
    record : path
        ``*_centiloid.json`` of the scan, in its derivative dataset.
    space, goal : str
        Where the image is and where it shall be: ``pet``, ``T1w`` or ``MNI152NLin6Asym``.
    output : path
        ``.nii.gz``.
    like : path, optional
        Image in ``goal`` whose grid the result has; that of the scan's own images if not given.
    labels : bool
        Take the nearest voxel instead of a trilinear interpolation.

    Returns
    -------
    Path
        ``output``.

    Raises
    ------
    CentipetError
        With the sentence that the command line would show.
    """
    import numpy as np

    from bidsapp.io.hashes import file_hash
    from bidsapp.io.nifti import load_volume, read_grid, save_volume
    from bidsapp.record import read_record
    from bidsapp.record.files import dataset_of
    from bidsapp.record.stored import StoredScan
    from bidsapp.steps.spaces import in_space

    image, record, output = Path(image), Path(record).absolute(), Path(output)
    if not output.name.endswith(".nii.gz"):
        raise UsageError(f"--output {output}: must end with .nii.gz")
    inputs = [image, sidecar_path(image), record, *([] if like is None else [Path(like)])]
    refuse_to_replace([output, sidecar_path(output)], inputs)
    root = dataset_of(record)
    scan = read_record(record, root)
    if scan.error is not None and scan.reason:
        raise UsageError(scan.reason)
    volume = load_volume(image)
    whole = bool((volume.data == np.rint(volume.data)).all())
    if whole and not labels:
        print(
            f"{_PROG}: {image}: contains only whole numbers; if they are labels, add --labels",
            file=sys.stderr,
        )
    try:
        moved = in_space(
            volume, StoredScan(root, scan), space, goal,
            grid=None if like is None else read_grid(Path(like)), labels=labels,
        )  # fmt: skip
    except CentipetError as error:
        raise type(error)(f"{image}: {error}") from error
    kind = np.int32 if labels and whole else np.float32
    save_volume(output, moved, dtype=kind, space=goal, frames_of=image)
    about = {
        "Description": f"{image.name} transformed from {space} to {goal}",
        "Interpolation": "nearest" if labels else "linear",
        "From": space,
        "To": goal,
        "Image": {"name": image.name, "sha256": file_hash(image)},
        "Record": {"name": record.name, "sha256": file_hash(record)},
    }
    write_json(sidecar_path(output), about)
    return output
