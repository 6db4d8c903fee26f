"""Segmentation of a T1w with the templates of the package, in one call.

from bidsapp.steps.anatomy import segment_head
from bidsapp.io.nifti import load_volume
normalised = segment_head(load_volume("sub-01_T1w.nii.gz", ndim=3))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bidsapp.bids.entities import parse_entities
from bidsapp.core.anatomy.confidence import Template
from bidsapp.core.anatomy.normalise import normalise
from bidsapp.core.anatomy.segment import Segmentation
from bidsapp.core.frames.damage import above_zero, without_padding, without_spikes
from bidsapp.core.grid.alignment import Matrix, affine_between, inverse
from bidsapp.core.grid.sampling import nearest_voxels
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import Flag, flagged
from bidsapp.data import priors, read_table, stripped_priors, template_mask, vois
from bidsapp.data.sentences import worded_flag
from bidsapp.errors import BadDataError
from bidsapp.io.affine_files import load_itk_affine
from bidsapp.io.image_names import nifti_ending
from bidsapp.io.nifti import load_displacements

_LEAST_POINTS = 1000  # of a field in the brain
_LOOK = "look at the picture of the T1w on the template"


@dataclass(frozen=True)
class SegmentedT1w:
    """A T1w segmented and checked.

    Attributes
    ----------
    segmentation : maps, bias-corrected T1w, brain mask, warp, field
    quality : numbers by name
    findings : flags
    """

    segmentation: Segmentation
    quality: dict[str, float]
    findings: tuple[Flag, ...]


def segment_head(t1w: Volume, initial: Path | None = None) -> SegmentedT1w:
    """Segment a T1w and check the result (`bidsapp.core.anatomy.normalise`).

    Parameters
    ----------
    t1w : Volume, 3D
        Any orientation and voxel size, with or without skull. Voxels that are not finite, brighter
        than anything in a head, or padding as bright as tissue, are missing.
    initial : Path, optional
        Transform that brings the T1w to the template, to begin from (`initial_affine`).

    Returns
    -------
    SegmentedT1w

    Raises
    ------
    BadDataError
        There is no head in the image, or not where the given transform puts it.
    NoInputError
        The transform cannot be read.
    """
    template, limits = head_template(), read_table("limits")
    t1w, level = above_zero(without_spikes(without_padding(t1w)))
    given = None if initial is None else initial_affine(initial)
    try:
        normalised = normalise(t1w, template, limits, given=given)
    except BadDataError as error:
        if initial is None:
            raise
        raise BadDataError(
            f"--initial-transform {initial.name}: {error}; it must map the T1w to the template, as "
            "for antsApplyTransforms -t"
        ) from error
    flags: list[Flag] = []
    if initial is not None:
        flags.append(worded_flag("initial-transform", name=initial.name))
    if reason := normalised.reason:
        strategy = normalised.strategy
        flags.append(worded_flag("normalisation-fallback", reason=reason, strategy=strategy))
    numbers = {"t1w_rotation_deg": normalised.rotation_deg, **normalised.quality}
    flags += flagged(numbers, limits, look=_LOOK)
    missing = ~np.isfinite(t1w.data)
    if missing.any() and (number := int((normalised.segmentation.brain_mask & missing).sum())):
        flags.append(worded_flag("t1w-missing", n=number))
    if level is not None:
        flags.append(worded_flag("t1w-negative", level=level))
    return SegmentedT1w(normalised.segmentation, normalised.quality, tuple(flags))


def head_template() -> Template:
    """The template on the 2 mm grid, with the priors of the package.

    Returns
    -------
    Template
        Of whole heads; ``stripped`` is that of heads without skull.
    """
    return Template(priors(), template_mask(2).data, vois(2), stripped_priors)


def initial_affine(path: Path) -> Matrix:
    """Affine of a file of ``--initial-transform``, from points of the T1w to those of the template.

    It may be one of ITK, or a displacement field as CentiPET writes it, of which the affine that
    is nearest to it in the brain counts. Where the name says ``from-`` and ``to-`` the file may be
    that of either direction; an affine without them brings the T1w to the template.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    ndarray, shape (4, 4)
        T1w world -> template world, RAS mm.

    Raises
    ------
    NoInputError
        The file cannot be read.
    BadDataError
        It is not such a transform, or one between other spaces.
    """
    named = parse_entities(path)
    ends = [named.get(key, "") for key in ("from", "to")]
    spaces = ["MNI" if end.startswith("MNI") else end for end in ends]
    back = spaces == ["MNI", "T1w"]
    if any(ends) and not back and spaces != ["T1w", "MNI"]:
        raise BadDataError(
            f"{path}: its name says that it maps {ends[0] or '?'} to {ends[1] or '?'}; give the "
            "transform from the T1w to the template, or its inverse"
        )
    if nifti_ending(path) is None:
        affine = load_itk_affine(path)
        return affine if back else inverse(affine)
    if not any(ends):
        raise BadDataError(
            f"{path}: is a displacement field whose name does not say from-T1w_to-MNI152NLin6Asym "
            "or back; one of ANTs (1Warp) lacks its affine: give that (0GenericAffine.mat)"
        )
    field = load_displacements(path)
    points = field.grid.world().reshape(-1, 3)
    displaced = points + field.data.reshape(-1, 3)
    t1w, template = (points, displaced) if back else (displaced, points)
    brain = template_mask(2)
    nearest = nearest_voxels(brain.grid, template)
    inside = (nearest >= 0) & brain.data.reshape(-1)[nearest]
    if inside.sum() < _LEAST_POINTS:
        raise BadDataError(f"{path}: does not map the T1w into the brain of the template")
    return affine_between(t1w[inside], template[inside])
