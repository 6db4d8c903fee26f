"""Nodes that quantify the PET in MNI space and make ratio images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.scale import Scale, TauScale
from bidsapp.core.quantification.suvr import ratio_image
from bidsapp.data import REFERENCES
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import prefixed_errors
from bidsapp.interfaces.transfer import Image
from bidsapp.record import RecordPart
from bidsapp.settings import Interval
from bidsapp.steps.quantifying import QuantificationOptions, quantified, volumes


@interface("record")
def Quantify(
    pet: Image,
    source: str,
    tracer: str,
    scale: Scale,
    cutoffs: Sequence[float] = (),
    interval: Interval = Interval.RESCAN,
    tau_vois: Mapping[str, str] | None = None,
    tau: TauScale | None = None,
    position: RecordPart | None = None,
    requested_image: Image | None = None,
    standard_centiloid: bool = False,
) -> RecordPart:
    """VOI means, uptake ratios, and Centiloids with their uncertainty.

    Parameters
    ----------
    pet : on the 2 mm MNI grid, NaN where not measured
    source : name of the raw image, for messages
    tracer : code of the tracer table
    scale : equations that belong to the scan
    cutoffs : CL
    interval : decides how bands and cut-offs are read
    tau_vois, tau : tau volumes by region, and equations for their SUVRs; none for amyloid
    requested_image, standard_centiloid : see `bidsapp.steps.quantifying.QuantificationOptions`
    position : part of the record from the registration, with the resolution of the PET

    Returns
    -------
    RecordPart
    """
    with prefixed_errors(source):
        return quantified(
            pet,
            tracer=tracer,
            scale=scale,
            options=QuantificationOptions(
                cutoffs, interval, tau_vois, requested_image, standard_centiloid
            ),
            tau=tau,
            fwhm_mm=None if position is None else position.qc.get("pet_fwhm_mm"),
        )


@interface(*REFERENCES)
def RatioImages(pet: Image) -> tuple[Image | None, ...]:
    """Uptake ratio image per reference region that was measured.

    Parameters
    ----------
    pet : on the 2 mm MNI grid

    Returns
    -------
    wc, cg, wcb, pons
    """
    means = [row.mean for name, row in volumes(pet).items() if name in REFERENCES]
    return tuple(
        None if mean is None else Volume(ratio_image(pet.data, mean), pet.affine) for mean in means
    )
