"""dcm2niix, and what is done to its images before anybody may rely on them.

dcm2niix converts one series at a time in a folder of links, so a broken series harms no other.
Frames of multi-frame files that it does not lay out as the headers say are handed to it as single
slices.  Its image is then
  * freed of the free text in the NIfTI header,
  * completed where whole slices are missing in the export (see `fill_gaps`),
  * compared with the DICOM files: voxel values and their place in space.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dcm2niix as dcm2niix_package
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bidsapp.dicom.frames import Frame
from bidsapp.dicom.header import Header
from bidsapp.dicom.multiframe import stored_pixels, write_slices
from bidsapp.dicom.series import Series
from bidsapp.dicom.sidecar_tags import lenient_json, read_sidecar
from bidsapp.dicom.volumes import is_volume, load_image
from bidsapp.errors import BadDataError, StorageError
from bidsapp.volume import Volume

# -g i: no defaults file of the user; -ba o: no personal data; -w 1: the folder is ours.
# Not compressed here (-z n): the header is cleaned first, then our own writer makes .nii.gz.
_FLAGS = ("-b", "y", "-ba", "o", "-g", "i", "-z", "n", "-w", "1", "-f", "%j")
_TIMEOUT_S = 1800
_SMALLEST_VOXEL_MM3 = 1e-6
_PLACE_TOLERANCE = 0.05  # voxels; dcm2niix stores the affine as float32
_VALUE_TOLERANCE = 1e-5  # of the slice's largest value; float32 against text slopes


@dataclass(frozen=True)
class Converted:
    """What dcm2niix made of a series.

    Attributes
    ----------
    image : NIfTI image in memory, header without free text
    sidecar : its JSON
    remarks : what was done to the image
    """

    image: nib.Nifti1Image
    sidecar: dict[str, Any]
    remarks: tuple[str, ...] = ()


def dcm2niix_version() -> str:
    """Version of dcm2niix as it prints it, such as ``v1.0.20260724``."""
    text = _call(["--version"]).stdout.strip().splitlines()
    return text[-1] if text else "unknown"


def convert_series(series: Series, frames: Sequence[Frame], folder: Path) -> Converted:
    """Convert a series and compare the image with its DICOM files.

    dcm2niix orders frames by instance numbers, which need not follow time; when the comparison
    shows that, the frames are converted one by one.  NIfTI and ECAT images only lose free text.

    Parameters
    ----------
    series, frames : the series, and its frames in time
    folder : an empty folder that the caller removes

    Raises
    ------
    BadDataError
        dcm2niix failed, made no image or several, or an image that differs from the DICOM.
    """
    path = series.header.path
    if is_volume(path):
        return Converted(_cleaned(load_image(path)), read_sidecar(path))
    try:
        whole = _convert_files([i for frame in frames for i in frame], folder / "whole")
        return _verified(fill_gaps(whole, series), frames)
    except BadDataError:
        if len(frames) == 1 and series.header.frame is None:
            raise
    parts = [
        _convert_files(frame, folder / f"frame{number}", one_by_one=True)
        for number, frame in enumerate(frames)
    ]
    whole = _stacked(parts) if len(parts) > 1 else fill_gaps(parts[0], series)
    return _verified(whole, frames)


def scaled(image: nib.Nifti1Image, factors: Sequence[float]) -> nib.Nifti1Image:
    """Multiply every frame of an image, shape (X, Y, Z) or (X, Y, Z, T), by its factor."""
    if set(factors) == {1.0}:
        return image
    voxels = np.asanyarray(image.dataobj, np.float64) * np.asarray(factors)
    made = nib.Nifti1Image(voxels.astype(np.float32), image.affine, image.header)
    made.header.set_data_dtype(np.float32)
    made.header.set_slope_inter(1, 0)
    return made


def _verified(converted: Converted, frames: Sequence[Frame]) -> Converted:
    remark = verify(converted.image, frames)
    return replace(converted, remarks=(*converted.remarks, *filter(None, [remark])))


def _stacked(parts: Sequence[Converted]) -> Converted:
    """One time series of single frames on one grid."""
    first = parts[0].image
    for part in parts:
        same_place = np.allclose(part.image.affine, first.affine, atol=1e-4)
        if part.image.shape != first.shape or not same_place:
            raise BadDataError(
                "dcm2niix made frames on different grids; export the whole series again"
            )
    voxels = np.stack([np.asanyarray(part.image.dataobj, np.float32) for part in parts], axis=-1)
    image = nib.Nifti1Image(voxels, first.affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(first.affine, code=1)
    image.set_sform(first.affine, code=1)
    return Converted(image, parts[0].sidecar)


def _convert_files(
    images: Sequence[Header], folder: Path, *, one_by_one: bool = False
) -> Converted:
    """Run dcm2niix on links to some files; on single slices of them when ``one_by_one``."""
    source, target = folder / "dicom", folder / "nifti"
    source.mkdir(parents=True)
    target.mkdir()
    if one_by_one and images[0].frame is not None:
        write_slices(images, source)
    else:
        for number, path in enumerate(dict.fromkeys(image.path for image in images)):
            (source / f"{number:06d}.dcm").symlink_to(path.resolve())
    result = _call([*_FLAGS, "-o", str(target), str(source)])
    made = [path for path in sorted(target.glob("*.nii")) if "_Eq" not in path.stem]
    if len(made) != 1:
        last = (result.stdout.strip().splitlines() or ["no message"])[-1]
        last = re.sub(rf"{re.escape(str(folder))}\S*", "a file", last)
        raise BadDataError(
            f"dcm2niix made {len(made)} images of this series (its last words: {last}); "
            "export the series again"
        )
    try:
        loaded = nib.Nifti1Image.from_filename(made[0])
        sidecar = lenient_json(made[0].with_suffix(".json").read_bytes())
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise BadDataError("dcm2niix left no readable image; export the series again") from error
    if abs(np.linalg.det(loaded.affine[:3, :3])) < _SMALLEST_VOXEL_MM3:
        raise BadDataError(
            "dcm2niix could not place the image in space: (0020,0032) ImagePositionPatient or "
            "(0020,0037) ImageOrientationPatient is wrong; export the series again"
        )
    return Converted(_cleaned(loaded), sidecar)


def _cleaned(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Take the free text out of a NIfTI header."""
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = b""
    image.header.extensions.clear()
    return image


def _call(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [dcm2niix_package.bin, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BadDataError(
            f"dcm2niix did not finish within {_TIMEOUT_S} s; export the series again"
        ) from error
    except OSError as error:
        raise StorageError(f"dcm2niix cannot be started ({error.strerror})") from error


def stored_voxels(image: nib.Nifti1Image) -> NDArray[np.generic]:
    """Voxels as they are stored, before slope and intercept."""
    return np.asarray(image.dataobj.get_unscaled())  # type: ignore[attr-defined]


def fill_gaps(converted: Converted, series: Series) -> Converted:
    """Put interpolated slices where whole slices are missing in a T1w.

    dcm2niix stacks the slices it finds as if none were missing, so everything beyond a gap would
    move towards it; its own ``_Eq`` image resamples, and blurs, the whole volume instead.  Linear
    interpolation of the missing slices alone keeps every measured voxel as and where it was.

    Raises
    ------
    BadDataError
        See `Series.missing_slices`; or dcm2niix left out a slice.
    """
    missing = series.missing_slices()
    if not missing.any():
        return converted
    voxels = stored_voxels(converted.image)
    if voxels.shape[2] != len(missing) + 1:
        raise BadDataError(
            f"dcm2niix made {voxels.shape[2]} of {len(missing) + 1} slices; export the series again"
        )
    index = np.concatenate([[0], np.cumsum(missing + 1)])  # place of the slices along the normal
    if _axis_runs_backwards(converted.image, series):
        index = index[-1] - index[::-1]
    image = nib.Nifti1Image(
        _interpolated(voxels, index), converted.image.affine, converted.image.header
    )
    image.header.set_slope_inter(*converted.image.header.get_slope_inter())
    total = int(missing.sum())
    remark = f"{total} missing slice{'s' * (total > 1)} interpolated from the neighbours"
    return Converted(image, converted.sidecar, (*converted.remarks, remark))


def _axis_runs_backwards(image: nib.Nifti1Image, series: Series) -> bool:
    """Tell whether the third voxel axis runs against the DICOM slice normal."""
    orientation = np.array(series.header.numbers("ImageOrientationPatient", 6))
    normal = np.cross(orientation[:3], orientation[3:]) * (-1, -1, 1)  # LPS -> RAS
    return bool(image.affine[:3, 2] @ normal < 0)


def _interpolated(voxels: NDArray[Any], index: NDArray[np.int_]) -> NDArray[Any]:
    """Spread slices to the places ``index`` and interpolate linearly between them."""
    places = np.arange(index[-1] + 1)
    below = np.clip(np.searchsorted(index, places, side="right") - 1, 0, len(index) - 2)
    weight = (places - index[below]) / (index[below + 1] - index[below])
    filled = voxels[..., below] * (1 - weight) + voxels[..., below + 1] * weight
    if voxels.dtype.kind in "iu":
        filled = np.rint(filled)
    return np.asarray(filled, dtype=voxels.dtype)


# ------------------------------------------------------------------- comparison with the DICOM


def verify(image: nib.Nifti1Image, frames: Sequence[Frame]) -> str | None:
    """Compare an image with DICOM files: the lowest, middle and highest slice of every frame.

    Returns
    -------
    str or None
        A remark when only dcm2niix can read the pixels, because they are compressed.

    Raises
    ------
    BadDataError
        A slice is not where its header says, or its voxels have other values.
    """
    n_frames = image.shape[3] if image.ndim == 4 else 1
    if n_frames != len(frames):
        raise BadDataError(
            f"dcm2niix made {n_frames} frames of {len(frames)}; export the series again"
        )
    for number, frame in enumerate(frames):
        volume = np.asanyarray(image.dataobj[..., number] if image.ndim == 4 else image.dataobj)
        for slice_number in sorted({0, len(frame) // 2, len(frame) - 1}):
            header = frame[slice_number]
            pixels = _pixels(header)
            if pixels is None:
                return "voxel values were not compared with the DICOM: compressed pixels"
            _compare(Volume(volume, image.affine), header, pixels)
    return None


def _pixels(header: Header) -> NDArray[np.float64] | None:
    """Rescaled pixels of an image, shape (rows, columns); None when their codec is missing."""
    stored = stored_pixels(header.path)
    if stored is None:
        return None
    pixels = stored if header.frame is None else stored[header.frame]
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    return pixels * (slope or 1.0) + (intercept or 0.0)


def _compare(volume: Volume, header: Header, pixels: NDArray[np.float64]) -> None:
    index, off_grid = _voxels_of(volume.affine, header)
    inside = (index >= 0).all() and (index.max(axis=(0, 1)) < volume.data.shape).all()
    if off_grid > _PLACE_TOLERANCE or not inside:
        raise BadDataError(
            f"{header.path.name}: dcm2niix puts the slice elsewhere than (0020,0032) "
            "ImagePositionPatient says; export the series again"
        )
    difference = float(np.abs(volume.data[tuple(np.moveaxis(index, -1, 0))] - pixels).max())
    if difference > _VALUE_TOLERANCE * max(float(np.abs(pixels).max()), 1.0):
        raise BadDataError(
            f"{header.path.name}: voxels differ from the DICOM pixels by {difference:.3g}; "
            "export the series again"
        )


def _voxels_of(affine: NDArray[np.float64], header: Header) -> tuple[NDArray[np.int_], float]:
    """Voxel index of every pixel, shape (rows, columns, 3), and how far they are off the grid."""
    orientation = np.array(header.required("ImageOrientationPatient", 6))
    row_spacing, column_spacing = header.required("PixelSpacing", 2)
    rows, columns = (int(header.required(keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    corner = np.array(header.required("ImagePositionPatient", 3))
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    lps = (
        corner
        + c[..., None] * orientation[:3] * column_spacing
        + r[..., None] * orientation[3:] * row_spacing
    )
    to_voxel = np.linalg.inv(affine)
    exact = (lps * (-1, -1, 1)) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    index = np.rint(exact).astype(int)
    return index, float(np.abs(exact - index).max())
