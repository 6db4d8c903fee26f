"""Registration of the PET: to the T1w of its head, or to the template without one.

anatomy = segment_head(t1w).segmentation
head = head_of(Volume(anatomy.corrected, t1w.affine), anatomy.probabilities, anatomy.brain_mask,
               anatomy.warp.to_template)
fit, part = positioned(pet, head, method=PetToT1w.MODEL)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Volume
from bidsapp.core.pet_only.pet_normalisation import PetNormalisation, normalise_pet
from bidsapp.core.quality import Flag, flagged, strain_findings
from bidsapp.core.registration.detail import fine_detail
from bidsapp.core.registration.head import Head
from bidsapp.core.registration.rigid import BOUND_MM, RigidFit, register
from bidsapp.data import priors, read_table
from bidsapp.data.amyloid_template import amyloid_template
from bidsapp.data.atlases import nearest_regions
from bidsapp.data.sentences import worded_flag
from bidsapp.record import RecordPart
from bidsapp.record.model import PetOnly
from bidsapp.settings import PetToT1w
from bidsapp.steps.refusing import refuse_beyond

_LOOK = "look at the outlines on the PET, and use a T1w if there is one"


def head_of(
    t1w: Volume,
    tissue: Iterable[NDArray[np.floating]],
    mask: NDArray[np.bool_],
    to_template: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Head:
    """Combine a T1w with the regions of an atlas and the average anatomy of the template.

    Parameters
    ----------
    t1w : Volume, 3D
        Bias-corrected, with or without skull.
    tissue : three arrays of shape (X, Y, Z)
        Probabilities of grey matter, white matter and CSF on the T1w grid.
    mask : ndarray of bool, shape (X, Y, Z)
        Brain on the T1w grid.
    to_template : function
        T1w world points (N, 3) -> template world points (N, 3), RAS mm.

    Returns
    -------
    Head

    Raises
    ------
    BadDataError
        The mask is empty.
    """
    sampler, regions = priors().sampler, nearest_regions()
    return Head.of(
        t1w,
        tissue,
        mask,
        region_of=lambda points: nearest(regions, to_template(points)),
        average=lambda points: sampler.values(to_template(points)),
    )


def positioned(
    pet: Volume,
    head: Head,
    *,
    method: PetToT1w,
    anatomy: str = "t1w",
) -> tuple[RigidFit, RecordPart]:
    """Register a PET rigidly to a T1w, and check the result.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the window, native grid.
    head : Head
        `head_of` the T1w.
    method : PetToT1w
        Which position to use.
    anatomy : ``t1w`` or ``template``
        What the T1w is: a single T1w, or a within-subject template.

    Returns
    -------
    RigidFit
        With the matrix T1w world -> PET world, RAS mm.
    RecordPart
        Quality numbers and flags.

    Raises
    ------
    BadDataError
        The PET holds nothing, or no brain, or is an MR image.
    """
    fit, limits = register(pet, head, method=method), read_table("limits")
    detail = fine_detail(pet, head, fit.matrix)
    refuse_beyond({"pet_t1w_detail": detail}, limits)
    part = RecordPart(
        method=f"{anatomy}+{fit.method.value}",
        qc={
            "pet_t1w_distance_mm": fit.distance_mm,
            "pet_t1w_nmi": fit.score,
            "pet_t1w_unexplained": fit.unexplained,
            "pet_t1w_own_anatomy": fit.own_anatomy,
            "pet_t1w_detail": detail,
            "pet_t1w_stretch": float(np.abs(np.linalg.eigvalsh(fit.strain)).max()),
            "pet_fwhm_mm": fit.fwhm_mm,
        },
        flags=(
            *position_findings(fit),
            *strain_findings(fit.strain, limits),
            *flagged({"pet_t1w_detail": detail, "pet_fwhm_mm": fit.fwhm_mm}, limits),
        ),
    )
    return fit, part


def position_findings(fit: RigidFit) -> tuple[Flag, ...]:
    """Flags of a position that may be wrong, or of another head.

    Parameters
    ----------
    fit : RigidFit

    Returns
    -------
    tuple of Flag
    """
    limits, numbers = read_table("limits"), {"bound_mm": BOUND_MM}
    numbers |= {name: getattr(fit, name) for name in ("distance_mm", "mirrored", "unexplained")}
    doubts = tuple(worded_flag(code, **numbers) for code in fit.doubts)
    return (
        *(doubts or flagged({"pet_t1w_distance_mm": fit.distance_mm}, limits)),
        *flagged({"pet_t1w_own_anatomy": fit.own_anatomy}, limits),
    )


def normalised_without_t1w(pet: Volume) -> tuple[PetNormalisation, RecordPart]:
    """Normalise a PET to the template without a T1w, and check the result.

    Parameters
    ----------
    pet : Volume, 3D
        Mean over the window, native grid.

    Returns
    -------
    PetNormalisation
    RecordPart
        Quality numbers and flags.

    Raises
    ------
    BadDataError
        No brain was detected with confidence.
    """
    fit, limits = normalise_pet(pet, amyloid_template()), read_table("limits")
    refuse_beyond(fit.quality, limits)
    part = RecordPart(
        method="pet-only",
        pet_only=PetOnly(levels=fit.levels),
        qc=fit.quality,
        flags=flagged(fit.quality, limits, look=_LOOK),
    )
    return fit, part
