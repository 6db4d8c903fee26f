"""dcm2niix, and the checks and corrections of its images.

dcm2niix converts one series at a time in a folder of links, so a broken series harms no other.
Its image is then
  * freed of the free text in the NIfTI header,
  * completed where whole slices are missing in the export (see `fill_gaps`),
  * compared with the DICOM files: every voxel and its place in space.
Where it is not what the DICOM says, the DICOM pixels are stacked as their headers say instead.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dcm2niix as dcm2niix_package
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.header import Header
from bidsapp.dicom.nifti_ecat import SMALLEST_VOXEL_MM3, is_nifti_or_ecat, load_image
from bidsapp.dicom.pet_frames import Frame
from bidsapp.dicom.pixels import planes, scaling, uncompressed
from bidsapp.dicom.scrub import without_file_name
from bidsapp.dicom.series import Series
from bidsapp.dicom.sidecar_tags import lenient_json, read_sidecar
from bidsapp.errors import BadDataError, StorageError
from bidsapp.plain import count

# -g i: no defaults file of the user; -ba o: no personal data; -w 1: the folder is ours.
# Not compressed here (-z n): the header is cleaned first, then our own writer makes .nii.gz.
_FLAGS = ("-b", "y", "-ba", "o", "-g", "i", "-z", "n", "-w", "1", "-f", "%j")
_TIMEOUT_S = 1800
_PLACE_TOLERANCE = 0.05  # voxels; dcm2niix stores the affine as float32
_VALUE_TOLERANCE = 1e-6  # of the largest value of the frame; float32 against text slopes


@dataclass(frozen=True)
class ConvertedImage:
    """What dcm2niix made of a series.

    Attributes
    ----------
    image : NIfTI image in memory, header without free text
    sidecar : its JSON
    remarks : what was done to it
    """

    image: nib.Nifti1Image
    sidecar: dict[str, Any]
    remarks: tuple[Flag, ...] = ()


def dcm2niix_version() -> str:
    """Version of dcm2niix as it prints it, such as ``v1.0.20260724``.

    Returns
    -------
    str
    """
    text = _call(["--version"]).stdout.strip().splitlines()
    return text[-1] if text else "unknown"


def convert_series(series: Series, frames: Sequence[Frame], folder: Path) -> ConvertedImage:
    """Convert a series and compare every voxel with its DICOM files.

    dcm2niix may split a series, and orders images by tags that need not follow place and time, so
    an image of it that is not what the DICOM says is replaced by the DICOM pixels themselves.
    NIfTI and ECAT images only lose free text.

    Parameters
    ----------
    series, frames : the series, and its frames in time
    folder : an empty folder that the caller removes

    Returns
    -------
    ConvertedImage

    Raises
    ------
    BadDataError
        Pixels cannot be decoded, or slices do not lie on one grid.
    """
    path = series.header.path
    if is_nifti_or_ecat(path):
        return ConvertedImage(_cleaned(load_image(path)), read_sidecar(path))
    frames = uncompressed(frames, folder / "uncompressed")
    images, sidecar = _dcm2niix(frames, folder)
    try:
        if len(images) != 1:
            raise BadDataError(f"dcm2niix made {len(images)} images of this series")
        converted = fill_gaps(ConvertedImage(_cleaned(_loaded(images[0])), sidecar), series)
        verify(converted.image, frames, series)
        return converted
    except BadDataError as error:
        reason = without_file_name(str(error), series.images)
        logging.getLogger(__name__).debug("an image of dcm2niix is not taken: %s", reason)
    converted = ConvertedImage(_stacked(frames, series), sidecar, (worded_flag("note", "stacked"),))
    converted = fill_gaps(converted, series)
    if series.header.text("MRAcquisitionType") == "3D":  # which dcm2niix turns to RAS
        converted = replace(converted, image=nib.as_closest_canonical(converted.image))
    verify(converted.image, frames, series)
    return converted


def scaled(image: nib.Nifti1Image, factors: Sequence[float]) -> nib.Nifti1Image:
    """Multiply every frame of an image, shape (X, Y, Z) or (X, Y, Z, T), by its factor.

    Parameters
    ----------
    image : shape (X, Y, Z) or (X, Y, Z, T)
    factors : one per frame

    Returns
    -------
    Nifti1Image
        float32; the image itself where every factor is 1.
    """
    if set(factors) == {1.0}:
        return image
    voxels = np.asanyarray(image.dataobj, np.float64) * np.asarray(factors)
    multiplied = nib.Nifti1Image(voxels.astype(np.float32), image.affine, image.header)
    multiplied.header.set_data_dtype(np.float32)
    multiplied.header.set_slope_inter(1, 0)
    return multiplied


def _dcm2niix(frames: Sequence[Frame], folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Run dcm2niix on links to the files; return its images, and the sidecar of the first."""
    source, target = folder / "dicom", folder / "nifti"
    source.mkdir(parents=True)
    target.mkdir()
    for number, path in enumerate(dict.fromkeys(image.path for frame in frames for image in frame)):
        (source / f"{number:06d}.dcm").symlink_to(path.resolve())
    # An MR of Philips as RescaleSlope says, not by its private slope; with "n", a PET whose slices
    # have slopes of their own would be given that of the first.
    philips = ("-p", "n" if frames[0][0].text("Modality") == "MR" else "y")
    _call([*_FLAGS, *philips, "-o", str(target), str(source)])
    images = [path for path in sorted(target.glob("*.nii")) if "_Eq" not in path.stem]
    for path in sorted(target.glob("*.json")):
        try:
            return images, lenient_json(path.read_bytes())
        except ValueError:
            continue
    return images, {}


def _loaded(path: Path) -> nib.Nifti1Image:
    try:
        return nib.Nifti1Image.from_filename(path)
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise BadDataError("dcm2niix left no readable image") from error


def _stacked(frames: Sequence[Frame], series: Series) -> nib.Nifti1Image:
    """Image of the DICOM pixels, stacked as their headers say, with the axes dcm2niix gives it.

    The axes count columns, rows from the last to the first, and slices along their normal.
    """
    lowest, highest = frames[0][0], frames[0][-1]
    if lowest is highest:
        raise lowest.error(
            "ImagePositionPatient", "is the same in all images, so they do not form a volume"
        )
    rows, columns = lowest.shape
    corner, along_row, along_column = _grid(lowest)
    steps = max(len(frames[0]) - 1 + int(series.missing_slices().sum()), 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along_row, -along_column
    affine[:3, 2] = (_grid(highest)[0] - corner) / steps
    affine[:3, 3] = corner + (rows - 1) * along_column
    unscaled = {scaling(image) for frame in frames for image in frame} == {(1.0, 0.0)}
    voxels = None
    for plane in planes(frames):
        if voxels is None:
            dtype = plane.stored.dtype.newbyteorder("=") if unscaled else np.dtype(np.float32)
            voxels = np.empty((columns, rows, len(frames[0]), len(frames)), dtype)
        voxels[:, ::-1, plane.z, plane.frame] = (plane.stored if unscaled else plane.rescaled).T
    assert voxels is not None
    image = nib.Nifti1Image(voxels if len(frames) > 1 else voxels[..., 0], affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return image


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


def fill_gaps(converted: ConvertedImage, series: Series) -> ConvertedImage:
    """Put interpolated slices where whole slices are missing in a T1w.

    dcm2niix stacks the slices it finds as if none were missing, so everything beyond a gap would
    move towards it; its own ``_Eq`` image resamples, and blurs, the whole volume instead.  Linear
    interpolation of the missing slices alone keeps every measured voxel as and where it was.

    Parameters
    ----------
    converted : what dcm2niix made
    series : of it

    Returns
    -------
    ConvertedImage

    Raises
    ------
    BadDataError
        See `Series.missing_slices`; or dcm2niix left out a slice.
    """
    missing = series.missing_slices()
    if not missing.any():
        return converted
    voxels = np.asarray(converted.image.dataobj.get_unscaled())  # type: ignore[attr-defined]
    if voxels.shape[2] != len(missing) + 1:
        raise refused("conversion", "slices", made=voxels.shape[2], n=len(missing) + 1)
    index = np.concatenate([[0], np.cumsum(missing + 1)])  # place of the slices along the normal
    if _axis_runs_backwards(converted.image, series):
        index = index[-1] - index[::-1]
    image = nib.Nifti1Image(
        _interpolated(voxels, index), converted.image.affine, converted.image.header
    )
    image.header.set_slope_inter(*converted.image.header.get_slope_inter())
    total = count(int(missing.sum()), "missing slice")
    remark = worded_flag("note", "interpolated", slices=total)
    return ConvertedImage(image, converted.sidecar, (*converted.remarks, remark))


def _axis_runs_backwards(image: nib.Nifti1Image, series: Series) -> bool:
    """Whether the third voxel axis runs against the DICOM slice normal."""
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


def verify(image: nib.Nifti1Image, frames: Sequence[Frame], series: Series) -> None:
    """Compare every voxel of an image with the DICOM files it was made of.

    Parameters
    ----------
    image : shape (X, Y, Z) or (X, Y, Z, T)
    frames : of the series, in time
    series : that it was made of

    Raises
    ------
    BadDataError
        A slice is not where its header says, or its voxels have other values.
    """
    n_frames = image.shape[3] if image.ndim == 4 else 1
    n_slices = len(frames[0]) + int(series.missing_slices().sum())
    rows, columns = series.header.shape
    wanted, made = (columns, rows, n_slices), image.shape[:3]
    if n_frames != len(frames) or np.prod(image.shape) != np.prod(wanted) * n_frames:
        n = len(frames)
        raise refused("conversion", "shape", n_frames=n_frames, made=made, n=n, wanted=wanted)
    if abs(np.linalg.det(image.affine[:3, :3])) < SMALLEST_VOXEL_MM3:
        raise refused("conversion", "no-place")
    voxels = np.asanyarray(image.dataobj).reshape(*image.shape[:3], n_frames)
    tolerance = [_VALUE_TOLERANCE * _largest(voxels[..., number]) for number in range(n_frames)]
    to_voxel = np.linalg.inv(image.affine)
    for plane in planes(frames):
        stored = _slice_at(voxels[..., plane.frame], to_voxel, plane.header)
        difference = float(np.abs(stored - plane.rescaled).max())
        if not difference <= tolerance[plane.frame]:
            raise refused("conversion", "voxels", plane=plane, difference=difference)


def _largest(voxels: NDArray[Any]) -> float:
    return max(abs(float(voxels.min())), abs(float(voxels.max())))


def _slice_at(voxels: NDArray[Any], to_voxel: NDArray[np.float64], header: Header) -> NDArray[Any]:
    """Voxels at the place of an image, shape (rows, columns).

    Parameters
    ----------
    voxels : of one frame, shape (X, Y, Z)
    to_voxel : world (RAS, mm) -> voxel, 4 x 4
    header : of the image
    """
    rows, columns = header.shape
    corner, along_row, along_column = _grid(header)
    ends = np.array(
        [corner, corner + (rows - 1) * along_column, corner + (columns - 1) * along_row]
    )
    exact = ends @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    first, down, right = index = np.rint(exact).astype(int)
    inside = (index >= 0).all() and (index < voxels.shape).all()
    if not inside or np.abs(exact - index).max() > _PLACE_TOLERANCE:
        raise refused("conversion", "off-grid", header=header)
    r, c = np.arange(rows)[:, np.newaxis], np.arange(columns)
    step_down, step_right = (
        (down - first) // max(rows - 1, 1),
        (right - first) // max(columns - 1, 1),
    )
    x, y, z = (f + r * d + c * s for f, d, s in zip(first, step_down, step_right, strict=True))
    return np.asarray(voxels[x, y, z])


def _grid(header: Header) -> tuple[NDArray[np.float64], ...]:
    """Corner of an image, and the steps to the next column and to the next row; RAS, mm."""
    orientation = np.array(header.required("ImageOrientationPatient", 6))
    row_spacing, column_spacing = header.required("PixelSpacing", 2)
    corner = np.array(header.required("ImagePositionPatient", 3))
    to_ras = np.array([-1, -1, 1])
    return (
        corner * to_ras,
        orientation[:3] * column_spacing * to_ras,
        orientation[3:] * row_spacing * to_ras,
    )
