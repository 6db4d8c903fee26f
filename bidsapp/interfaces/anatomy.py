"""Nodes on the T1w: segmentation with its warp, regions in its own space, its picture in MNI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.resample import sample
from bidsapp.core.grid.volume import Volume
from bidsapp.core.regions.voi import in_native_space
from bidsapp.data import mni_grid
from bidsapp.data.atlases import uptake_regions
from bidsapp.errors import prefixed_errors
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Arrays
from bidsapp.io.nifti import load_volume
from bidsapp.record import RecordPart
from bidsapp.steps.anatomy import segment_head
from bidsapp.steps.headers import header_findings


@interface("record", "warp", "field", "t1w", "mask", "gm", "wm", "csf")
def Segment(
    t1w: Path, source: str = "", initial: Path | None = None
) -> tuple[RecordPart, Warp, *tuple[Volume, ...]]:
    """Unified segmentation of a T1w, checked (`bidsapp.core.anatomy.normalise`).

    Parameters
    ----------
    t1w : raw T1w, NIfTI
    source : what to call it in messages, its path if not given
    initial : affine of ITK to begin from, if a person gave one

    Returns
    -------
    record
    warp, field
        Parameters of the warp; T1w world coordinate of every MNI voxel.
    t1w, mask, gm, wm, csf
        Bias-corrected T1w, brain mask and probability of each tissue, on the T1w grid.
    """
    image = load_volume(t1w, ndim=3)
    with prefixed_errors(source or t1w):
        checked = segment_head(image, initial)
    head = checked.segmentation
    maps: list[NDArray[Any]] = [head.corrected, head.brain_mask, *head.probabilities]
    record = RecordPart(
        t1w_intensities=head.intensities,
        qc=checked.quality,
        flags=(*checked.findings, *header_findings(t1w, "T1w")),
    )
    images = [Volume(data, image.affine) for data in maps]
    return record, head.warp, *[Volume(head.field, mni_grid(2).affine), *images]


@interface("regions")
def NativeRegions(mask: Volume, warp: Warp) -> Arrays:
    """Cortical target and cerebellum in the T1w's own space.

    Parameters
    ----------
    mask : brain mask, T1w grid
    warp : as `Segment` gives it

    Returns
    -------
    dict
        Masks ``ctx`` and ``cbl`` on the T1w grid.
    """
    return in_native_space(uptake_regions(), mni_grid(2), warp.lattice_to_template, mask.data)


@interface("image")
def ToTemplate(image: Volume, field: Volume) -> Volume:
    """Image in T1w space to the 2 mm MNI grid, trilinear.

    Parameters
    ----------
    image : on the T1w grid
    field : T1w world coordinate of every MNI voxel

    Returns
    -------
    Volume
        NaN outside the field of view.
    """
    return Volume(sample(image, field.data), field.affine)
