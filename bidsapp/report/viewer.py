"""Data of the viewer in a page: images as bytes, voxel by voxel.

The viewer (``assets/viewer.js``) is our own, some 300 lines; ``docs/pages.md`` says why none of the
maintained ones. Uptake is kept exactly as quantised (256 steps,
differences of neighbours, gzip); the T1w, whose grey values nobody measures, is WebP.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from bidsapp.core.grid.alignment import inverse
from bidsapp.core.grid.sampling import nearest_voxels
from bidsapp.core.grid.volume import Grid, Volume, known_or_zero
from bidsapp.report.image_frame import ImageFrame
from bidsapp.report.render import base64_text

LEVELS = 255


@dataclass(frozen=True)
class Block:
    """An image for the viewer, on the axes of a `ImageFrame`.

    Attributes
    ----------
    codec : ``delta`` (gzipped differences along x) or ``webp`` (axial slices as tiles)
    content : the bytes
    shape : voxels along x, y, z; x fastest
    low : coordinate of the first voxel in the frame, mm
    step : edges of a voxel, mm
    slope : value of one step
    columns : tiles in a row of ``webp``
    """

    codec: str
    content: bytes
    shape: tuple[int, int, int]
    low: tuple[float, ...]
    step: tuple[float, ...]
    slope: float
    columns: int = 0

    @property
    def text(self) -> str:
        """Content as base64."""
        return base64_text(self.content)

    @property
    def about(self) -> dict[str, Any]:
        """Everything but the content, for the script."""
        return {"codec": self.codec, "shape": self.shape, "low": self.low, "step": self.step,
                "slope": self.slope, "columns": self.columns}  # fmt: skip


def measured_block(volume: Volume, frame: ImageFrame, step_mm: float, top: float) -> Block:
    """Keep values of an image on the grid of a frame, see `values_block`.

    Parameters
    ----------
    volume : on the grid of the frame
    frame : what is shown
    step_mm : voxels of about so many mm
    top : value of the last step

    Returns
    -------
    Block
    """
    return values_block(frame.part(volume.data, frame.strides(step_mm)), frame, step_mm, top)


def moved(
    volume: Volume, to_image: NDArray[np.float64], frame: ImageFrame, step_mm: float
) -> NDArray[np.float32]:
    """Resample an image to the voxels of a frame, trilinear.

    Parameters
    ----------
    volume : in its own space
    to_image : world of the frame -> world of the image, 4 x 4
    frame : what is shown
    step_mm : voxels of about so many mm

    Returns
    -------
    ndarray, float32
    """
    matrix = inverse(volume.affine) @ to_image @ frame.indices_to_world(step_mm)
    values: NDArray[np.float32] = affine_transform(
        known_or_zero(volume.data), matrix[:3, :3], matrix[:3, 3], frame.shape(step_mm),
        order=1, mode="grid-constant",
    )  # fmt: skip
    return values


def values_block(values: NDArray[Any], frame: ImageFrame, step_mm: float, top: float) -> Block:
    """Keep values on the voxels of a frame, from 0 to ``top`` in 256 steps.

    Parameters
    ----------
    values : shape of the frame at ``step_mm``
    frame : what is shown
    step_mm : voxels of about so many mm
    top : value of the last step

    Returns
    -------
    Block
    """
    strides, share = frame.strides(step_mm), np.clip(np.asarray(values, np.float32) / top, 0, 1)
    return _delta(np.rint(share * LEVELS).astype(np.uint8), frame, strides, top / LEVELS)


def label_block(labels: Volume, frame: ImageFrame) -> Block:
    """Keep whole numbers from 0 to 255, such as a bit per region.

    Parameters
    ----------
    labels : on the grid of the frame
    frame : what is shown

    Returns
    -------
    Block
    """
    return _delta(np.asarray(frame.part(labels.data, (1, 1, 1)), np.uint8), frame, (1, 1, 1), 1.0)


def scattered_label_block(
    regions: Iterable[NDArray[np.float64]], point_ml: float, frame: ImageFrame, step_mm: float
) -> Block:
    """Keep a bit per region that is given by points evenly spread in it.

    Parameters
    ----------
    regions : points of each, shape (N, 3), RAS mm; a voxel half filled by them belongs to it
    point_ml : volume that a point stands for
    frame : what is shown
    step_mm : voxels of about so many mm

    Returns
    -------
    Block
    """
    to_world, shape = frame.indices_to_world(step_mm), frame.shape(step_mm)
    least = 0.5 * abs(np.linalg.det(to_world)) / (1000 * point_ml)
    bits = np.zeros(int(np.prod(shape)), np.uint8)
    for place, points in enumerate(regions):
        nearest = nearest_voxels(Grid(shape, to_world), points)
        bits[np.bincount(nearest[nearest >= 0], minlength=bits.size) >= least] |= 1 << place
    return _delta(bits.reshape(shape), frame, frame.strides(step_mm), 1.0)


def picture_block(volume: Volume, frame: ImageFrame, step_mm: float) -> Block:
    """Keep what an image looks like: grey up to just above its brightest tissue.

    Parameters
    ----------
    volume : on the grid of the frame
    frame : what is shown
    step_mm : voxels of about so many mm

    Returns
    -------
    Block
    """
    from PIL import Image

    strides = frame.strides(step_mm)
    data = np.asarray(frame.part(volume.data, strides), np.float32)
    measured = data[::3, ::3, ::3]
    measured = measured[measured > 0]
    top = float(1.25 * np.percentile(measured, 98)) if measured.size else 1.0
    counts = np.rint(np.clip(data * (1 / max(top, 1e-6)), 0, 1) * LEVELS).astype(np.uint8)
    width, height, n = counts.shape
    columns = max(1, round((n * height / width) ** 0.5))
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:n] = counts.transpose(2, 1, 0)
    sheet = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    file = io.BytesIO()
    Image.fromarray(sheet.reshape(rows * height, columns * width)).save(
        file, format="webp", quality=50, method=0
    )
    low, step = _place(frame, strides)
    return Block("webp", file.getvalue(), counts.shape, low, step, top / LEVELS, columns)


def _delta(
    counts: NDArray[np.uint8], frame: ImageFrame, strides: Sequence[int], slope: float
) -> Block:
    differences = np.diff(counts, axis=0, prepend=np.uint8(0)).transpose(2, 1, 0)
    content = gzip.compress(np.ascontiguousarray(differences).tobytes(), 5, mtime=0)
    low, step = _place(frame, strides)
    return Block("delta", content, counts.shape, low, step, slope)


def _place(
    frame: ImageFrame, strides: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """First coordinate and steps of a block, short enough to write."""
    step = frame.steps * np.array(strides)
    return tuple(np.round(frame.low, 3).tolist()), tuple(np.round(step, 4).tolist())
