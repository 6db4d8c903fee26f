"""Time-activity curves, measured again in the dynamic image on disk.

A frame that motion correction did not move is in the image as it was scanned, so its means come
out the same; one that was moved has been interpolated once more than when it was measured, and
only a gross error shows; what it was moved out of the field of view for is not a measurement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.resample import common_box, sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.regions.regions import region_means
from bidsapp.data import mni_grid
from bidsapp.data.atlases import chosen_atlases
from bidsapp.io.nifti import read_frames
from bidsapp.verify.differences import How, Tolerance, agree
from bidsapp.verify.file_hashes import Findings
from bidsapp.verify.numbers import FinishedScan, read_rows, with_holes

_TIMES = ("frame_start", "frame_end")
_STILL, _MOVED = Tolerance(1e-4), 0.05
_FLOOR, _MOVED_FLOOR = 1e-4, 0.03  # of the largest activity of a curve
_LEAST_ML = 2.0  # smaller regions change too much by a second interpolation


def check_curves(scan: FinishedScan, findings: Findings) -> None:
    """Compare the curves of every atlas with the dynamic image, those as SUV with the curves.

    Parameters
    ----------
    scan : on disk
    findings : takes what differs
    """
    every, listed = chosen_atlases(scan.processing), set(scan.outputs)
    atlases = [atlas for atlas in every if scan.name("tacs", atlas=atlas.name) in listed]
    if not atlases or scan.name("pet_dynamic") not in listed:
        return
    inside = np.zeros(mni_grid(2).shape, bool)
    for atlas in atlases:
        inside.reshape(-1)[atlas.measured.voxels] = True
    points = transform(scan.position(), scan.field()[inside])
    path = scan.path("pet_dynamic")
    box = common_box(frame.data for frame in read_frames(path))
    means: dict[str, list[NDArray[np.float64]]] = {atlas.name: [] for atlas in atlases}
    image = np.full(inside.shape, np.nan, np.float32)
    still = _still(scan, len(read_rows(scan.path("tacs", atlas=atlases[0].name))))
    for index, frame in enumerate(read_frames(path)):
        moved = index < len(still) and not still[index]  # its zeros are mostly not measured
        source = Volume(with_holes(frame), frame.affine) if moved else frame
        image[inside] = sample(source, points, box)
        for atlas in atlases:
            means[atlas.name].append(region_means(image, atlas.measured))
    for atlas in atlases:
        volume = np.diff(atlas.measured.starts) * 0.008
        large = dict(zip(atlas.names, volume >= _LEAST_ML, strict=True))
        curves = dict(zip(atlas.names, np.array(means[atlas.name]).T, strict=True))
        _compare(atlas.name, scan, curves, large, still, findings)


def _compare(
    atlas: str,
    scan: FinishedScan,
    curves: Mapping[str, NDArray[np.float64]],
    large: Mapping[str, bool],
    still: NDArray[np.bool_],
    findings: Findings,
) -> None:
    name, stored = scan.name("tacs", atlas=atlas), read_rows(scan.path("tacs", atlas=atlas))
    findings.files[name] = How.NUMBERS
    n_frames = len(next(iter(curves.values())))
    if not len(stored) == n_frames == len(still):
        findings.differ(
            name, "number of rows", len(stored), n_frames, "frames of the dynamic image"
        )
        return
    for region, curve in curves.items():
        top = float(np.nanmax(np.abs(curve), initial=0.0))
        moved = Tolerance(_MOVED, _MOVED_FLOOR * top)
        for row, value, rests in zip(stored, curve.tolist(), still, strict=True):
            text = row.get(region)
            if text in (None, "n/a") or not np.isfinite(value) or not (rests or large[region]):
                continue
            tolerance = Tolerance(_STILL.relative, _FLOOR * top) if rests else moved
            if not agree(text, value, tolerance):
                where = f"{region} at {row.get('frame_start')} s"
                findings.differ(name, where, text, value, "by the dynamic image")
    _compare_suv(atlas, stored, scan, findings)


def _compare_suv(
    atlas: str, stored: Sequence[Mapping[str, Any]], scan: FinishedScan, findings: Findings
) -> None:
    """Standardised uptake values are the curves times one number."""
    name, other = (scan.name(key, atlas=atlas) for key in ("tacs", "tacs_suv"))
    if other not in scan.outputs:
        return
    rows = read_rows(scan.output_dir / other)
    findings.files[other] = How.NUMBERS
    pairs = [
        (row.get("frame_start"), region, row[region], activity_row.get(region))
        for row, activity_row in zip(rows, stored, strict=False)
        for region in row
        if region not in _TIMES and row[region] != "n/a"
    ]
    known = ((float(suv), float(activity or 0)) for *_, suv, activity in pairs)
    ratios = [suv / activity for suv, activity in known if activity]
    factor = float(np.median(ratios)) if ratios else 0.0
    for start, region, suv, activity in pairs:
        if not agree(suv, factor * float(activity or 0), Tolerance(1e-9, 1e-12)):
            where = f"{region} at {start} s"
            findings.differ(other, where, suv, factor * float(activity or 0), f"by {name}")


def _still(scan: FinishedScan, count: int) -> NDArray[np.bool_]:
    """Which frames are in the dynamic image as they were scanned."""
    if scan.name("motion") not in scan.outputs:
        return np.ones(count, bool)
    content = json.loads(sidecar_path(scan.path("motion")).read_text("utf-8"))
    rows = read_rows(scan.path("motion"))
    matrices = content.get("ReferenceToFrame") or []
    if len(matrices) != count or len(rows) != count:
        return np.zeros(count, bool)
    unmoved = [np.array_equal(np.array(matrix), np.eye(4)) for matrix in matrices]
    first = [row.get("pet") in ("0", None) for row in rows]
    return np.array(unmoved) & np.array(first)
