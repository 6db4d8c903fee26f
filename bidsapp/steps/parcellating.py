"""Parcellations of a participant: accepted where they match the head of the T1w."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import transform
from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Volume, mask_centre, mask_slices
from bidsapp.core.quality import Flag
from bidsapp.core.regions.atlas_checks import (
    BESIDE_MM,
    exchanged,
    explained,
    of_another_head,
)
from bidsapp.data.atlases import Atlas, atlas, sides_of
from bidsapp.data.reference_regions import chosen_references
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.settings import AtlasFile, Processing
from bidsapp.steps.head import HeadTissues

_STEP_MM = 3.0  # finer changes little: the labels of many thousand points are compared
_AROUND_MM = 10.0
_PARTS_SHOWN = 3  # of a path: the subject's folder is among them, the machine is not


def accept(
    parcellations: Sequence[AtlasFile], tissues: HeadTissues, processing: Processing
) -> tuple[Processing, tuple[Flag, ...]]:
    """Put the parcellations of a participant that can be used into the options of a scan.

    Parameters
    ----------
    parcellations : their files
    tissues : HeadTissues
    processing : options of the run

    Returns
    -------
    Processing
        The same with the file of the participant where a parcellation is of this head.
    tuple of Flag
        Parcellations that cannot be used, and why.
    """
    taken: dict[str, AtlasFile] = {}
    refused: list[str] = []
    for choice in parcellations:
        try:
            if reason := _refusal(atlas(choice), tissues):
                raise BadDataError(f"{choice.image}: {reason}")
        except (CentipetError, OSError) as error:
            short = "/".join(choice.image.parts[-_PARTS_SHOWN:])
            refused.append(f"{choice.name}: {str(error).replace(str(choice.image), short)}")
        else:
            taken[choice.name] = choice
    accepted = replace(
        processing,
        atlases=tuple(taken.get(choice.name, choice) for choice in processing.atlases),
        derivatives=tuple(taken.get(choice.name, choice) for choice in processing.derivatives),
    )
    flags = [worded_flag("parcellation-refused", reason=reason) for reason in refused]
    flags += [
        worded_flag("reference-empty", reference=reference.description)
        for reference in chosen_references(accepted)
        if reference.grid is not None and not reference.regions.voxels.size
    ]
    return accepted, tuple(flags)


def _refusal(parcellation: Atlas, tissues: HeadTissues) -> str | None:
    """Why an atlas in the space of the T1w is not one of its head, or None."""
    assert parcellation.grid is not None
    inside, in_place, beside = fit(parcellation, tissues)
    brain = tissues.mask
    middle = float(transform(brain.affine, mask_centre(brain.data != 0))[0])
    return of_another_head(inside, in_place, beside) or exchanged(
        sides_of(parcellation.rows, parcellation.regions, parcellation.grid, middle)
    )


def fit(parcellation: Atlas, tissues: HeadTissues) -> tuple[float, float, float]:
    """Agreement of an atlas in T1w space with the tissues of the T1w.

    Parameters
    ----------
    parcellation : Atlas with a grid
    tissues : HeadTissues

    Returns
    -------
    inside : part of its labelled voxels in the brain
    in_place, beside : what it explains of the tissues, and the most when it is moved along an axis
    """
    assert parcellation.grid is not None
    filled = parcellation.regions.at_least(0.5)
    labels = filled.labelled(range(1, len(filled) + 1))
    step = np.maximum(np.rint(_STEP_MM / parcellation.grid.voxel_size), 1).astype(int)
    block = tuple(
        slice(part.start, part.stop, size)
        for part, size in zip(
            mask_slices(labels > 0, np.ceil(_AROUND_MM / parcellation.grid.voxel_size).astype(int)),
            step.tolist(),
            strict=True,
        )
    )
    index = np.mgrid[block].reshape(3, -1).T
    points = transform(parcellation.grid.affine, index.astype(np.float64))
    own = labels[block].reshape(-1)
    maps = (tissues.gm, tissues.wm, tissues.csf)
    mask = Volume(tissues.mask.data != 0, tissues.mask.affine)

    def explains(shift: NDArray[np.float64]) -> tuple[float, float]:
        values = np.stack([nearest(tissue_map, points + shift) for tissue_map in maps], axis=-1)
        within = nearest(mask, points + shift)
        share = float(within[own > 0].mean()) if own.any() else 0.0
        return share, explained(own, values, within)

    inside, in_place = explains(np.zeros(3))
    steps = BESIDE_MM * np.concatenate([np.eye(3), -np.eye(3)])
    return inside, in_place, max(explains(shift)[1] for shift in steps)
