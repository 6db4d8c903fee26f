"""Checks of a user's atlas: position on the brain, left and right, shift.

An atlas is compared with grey matter and brain of the template. Each function returns a sentence
about the error, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from bidsapp.core.grid.volume import Grid

Mask = NDArray[np.bool_]
Float = NDArray[np.float64]

# Measured on 27 atlases drawn in four MNI templates (tests/benchmarks/atlas_checks.py): at least
# 0.997 of their voxels lie in the brain dilated by 4 mm; those of 800 ml and more fit best where
# they are or up to 2.8 mm beside. The mirror image of a whole brain fits worse by 0.001-0.007, that
# of a cortex by 0.006-0.017, but that of one correct atlas better by 0.008: mirrored cortical
# atlases are mostly recognised without a label table, others only by the names of their regions.
LEAST_INSIDE = 0.9
DILATED_MM = 4.0
LARGEST_SHIFT_MM = 3.0
LARGEST_MIRROR_GAIN = 0.012
# Of parcellations in the space of a T1w (tests/benchmarks/parcellations.py, ten heads): their own
# explain the tissues at least 3.2 times as well as beside, moved by 2 mm or mirrored at most 1.5
# times, those of another head at most 1.2 times.
BESIDE_MM = 5.0
LEAST_OWN_INSIDE = 0.5
LEAST_GAIN = 2.0
# Smaller sets of regions have too little shape.
LEAST_ML = {"shift": 800.0, "mirror": 400.0}
_FARTHEST_MM = 40.0


@dataclass(frozen=True)
class Anatomy:
    """Reference for the checks of an atlas, all on one grid whose x axis is symmetric about 0.

    Attributes
    ----------
    brain : ndarray of bool
    grey, white : ndarray, probabilities
    grid : Grid
    """

    brain: Mask
    grey: NDArray[np.floating]
    white: NDArray[np.floating]
    grid: Grid


def best_fit(mask: Mask, tissue: Float, grid: Grid) -> tuple[float, Float]:
    """Find the shift at which a mask covers most tissue.

    Parameters
    ----------
    mask, tissue : ndarray, shape (X, Y, Z)
    grid : of both

    Returns
    -------
    correlation : of both, the mask moved there
    shift : ndarray, shape (3,)
        World mm, up to 40 along each axis.
    """
    size = [fft.next_fast_len(n + int(_FARTHEST_MM), real=True) for n in grid.shape]
    centred = tissue - tissue.mean()
    product = fft.rfftn(centred, size) * np.conj(fft.rfftn(mask.astype(np.float64), size))
    overlap = fft.irfftn(product, size)
    reach = (_FARTHEST_MM / grid.voxel_size).astype(int)
    window = overlap[tuple(np.ix_(*(np.arange(-r, r + 1) for r in reach)))]
    place = np.unravel_index(int(np.argmax(window)), window.shape)
    spread = mask.sum() * (1 - mask.mean()) * (centred**2).sum()
    shift = grid.affine[:3, :3] @ (np.array(place) - reach)
    return float(window[place] / np.sqrt(spread)), shift


def outside_brain(inside_grid: float, labelled: Mask, anatomy: Anatomy) -> str | None:
    """Report an atlas that is not on the brain of the template.

    Parameters
    ----------
    inside_grid : part of its labelled voxels that reach the grid of the template at all
    labelled : its foreground on that grid
    anatomy : Anatomy

    Returns
    -------
    str or None
        One sentence.
    """
    voxel_size = anatomy.grid.voxel_size.tolist()
    near = ndimage.distance_transform_edt(~anatomy.brain, sampling=voxel_size) <= DILATED_MM
    share = inside_grid * (float(near[labelled].mean()) if labelled.any() else 0.0)
    if share >= LEAST_INSIDE:
        return None
    return (
        f"only {share:.0%} of its labelled voxels lie in the brain of the template; its affine is "
        "wrong or it is drawn in another space"
    )


def shifted(labelled: Mask, anatomy: Anatomy) -> str | None:
    """Report an atlas that fits the tissue of the template better when shifted.

    Parameters
    ----------
    labelled : foreground of the atlas on the grid of the template
    anatomy : Anatomy

    Returns
    -------
    str or None
        One sentence.
    """
    if not _has_shape(labelled, anatomy, "shift"):
        return None
    fits = [best_fit(labelled, tissue, anatomy.grid) for tissue in _tissues(anatomy)]
    _, shift = max(fits, key=lambda pair: pair[0])
    if np.linalg.norm(shift) <= LARGEST_SHIFT_MM:
        return None
    x, y, z = (f"{value:+.0f}" for value in shift)
    return (
        f"it is shifted: it fits the template best when moved by ({x}, {y}, {z}) mm (right, front, "
        "up); correct its affine"
    )


def mirrored(labelled: Mask, sides: Sequence[tuple[str, float]], anatomy: Anatomy) -> str | None:
    """Report an atlas with left and right exchanged.

    Parameters
    ----------
    labelled : its foreground on the grid of the template
    sides : hemisphere by the label table (``L`` or ``R``) and x coordinate (mm) of the centre of
        each region that names its side
    anatomy : Anatomy

    Returns
    -------
    str or None
        One sentence.
    """
    if words := exchanged(sides):
        return words
    if sides or not _has_shape(labelled, anatomy, "mirror"):
        return None
    fits = [
        (_correlation(labelled, tissue), _correlation(labelled[::-1], tissue))
        for tissue in _tissues(anatomy)
    ]
    as_given, other = max(fits)
    if other - as_given <= LARGEST_MIRROR_GAIN:
        return None
    return (
        "left and right are exchanged: its mirror image fits the template better; correct its "
        "affine"
    )


def explained(labels: NDArray[np.integer], tissues: NDArray[np.floating], inside: Mask) -> float:
    """Part of the variance of the tissues in a head that the labels of a parcellation explain.

    Parameters
    ----------
    labels : ndarray, shape (N,), integers
        At some points; 0 is not a region.
    tissues : ndarray, shape (N, T)
        Probability of each tissue at these points.
    inside : ndarray of bool, shape (N,)
        Whether they lie in the brain.

    Returns
    -------
    float
        0 to 1, over the points with a label or in the brain.
    """
    used = (labels > 0) | inside
    values = tissues[used].astype(np.float64)
    total = ((values - values.mean(axis=0)) ** 2).sum() if len(values) else 0.0
    if total <= 0:
        return 0.0
    _, group = np.unique(labels[used], return_inverse=True)
    count = np.bincount(group)
    sums = np.stack([np.bincount(group, column) for column in values.T])
    between = (sums**2 / count).sum() - len(values) * (values.mean(axis=0) ** 2).sum()
    return float(between / total)


def of_another_head(inside: float, in_place: float, beside: float) -> str | None:
    """Report a parcellation of another head, or one that is misaligned.

    Parameters
    ----------
    inside : part of its labelled voxels in the brain
    in_place : what it explains of the tissues (`explained`)
    beside : the most that it explains when moved by `BESIDE_MM` along an axis

    Returns
    -------
    str or None
        One sentence.
    """
    if inside >= LEAST_OWN_INSIDE and in_place >= LEAST_GAIN * beside:
        return None
    if inside < LEAST_OWN_INSIDE:
        why = f"only {inside:.0%} of its labelled voxels lie in the brain of the T1w"
    else:
        why = (
            f"it explains the tissues of the T1w {in_place / max(beside, 1e-9):.2f} times as well "
            f"as {BESIDE_MM:g} mm beside (own heads at least {LEAST_GAIN:g} times)"
        )
    return (
        f"{why}: it is a parcellation of another head, or of the head at another time; look at it "
        "over the T1w, and at the names of both"
    )


def exchanged(sides: Sequence[tuple[str, float]]) -> str | None:
    """Report regions that are on the other side than their names say.

    Parameters
    ----------
    sides : hemisphere by the label table and distance (mm) to the right of the middle of the head,
        of each region that names its side

    Returns
    -------
    str or None
        One sentence.
    """
    wrong = sum((side == "L") != (x < 0) for side, x in sides)
    if wrong <= len(sides) / 2:
        return None
    return (
        f"left and right are exchanged: {wrong} of {len(sides)} regions lie on the other side of "
        "the head than the label table says; correct its affine or the table"
    )


def _tissues(anatomy: Anatomy) -> tuple[Float, Float]:
    grey = anatomy.grey.astype(np.float64)
    return grey, grey + anatomy.white


def _has_shape(labelled: Mask, anatomy: Anatomy, what: str) -> bool:
    return float(labelled.sum()) * anatomy.grid.voxel_volume / 1000 >= LEAST_ML[what]


def _correlation(labelled: Mask, tissue: Float) -> float:
    return float(np.corrcoef(labelled.ravel(), tissue.ravel())[0, 1])
