"""Node that smooths the mean of the window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bidsapp.core.frames.position_means import mean_at_reference
from bidsapp.core.quality import Flag
from bidsapp.core.quantification.resolution import kernel_to, measure_resolution, smooth
from bidsapp.data.flags import worded_flag
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Arrays, Image, PositionMeans, Rigid
from bidsapp.record import RecordPart
from bidsapp.record.model import Smoothing


@interface("pet", "position_means", "record")
def Smooth(
    pet: Image,
    position_means: PositionMeans,
    gm: Image | None = None,
    wm: Image | None = None,
    csf: Image | None = None,
    mask: Image | None = None,
    regions: Arrays | None = None,
    t1w_to_pet: Rigid | None = None,
    fwhm_mm: float | None = None,
    target_mm: float | None = None,
    psf_mm: list[float] | None = None,
) -> tuple[Image, PositionMeans, RecordPart]:
    """Smooth along the voxel axes: by a given FWHM, or up to a common resolution.

    Parameters
    ----------
    pet, position_means : mean PET, native grid; the same, one image per position of the head
    gm, wm, csf, mask, regions, t1w_to_pet : of the T1w, to measure the resolution
    fwhm_mm : of the Gaussian
    target_mm : resolution to reach instead, FWHM
    psf_mm : resolution of the image along each voxel axis, FWHM, when it is known

    Returns
    -------
    pet, position_means
        The same, smoothed.
    record
    """
    own, flags = psf_mm and tuple(psf_mm), tuple[Flag, ...]()
    if target_mm is None:
        assert fwhm_mm is not None
        kernel = (fwhm_mm, fwhm_mm, fwhm_mm)
    else:
        if not own:
            assert gm and wm and csf and mask and t1w_to_pet is not None and regions is not None
            tissue = np.stack([image.data for image in (gm, wm, csf)])
            own = measure_resolution(pet, tissue, mask.data, regions, gm.affine, t1w_to_pet)
        kernel = kernel_to(target_mm, own)
        if max(own) > target_mm:
            widths = " x ".join(f"{width:.1f}" for width in own)
            flags = (worded_flag("resolution-target", own=widths, target=target_mm),)
    smoothed = [
        replace(position_mean, image=smooth(position_mean.image, kernel))
        for position_mean in position_means
    ]
    smoothing = Smoothing(target_mm, kernel)
    if own:
        source = "given" if psf_mm else "measured"
        smoothing = replace(smoothing, resolution_mm=tuple(own), resolution_source=source)
    record = RecordPart(smoothing=smoothing, flags=flags)
    return mean_at_reference(smoothed), smoothed, record
