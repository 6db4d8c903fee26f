"""Nodes on all frames of an injection: curves in regions, on the template, on disk; kinetics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bidsapp.bids.derivatives import OutputPlace, sidecar_path
from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, read_table
from bidsapp.data.atlases import chosen_atlases
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import described, named, written_tables
from bidsapp.interfaces.transfer import Arrays, Tables
from bidsapp.io.atomic import write_json
from bidsapp.io.nifti import read_frames, save_frames
from bidsapp.io.tsv import write_table
from bidsapp.record import RecordPart
from bidsapp.record.model import Motion
from bidsapp.settings import TEMPLATE_SPACE, Processing
from bidsapp.steps.averaging import FrameSeries
from bidsapp.steps.drifting import drift
from bidsapp.steps.head import PlacedHead
from bidsapp.steps.measuring import space_of
from bidsapp.steps.modelling import modelled
from bidsapp.steps.sampling import AlignedFrames


@interface("tacs", "frames")
def SampleFrames(
    series: list[FrameSeries],
    motion: list[list[Matrix]],
    ends: list[int],
    t1w_to_pet: Matrix,
    field: Volume,
    processing: Processing,
) -> tuple[Arrays, Path]:
    """Every frame on the template, by one interpolation, and its means in all regions.

    Parameters
    ----------
    series : the scan, other parts of its injection
    motion : as `AlignFrames` gives it; empty for a lost part
    ends : planes that were not measured
    t1w_to_pet, field : where the PET lies; T1w world coordinate of every MNI voxel
    processing : atlases

    Returns
    -------
    tacs
        Activity in Bq/mL, decay-corrected to the injection: (R, T) by atlas, with
        ``frame_start_s``, ``frame_end_s`` and ``decay_factor``.
    frames
        The same as npy, float32 (T, X, Y, Z) on the 2 mm MNI grid, NaN outside.
    """
    frames = AlignedFrames(series, motion, ends)
    path, shape = Path.cwd() / "frames.npy", (len(frames.order), *mni_grid(2).shape)
    images = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    tacs = frames.on_template(t1w_to_pet, field, processing, images)
    images.flush()
    return tacs | frames.times(), path


@interface("record")
def MeasureDrift(
    tacs: Arrays, used_s: list[float], reference: str, slope: float, late_min: float
) -> RecordPart:
    """Change of the Centiloid between the frames of the mean, and outliers among them.

    Parameters
    ----------
    tacs : as `SampleFrames` gives it
    used_s : starts of the frames of the mean
    reference : reference region of the Centiloid
    slope : Centiloids per unit of SUVR
    late_min : middle of the mean minus that of the window

    Returns
    -------
    RecordPart
        Slope in CL/min and the largest deviation of a frame, with flags.
    """
    return drift(tacs, used_s, reference=reference, slope=slope, late_min=late_min)


@interface("written", always_run=True)
def SaveDynamic(
    place: OutputPlace,
    series: list[FrameSeries],
    motion: list[list[Matrix]],
    ends: list[int],
    sidecar: dict[str, Any],
) -> list[str]:
    """Write all frames, with the head at one position, on the native grid of the scan.

    Parameters
    ----------
    place : where it belongs
    series, motion, ends : as for `SampleFrames`
    sidecar : JSON content, times left out

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    frames, path = AlignedFrames(series, motion, ends), place.path("pet_dynamic")
    grid, times = next(read_frames(*series[0].files)).grid, frames.times()
    start, duration = times["frame_start_s"], times["frame_end_s"] - times["frame_start_s"]
    save_frames(path, frames.on_grid(grid), len(start), frame_s=float(duration.mean()))
    content = {"FrameTimesStart": start.tolist(), "FrameDuration": duration.tolist()}
    write_json(sidecar_path(path), described("pet_dynamic", sidecar | content))
    return named(place, path)


@interface("written", "record", always_run=True)
def SaveTacs(
    place: OutputPlace,
    tacs: Arrays,
    processing: Processing,
    sidecar: dict[str, Any],
    units: str = "Bq/mL",
    suv_factor: float | None = None,
) -> tuple[list[str], RecordPart]:
    """Write the time-activity curves, one table per atlas, in Bq/mL and as SUV.

    Parameters
    ----------
    place : where it belongs
    tacs : as `SampleFrames` gives it
    processing : atlases
    sidecar : JSON content besides the columns
    units : of the curves
    suv_factor : SUV of 1 Bq/mL at injection, when dose and weight are known

    Returns
    -------
    written
        Names of the files.
    record
        Names of the tables by atlas.
    """
    scales = {"tacs": (units, 1.0)}
    if suv_factor is not None:
        scales["tacs_suv"] = ("g/mL", suv_factor)
    written: list[str] = []
    paths: dict[str, dict[str, str]] = {"tacs": {}, "tacs_suv": {}}
    times = {"frame_start": tacs["frame_start_s"], "frame_end": tacs["frame_end_s"]}
    for atlas in chosen_atlases(processing):
        for key, (unit, scale) in scales.items():
            curves = dict(zip(atlas.names, scale * tacs[atlas.name], strict=True))
            table, columns = {atlas.name: _known(times | curves)}, tac_columns(curves, unit)
            names, paths_of = written_tables(place, key, table, columns, sidecar)
            written += names
            paths[key] |= paths_of
    return written, RecordPart(tacs=paths["tacs"], tacs_suv=paths["tacs_suv"])


@interface("written", always_run=True)
def SaveMotion(
    place: OutputPlace,
    record: RecordPart,
    motion: list[list[Matrix]],
    sidecar: dict[str, Any],
) -> list[str]:
    """Write the motion of the head, a row per frame, with the matrices in its JSON.

    Parameters
    ----------
    place : where it belongs
    record, motion : as `AlignFrames` gives them
    sidecar : JSON content besides columns and matrices

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    columns, head_motion = read_table("motion_columns"), record.motion
    assert head_motion is not None
    path = place.path("motion")
    rows = zip(*motion_rows(head_motion), strict=True)
    matrices = {
        "LeastCorrectedMm": head_motion.least_corrected_mm,
        "ReferenceFrame": head_motion.reference_frame,
        "ReferenceToFrame": _as_rows(motion, head_motion.pet),
    }
    about = described("motion", sidecar | matrices)
    write_table(path, dict(zip(columns, rows, strict=True)), columns, about)
    return named(place, path)


def tac_columns(regions: Mapping[str, Any], units: str) -> dict[str, dict[str, str]]:
    """Column descriptions of a table of time-activity curves.

    Parameters
    ----------
    regions : the names are its keys
    units : of the curves

    Returns
    -------
    dict
        Column -> ``Description`` and ``Units``.
    """
    after = "after injection"
    columns = {
        "frame_start": {"Description": f"Start of the frame, {after}", "Units": "s"},
        "frame_end": {"Description": f"End of the frame, {after}", "Units": "s"},
    }
    mean = "Mean uptake, decay-corrected to the injection; n/a where less than half was measured"
    return columns | {name: {"Description": mean, "Units": units} for name in regions}


def motion_rows(head_motion: Motion) -> Iterator[list[Any]]:
    """Rows of the motion table (``data/motion_columns.toml``) from the record.

    Parameters
    ----------
    head_motion : of the record, of a scan whose frames were aligned

    Yields
    ------
    list
        A value per column: seconds after injection, mm, radians, flags.
    """
    assert head_motion.corrected is not None and head_motion.least_corrected_mm is not None
    for index, start in enumerate(head_motion.frame_start_s):
        moved = head_motion.distance_mm[index] >= head_motion.least_corrected_mm
        yield [
            start,
            start + head_motion.frame_duration_s[index],
            *head_motion.translation_mm[index],
            *np.radians(head_motion.rotation_deg[index]).tolist(),
            head_motion.distance_mm[index],
            int(head_motion.pet[index] != 0 or (head_motion.corrected and moved)),
            int(head_motion.borrowed[index]),
            head_motion.pet[index],
        ]


def _as_rows(motion: list[Any], pets: Sequence[int]) -> list[Any]:
    """Matrices in the order of the rows of the motion table."""
    remaining = [iter(part) for part in motion]
    return [next(remaining[number]).tolist() for number in pets]


def _known(columns: Mapping[str, np.ndarray]) -> dict[str, list[float | None]]:
    """Columns for a table: what was not measured is None."""
    return {
        name: [None if np.isnan(value) else value for value in values.tolist()]
        for name, values in columns.items()
    }


_IMAGES = ("srtm_r1", "srtm_bpnd", "srtm_dvr", "srtm2_r1", "srtm2_bpnd", "srtm2_dvr")


@interface("tables", "record", *_IMAGES)
def FitKinetics(
    tacs: Arrays,
    frames: Path,
    head: PlacedHead,
    processing: Processing,
) -> tuple[Tables, RecordPart, *tuple[Volume | None, ...]]:
    """Reference-tissue models in all regions of all atlases, and SRTM in every voxel.

    Parameters
    ----------
    tacs, frames : as `SampleFrames` gives them
    head : where it lies, and its tissues
    processing : models and their options

    Returns
    -------
    tables
        Columns by atlas.
    record
    srtm_r1, srtm_bpnd, srtm_dvr, srtm2_r1, srtm2_bpnd, srtm2_dvr
        Delivery, binding potential and distribution volume ratio by SRTM and SRTM2.
    """
    space = space_of(head, TEMPLATE_SPACE, head.field.grid)
    fitted = modelled(tacs, np.load(frames, mmap_mode="r"), space, processing)
    return fitted.tables, fitted.part, *map(fitted.images.get, _IMAGES)
