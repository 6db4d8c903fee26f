"""Segmentation of a T1w with the resources of the package: the whole of it in one call.

from bidsapp.steps.anatomy import segment_head
from bidsapp.io.nifti import load_volume
found = segment_head(load_volume("sub-01_T1w.nii.gz", ndim=3))
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bidsapp.core.anatomy.confidence import Template
from bidsapp.core.anatomy.normalise import Normalised, normalise
from bidsapp.core.frames.damage import without_spikes
from bidsapp.core.grid.alignment import inverse
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import initial_transform_findings, missing_findings
from bidsapp.data import priors, read_table, template_mask, vois
from bidsapp.errors import BadDataError
from bidsapp.io.affine_files import load_itk_affine


def segment_head(t1w: Volume, initial: Path | None = None) -> Normalised:
    """Segment a T1w and check the result (`bidsapp.core.anatomy.normalise`).

    Parameters
    ----------
    t1w : Volume, 3D
        Any orientation and voxel size, with or without skull. Voxels that are not finite, or
        brighter than anything in a head, are missing.
    initial : Path, optional
        Affine of ITK that brings the T1w to the template, to begin from.

    Returns
    -------
    Normalised
        ``segmentation`` (maps, bias-corrected T1w, brain mask, warp, field), ``quality`` and
        ``findings``.

    Raises
    ------
    BadDataError
        The image holds no head, or none where the given transform says.
    NoInputError
        The transform cannot be read.
    """
    template = Template(priors(), template_mask(2).data, vois(2))
    t1w = without_spikes(t1w)
    given = None if initial is None else inverse(load_itk_affine(initial))
    try:
        normalised = normalise(t1w, template, read_table("limits"), given=given)
    except BadDataError as error:
        if initial is None:
            raise
        raise BadDataError(
            f"--initial-transform {initial.name}: {error}; it has to bring the T1w to the template "
            "as antsApplyTransforms -t takes it"
        ) from error
    stated = () if initial is None else initial_transform_findings(initial.name)
    missing = int((normalised.segmentation.brain_mask & ~np.isfinite(t1w.data)).sum())
    return replace(normalised, findings=(*stated, *normalised.findings, *missing_findings(missing)))
