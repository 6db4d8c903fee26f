"""Images for a visual read: every participant in one orientation, on the scale of its readers.

The head is turned and shifted rigidly so that it lies as the template does (close to the line
through the commissures), nothing is stretched. The PET is resampled once, from its native grid, to
an SUVR (whole cerebellum = 1) on a grid that is the same for everybody; its sidecar and its header
(``cal_min``, ``cal_max``) say on which scale and in which colours its readers see the tracer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from bidsapp.bids.derivatives import derivative_uri, outputs, sidecar_path
from bidsapp.core.anatomy.normalise import lacks_skull
from bidsapp.core.grid.alignment import inverse, rigid_between
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.data import template_mask
from bidsapp.data.display import colours_in_words, display_of
from bidsapp.io.atomic import write_json
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.record import ScanRecord
from bidsapp.record.stored import StoredScan
from bidsapp.report.evidence import FigureMaker, mean_cerebellum, template_warp

_LOW_MM, _HIGH_MM = (-100, -130, -90), (100, 110, 110)
_PET_STEP_MM, _T1W_STEP_MM = 2, 1


def read_grid(step_mm: int) -> Grid:
    """Grid of the images for reading, the same for all participants: RAS, a whole head.

    Parameters
    ----------
    step_mm : edge of a voxel

    Returns
    -------
    Grid
    """
    shape = tuple((b - a) // step_mm + 1 for a, b in zip(_LOW_MM, _HIGH_MM, strict=True))
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = _LOW_MM
    return Grid((shape[0], shape[1], shape[2]), affine)


def export_read(scan: StoredScan) -> list[Path]:
    """Write the images for the visual read of a finished scan.

    Parameters
    ----------
    scan : with a result

    Returns
    -------
    list of Path
        ``_space-MNIrigid_desc-read_pet`` and, for a scan with T1w, ``_T1w``.

    Raises
    ------
    NoInputError, BadDataError
        A derivative is missing or broken.
    StorageError
        An image cannot be written.
    """
    record, output_dir, native = scan.record, scan.output_dir, scan.path("pet_native")
    mean = mean_cerebellum(record)
    to_t1w, to_pet = _turn(scan)
    pet = load_volume(native, ndim=3)
    suvr = _resampled(pet, to_pet, _PET_STEP_MM) / np.float32(mean)
    display = display_of(record.tracer)
    scale = FigureMaker(output_dir).read_scale(record)
    content = {
        "SkullStripped": False,
        "Units": "unitless",
        "Sources": [derivative_uri(native, output_dir)],
        "ReferenceRegion": "whole cerebellum (wc)",
        "DisplayRange": [0.0, scale.top],
        "DisplayRangeSource": scale.words,
        "ColorMap": display.read_colours,
        "ColorMapName": colours_in_words(display.read_colours),
        "ColorMapSource": display.read_source,
    }
    grid = read_grid(_PET_STEP_MM)
    image = Volume(suvr, grid.affine)
    written = [_save(scan, "read_pet", image, content, (0.0, scale.top))]
    if to_t1w is not None:
        source = scan.path("t1w")
        turned = _resampled(load_volume(source, ndim=3), to_t1w, _T1W_STEP_MM)
        image = Volume(turned, read_grid(_T1W_STEP_MM).affine)
        stripped = lacks_skull(record.qc.get("skull_missing"))
        content = {"SkullStripped": stripped, "Sources": [derivative_uri(source, output_dir)]}
        written.append(_save(scan, "read_t1w", image, content, None))
    return written


def _turn(scan: StoredScan) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Rigid transforms from the turned head to the T1w, None without one, and to the PET."""
    turn = _rigid(scan.warp)
    if scan.record.t1w_source is None:
        return None, turn
    return turn, scan.t1w_to_pet() @ turn


def _rigid(warp: Path) -> NDArray[np.float64]:
    """Rigid part of a warp over the brain: template world -> world of the moving image, RAS mm."""
    field, brain = template_warp(warp), template_mask(2)
    index = np.argwhere(brain.data)[::7]  # every seventh voxel determines six numbers well
    template = index @ brain.affine[:3, :3].T + brain.affine[:3, 3]
    moved = template + field.data[tuple(index.T)]
    return rigid_between(template, moved)


def _resampled(volume: Volume, to_image: NDArray[np.float64], step_mm: int) -> NDArray[np.float32]:
    """Image on the grid for reading, trilinear; zero where it has nothing."""
    grid = read_grid(step_mm)
    matrix = inverse(volume.affine) @ to_image @ grid.affine
    data = np.asarray(volume.data, np.float32)
    return affine_transform(data, matrix[:3, :3], matrix[:3, 3], grid.shape, order=1)


def _save(
    scan: StoredScan,
    key: str,
    image: Volume,
    about: Mapping[str, Any],
    shown: tuple[float, float] | None,
) -> Path:
    path = scan.path(key)
    save_volume(path, image, dtype=np.float32, shown=shown)
    content = {"Description": outputs()[key].description, **about}
    content["SpatialReference"] = derivative_uri(path, scan.output_dir)
    content["CentiPET"] = _made_by(scan.record, ("t1w",) if key == "read_t1w" else ("pet", "t1w"))
    write_json(sidecar_path(path), content)
    return path


def _made_by(record: ScanRecord, raw: Sequence[str]) -> dict[str, Any]:
    """What made the scan, as its other derivatives say it, and the hashes of raw images."""
    known, sources = record.provenance, {"pet": record.source, "t1w": record.t1w_source}
    hashes = known.inputs
    inputs = {str(sources[source]): hashes[source] for source in raw if source in hashes}
    if "t1w" in raw:  # those of a within-subject template
        visits = record.longitudinal.t1w_sources if record.longitudinal else ()
        inputs |= {uri: hashes[name] for uri in visits if (name := Path(uri).name) in hashes}
    return {
        "Version": record.version,
        "Command": known.command,
        "Parameters": known.parameters,
        "Inputs": inputs,
    }
