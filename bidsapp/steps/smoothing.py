"""How a PET is smoothed: by a given width, or up to a common resolution."""

from __future__ import annotations

from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import Flag
from bidsapp.core.quantification.resolution import Widths, kernel_to
from bidsapp.data.sentences import worded_flag
from bidsapp.record import RecordPart
from bidsapp.record.model import Smoothing
from bidsapp.steps.head import Masks, PlacedHead, pet_resolution


def smoothing_of(
    pet: Volume,
    head: PlacedHead,
    regions: Masks | None,
    *,
    fwhm_mm: float | None,
    target_mm: float | None,
    psf: Widths | None,
) -> tuple[Widths, RecordPart]:
    """Widths of the Gaussian that a PET is smoothed with.

    Parameters
    ----------
    pet : mean over the window, native grid
    head, regions : where it lies, and masks ``ctx`` and ``cbl``, to measure the resolution
    fwhm_mm : of the Gaussian, mm
    target_mm : resolution to reach instead, FWHM, mm
    psf : resolution of the image along each voxel axis, FWHM, mm, when it is known

    Returns
    -------
    tuple of float
        FWHM along the voxel axes, mm.
    RecordPart
    """
    own: tuple[float, ...] = psf or ()
    source = None if psf is None else "given"
    flags: tuple[Flag, ...] = ()
    if target_mm is None:
        assert fwhm_mm is not None
        kernel = (fwhm_mm, fwhm_mm, fwhm_mm)
    else:
        own, source = pet_resolution(pet, head, regions, psf)
        kernel = kernel_to(target_mm, own)
        if max(own) > target_mm:
            widths = " x ".join(f"{width:.1f}" for width in own)
            flags = (worded_flag("resolution-target", own=widths, target=target_mm),)
    smoothing = Smoothing(target_mm, kernel, own, source)
    return kernel, RecordPart(smoothing=smoothing, flags=flags)
