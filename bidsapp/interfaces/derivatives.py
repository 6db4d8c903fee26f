"""Nodes that write the derivative dataset: images, transforms, tables, the record of a scan.

They always run: a file that somebody removed from the output folder comes back, although the work
folder still holds everything that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivatives import OutputPlace, outputs, sidecar_path
from bidsapp.core.anatomy.normalise import lacks_skull
from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.resample import itk_affine_text
from bidsapp.core.grid.volume import Volume, known_or_zero
from bidsapp.data import read_table
from bidsapp.data.display import display_of
from bidsapp.data.sentences import worded
from bidsapp.data.tracers import tracer_from_name
from bidsapp.errors import BusyError, StorageError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import fetch_volume
from bidsapp.interfaces.transfer import Tables
from bidsapp.io.atomic import write_json, write_text
from bidsapp.io.hashes import file_hash, file_state
from bidsapp.io.nifti import save_displacements, save_volume, voxel_hash
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart, ScanRecord, write_record
from bidsapp.record.codec import plain
from bidsapp.record.stages import completed_record


def named(place: OutputPlace, *files: Path) -> list[str]:
    """Hashes and names of files that were just written, and of their sidecars.

    Parameters
    ----------
    place : where they belong
    *files : beside each other or not, in the same dataset

    Returns
    -------
    list of str
        ``sha256:<hex> <state> <name>``: what a file holds, what shows that it is the same one
        still, and its POSIX path relative to the dataset; without repetition.
    """
    both = dict.fromkeys(path for file in files for path in (file, sidecar_path(file)))
    names = ((path, path.relative_to(place.output_dir).as_posix()) for path in both)
    return [f"{_hash(path)} {_state(path)} {name}" for path, name in names]


def _state(path: Path) -> str:
    try:
        return file_state(path)
    except FileNotFoundError:
        return "removed"


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except FileNotFoundError as error:
        raise StorageError(f"{path}: it was removed during the run; run again") from error


@interface("written", always_run=True)
def SaveImages(
    place: OutputPlace,
    sidecars: dict[str, Any],
    head: RecordPart | None = None,
    **images: Path,
) -> list[str]:
    """Write images under the names of the table of outputs, each with its sidecar.

    Parameters
    ----------
    place : where they belong
    sidecars : JSON content by key of ``data/outputs.toml``
    head : what `Segment` gives to the record, where there is a T1w among the images
    **images : by these keys

    Returns
    -------
    list of str
        Hashes and names of the files, see `named`; no paths, whose contents nipype would hash.
    """
    paths = []
    for key, stored in images.items():
        path = place.path(key)
        shown = shown_as(key.split("_")[0], sidecars[key].get("TracerName"))
        save_volume(path, measured_or_zero(fetch_volume(stored)), shown=shown)
        content = described(key, sidecars[key])
        if head is not None and key in ("t1w", "t1w_mni"):
            content["SkullStripped"] = lacks_skull(head.qc.get("skull_missing"))
        write_json(sidecar_path(path), content)
        paths.append(path)
    return named(place, *paths)


@interface("written", always_run=True)
def SaveWarp(
    place: OutputPlace,
    field: Volume,
    warp: Warp,
    native: Volume,
    sidecars: dict[str, Any],
    key: Literal["warp", "pet_warp"] = "warp",
) -> list[str]:
    """Write the warp to the template, and its inverse, as ITK displacement fields.

    Parameters
    ----------
    place : where it belongs
    field : world coordinate of T1w or PET of every MNI voxel, RAS mm
    warp : parameters of both directions
    native : T1w or PET, whose grid the inverse covers
    sidecars : JSON content by key
    key : of T1w or PET

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    paths = []
    fields = warp.itk_fields(field, native.grid)
    for name, displacements in zip((key, f"{key}_inverse"), fields, strict=True):
        path = place.path(name)
        save_displacements(path, displacements.data, displacements.affine)
        write_json(sidecar_path(path), described(name, sidecars[name]))
        paths.append(path)
    return named(place, *paths)


@interface("written", always_run=True)
def SavePosition(
    place: OutputPlace,
    t1w_to_pet: Matrix,
    by_method: dict[str, Any],
    record: RecordPart,
    sidecars: dict[str, Any],
) -> list[str]:
    """Write the rigid transform from T1w to PET and back as ITK text, its matrices as JSON.

    Parameters
    ----------
    place : where it belongs
    t1w_to_pet, by_method, record : as `Register` gives them
    sidecars : JSON content by key, besides the matrices

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    matrices = {
        "Method": record.method,
        "T1wToPet": t1w_to_pet.tolist(),
        "T1wToPetByMethod": by_method,
        "Quality": dict(record.qc),
    }
    # Moving the T1w image to the PET grid takes PET points to T1w points: the inverse.
    moving = {"xfm": np.linalg.inv(t1w_to_pet), "xfm_inverse": t1w_to_pet}
    content = {key: sidecar | matrices for key, sidecar in sidecars.items()}
    return named(place, *save_rigid(place, moving, content))


def save_rigid(
    place: OutputPlace,
    matrices: Mapping[str, NDArray[np.floating]],
    sidecars: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Write rigid transforms as ITK text, each with its sidecar.

    Parameters
    ----------
    place : where they belong
    matrices : by key of the outputs, from points of the fixed to points of the moving image
    sidecars : JSON content by the same keys

    Returns
    -------
    list of Path
    """
    paths = []
    for key, matrix in matrices.items():
        path = place.path(key)
        write_text(path, itk_affine_text(matrix))
        write_json(sidecar_path(path), described(key, sidecars[key]))
        paths.append(path)
    return paths


@dataclass(frozen=True)
class RawFile:
    """A raw image behind a result: its name in the record, its hash when the scan was planned."""

    name: str
    path: Path
    digest: str


@interface("written", always_run=True)
def SaveResult(
    output_dir: str,
    planned: ScanRecord,
    raw: list[RawFile],
    parts: list[RecordPart],
    written: list[str],
) -> list[str]:
    """Complete the record of a scan: its last step, so that ``ok`` means all was written.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    planned : record of the scan as planned
    raw : images behind it
    parts : what each step gives to the record
    written : by the nodes that must come before, see `named`

    Returns
    -------
    list of str
        Name of the record, relative to the dataset.

    Raises
    ------
    StorageError
        An output was removed during the run, or a raw image removed or replaced.
    BusyError
        Another run replaced an output.
    """
    inputs = {image.name: _hash(image.path) for image in raw}
    for image in raw:
        if inputs[image.name] != image.digest:
            raise StorageError(worded("workers", "changed", path=image.path))
    outputs = {}
    for digest, state, name in sorted((e.split(" ", 2) for e in written), key=itemgetter(2)):
        path = Path(output_dir) / name
        if _state(path) != state and _hash(path) != digest:
            # its numbers would stand beside images of others
            raise BusyError(worded("workers", "replaced", path=name))
        outputs[name] = digest
    record = completed_record(
        planned,
        parts,
        inputs=inputs,
        voxels={image.name: voxel_hash(image.path) for image in raw},
        outputs=outputs,
    )
    path = write_record(Path(output_dir), record)
    return [path.relative_to(output_dir).as_posix()]


# Outputs with tables that a part of the record belongs to: the part, its name in their sidecars,
# and what of it the record alone says.
_PARTS = {
    "kinpar": ("kinetics", "Kinetics", ("done", "reason", "tables")),
    "pvc": ("pvc", "PartialVolume", ("done", "reason", "tables", "suvr")),
}


@interface("written", "record", always_run=True)
def SaveTables(
    place: OutputPlace,
    key: str,
    tables: Tables,
    record: RecordPart,
    columns: dict[str, Any],
    sidecar: dict[str, Any],
) -> tuple[list[str], RecordPart]:
    """Write the tables of kinetic models or of a correction, one per atlas.

    Parameters
    ----------
    place : where they belong
    key : ``kinpar`` or ``pvc``
    tables, record : as `FitKinetics` and `Correct` give them; no table when nothing was done
    columns : what the columns hold
    sidecar : JSON content besides columns and settings

    Returns
    -------
    written
        As `SaveImages`.
    record
        The record with the paths of the tables.
    """
    part, heading, left_out = _PARTS[key]
    result = getattr(record, part)
    settings = {name: value for name, value in plain(result).items() if name not in left_out}
    written, paths = written_tables(place, key, tables, columns, sidecar | {heading: settings})
    return written, replace(record, **{part: replace(result, tables=paths)})


def written_tables(
    place: OutputPlace,
    key: str,
    tables: Mapping[str, Mapping[str, Sequence[Any]]],
    columns: Mapping[str, Mapping[str, Any]],
    sidecar: Mapping[str, Any],
) -> tuple[list[str], dict[str, str]]:
    """Write a table per atlas under the name of a row of the table of outputs.

    Parameters
    ----------
    place : where they belong
    key : row of ``data/outputs.toml``
    tables : columns by atlas
    columns : their descriptions
    sidecar : JSON content besides the columns

    Returns
    -------
    list of str
        Hashes and names of the files, see `named`.
    dict of str
        Name of the table by atlas.
    """
    about = described(key, sidecar)
    paths = {
        atlas: write_table(place.path(key, atlas=atlas), t, columns, about)
        for atlas, t in tables.items()
    }
    names = {atlas: path.relative_to(place.output_dir).as_posix() for atlas, path in paths.items()}
    return named(place, *paths.values()), names


def described(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Sidecar of a row of the table of outputs.

    Parameters
    ----------
    key : row of ``data/outputs.toml``
    content : what is specific to the file

    Returns
    -------
    dict
        ``content`` with ``Description`` and, of a transform, ``From`` and ``To``.
    """
    row = outputs()[key]
    ends = {}
    if row.suffix == "xfm":
        ends = {"From": row.entities["from"], "To": row.entities["to"]}
    return {"Description": row.description, **ends, **content}


def shown_as(kind: str, tracer_name: str | None) -> tuple[float, float] | None:
    """Display range of an image, for ``cal_min`` and ``cal_max`` of its header.

    Parameters
    ----------
    kind : ``suvr``, ``cl``, or any other image
    tracer_name : in any spelling that the tracer table knows

    Returns
    -------
    (float, float) or None
        None leaves the range to the viewer.
    """
    if kind == "cl":
        return 0.0, read_table("display")["top_cl"]
    if kind != "suvr":
        return None
    tracer = tracer_from_name(tracer_name or "")
    return 0.0, display_of(None if tracer is None else tracer.code).top


def measured_or_zero(image: Volume) -> Volume:
    """Replace NaN by zero, as other programs expect; the VOI table has the coverage.

    Parameters
    ----------
    image : NaN where nothing was measured

    Returns
    -------
    Volume
    """
    if image.data.dtype.kind != "f" or np.isfinite(image.data).all():
        return image
    return Volume(known_or_zero(image.data), image.affine)
