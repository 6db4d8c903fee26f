"""NIfTI in and out: the only place that reads or writes images.

Writing is atomic (temporary file, then ``os.replace``) and reproducible: the gzip header carries
neither a file name nor a time, so the same voxels give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from bidsapp.core.grid.resample import RAS_LPS, resample
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.atomic import write_gzip
from bidsapp.io.reading import pointer_in
from bidsapp.io.untouched import load

load("nibabel")

import nibabel as nib  # noqa: E402

# It says on stderr what is odd in a header; what matters of it is an error or a flag of ours.
nib.imageglobals.logger.setLevel("CRITICAL")

# What an image of a head may have: generous, to tell broken headers from unusual scans.
_MOST_VOXELS = 2**29  # 800 cubed, more than 0.4 mm voxels need
_MOST_VALUES = 2**32  # in all frames
_VOXEL_MM = (0.1, 20.0)
_FARTHEST_MM = 1e5  # single-precision coordinates are 0.01 mm apart there
_MOST_EXTRA_MB = 64
_PIECE = 1 << 18  # bytes: fit into the processor's cache
_MM, _UNIT_OF_TIME = 2, 0b111000  # in the unit of a header: code of mm, bits of the other
_LONGER = "it continues after the voxels that its header declares"


def load_volume(path: str | Path, *, dtype: type = np.float32, ndim: int | None = None) -> Volume:
    """Read a NIfTI image, to the checksum at its end.

    Parameters
    ----------
    path : path
    dtype : numpy type of the returned voxels (after slope and intercept)
    ndim : required number of dimensions, 3 or 4; trailing axes of length one are dropped first

    Returns
    -------
    Volume
        The sform places the voxels when it is set, otherwise the qform (nibabel's rule). NaN where
        a voxel is not finite or beyond the range of ``dtype``.

    Raises
    ------
    NoInputError
        The file is missing, damaged or no NIfTI.
    BadDataError
        Wrong dimensions, impossible voxel sizes or place in space, or no finite voxel.
    """
    path = Path(path)
    kind, _, shape = _look(path)
    if ndim is not None and len(shape) != ndim:
        raise BadDataError(f"{path}: has {len(shape)} dimensions {shape}, expected {ndim}")
    with _told_clearly(path), _opened(path) as stream:
        image = kind.from_file_map({"image": nib.FileHolder(fileobj=stream)})
        data = _as_numbers(image.dataobj, dtype).reshape(shape)
        _to_the_end(stream)
    if data.dtype.kind == "f" and not np.isfinite(data).any():
        raise BadDataError(f"{path}: contains no finite voxel")
    return Volume(data, np.asarray(image.affine, dtype=np.float64))


def from_nibabel(image: Any) -> Volume:
    """Voxels of a nibabel image, float32, NaN where one is not finite.

    Parameters
    ----------
    image : of nibabel, any format

    Returns
    -------
    Volume
        In the world of its affine, RAS mm.
    """
    return Volume(_as_numbers(image.dataobj, np.float32), np.asarray(image.affine, np.float64))


def as_nibabel(volume: Volume) -> nib.Nifti1Image:
    """NIfTI image of nibabel in memory, in mm.

    Parameters
    ----------
    volume : of any shape, affine in RAS mm

    Returns
    -------
    Nifti1Image
    """
    image = nib.Nifti1Image(volume.data, volume.affine)
    image.header.set_xyzt_units("mm")
    return image


def load_labels(path: str | Path) -> Volume:
    """Read an image of labels, float64: NIfTI, or FreeSurfer's MGH.

    Parameters
    ----------
    path : path ending in ``.nii``, ``.nii.gz``, ``.mgh`` or ``.mgz``

    Returns
    -------
    Volume
        3D or 4D, affine in RAS mm.

    Raises
    ------
    NoInputError, BadDataError
        As `load_volume`.
    """
    path = Path(path)
    if path.suffix not in (".mgz", ".mgh"):
        return load_volume(path, dtype=np.float64)
    with _told_clearly(path, "MGH"):
        image: Any = nib.load(path)
        if not isinstance(image, nib.MGHImage):
            raise ValueError(f"it is {type(image).__name__}")
        data = _as_numbers(image.dataobj, np.float64)
        affine = np.asarray(image.affine, np.float64)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim not in (3, 4) or min(data.shape[:3]) < 2:
        raise BadDataError(f"{path}: has the dimensions {data.shape}, expected three")
    return Volume(data, affine)


def read_frames(path: str | Path, *more: str | Path) -> Iterator[Volume]:
    """Read a NIfTI image frame by frame, so that a long study need not fit into memory.

    Parameters
    ----------
    path : path of an image of three or four dimensions
    *more : files that go on with the same scan

    Yields
    ------
    Volume
        Each frame, 3D, float32, NaN where a voxel is not finite. Those of a later file on another
        grid are interpolated on that of the first (`resample`).

    Raises
    ------
    NoInputError, BadDataError
        As `load_volume`; what is wrong with a late frame is found when its turn comes.
    """
    yield from _frames(Path(path))
    if not more:
        return
    grid = read_grid(path)
    for continuation in more:
        for frame in _frames(Path(continuation)):
            yield frame if frame.grid.is_same(grid) else resample(frame, grid, np.eye(4))


def _frames(path: Path) -> Iterator[Volume]:
    kind, _, shape = _look(path)
    if len(shape) == 3:
        yield load_volume(path)
        return
    with _told_clearly(path), _opened(path) as stream:
        image = kind.from_file_map({"image": nib.FileHolder(fileobj=stream)})
        affine = np.asarray(image.affine, dtype=np.float64)
        for index in range(shape[3]):
            data = _as_numbers(image.dataobj[:, :, :, index], np.float32)
            yield Volume(data.reshape(shape[:3]), affine)
        _to_the_end(stream)


def _as_numbers(voxels: Any, dtype: type) -> NDArray[Any]:
    """Voxels of a type; infinite ones are as missing as those that are not a number."""
    with np.errstate(over="ignore"):
        data: NDArray[Any] = np.asarray(voxels, dtype=dtype)
    if data.dtype.kind == "f" and np.isinf(data).any():
        data = np.where(np.isinf(data), np.array(np.nan, data.dtype), data)
    return data


def read_shape(path: str | Path) -> tuple[int, ...]:
    """Shape of a NIfTI image from its header alone, trailing axes of length one dropped.

    Parameters
    ----------
    path : ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    tuple of int
        Three or four lengths.

    Raises
    ------
    NoInputError
        The file is missing or no NIfTI.
    BadDataError
        The header states what no image of a head has: other than three or four dimensions, an axis
        of one voxel, more voxels than a scanner makes, voxels that are not numbers on a scale,
        voxel sizes or a place in space that cannot be.
    """
    return _look(Path(path))[2]


def read_grid(path: str | Path) -> Grid:
    """Grid of a NIfTI image of three axes, or of each frame of one of four, from its header.

    Parameters
    ----------
    path : ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    Grid
        Shape (X, Y, Z), affine voxel -> world, RAS mm.

    Raises
    ------
    NoInputError, BadDataError
        As `read_shape`.
    """
    return read_geometry(path)[1]


def read_geometry(path: str | Path) -> tuple[tuple[int, ...], Grid]:
    """Shape and grid of a NIfTI image (`read_shape`, `read_grid`), of one look at its header.

    Parameters
    ----------
    path : ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    tuple of int, Grid

    Raises
    ------
    NoInputError, BadDataError
        As `read_shape`.
    """
    _, header, shape = _look(Path(path))
    x, y, z, *_ = shape
    return shape, Grid((x, y, z), np.asarray(header.get_best_affine(), np.float64))


def affine_disagreement(path: str | Path) -> float | None:
    """How far apart sform and qform of a header place the corners of its image, mm.

    Zero when only one of them is set, None when none is.

    Parameters
    ----------
    path : ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    float or None
        mm.
    """
    _, header, _ = _look(Path(path))
    places = [header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]]
    if places[0] is None or places[1] is None:
        return None if places[0] is places[1] else 0.0
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(header.get_data_shape()[:3]) - 1)
    difference = np.asarray(places[0] - places[1], dtype=np.float64)
    apart = corners @ difference[:3, :3].T + difference[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


def _look(path: Path) -> tuple[type[nib.Nifti1Image], nib.Nifti1Header, tuple[int, ...]]:
    """Class (NIfTI-1 or -2), header and shape of an image whose header makes sense."""
    with _told_clearly(path):
        is_file = stat.S_ISREG(path.stat().st_mode)
    if not is_file:  # opening a pipe waits for ever
        raise NoInputError(f"{path}: cannot be read as NIfTI; it is not a file")
    with _told_clearly(path):
        kind, header = _read_header(path)
        stated = header.copy()
        header.check_fix()  # amends some
        affine, kept_as = header.get_best_affine(), header.get_data_dtype()
        shape, offset = tuple(map(int, header.get_data_shape())), header.get_data_offset()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4):
        raise BadDataError(
            f"{path}: has {len(shape)} dimensions {shape}, not 3 or 4; give the whole image"
        )
    if min(shape) < 1 or min(shape[:3]) < 2:
        raise BadDataError(
            f"{path}: has an axis of fewer than two voxels {shape}; give the whole image"
        )
    if math.prod(shape[:3]) > _MOST_VOXELS or math.prod(shape) > _MOST_VALUES:
        raise BadDataError(
            f"{path}: is too large to be an image of a head {shape}; crop it, or convert it again"
        )
    if kept_as.kind not in "biuf":
        raise BadDataError(
            f"{path}: voxels of type {kept_as} are not numbers on a scale; convert it again"
        )
    _check_place(path, affine, stated)
    if offset < kind.header_class.single_vox_offset:  # nibabel would read the header as voxels
        raise BadDataError(
            f"{path}: its header has the voxels begin at byte {offset}, within itself; convert it "
            "again"
        )
    most = offset + math.prod(shape) * kept_as.itemsize
    if path.stat().st_size > most + (_MOST_EXTRA_MB << 20):
        raise NoInputError(f"{path}: {_LONGER}; export or copy it again")
    return kind, header, shape


def _read_header(path: Path) -> tuple[type[nib.Nifti1Image], nib.Nifti1Header]:
    """Header as it stands in a file; nibabel's `load` would try every format that it knows."""
    with _opened(path) as stream:
        block = stream.read(nib.Nifti2Header.sizeof_hdr)
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        known = kind.header_class
        if known.may_contain_header(block):
            header = known(block[: known.sizeof_hdr], check=False)
            if header["magic"] == known.single_magic:
                return kind, header
            raise NoInputError(
                f"{path}: cannot be read as NIfTI; its voxels are in another file (.img), or its "
                "magic number is damaged: convert the pair to one .nii.gz"
            )
    named = type(nib.load(path)).__name__
    raise NoInputError(f"{path}: cannot be read as NIfTI; it is {named}")


def _check_place(path: Path, affine: NDArray[np.float64], stated: nib.Nifti1Header) -> None:
    """Refuse an affine that puts the voxels nowhere, or sizes that were never stated."""
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise BadDataError(f"{path}: its affine places no volume in space; convert it again")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    unstated = stated["sform_code"] <= 0 and (np.abs(stated["pixdim"][1:4]) == 0).any()
    least, most = _VOXEL_MM
    if unstated or not (sizes >= least).all() or not (sizes <= most).all():
        shown = "zero" if unstated else " x ".join(f"{size:g}" for size in sizes) + " mm"
        raise BadDataError(
            f"{path}: its voxel size ({shown}) is not that of a head scan in mm; convert it again"
        )
    if np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise BadDataError(f"{path}: its affine lies too far from the origin; convert it again")


class _Compressed(igzip.IGzipFile):
    """A gzipped file whose content need not be in memory twice to be read into an array."""

    def readinto(self, buffer: Any) -> int:
        view, done = memoryview(buffer).cast("B"), 0
        while piece := self.read(min(_PIECE, len(view) - done)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done


def _opened(path: Path) -> BufferedIOBase:
    return _Compressed(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _to_the_end(stream: BufferedIOBase) -> None:
    """Read on to the checksum at the end of a compressed file: half a copy must not pass."""
    for _ in range(_MOST_EXTRA_MB):
        if not stream.read(1 << 20):
            return
    raise ValueError(_LONGER)


@contextmanager
def _told_clearly(path: Path, kind: str = "NIfTI") -> Iterator[None]:
    """Turn what nibabel and gzip raise on missing and broken files into errors of ours."""
    try:
        yield
    except FileNotFoundError as error:
        if path.is_symlink():
            raise NoInputError(
                f"{path}: is a link to an image that is not there; fetch its content"
            ) from error
        raise NoInputError(f"{path}: no such image") from error
    except nib.spatialimages.HeaderDataError as error:
        raise BadDataError(f"{path}: broken NIfTI header ({error}); convert it again") from error
    except (
        OSError, EOFError, ValueError, OverflowError, TypeError, KeyError, zlib.error,
        isal_zlib.error, nib.filebasedimages.ImageFileError,
    ) as error:  # type: ignore[misc]  # fmt: skip
        reason, remedy = _content_of(path) or (
            " ".join(str(error).split()),
            "export or copy it again",
        )
        raise NoInputError(f"{path}: cannot be read as {kind} ({reason}); {remedy}") from error


def _content_of(path: Path) -> tuple[str, str] | None:
    """What is under the name of an image instead, and what to do; None for what is not known."""
    try:
        with path.open("rb") as file:
            start = file.read(nib.Nifti2Header.sizeof_hdr)
    except OSError:
        return None
    if (pointer := pointer_in(start)) is not None:
        return f"a {pointer} pointer without the image", "fetch its content"
    is_gzip, has_ending = start.startswith(b"\x1f\x8b"), path.suffix.lower() == ".gz"
    if is_gzip and not has_ending:
        return "it is compressed by gzip", "name it .nii.gz"
    if has_ending and not is_gzip and nib.Nifti1Header.may_contain_header(start):
        return "it is not compressed", "name it .nii"
    return None


def save_volume(
    path: str | Path,
    volume: Volume,
    *,
    dtype: type | None = None,
    shown: tuple[float, float] | None = None,
    space: str | None = None,
    frames_of: str | Path | None = None,
) -> Path:
    """Write ``volume`` as gzipped NIfTI-1, atomically and bit-reproducibly.

    Parameters
    ----------
    path : path ending in ``.nii.gz``
    volume : Volume
    dtype : type on disk; None keeps that of the array
    shown : values that viewers show as black and white (``cal_min``, ``cal_max``)
    space : in which it lies, if the name of the file does not say it
    frames_of : image whose frames these are: they last as long

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    data = np.asarray(volume.data, dtype=dtype)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    image = nib.Nifti1Image(data, volume.affine)
    image.header.set_xyzt_units("mm", "sec" if data.ndim > 3 else None)
    if shown is not None:
        image.header["cal_min"], image.header["cal_max"] = shown
    if frames_of is not None and data.ndim > 3:
        _, header, _ = _look(Path(frames_of))
        image.header["pixdim"][4] = header["pixdim"][4]
        image.header["xyzt_units"] = _MM | int(header["xyzt_units"]) & _UNIT_OF_TIME
    return _write_image(path, image, space)


def save_frames(
    path: str | Path, frames: Iterable[Volume], n_frames: int, *, frame_s: float
) -> Path:
    """Write frames as one gzipped NIfTI-1 image, float32, while they come: see `save_volume`.

    Parameters
    ----------
    path : path ending in ``.nii.gz``
    frames : 3D volumes on one grid
    n_frames : how many will come
    frame_s : duration of a frame, their mean where they differ, s: the header has room for one

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    return write_gzip(path, _in_parts(path, frames, n_frames, frame_s))


def _in_parts(
    path: str | Path, frames: Iterable[Volume], n_frames: int, frame_s: float
) -> Iterator[bytes]:
    """Header and frames as they stand in the file."""
    written = 0
    for frame in frames:
        if written == 0:  # the header, and that no extension follows
            yield _frames_header(path, frame, n_frames, frame_s).binaryblock + b"\0" * 4
        yield np.asarray(frame.data, "<f4").tobytes(order="F")
        written += 1
    if written != n_frames:
        raise ValueError(f"{path}: not {n_frames} frames")


def _frames_header(
    path: str | Path, frame: Volume, n_frames: int, frame_s: float
) -> nib.Nifti1Header:
    image = nib.Nifti1Image(np.asarray(frame.data, np.float32), frame.affine)
    _tell_space(image, path)
    header = nib.Nifti1Header(image.header.binaryblock, endianness="<")
    header.set_data_shape((*frame.data.shape, n_frames))
    header["pixdim"][4] = frame_s
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    return header


def save_displacements(
    path: str | Path, displacements: NDArray[np.float32], affine: NDArray[np.float64]
) -> Path:
    """Write a displacement field that ITK recognises as one (NIfTI intent ``vector``).

    Parameters
    ----------
    path : path ending in ``.nii.gz``
    displacements : ndarray, shape (X, Y, Z, 1, 3), LPS mm
    affine : ndarray, shape (4, 4), voxel indices -> world, RAS mm

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The disk is full or refused the write.
    """
    image = nib.Nifti1Image(displacements, affine)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm")
    return _write_image(path, image)


def load_displacements(path: str | Path) -> Volume:
    """Read a displacement field as `save_displacements` wrote it.

    Parameters
    ----------
    path : ending in ``.nii.gz``

    Returns
    -------
    Volume
        Displacements in mm, RAS, shape (X, Y, Z, 3).

    Raises
    ------
    NoInputError, BadDataError
        The file is missing or no NIfTI; it does not hold a field of three components.
    """
    with _told_clearly(Path(path)):
        image: Any = nib.load(path)  # nibabel's type is that of a file of any format
        data = np.asanyarray(image.dataobj)
    if data.ndim != 5 or data.shape[3:] != (1, 3) or not np.isfinite(data).all():
        raise BadDataError(f"{path}: is not a displacement field; run the participant level again")
    return Volume(data[:, :, :, 0] * np.diag(RAS_LPS)[:3], np.asarray(image.affine, np.float64))


def _write_image(path: str | Path, image: nib.Nifti1Image, space: str | None = None) -> Path:
    """Write an image as nibabel would, its voxels unscaled.

    In a file the first axis runs fastest. It is turned plane by plane, each copied together first:
    nibabel, which strides through the whole, takes five times as long.
    """
    _tell_space(image, path, space)
    image.update_header()
    image.header.set_slope_inter(1, 0)
    head = BytesIO()
    image.header.write_to(head)
    data = np.asarray(image.dataobj)
    content = np.empty(head.tell() + data.nbytes, np.uint8)
    content[: head.tell()] = np.frombuffer(head.getvalue(), np.uint8)
    voxels = content[head.tell() :].view(data.dtype).reshape(data.shape, order="F")
    for y in range(data.shape[1]):
        voxels[:, y] = data[:, y].copy()
    return write_gzip(path, [content.data])


def _tell_space(image: nib.Nifti1Image, path: str | Path, space: str | None = None) -> None:
    """Say in the header in what space an image lies: the one given, or that of its BIDS name."""
    space = space or named_space(path) or ""
    # what is only turned (MNIrigid) has no coordinates of the template
    code = "mni" if space.startswith("MNI152") else "aligned" if space else "scanner"
    image.set_sform(image.affine, code=code)
    image.set_qform(image.affine, code=code)


def named_space(path: str | Path) -> str | None:
    """Space in the BIDS name of an image; None if there is none.

    Parameters
    ----------
    path : with entities in its name

    Returns
    -------
    str or None
        Label of ``space-`` or ``tpl-``.
    """
    match = re.search(r"(?:^|_)(?:space|tpl)-([A-Za-z0-9]+)", Path(path).name)
    return match[1] if match else None


def voxel_hash(path: str | Path) -> str:
    """SHA-256 of the voxels of an image as they are stored, as ``sha256:<hex>``.

    The same for another header, name or compression of the same voxels.

    Parameters
    ----------
    path : ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    str
    """
    _, header = _read_header(Path(path))
    shape, kept_as = header.get_data_shape(), header.get_data_dtype()
    digest = hashlib.sha256(f"{shape} {kept_as.str}".encode())
    left = math.prod(shape) * kept_as.itemsize
    with _opened(Path(path)) as file:
        file.seek(header.get_data_offset())
        while left > 0 and (chunk := file.read(min(left, 1 << 22))):
            digest.update(chunk)
            left -= len(chunk)
    return "sha256:" + digest.hexdigest()
