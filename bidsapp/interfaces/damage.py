"""Node that checks the raw frames of a PET for damage in the brain."""

from __future__ import annotations

from pathlib import Path

from bidsapp.core.frames.position_means import mean_at_reference
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import prefixed_errors
from bidsapp.interfaces.transfer import Image, PositionMeans, Rigid
from bidsapp.io.nifti import read_frames
from bidsapp.record import RecordPart
from bidsapp.steps.inspecting import inspected, tissue_of_t1w, tissue_of_template


@interface("pet", "position_means", "record")
def Inspect(
    pet: list[Path],
    weights_s: list[float],
    motion: list[list[Rigid]],
    mean: Image,
    position_means: PositionMeans,
    t1w_to_pet: Rigid,
    field: Image,
    reference: str,
    gm: Image | None = None,
    wm: Image | None = None,
    mask: Image | None = None,
) -> tuple[Image, PositionMeans, RecordPart]:
    """Mask voxels without a measurement; refuse a PET whose reference region is damaged.

    Parameters
    ----------
    pet : files of the raw PET, NIfTI
    weights_s : seconds of each frame that count
    motion : as `AlignFrames` gives it
    mean : over the window, native grid
    position_means : the same, one image per position of the head
    t1w_to_pet, field : where the PET lies; T1w world coordinate of every MNI voxel
    reference : reference region of the Centiloid
    gm, wm, mask : probabilities and brain mask on the T1w grid, none without a T1w

    Returns
    -------
    pet, position_means
        Mean and images of the window, NaN where a frame has no measurement.
    record
    """
    if gm is None or wm is None or mask is None:
        tissue = tissue_of_template(field.data, mean.grid)
    else:
        tissue = tissue_of_t1w(gm, wm, mask.data, mean.grid)
    with prefixed_errors(pet[0]):
        kept, record = inspected(
            zip(read_frames(*pet), weights_s, motion[0], strict=True),
            position_means,
            mean,
            tissue=tissue,
            to_pet=t1w_to_pet,
            field=field.data,
            reference=reference,
        )
    return (
        (mean, position_means, record) if kept is None else (mean_at_reference(kept), kept, record)
    )
